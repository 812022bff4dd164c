/**
 * Handlers of 32 bits are entered from flat code of 16 bits, and left to it: what is decoded for code of one size is not run as code of the
 * other, whatever drops translations in between.
 */
import { RAX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { CODE_32, SELECTOR_CODE, SELECTOR_DATA } from './flat-tables.ts';

const GDT = 0x1000, IDT = 0x6000, CODE = 0x8000, HANDLER = 0x9000, STACK = 0x2_0000;
const CODE_16 = CODE_32 & ~0x40_0000, SELECTOR_CODE_16 = 0x30;
const VECTOR = 0x40;
const RSP = 4;
/** How code of 16 bits gets to HANDLER, which is of 32. */
const WAYS: Readonly<Record<string, readonly number[]>> = { 'INT n': [0xcd, VECTOR], 'IRET with an operand size of 32 bits': [0x66, 0xcf], INT3: [0xcc] };
const MOVE_TO_ITSELF = [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]; // mov eax, cr3; mov cr3, eax
const BOTH_AT: number = HANDLER + MOVE_TO_ITSELF.length;
/** 32 bits: MOV AX, 1; JMP over HLT. 16 bits: MOV EAX, 0x1eb0001; HLT. Behind it JMP to the same as code of 16 bits. */
const BOTH = [0x66, 0xb8, 0x01, 0x00, 0xeb, 0x01, 0xf4, 0xea, BOTH_AT & 0xff, BOTH_AT >> 8, 0, 0, SELECTOR_CODE_16, 0];

describe.each(['off', 'eager'] as const)('code of two sizes, translator %s', (translator) => {
  it.each(Object.entries(WAYS))('is decoded anew, entered by %s', (_way, bytes) => {
    const machine = new FlatMachine('protected', { processor: { translator } });
    const { view, vcpu } = machine;
    view.setUint32(GDT + SELECTOR_CODE_16, 0xffff, true);
    view.setUint32(GDT + SELECTOR_CODE_16 + 4, CODE_16 | 0xf_0000, true);
    for (const vector of [VECTOR, 3]) {
      view.setUint32(IDT + vector * 8, (SELECTOR_CODE << 16) | HANDLER, true);
      view.setUint32(IDT + vector * 8 + 4, 0x8e00, true);
    }
    [HANDLER, SELECTOR_CODE, 2, 0, SELECTOR_DATA].forEach((word, i) => view.setUint32(STACK + i * 4, word, true));
    machine.put(CODE, bytes);
    machine.put(HANDLER, [...MOVE_TO_ITSELF, ...BOTH]);
    machine.entry = { ...machine.entry, cs: { ...machine.entry.cs, selector: SELECTOR_CODE_16, attributes: CODE_16 }, idt: { base: IDT, limit: 0x7ff }, rsp: STACK };
    machine.enter(CODE);
    machine.setGpr(RSP, BigInt(STACK));
    // So that the TLB knows them: a page that is stored to for the first time it does not.
    for (const at of [GDT, IDT]) vcpu.memory.load(at, 0, 8, true);
    for (let times = 0; times < 2; times++) vcpu.memory.storeValue(STACK - 8, 0, 8, 0, 0, true);
    expect(vcpu.state.get(state.FLAT)).toBe(1);
    expect(machine.run(1000)).toBe(true);
    expect(machine.gpr(RAX)).toBe(0x1eb_0001n);
  });
});
