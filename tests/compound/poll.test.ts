/** Loops that ask a device again and again, waited out and turn by turn. */
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { type Assembler, CONDITION_E, CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBP, RBX, RCX, RDX, RSI } from '@vm/x86';
import { describe, expect, it } from 'vitest';

const ENTRY = 0x10_0000;
const DATA = 0x10_8000;
const PORT = 0x50;
const WINDOW = 0xd000_0000;
const START = 0, STATUS = 1, COUNTING = 2, END = 3;

/** Busy from a write until a timer; asks are counted by themselves. */
const BUSY: DeviceModule<{ readonly asked: () => void; readonly ended: () => void }, 'pio' | 'mmio' | 'clock'> = {
  manifest: { abi: 1, id: 'test.busy', version: '0.0.0', state: 0, needs: ['pio', 'mmio', 'clock'] },
  create: (ctx, { asked, ended }) => {
    let ready = 0x80;
    let count = 0;
    const timer = ctx.clock.timer(() => (ready = 0x80));
    const handler = {
      read: (offset: number) => {
        asked();
        return offset === STATUS ? ready | 1 : ++count >>> 8;
      },
      isSteady: (offset: number) => offset === STATUS,
      write: (offset: number, _size: number, value: number) => {
        if (offset === END) ended();
        if (offset !== START) return;
        ready = 0;
        timer.arm(ctx.clock.now() + 1000 * value);
      },
    };
    ctx.pio.claim('ports', 4, handler, [1]).map(PORT);
    ctx.mmio.claim('window', 4096, handler, [1]).map(WINDOW);
    return {};
  },
};

interface Seen { readonly registers: readonly number[]; readonly retired: number; readonly word: number }

async function run(program: (code: Assembler) => void, compound: CompoundOptions | undefined): Promise<{ readonly seen: Seen; readonly asked: number; readonly waits: number }> {
  const code = createAssembler(32, { origin: ENTRY }).mov(r32(RCX), 20).mov(r32(RSI), DATA).label('round').mov(r32(RDX), PORT + START).mov(r32(RAX), 77).out(r16(RDX), r8(RAX)).inc(r32(RDX));
  program(code);
  // What time is it, in instructions? The machine stands still in the end.
  code.dec(r32(RCX)).jcc(CONDITION_NE, 'round').rdtsc().mov(r32(RBP), r32(RAX)).out(PORT + END, r8(RAX)).cli().hlt();
  let asked = 0;
  let ended = (): void => {};
  const end = new Promise<void>((resolve) => (ended = resolve));
  await using machine = await createMachine<WasmVcpu>({
    engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 << 20, clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [device('busy', BUSY, { asked: () => void asked++, ended: () => ended() })],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code.bytes());
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    },
  });
  const { vcpu } = machine;
  await machine.powerUp();
  await end;
  await machine.pause();
  const counts = new Map(vcpu.counts());
  return {
    seen: { registers: Array.from({ length: 8 }, (_, i) => vcpu.state.gpr(i)), retired: vcpu.retired, word: machine.memory.read(DATA, 4) },
    asked, waits: counts.get('compound.polls.waits') ?? 0,
  };
}

const LOOPS: Readonly<Record<string, readonly [isLoop: boolean, (code: Assembler) => void]>> = {
  'read, test, branch': [true, (code) => code.label('wait').in(r8(RAX), r16(RDX)).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
  'through a function': [true, (code) => code.label('wait').call('ask').test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait').jmp('done').label('ask').in(r8(RAX), r16(RDX)).ret().label('done')],
  'through memory': [true, (code) => code.mov(r32(RBX), WINDOW + STATUS).label('wait').mov(r8(RAX), mem(1, { base: RBX })).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
  'with a look at a port that nobody has': [true, (code) => code.label('wait').in(r8(RAX), 0x80).in(r8(RAX), r16(RDX)).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
  'with a count in a register': [false, (code) => code.mov(r32(RBX), 1_000_000).label('wait').dec(r32(RBX)).in(r8(RAX), r16(RDX)).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
  'with a count in memory': [false, (code) => code.label('wait').inc(mem(4, { base: RSI })).in(r8(RAX), r16(RDX)).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
  'of a register that counts': [false, (code) => code.inc(r32(RDX)).label('wait').in(r8(RAX), r16(RDX)).test(r8(RAX), 0x02).jcc(CONDITION_E, 'wait')],
  'with a write to a device': [false, (code) => code.label('wait').out(PORT + COUNTING, r8(RAX)).in(r8(RAX), r16(RDX)).test(r8(RAX), 0x80).jcc(CONDITION_E, 'wait')],
};

describe.each(Object.entries(LOOPS))('a loop %s', (_name, [isLoop, program]) => {
  it.each(['fixed', 'adaptive'] as const)(`${isLoop ? 'is waited out' : 'is gone through turn by turn'} with policy %s, and ends at the same instruction with the same registers`, async (policy) => {
    const expected = await run(program, undefined);
    const { seen, asked, waits } = await run(program, { policy });
    expect(seen).toEqual(expected.seen);
    expect(expected.asked).toBeGreaterThan(500);
    if (isLoop) {
      expect(waits).toBeGreaterThanOrEqual(20);
      expect(asked).toBeLessThan(expected.asked / 20);
    } else expect([waits, asked]).toEqual([0, expected.asked]);
  });
});
