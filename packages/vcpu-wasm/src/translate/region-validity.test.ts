import { CONDITION_E, control, CS, DS, mem, r16, r32, r64, RAX, RBP, RBX, RCX, RDI, RDX, RSI, segment, xmm } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { CODE_32, DATA } from '../flat-tables.ts';
import {
  assembler, CONSTANT_AT, DATA as DATA_AT, FIRST, FIRST_ALIAS, FIRST_FRAME, loadConstant, LOOP, OTHER_FRAME, OTHER_TABLES, SECOND, SECOND_ALIAS, SECOND_ENTRY, SECOND_FRAME, secondConstant,
  STACK, TURN, TwoPageMachine,
} from './two-page-machine.ts';
import type { Seen, Width } from './two-page-machine.ts';

const WIDTHS = ['long', 'protected'] as const;
const RSP = 4;
/** Turns until every part of the loop is in a region. */
const WARM = 5 * TURN + 3;
const BUDGET = 4000;
/** A page that is overwritten too often is not translated any more, so machines are not used for ever. */
const USES = 4;
const NEW_CONSTANT = 0x0102_0304;

const wide = (width: Width) => (width === 'long' ? r64 : r32);

/** What happens between two instructions. */
interface Provocation {
  readonly name: string;
  readonly widths: readonly Width[];
  readonly provoke: (at: TwoPageMachine) => void;
}
const routine = (write: (code: Assembler, width: Width) => void) => (at: TwoPageMachine): void => at.interrupt((code) => write(code, at.width));
const setTables = (tables: number) => (code: Assembler, width: Width): void => { code.mov(wide(width)(RAX), tables).mov(control(3), wide(width)(RAX)); };
/** Changes the constant of the page at `page`. */
const storeTo = (page: number) => (code: Assembler, width: Width): void => { code.mov(wide(width)(RBX), page + secondConstant(width)).mov(r32(RAX), NEW_CONSTANT).mov(mem(4, { base: RBX }), r32(RAX)); };
const remap = (code: Assembler, width: Width): void => {
  code.mov(wide(width)(RBX), SECOND_ENTRY[width]).mov(r32(RAX), OTHER_FRAME | 7).mov(mem(4, { base: RBX }), r32(RAX)).mov(wide(width)(RBX), SECOND).invlpg(mem(1, { base: RBX }));
};
const PROVOCATIONS: readonly Provocation[] = [
  { name: 'a device writes to the code', widths: WIDTHS, provoke: ({ machine, width }) => machine.put(SECOND_FRAME + secondConstant(width), [1, 2, 3, 4]) },
  { name: 'a device writes a NOP over an instruction of the first page', widths: WIDTHS, provoke: ({ machine }) => machine.put(FIRST_FRAME, [0x90, 0x90, 0x90]) },
  { name: 'a store to the code', widths: WIDTHS, provoke: routine(storeTo(SECOND)) },
  { name: 'a store to the code by another address', widths: WIDTHS, provoke: routine(storeTo(SECOND_ALIAS)) },
  { name: 'a store to the code by its physical address', widths: WIDTHS, provoke: routine(storeTo(SECOND_FRAME)) },
  { name: 'another page at the second address, and INVLPG', widths: WIDTHS, provoke: routine(remap) },
  { name: 'another page at the second address, and CR3 as it was', widths: WIDTHS, provoke: routine((code, width) => { remap(code, width); setTables(0x2000)(code, width); }) },
  { name: 'other page tables', widths: WIDTHS, provoke: routine(setTables(OTHER_TABLES)) },
  { name: 'other page tables and back, a turn later', widths: WIDTHS, provoke: (at) => { routine(setTables(OTHER_TABLES))(at); at.run(TURN); routine(setTables(0x2000))(at); at.run(3); routine(setTables(OTHER_TABLES))(at); } },
  { name: 'the second page is not there, and comes back as another', widths: WIDTHS, provoke: routine((code, width) => {
    code.mov(wide(width)(RBX), SECOND_ENTRY[width]).mov(mem(4, { base: RBX }), 0).mov(wide(width)(RDX), SECOND).invlpg(mem(1, { base: RDX })).mov(mem(4, { base: RBX }), OTHER_FRAME | 7);
  }) },
  { name: 'no paging', widths: ['protected'], provoke: routine((code) => { code.mov(r32(RAX), control(0)).op('btr', r32(RAX), 31).mov(control(0), r32(RAX)); }) },
  { name: 'a code segment that begins a page further', widths: ['protected'], provoke: ({ machine }) => machine.vcpu.segments.setSegment(CS, 8, CODE_32, 0x1000, 0, 0xffff_ffff) },
  { name: 'a code segment of 16 bits', widths: ['protected'], provoke: ({ machine }) => machine.vcpu.segments.setSegment(CS, 8, CODE_32 & ~0x40_0000, 0, 0, 0xffff_ffff) },
  { name: 'a code segment of 32 bits in long mode', widths: ['long'], provoke: ({ machine }) => machine.vcpu.segments.setSegment(CS, 8, CODE_32, 0, 0, 0xffff_ffff) },
  { name: 'a data segment with a base', widths: ['protected'], provoke: ({ machine }) => machine.vcpu.segments.setSegment(DS, 0x10, DATA, 0x100, 0, 0xffff_ffff) },
  { name: 'a data segment with a limit', widths: ['protected'], provoke: ({ machine }) => machine.vcpu.segments.setSegment(DS, 0x10, DATA, 0, 0, 0xff) },
];

