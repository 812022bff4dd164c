/** What may be in a block, and what ends one without a trace. */
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { type Assembler, control, createAssembler, mem, r32, r8, RAX, RBX, RCX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { CR2 } from '../../packages/vcpu-wasm/src/cpu-state.ts';

const ENTRY = 0x10_0000;
const NEXT_PAGE = ENTRY + 0x1000;
const DIRECTORY = 0x18_0000, TABLE = 0x18_1000;
const GATES = 0x18_2000, HANDLER = 0x18_3000;
const GONE = ENTRY + 0x2000;
const FRESH = 0x11_0000; // a page that nothing has touched
const PORT = 0x50;
const CODE_SELECTOR = 0x10;
const INSTRUCTIONS = 500;
const ACCESSED = 0x20, DIRTY = 0x40;

const PORTS: DeviceModule<(value: number) => void, 'pio'> = {
  manifest: { abi: 1, id: 'test.ports', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx, written) => {
    ctx.pio.claim('ports', 1, { read: () => 0, write: (_offset, _size, value) => written(value) }, [1]).map(PORT);
    return {};
  },
};

interface Seen {
  /** Accessed and dirty bits of the page that is touched, and of the next page of code, at each write. */
  readonly bits: readonly string[];
  readonly registers: readonly number[];
  readonly faultAddress: number;
  readonly retired: number;
  readonly counts: ReadonlyMap<string, number>;
}

/** A program in pages of 4 KiB that ends in a jump onto itself, its own or that of the handler of faults, which counts in EBX. */
async function run(program: (code: Assembler) => void, compound: CompoundOptions | undefined): Promise<Seen> {
  const code = createAssembler(32, { origin: ENTRY }).mov(r32(RAX), DIRECTORY).mov(control(3), r32(RAX)).mov(r32(RAX), control(0)).or(r32(RAX), 0x8000_0000 | 0).mov(control(0), r32(RAX)).mov(r32(RBX), 0);
  program(code);
  const bits: string[] = [];
  await using machine = await createMachine<WasmVcpu>({
    engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 << 20, clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
    devices: [device('ports', PORTS, (value) => {
      const bitsOf = (address: number): string => (machine.memory.read(TABLE + (address >>> 12) * 4, 4) & (ACCESSED | DIRTY)).toString(16);
      bits.push(`${value}: ${bitsOf(FRESH)} ${bitsOf(NEXT_PAGE)}`);
    })],
    load: ({ memory }) => void memory.copyIn(ENTRY, Uint8Array.of(0xf4)),
  });
  const { memory, vcpu } = machine;
  await machine.powerUp();
  await machine.pause();
  memory.copyIn(ENTRY, code.bytes());
  memory.copyIn(HANDLER, createAssembler(32, { origin: HANDLER }).inc(r32(RBX)).label('stay').jmp('stay').bytes());
  memory.write(DIRECTORY, 4, TABLE | 3);
  for (let page = 0; page < 512; page++) memory.write(TABLE + page * 4, 4, page << 12 === GONE ? 0 : (page << 12) | 3);
  for (const vector of [6, 14]) {
    memory.write(GATES + vector * 8, 4, ((CODE_SELECTOR << 16) | (HANDLER & 0xffff)) >>> 0);
    memory.write(GATES + vector * 8 + 4, 4, ((HANDLER & 0xffff_0000) | 0x8e00) >>> 0);
  }
  vcpu.loadBootState({ ...prepareEntry(memory, { bits: 32, rip: ENTRY }), idt: { base: GATES, limit: 0xfff } });
  const before = vcpu.retired;
  vcpu.run(INSTRUCTIONS);
  return {
    bits, registers: Array.from({ length: 8 }, (_, i) => vcpu.state.gpr(i)), faultAddress: vcpu.state.get(CR2), retired: vcpu.retired - before, counts: new Map(vcpu.counts()),
  };
}

const outs = (code: Assembler, count: number): Assembler => {
  for (let i = 0; i < count; i++) code.out(PORT, r8(RAX));
  return code;
};
/** Goes to three writes that end where a page does. */
const writesBefore = (code: Assembler, page: number): Assembler => {
  code.jmp('edge');
  while (ENTRY + code.offset() < page - 3 * 2) code.nop();
  return outs(code.label('edge'), 3);
};
const WAYS: readonly CompoundOptions[] = [{ policy: 'fixed' }, { policy: 'fixed', window: 4096, gap: 1024 }];

describe('a block', () => {
  it('CMP-06: has among its members what the engine has replaced by a direct call', async () => {
    const program = (code: Assembler): void => {
      for (let i = 0; i < 6; i++) code.mov(r32(RAX), i).cpuid().mov(r32(RAX), i).out(PORT, r8(RAX));
      code.label('end').jmp('end');
    };
    const expected = await run(program, undefined);
    const { counts, bits, registers } = await run(program, { policy: 'fixed', window: 64, gap: 16 });
    expect([bits, registers]).toEqual([expected.bits, expected.registers]);
    expect(bits).toHaveLength(6);
    expect([counts.get('compound.traps'), counts.get('compound.spared')]).toEqual([1, 5]);
  });

  it.each([
    ['a page that nothing has read yet', (code: Assembler): void => void outs(outs(code, 3).mov(r32(RCX), mem(4, { displacement: FRESH })), 2).label('end').jmp('end')],
    ['a page that nothing has written yet', (code: Assembler): void => void outs(outs(outs(code, 1).mov(r32(RCX), mem(4, { displacement: FRESH })), 2).mov(mem(4, { displacement: FRESH }), r32(RCX)), 2).label('end').jmp('end')],
    ['an instruction that does not exist', (code: Assembler): void => void outs(code, 3).ud2()],
    ['code in a page that nothing was fetched from', (code: Assembler): void => void outs(writesBefore(code, NEXT_PAGE), 2).label('end').jmp('end')],
    ['code in a page that is not there', (code: Assembler): void => void writesBefore(code, GONE).nop()],
  ] as const)('CMP-07: ends at %s, and leaves no trace of having looked', async (_name, program) => {
    const expected = await run(program, undefined);
    for (const way of WAYS) {
      const seen = await run(program, way);
      expect({ ...seen, counts: null }).toEqual({ ...expected, counts: null });
      expect(seen.counts.get('compound.blocks')).toBeGreaterThan(0);
    }
    expect(expected.bits.length).toBeGreaterThanOrEqual(3);
  });
});
