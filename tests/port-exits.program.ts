// node --conditions=vm-source --expose-gc tests/port-exits.program.ts EXITS: what the heap has grown by after so many exits.
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { prepareEntry } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONDITION_NE, createAssembler, r16, r32, r8, RAX, RCX, RDX } from '@vm/x86';

const PORT = 0x500;
const ENTRY = 0x10_0000;
const MOST_INSTRUCTIONS = 10_000_000;
const ROUNDS = 8;

class Adder {
  reads = 0;
  writes = 0;
  sum = 0;
  read(): number {
    this.reads++;
    return (this.sum + 1) & 0xff;
  }
  write(_offset: number, _size: number, value: number): void {
    this.writes++;
    this.sum = value;
  }
}

const adder = new Adder();
const adderDevice: DeviceModule<void, 'pio'> = {
  manifest: { abi: 1, id: 'test.adder', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx) => {
    ctx.pio.claim('sum', 1, adder, [1]).map(PORT);
    return {};
  },
};

/** Half as many reads and half as many writes as `exits`. Once only: to write code means to decode and to translate it again. */
function writeProgram({ memory }: Machine<WasmVcpu>, exits: number): void {
  const code = createAssembler(32).mov(r32(RCX), exits / 2).mov(r32(RDX), PORT)
    .label('next').in(r8(RAX), r16(RDX)).out(r16(RDX), r8(RAX)).dec(r32(RCX)).jcc(CONDITION_NE, 'next').hlt().bytes();
  memory.copyIn(ENTRY, code);
}
function prepare({ memory, vcpu }: Machine<WasmVcpu>): void {
  vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
  adder.reads = adder.writes = adder.sum = 0;
}
function run({ vcpu }: Machine<WasmVcpu>): void {
  if (vcpu.run(MOST_INSTRUCTIONS) !== EXIT_HALT) throw new Error('the program did not come to its end');
}

const exits = Number(process.argv[2]);
await using machine = await createMachine({
  engine: wasmEngine(),
  ramBytes: 2 * 2 ** 20,
  interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
  devices: [device('adder', adderDevice)],
});
const collect = (globalThis as { readonly gc?: () => void }).gc;
if (collect === undefined) throw new Error('run this with --expose-gc');
// V8 compiles during the first rounds, and what it keeps of that is not what we look for. What an exit allocates shows in every round.
writeProgram(machine, exits);
let grown = Infinity;
for (let round = 0; round < ROUNDS; round++) {
  prepare(machine);
  await new Promise((resolve) => setTimeout(resolve, 50)); // its threads finish
  collect();
  const before = process.memoryUsage().heapUsed;
  run(machine);
  grown = Math.min(grown, process.memoryUsage().heapUsed - before);
}
console.log(JSON.stringify({ reads: adder.reads, writes: adder.writes, sum: adder.sum, grown }));