/** Runs a turn's boundaries, one after the other; answers what was seen after each. */
function atEachBoundary(width: Width, translator: 'off' | 'eager', provoke: (at: TwoPageMachine) => void): { readonly seen: readonly Seen[]; readonly translated: number } {
  const seen: Seen[] = [];
  let machine = new TwoPageMachine(width, translator);
  let translated = 0;
  for (let boundary = 0; boundary <= TURN; boundary++) {
    if (boundary % USES === USES - 1) machine = new TwoPageMachine(width, translator);
    else machine.reset();
    const before = machine.translated;
    machine.run(WARM);
    machine.run(boundary);
    if (machine.translated - before > WARM / 2) translated++;
    provoke(machine);
    machine.run(BUDGET);
    seen.push(machine.see());
  }
  return { seen, translated };
}

describe.each(WIDTHS)('a region of two pages, %s mode', (width) => {
  const plain = atEachBoundary(width, 'off', () => undefined).seen;

  for (const { name, provoke } of PROVOCATIONS.filter(({ widths }) => widths.includes(width))) {
    it(`${name}, before any of its instructions`, () => {
      const expected = atEachBoundary(width, 'off', provoke);
      const found = atEachBoundary(width, 'eager', provoke);
      found.seen.forEach((seen, boundary) => { expect({ boundary, ...seen }).toEqual({ boundary, ...expected.seen[boundary] }); });
      expect(found.translated).toBe(TURN + 1);
      // It makes a difference wherever it comes.
      expected.seen.forEach(({ registers, data }, boundary) => { expect([registers.rax, data]).not.toEqual([plain[boundary]?.registers.rax, plain[boundary]?.data]); });
    });
  }

  it('is what runs: whole turns, both pages', () => {
    const machine = new TwoPageMachine(width, 'eager');
    machine.run(BUDGET);
    expect(machine.translated).toBeGreaterThan(machine.see().retired * 0.9);
    expect(machine.entries).toBeLessThan(15);
  });
});

