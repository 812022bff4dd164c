import { createAssembler, mem, r64, RAX, RBX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000;
const IDT = 0x3000 + 0x2000;
const HANDLER = 0x9000;

/** A long-mode machine whose #PF and #GP handlers put the vector into rdx and stay there. */
function machineWithHandlers(): FlatMachine {
  const machine = new FlatMachine('long', { processor: { shadow: 'off' } });
  for (const vector of [13, 14]) {
    const handler = HANDLER + vector * 32;
    machine.put(handler, createAssembler(64).mov(r64(2), vector).label('stay').jmp('stay').bytes());
    machine.view.setUint32(IDT + vector * 16, (8 << 16) | (handler & 0xffff), true);
    machine.view.setUint32(IDT + vector * 16 + 4, 0x8e00, true);
  }
  return machine;
}

describe('the TLB', () => {
  it('never answers for another upper half of an address, all 65,536 of them, with every entry filled', () => {
    const machine = machineWithHandlers();
    machine.put(CODE, createAssembler(64).mov(r64(RAX), mem(8, { base: RBX })).label('stay').jmp('stay').bytes());
    const { state: s } = machine.vcpu;
    const start = (address: bigint): void => {
      s.set64(state.RIP, CODE, 0);
      s.set(state.CURRENT_UOP, s.at + state.STATIC_UOPS);
      machine.setGpr(RBX, address);
      machine.setGpr(2, 0n);
      machine.setGpr(4, 0x7000n);
      machine.run(8); // enough for the load, or for the fault and its handler
    };
    machine.enter(CODE);
    s.set64(state.IDTR_BASE, IDT, 0);
    s.set(state.IDTR_LIMIT, 0xfff);
    // Map 16 MiB, so that all 4096 entries of the read TLB hold something.
    for (let page = 0; page < 4096; page++) {
      const at = (s.get(state.TLB_BASE) + state.READ_TLB + page * state.TLB_STRIDE) >>> 2;
      s.u32[at] = (page << 12) | s.get(state.DATA_TAG);
      s.u32[at + 1] = 0;
      const isOurs = page > 0 && page < 16; // code, tables, stack
      s.u32[at + 2] = machine.ram.base + (isOurs ? 0 : 0x20_0000 - (page << 12) + (page & 255) * 4096);
    }
    machine.view.setBigUint64(0x20_0000 + 0x38, 0x1122_3344_5566_7788n, true);
    start(0x38n);
    expect(machine.gpr(RAX)).toBe(0x1122_3344_5566_7788n);
    let wrong = 0;
    for (let upper = 1n; upper < 0x1_0000n; upper++) {
      machine.setGpr(RAX, 0n);
      start((upper << 48n) | 0x38n);
      if (machine.gpr(2) !== 13n || machine.gpr(RAX) !== 0n) wrong++;
    }
    expect(wrong).toBe(0);
  });

  it('keeps what it knows of a program at an INVLPG there, whatever large pages the system has at addresses with the same low half', () => {
    const { vcpu: { memory: { tlb }, state: s }, ram } = new FlatMachine('long', { processor: { shadow: 'off' } });
    const answers = (low: number, high: number): boolean => tlb.find(state.READ_TLB, low, high, s.get(state.DATA_TAG)) >= 0;
    tlb.noteLarge(0x40_0000, 0xffff_8880, false);
    tlb.fillRead(0x41_0000, 0xffff_8880, ram.base, s.get(state.DATA_TAG));
    for (const low of [0x40_1000, 0x40_2000]) tlb.fillRead(low, 0, ram.base, s.get(state.DATA_TAG));
    tlb.invalidatePage(0x40_1000, 0);
    expect([answers(0x40_1000, 0), answers(0x40_2000, 0), answers(0x41_0000, 0xffff_8880)]).toEqual([false, true, true]);
    tlb.invalidatePage(0x43_0000, 0xffff_8880); // another piece of the large page
    expect([answers(0x40_2000, 0), answers(0x41_0000, 0xffff_8880)]).toEqual([true, false]);
  });

  it('forgets a translation at INVLPG and keeps it before', () => {
    const machine = new FlatMachine('long');
    const table = 0x6000;
    // 4 KiB pages for the third 2 MiB: page 0x400000 -> 0x10000.
    machine.view.setUint32(0x4000 + 2 * 8, table | 7, true);
    machine.view.setUint32(table, 0x1_0000 | 7, true);
    machine.view.setUint32(0x1_0000, 0xaaaa, true);
    machine.view.setUint32(0x1_1000, 0xbbbb, true);
    const a = createAssembler(64).mov(r64(RBX), 0x40_0000).mov(r64(0), mem(8, { base: RBX }))
      .mov(r64(1), table).mov(r64(6), 0x1_1007).mov(mem(8, { base: 1 }), r64(6))
      .mov(r64(7), mem(8, { base: RBX })).invlpg(mem(1, { base: RBX })).mov(r64(8), mem(8, { base: RBX })).hlt();
    machine.put(CODE, a.bytes());
    machine.enter(CODE);
    expect(machine.run()).toBe(true);
    expect([machine.gpr(0), machine.gpr(7), machine.gpr(8)]).toEqual([0xaaaan, 0xaaaan, 0xbbbbn]);
  });
});
