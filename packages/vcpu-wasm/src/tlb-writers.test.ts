/**
 * The lists of the slots whose write entries lead to a page: random fills by TypeScript and by generated code, under several tags and at
 * addresses that share slots, rights taken away between them. Every list is looked through after every step. Seeds are printed.
 */
import { CR0_PE, CR0_PG } from '@vm/x86';
import { expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';
import { WRITE } from './page-walk.ts';
import { refillFunctions } from './refill-functions.ts';

const PAGE = 4096, DIRECTORY = 0x10_0000, TABLES = DIRECTORY + PAGE;
/** Places in the directory whose addresses have the same places in the TLB. */
const ALIASES = [1, 5] as const, PAGES = 12, FRAMES = 8, TAGS = 3, FIRST_FRAME = 0x200;
const EMPTY = 0xffff_ffff;
const SEEDS = Number(process.env['VM_SEEDS'] ?? 3), FIRST = Number(process.env['VM_SEED'] ?? 1), STEPS = 500;

/** Pages that write entries lead to, by the slot's address. */
function entries({ vcpu: { state: s } }: FlatMachine): Map<number, number> {
  const pages = new Map<number, number>();
  for (let slot = 0; slot < state.TLB_SLOTS; slot++) {
    const at = s.at + state.TLB_SLOT_ARRAY + slot * state.TLB_STRIDE;
    const index = (at + state.WRITE_TLB) >>> 2;
    if (s.u32[index] !== EMPTY) pages.set(at, ((s.u32[index]! & 0xffff_f000) + s.u32[index + 2]!) >>> 0);
  }
  return pages;
}
/** What is wrong with the lists; an entry that is in none could not be found. */
function faults({ vcpu: { state: s } }: FlatMachine, pages: ReadonlyMap<number, number>): string[] {
  const found: string[] = [];
  const listed = new Set<number>();
  for (let part = 0; part < state.WRITER_PARTS; part++) {
    const list = s.at + state.WRITERS + part * 4;
    let previous = 0;
    for (let slot = s.u32[list >>> 2]!; slot !== 0; slot = s.u32[(slot + state.WRITER_NEXT) >>> 2]!) {
      if (listed.has(slot)) return [...found, `${slot} is in two places`];
      listed.add(slot);
      if (s.u32[(slot + state.WRITER_PREVIOUS) >>> 2] !== previous) found.push(`${slot} does not know what comes before it`);
      if (s.u32[(slot + state.WRITER_LIST) >>> 2] !== list) found.push(`${slot} does not know its list`);
      const page = pages.get(slot);
      if (page !== undefined && ((page >>> 12) & (state.WRITER_PARTS - 1)) !== part) found.push(`${slot} leads elsewhere`);
      previous = slot;
    }
  }
  for (const slot of pages.keys()) if (!listed.has(slot)) found.push(`${slot} is in no list`);
  return found;
}

it(`rights to write are all found when they are taken away, seeds ${FIRST} to ${FIRST + SEEDS - 1}`, () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const random = new Random(seed);
    const machine = new FlatMachine('protected', { ramBytes: 4 << 20, processor: { shadow: 'off' } });
    const { vcpu: { memory: { tlb }, state: s }, ram } = machine;
    const refill = refillFunctions(ram.memory as WebAssembly.Memory, false)[WRITE];
    new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / PAGE).fill(0); // nobody watches stores
    s.set(state.CPL, 0);
    s.set(state.CR0, CR0_PE | CR0_PG);
    s.set64(state.CR3, DIRECTORY, 0);
    const offset = (): number => ram.offsetOf((FIRST_FRAME + random.below(FRAMES)) * PAGE);
    ALIASES.forEach((place, i) => machine.view.setUint32(DIRECTORY + place * 4, (TABLES + i * PAGE) | 0x23, true));
    let revoked = 0;
    for (let step = 0; step < STEPS; step++) {
      if (random.below(8) === 0) tlb.useTag(random.below(TAGS));
      const alias = random.below(ALIASES.length), page = random.below(PAGES);
      const low = ALIASES[alias]! * 0x40_0000 + page * PAGE;
      const before = entries(machine);
      switch (random.below(5)) {
        case 0: tlb.fillWrite(low, 0, offset(), s.get(state.DATA_TAG)); break;
        case 1: case 2:
          machine.view.setUint32(TABLES + alias * PAGE + page * 4, ((FIRST_FRAME + random.below(FRAMES)) << 12) | 0x63, true);
          expect(refill(s.at, BigInt(low), 4)).toBe(1);
          break;
        case 3: tlb.invalidatePage(low, 0); break;
        default: {
          const gone = offset();
          tlb.revokeWritesTo(gone);
          revoked += [...before.values()].filter((at) => at === gone).length;
          expect([seed, step, [...entries(machine)]]).toEqual([seed, step, [...before].filter(([, at]) => at !== gone)]);
        }
      }
      const wrong = faults(machine, entries(machine));
      if (wrong.length > 0) throw new Error(`seed ${seed}, step ${step}: ${wrong.join('; ')}`);
    }
    expect(revoked).toBeGreaterThan(30);
  }
});
