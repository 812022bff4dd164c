/** Entries of handlers in generated code against the same in TypeScript, from states of all kinds. */
import { describe, expect, it, vi } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';

const AT = 0x8000;
const GDT = 0x9000, IDT = 0xa000, TASK = 0xb000, STACK = 0x2_0000, INNER_STACK = 0x3_0000;
const SEED = Number(process.env['VM_SEED'] ?? 1);
const ROUNDS = 1500;
const RSP = 4;
const VECTOR = 0x85;
/** INT n; #UD without an error code, #GP with one: of HLT in an outer level, or a selector behind the table. */
const BYTES: Readonly<Record<string, readonly number[]>> = { int: [0xcd, VECTOR], ud2: [0x0f, 0x0b], 'mov es': [0x8e, 0xc0] };
const VECTORS: readonly number[] = [VECTOR, 6, 13];
const CODE = { long: 0x00af_9b00, protected: 0x00cf_9b00 }, DATA = 0x00cf_9300, USER = 0x6000;
type Mode = 'long' | 'protected';
/** High halves of descriptors; the first is null. */
const descriptorsOf = (code: number): readonly number[] => [
  0, 0, code, DATA, code | USER, DATA | USER, code & ~0x100, code & ~0x8000, code | 0x400, code | 0x2000, code & ~0x60_0000, DATA & ~0x100, code | 1, DATA & ~0x40_0000, DATA | 0x400,
];
/** DF, IOPL, IF and ID as often as not. */
const PLAIN = 0xed5 | 0x3000 | 0x20_0000;
const RARE = [0x4000, 0x4_0000, 0x8_0000, 0x10_0000];

function prepare(machine: FlatMachine, mode: Mode, name: string, random: Random): void {
  const code = CODE[mode];
  const descriptors = descriptorsOf(code);
  const { vcpu, view, bytes } = machine;
  const { state: s, segments } = vcpu;
  machine.put(AT, BYTES[name] as readonly number[]);
  machine.enter(AT);
  bytes.fill(0x55, STACK - 64, STACK + 64);
  bytes.fill(0x55, INNER_STACK - 64, INNER_STACK + 64);
  descriptors.forEach((high, i) => { view.setUint32(GDT + i * 8, i === 0 ? 0 : 0xffff, true); view.setUint32(GDT + i * 8 + 4, high, true); });
  s.set64(state.GDTR_BASE, GDT, 0);
  s.set(state.GDTR_LIMIT, descriptors.length * 8 - 1);
  s.set64(state.IDTR_BASE, IDT, 0);
  s.set(state.IDTR_LIMIT, random.once(8) ? random.below(0x900) : 0xfff);
  for (const vector of VECTORS) {
    const selector = random.once(3) ? random.below(descriptors.length + 1) * 8 + random.below(8) : 0x10;
    const type = random.once(4) ? random.below(0x1_0000) : 0x8e00 | random.pick([0, 0x100]) | random.pick([0, USER]);
    const gate = IDT + vector * (mode === 'long' ? 16 : 8);
    view.setUint32(gate, (selector << 16) | 0x5678, true);
    view.setUint32(gate + 4, 0x1234_0000 | type, true);
    if (mode === 'long') view.setUint32(gate + 8, random.once(2) ? 0xffff_ffff : 0x7f, true);
  }
  // All stacks of the task are the same one, now and then at the end of a page, and not always aligned.
  for (let i = 0; i < 13; i++) {
    view.setBigUint64(TASK + 4 + i * 8, BigInt(INNER_STACK + random.below(32) - (random.once(8) ? 0 : -8)), true);
    if (mode === 'protected') view.setUint32(TASK + 8 + i * 8, random.once(4) ? random.below(descriptors.length) * 8 + random.below(4) : 0x18, true);
  }
  segments.restore(state.TR, [0x40, mode === 'protected' && random.once(8) ? 0x8300 : 0x8b00, TASK, 0, random.once(8) ? random.below(16) : 0x67]);
  for (let i = 0; i < 16; i++) machine.setGpr(i, BigInt(random.next()));
  machine.setGpr(0, 0xfff8n);
  machine.setGpr(RSP, BigInt(STACK + random.below(64) - 32));
  if (random.once(2)) {
    segments.restore(state.SS, [0x2b, (DATA | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    segments.restore(state.CS, [0x23, (code | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    segments.setCpl(3);
  } else if (mode === 'protected' && random.once(8)) segments.restore(state.SS, [0x68, 0x0000_9300, 0x100, 0, 0xffff_ffff]); // not flat
  machine.flags = (random.next() & PLAIN) | (random.once(8) ? random.pick(RARE) : 0) | (random.once(16) ? 0x1_0000 : 0);
  // What the TLB does not know is left to TypeScript, so most often it knows.
  for (const at of [GDT, IDT, TASK, STACK - 64, STACK, INNER_STACK - 64, INNER_STACK]) if (!random.once(16)) vcpu.memory.load(at, 0, 8, true);
}
function after(machine: FlatMachine): string {
  const { state: s, events } = machine.vcpu;
  const part = (from: number, to: number): string => Buffer.from(s.u8.buffer, s.at + from, to - from).toString('hex');
  const stack = (at: number): string => Buffer.from(machine.bytes.subarray(at - 80, at + 64)).toString('hex');
  return [machine.flags.toString(16), part(state.GPR, state.ZERO), part(state.SEGMENT_BASE, state.FLAG_RESULT), part(state.RIP, state.BUDGET), part(state.DATA_TAG, state.X87_BLOCKED),
    part(state.SEGMENT, state.CR0), part(state.CR2, state.CR3), part(state.SHADOW_READ_NEED, state.SHADOW_READS), stack(STACK), stack(INNER_STACK), events.errorCodeOf(13)].join(' ');
}

const MODES: readonly Mode[] = ['long', 'protected'];
describe.each(MODES.flatMap((mode) => Object.keys(BYTES).map((name) => ({ mode, name }))))('the handler of $name, $mode mode', ({ mode, name }) => {
  it(`is entered as it is written in TypeScript, seed ${SEED}`, () => {
    const machines = [new FlatMachine(mode), new FlatMachine(mode)] as const;
    // Only TypeScript reads descriptors through this.
    const [byGenerated, byWritten] = machines.map(({ vcpu }) => vi.spyOn(vcpu.segments, 'readDescriptor')) as [ReturnType<typeof vi.spyOn>, ReturnType<typeof vi.spyOn>];
    let entered = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const machine of machines) {
        prepare(machine, mode, name, new Random(SEED * ROUNDS + round));
        machine.vcpu.numericError.ignored = machine === machines[1]; // it asks to hear of changes of level
        machine.vcpu.run(1);
      }
      expect([round, after(machines[0])]).toEqual([round, after(machines[1])]);
      if ((machines[0].vcpu.state.get(state.RIP) & 0xffff) === 0x5678) entered++;
    }
    expect(entered).toBeGreaterThan(ROUNDS / 8);
    expect(byGenerated.mock.calls.length).toBeLessThan(byWritten.mock.calls.length - ROUNDS / 8);
  });
});
