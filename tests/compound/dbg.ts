import { Random } from '../../packages/vcpu-wasm/src/native/random.ts';
import { TrapMachine } from './trap-machine.ts';
import { writeProgram } from './random-traps.ts';
const bits = 32, dma = false;
const singly = await TrapMachine.create(bits, undefined, 'off', dma);
const m = await TrapMachine.create(bits, { policy: 'fixed', handoff: 'list', window: 64, gap: 16 }, 'off', dma);
const random = new Random(4);
for (let number = 0; number < 30; number++) {
  const program = writeProgram(random, bits);
  const slices = random.once(2) ? null : 1 + random.below(200);
  const run = (machine: TrapMachine) => { const own = new Random(number); return machine.run(program, slices === null ? () => 100_000 : () => 1 + own.below(slices)); };
  const a = run(singly); const ca = [...singly.machine.vcpu.exceptions];
  const b = run(m); const cb = [...m.machine.vcpu.exceptions];
  if (JSON.stringify(a.trace) !== JSON.stringify(b.trace) || a.memory !== b.memory) {
    const i = a.trace.findIndex((x, k) => x !== b.trace[k]);
    console.log('program', number, 'slices', slices, 'at', i, a.trace.slice(Math.max(0, i - 4), i + 4), b.trace.slice(Math.max(0, i - 4), i + 4), a.retired, b.retired, ca[1], cb[1]);
    const { writeFileSync } = await import('node:fs'); writeFileSync('/tmp/prog.bin', program);
    break;
  }
}
process.exit(0);
