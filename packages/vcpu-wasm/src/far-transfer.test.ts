import { RAX, RBX, RCX, RSP } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const GDT = 0x1000, IDT = 0x6800, TSS = 0x6000;
const DIRECTORY = 0xa000, TABLE = 0xb000;
const CODE = 0x8000, KERNEL = 0x9000, HANDLER = 0x9800;
const USER_STACK = 0x1_0800, KERNEL_STACK = 0x1_2000;
const CODE_0 = 8, DATA_0 = 0x10, CODE_3 = 0x1b, DATA_3 = 0x23, GATE = 0x28, TASK = 0x30;
const PF = 14, SS = 12;

/** Protected mode with paging, at level 3, with a call gate to level 0. The kernel's stack is a page of its own. */
function userMachine(code: readonly number[], options: { readonly stackBytes?: number; readonly kernelStack?: number; readonly parameters?: number } = {}): FlatMachine {
  const machine = new FlatMachine('protected');
  const { view } = machine;
  const descriptor = (selector: number, low: number, high: number): void => { view.setUint32(GDT + (selector & ~7), low >>> 0, true); view.setUint32(GDT + (selector & ~7) + 4, high >>> 0, true); };
  const { stackBytes = 0, kernelStack = 3, parameters = 0 } = options;
  descriptor(CODE_0, 0xffff, 0x00cf_9b00);
  descriptor(DATA_0, stackBytes === 0 ? 0xffff : stackBytes - 1, stackBytes === 0 ? 0x00cf_9300 : 0x0040_9300);
  descriptor(CODE_3, 0xffff, 0x00cf_fb00);
  descriptor(DATA_3, 0xffff, 0x00cf_f300);
  descriptor(GATE, (CODE_0 << 16) | KERNEL, 0xec00 | parameters);
  descriptor(TASK, (TSS << 16) | 0x67, 0x8900);
  for (let page = 0; page < 1024; page++) view.setUint32(TABLE + page * 4, (page << 12) | 7, true);
  view.setUint32(TABLE + (KERNEL_STACK - 4096 >>> 12) * 4, (KERNEL_STACK - 4096) | kernelStack, true);
  view.setUint32(DIRECTORY, TABLE | 7, true);
  view.setUint32(TSS + 4, KERNEL_STACK, true);
  view.setUint32(TSS + 8, DATA_0, true);
  // Handlers are at level 3, so that they need no other stack: mov eax, vector; then the kernel's business is over.
  for (const vector of [13, SS, PF]) {
    view.setUint32(IDT + vector * 8, (CODE_3 << 16) | (HANDLER + vector * 16), true);
    view.setUint32(IDT + vector * 8 + 4, 0x8f00, true);
    machine.put(HANDLER + vector * 16, [0xb8, vector, 0, 0, 0, 0x5b, 0xeb, 0xfe]); // mov eax, vector; pop ebx; here: jmp here
  }
  machine.put(CODE, code);
  machine.put(KERNEL, [0xb9, 0x77, 0, 0, 0, 0xcb]); // mov ecx, 0x77; retf
  const segment = (selector: number, attributes: number) => ({ selector, base: 0, limit: 0xffff_ffff, attributes });
  machine.entry = {
    ...machine.entry, cs: segment(CODE_3, 0xc0_fb00), data: segment(DATA_3, 0xc0_f300), tr: { selector: TASK, base: TSS, limit: 0x67, attributes: 0x8b00 },
    gdt: { base: GDT, limit: 0x37 }, idt: { base: IDT, limit: 0x7ff }, cr0: 0x8000_0031, cr3: DIRECTORY, rsp: USER_STACK,
  };
  machine.enter(CODE);
  machine.vcpu.segments.setCpl(3);
  return machine;
}
const CALL_GATE = [0x9a, 0, 0, 0, 0, GATE, 0];
const END = [0xeb, 0xfe];

describe('call gates', () => {
  it('go to the inner level and back', () => {
    const machine = userMachine([...CALL_GATE, ...END]);
    machine.run(10);
    expect(machine.gpr(RCX)).toBe(0x77n);
    expect([machine.vcpu.state.get(state.RIP), machine.gpr(RSP)]).toEqual([CODE + 7, BigInt(USER_STACK)]);
  });
  it('leave no way to the inner stack behind', () => {
    // mov eax, [KERNEL_STACK - 16], where the call has just stored
    const at = KERNEL_STACK - 16;
    const machine = userMachine([...CALL_GATE, 0xa1, at & 0xff, (at >> 8) & 0xff, at >> 16, 0, ...END]);
    machine.run(20);
    expect(machine.gpr(RAX)).toBe(BigInt(PF));
    expect(machine.vcpu.state.get(state.CR2)).toBe(at);
  });
  it('change nothing when the inner stack is not there', () => {
    const machine = userMachine([...CALL_GATE, ...END], { kernelStack: 0 });
    machine.run(10);
    expect([machine.gpr(RAX), machine.gpr(RBX)]).toEqual([BigInt(PF), 2n]); // a write by the supervisor
    expect([machine.vcpu.state.selector(state.SS), machine.vcpu.state.get(state.CPL), machine.vcpu.state.get(state.CR2)]).toEqual([DATA_3, 3, KERNEL_STACK - 4]);
    expect(machine.gpr(RSP)).toBe(BigInt(USER_STACK - 12));
  });
  it('name the inner stack in the error code when it has no room', () => {
    const machine = userMachine([...CALL_GATE, ...END], { stackBytes: 0x100 });
    machine.run(10);
    expect([machine.gpr(RAX), machine.gpr(RBX)]).toEqual([BigInt(SS), BigInt(DATA_0)]);
    expect(machine.vcpu.state.selector(state.SS)).toBe(DATA_3);
  });
  it('copy parameters, first to last', () => {
    // push 1; push 2; push 3; call gate
    const machine = userMachine([0x6a, 1, 0x6a, 2, 0x6a, 3, ...CALL_GATE, ...END], { parameters: 3 });
    machine.run(5);
    const words = Array.from({ length: 7 }, (_, i) => machine.view.getUint32(KERNEL_STACK - 28 + i * 4, true));
    expect(words).toEqual([CODE + 13, CODE_3, 3, 2, 1, USER_STACK - 12, DATA_3]);
  });
});

describe('handlers at level 3', () => {
  it('cannot make the processor store into pages of the supervisor', () => {
    const machine = userMachine([0xa1, 0, 0, 0xf0, 0xff, ...END]); // mov eax, [0xfff00000]
    machine.setGpr(RSP, BigInt(KERNEL_STACK - 256));
    const before = machine.bytes.slice(KERNEL_STACK - 4096, KERNEL_STACK);
    machine.run(10);
    expect(machine.bytes.slice(KERNEL_STACK - 4096, KERNEL_STACK)).toEqual(before);
  });
});