/** Turns that are left when a store that has hit data so far hits code. */
const TURN_OF_STORE = 20;
const SCRATCH = DATA_AT + 0x100;
const SOURCE = DATA_AT + 0x40;
interface Store { readonly name: string; readonly write: (code: Assembler, width: Width) => void }
/** Stores to where RBP points; RBX is free. */
const STORES: readonly Store[] = [
  { name: 'MOV', write: (code) => { code.mov(mem(4, { base: RBP }), NEW_CONSTANT); } },
  { name: 'ADD', write: (code) => { code.add(mem(4, { base: RBP }), 0x0101_0101); } },
  { name: 'XCHG', write: (code) => { code.mov(r32(RBX), NEW_CONSTANT).xchg(mem(4, { base: RBP }), r32(RBX)); } },
  { name: 'BTS', write: (code) => { code.bts(mem(4, { base: RBP }), 1); } },
  { name: 'MOVSS', write: (code) => { code.op('movss', mem(4, { base: RBP }), xmm(0)); } },
  { name: 'FSTP', write: (code) => { code.op('fldpi').op('fstp', mem(4, { base: RBP })); } },
  { name: 'REP STOS', write: (code, width) => {
    const r = wide(width);
    code.push(r(RDI)).push(r(RCX)).push(r(RAX)).mov(r(RDI), r(RBP)).mov(r32(RCX), 4).mov(r32(RAX), 0x11).rep().size(1).stos().pop(r(RAX)).pop(r(RCX)).pop(r(RDI));
  } },
  { name: 'REP MOVS', write: (code, width) => {
    const r = wide(width);
    code.push(r(RDI)).push(r(RCX)).push(r(RSI)).mov(r(RDI), r(RBP)).mov(r32(RCX), 4).mov(r(RSI), SOURCE).rep().size(1).movs().pop(r(RSI)).pop(r(RCX)).pop(r(RDI));
  } },
  { name: 'PUSH', write: (code, width) => { code.lea(wide(width)(RSP), mem(width === 'long' ? 8 : 4, { base: RBP, displacement: width === 'long' ? 8 : 4 })).push(NEW_CONSTANT).mov(wide(width)(RSP), STACK); } },
  { name: 'CALL', write: (code, width) => {
    code.lea(wide(width)(RSP), mem(width === 'long' ? 8 : 4, { base: RBP, displacement: width === 'long' ? 8 : 4 })).data(0xe8, 0, 0, 0, 0).mov(wide(width)(RSP), STACK);
  } },
];
/** Of the constant that the instruction right behind the store loads, and of one in the second page. */
const TARGETS: readonly { readonly name: string; readonly of: (next: number, width: Width) => number }[] = [
  { name: 'the next instruction', of: (next) => FIRST + next },
  { name: 'the next instruction by another address', of: (next) => FIRST_ALIAS + next },
  { name: 'the second page', of: (_next, width) => SECOND + secondConstant(width) },
  { name: 'the second page by another address', of: (_next, width) => SECOND_ALIAS + secondConstant(width) },
];
/** Between which instructions of the loop. */
const PLACES = [1, 2, 4, 7];

function programWith(width: Width, place: number, { write }: Store, target: (next: number, width: Width) => number): readonly ((code: Assembler) => void)[] {
  const r = wide(width);
  const sequence = (next: number) => (code: Assembler): void => {
    code.mov(r(RBP), SCRATCH).mov(r(RBX), target(next, width)).cmp(r32(RCX), TURN_OF_STORE).cmovcc(CONDITION_E, r(RBP), r(RBX));
    write(code, width);
    found = code.offset() + CONSTANT_AT[width];
    loadConstant(code, width, 0x55);
    code.add(r32(RAX), r32(RBX));
  };
  const whole = (next: number): readonly ((code: Assembler) => void)[] => [...LOOP.slice(0, place), sequence(next), ...LOOP.slice(place)];
  // Once to learn where the constant comes to stand.
  let found = 0;
  const probe = assembler(width, FIRST);
  for (const part of whole(0x40)) part(probe);
  return whole(found);
}

