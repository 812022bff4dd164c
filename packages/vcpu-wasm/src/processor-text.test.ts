import { expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { describeProcessor } from './processor-text.ts';
import { StateView } from './state-view.ts';

it('shows every register where it belongs', () => {
  const view = new StateView(new ArrayBuffer(0x2000), 0x1000);
  for (let register = 0; register < 16; register++) view.setGpr(register, 0xf000_0000 + register, register);
  view.set64(state.RIP, 0x8100_0000, 0xffff_ffff);
  view.set(state.SEGMENT + state.CS * state.SEGMENT_STRIDE, 0x10);
  view.set(state.SEGMENT + state.GS * state.SEGMENT_STRIDE, 0x2b);
  view.set64(state.CR3, 0x1234_5000, 0);
  view.set64(state.IDTR_BASE, 0x1000, 0xffff_fe00);
  view.set(state.IDTR_LIMIT, 0xfff);
  const lines = describeProcessor({ state: view, flags: { read: () => 0x246 } }).split('\n');
  expect(lines[0]).toBe('rip 0010:ffffffff81000000  rflags 00000246  cpl 0');
  expect(lines[1]).toBe('rax 00000000f0000000  rbx 00000003f0000003  rcx 00000001f0000001  rdx 00000002f0000002');
  expect(lines[2]).toBe('rsi 00000006f0000006  rdi 00000007f0000007  rbp 00000005f0000005  rsp 00000004f0000004');
  expect(lines.find((line) => line.startsWith('gs'))).toMatch(/^gs {3}002b {2}base 0{16} {2}limit 0{8}/);
  expect(lines.find((line) => line.startsWith('idtr'))).toBe('idtr base fffffe0000001000  limit 0fff');
  expect(lines.at(-1)).toContain('cr3 0000000012345000');
});
