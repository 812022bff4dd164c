import { cpuModel } from '@vm/x86';
import type { Plain } from '@vm/core';
import { describe, expect, it } from 'vitest';
import { entryFields, initFields, resetFields } from './initial-fields.ts';
import { newLatches, readProcessor, saveProcessor } from './saved-processor.ts';

const MODEL = cpuModel('x86-64-v2');
const segment = (selector: number, attributes: number) => ({ selector, base: 0x1000, limit: 0xffff_ffff, attributes });
const ENTRY = {
  rip: 0x10_0000, rflags: 0x202, rax: 1, rbx: 2, rsi: 3, rsp: 0x8000, cs: segment(8, 0xa0_9b00), data: segment(16, 0xc0_9300), tr: segment(0x40, 0x8b00), ldtr: segment(0, 0),
  gdt: { base: 0x6000, limit: 0x4f }, idt: { base: 0x7000, limit: 0xfff }, cr0: 0x8000_0031, cr3: 0x1000, cr4: 0x620, efer: 0x500,
};
const saved = (): Readonly<Record<string, Plain>> => saveProcessor({ fields: entryFields(ENTRY, MODEL), latches: { ...newLatches(), halted: true }, retired: 77 }) as Readonly<Record<string, Plain>>;

describe('a saved processor', () => {
  it('is read as it was written', () => {
    const read = readProcessor(saved(), MODEL);
    expect(read).toEqual({ fields: entryFields(ENTRY, MODEL), latches: { ...newLatches(), halted: true }, retired: 77 });
    expect(saveProcessor(read)).toEqual(saved());
  });
  it('of a reset is one, too', () => {
    const fields = resetFields(cpuModel('486'));
    expect(readProcessor(saveProcessor({ fields, latches: newLatches(), retired: 0 }), cpuModel('486')).fields).toEqual(fields);
  });

  const wrong: Readonly<Record<string, Readonly<Record<string, Plain>>>> = {
    'a register of another kind': { rip: 5 }, 'one of more than 64 bits': { rip: 2n ** 64n }, 'paging without protection': { cr0: 0x8000_0010n }, 'long mode without PAE': { cr4: 0x600n },
    'a bit of CR4 that the model has not': { cr4: 0x2620n }, 'a bit of EFER that there is not': { efer: 0x502n }, 'a CR3 beyond the address space': { cr3: 1n << 40n }, 'a limit of 17 bits': { gdtLimit: 0x1_0000n },
    'flags that there are not': { rflags: 0x8000_0002 }, 'ring 3 in real mode': { cr0: 0x10n, efer: 0n, cr4: 0n, cpl: 3 }, 'a row that is too short': { vectors: new Uint8Array(255) }, 'a latch that is no boolean': { halted: 1 },
    'a page of no start-up message': { startPage: 256 }, 'attributes of no segment': { ss: { selector: 16, attributes: 0x0f_9300, limit: 0, base: 0n } }, 'no segment': { cs: null }, 'XCR0 without the x87': { xcr0: 2n },
  };
  it.each(Object.entries(wrong))('with %s is refused', (_what, change) => {
    const read = (): unknown => readProcessor({ ...saved(), ...change }, MODEL);
    expect(read).toThrow(/expected|no such value|do not exist|does not fit|has a limit|that no segment has/);
  });
  it.each([null, 5, 'x', [], new Uint8Array(4)])('that is %s is refused', (state) => {
    expect(() => readProcessor(state, MODEL)).toThrow(TypeError);
  });
});

describe('INIT', () => {
  it('keeps floating point, model-specific registers and whether there are caches, and nothing else', () => {
    const before = entryFields({ ...ENTRY, cr0: 0xe000_0031 }, MODEL);
    before.wide.lstar = 0x1234n;
    before.rows.vectors.fill(7);
    before.wide.dr0 = 5n;
    const after = initFields(before, MODEL);
    expect([after.wide.lstar, after.rows.vectors, after.wide.cr0, after.wide.dr0, after.wide.rip, after.wide.efer]).toEqual([0x1234n, before.rows.vectors, 0x6000_0010n, 0n, 0xfff0n, 0n]);
    expect(after.segments.cs).toEqual({ selector: 0xf000, attributes: 0x9b00, limit: 0xffff, base: 0xffff_0000n });
  });
});