describe.each(WIDTHS)('a region of two pages that stores to itself, %s mode', (width) => {
  it.each(STORES)('by $name', (store) => {
    const machines = { off: new TwoPageMachine(width, 'off'), eager: new TwoPageMachine(width, 'eager') };
    const plain = new TwoPageMachine(width, 'off');
    let used = 0;
    for (const target of TARGETS) {
      for (const place of PLACES) {
        // Both: how a REP instruction is counted depends on which pages have held code before.
        if (used++ % USES === USES - 1) Object.assign(machines, { off: new TwoPageMachine(width, 'off'), eager: new TwoPageMachine(width, 'eager') });
        const seen = (['off', 'eager'] as const).map((mode) => {
          const machine = machines[mode];
          machine.load(programWith(width, place, store, target.of));
          const before = machine.translated;
          machine.run(BUDGET);
          return { seen: machine.see(), translated: machine.translated - before };
        });
        const what = { target: target.name, place };
        expect({ ...what, ...seen[1]!.seen }).toEqual({ ...what, ...seen[0]!.seen });
        expect(seen[0]!.seen.registers.rcx).toBe(0n);
        expect(seen[1]!.translated).toBeGreaterThan(seen[0]!.seen.retired / 5);
        // The same with stores that hit no code ends otherwise.
        plain.load(programWith(width, place, store, () => SCRATCH));
        plain.run(BUDGET);
        expect(plain.see().registers.rax).not.toBe(seen[0]!.seen.registers.rax);
      }
    }
  });
});

/** What a program does to itself in each turn; in one of them with another value, RBP. */
interface Change { readonly name: string; readonly widths: readonly Width[]; readonly usual: (width: Width) => number; readonly other: (width: Width) => number; readonly apply: (code: Assembler, width: Width) => void }
const CHANGES: readonly Change[] = [
  { name: 'CR3', widths: WIDTHS, usual: () => 0x2000, other: () => OTHER_TABLES, apply: (code, width) => { code.mov(control(3), wide(width)(RBP)); } },
  { name: 'a page-table entry, and INVLPG', widths: WIDTHS, usual: () => SECOND_FRAME | 7, other: () => OTHER_FRAME | 7, apply: (code, width) => {
    code.mov(wide(width)(RBX), SECOND_ENTRY[width]).mov(mem(4, { base: RBX }), r32(RBP)).mov(wide(width)(RBX), SECOND).invlpg(mem(1, { base: RBX }));
  } },
  { name: 'DS', widths: ['protected'], usual: () => 0x10, other: () => BASED, apply: (code) => { code.op('mov_seg', segment(DS), r16(RBP)); } },
];
/** Selector of a data segment with a base. */
const BASED = 0x18;
const GDT = 0x1000;

function changing(width: Width, place: number, { usual, other, apply }: Change): readonly ((code: Assembler) => void)[] {
  const r = wide(width);
  const sequence = (code: Assembler): void => {
    code.mov(r(RBP), usual(width)).mov(r(RBX), other(width)).cmp(r32(RCX), TURN_OF_STORE).cmovcc(CONDITION_E, r(RBP), r(RBX));
    apply(code, width);
  };
  return [...LOOP.slice(0, place), sequence, ...LOOP.slice(place)];
}

describe.each(WIDTHS)('a region of two pages that changes what its addresses mean, %s mode', (width) => {
  it.each(CHANGES.filter(({ widths }) => widths.includes(width)))('by $name', (change) => {
    const plain = new TwoPageMachine(width, 'off');
    const machines = [new TwoPageMachine(width, 'off'), new TwoPageMachine(width, 'eager')] as const;
    const run = (machine: TwoPageMachine, place: number, made: Change): Seen => {
      machine.load(changing(width, place, made));
      machine.machine.view.setUint32(GDT + BASED, 0x0100_ffff, true);
      machine.machine.view.setUint32(GDT + BASED + 4, DATA | 0xf_0000, true);
      machine.run(BUDGET);
      return machine.see();
    };
    for (let place = 1; place < LOOP.length - 2; place++) {
      const [expected, found] = [run(machines[0], place, change), run(machines[1], place, change)];
      expect({ place, ...found }).toEqual({ place, ...expected });
      expect(expected.registers.rcx).toBe(0n);
      const { registers, data } = run(plain, place, { ...change, other: change.usual });
      expect([registers.rax, data]).not.toEqual([expected.registers.rax, expected.data]);
    }
    expect(machines[1].translated).toBeGreaterThan(machines[1].see().retired);
  });
});
