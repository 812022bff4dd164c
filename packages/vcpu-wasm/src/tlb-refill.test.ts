/**
 * The generated functions that answer misses from the guest's tables, against `PageWalk` that sets no bits: random tables in every format, random
 * rights. What they answer is what the walk finds, and they answer most of what it finds. Seeds are printed.
 */
import { CR0_PE, CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, FLAG_AC } from '@vm/x86';
import { expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';
import { type Access, FETCH, READ, WRITE } from './page-walk.ts';
import { refillFunctions } from './refill-functions.ts';

const TABLES = 0x10_0000, TABLE_COUNT = 24, PAGE = 4096;
const TABLE_WORDS = (TABLE_COUNT * PAGE) / 4;
const SEEDS = Number(process.env['VM_SEEDS'] ?? 2), FIRST = Number(process.env['VM_SEED'] ?? 1);
const STATES = 100, ACCESSES = 200;
const ACCESS_NAMES = ['read', 'write', 'fetch'] as const;
const FORMATS = ['32 bits', 'PAE', 'long'] as const;

it(`misses are answered as the walk answers them, seeds ${FIRST} to ${FIRST + SEEDS - 1}`, () => {
  for (const [format, name] of FORMATS.entries()) {
    const machine = new FlatMachine(name === 'long' ? 'long' : 'protected', { ramBytes: 4 << 20 });
    const { vcpu: { memory, state: s }, ram } = machine;
    new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / PAGE).fill(0); // nobody watches stores
    const refills = refillFunctions(ram.memory as WebAssembly.Memory, name === 'long');
    const words = new Uint32Array(machine.bytes.buffer, machine.bytes.byteOffset + TABLES, TABLE_WORDS);
    const found = [0, 0, 0], answered = [0, 0, 0];
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const random = new Random(seed * FORMATS.length + format);
      const oneIn = (count: number): boolean => random.below(count) === 0;
      const frame = (): number => (oneIn(40) ? 0x7ff_ffff : oneIn(3) ? random.below(1024) : TABLES / PAGE + random.below(TABLE_COUNT));
      const flags = (): number => (oneIn(12) ? 0 : 1) | (oneIn(6) ? 0 : 2) | (oneIn(4) ? 0 : 4) | (oneIn(8) ? 0 : 0x20) | (oneIn(4) ? 0 : 0x40) | (oneIn(8) ? 0x80 : 0);
      for (let i = 0; i < TABLE_WORDS; i += name === '32 bits' ? 1 : 2) {
        const at = frame();
        // Entries with PTE_LARGE lead to frames that large pages begin at, most of them.
        const bits = flags();
        const aligned = (bits & 0x80) === 0 || oneIn(8) ? at : name === '32 bits' ? 0 : at & 0x200;
        words[i] = ((aligned << 12) | bits) >>> 0;
        if (name !== '32 bits') words[i + 1] = (oneIn(10) ? 0x8000_0000 : 0) | (oneIn(50) ? 1 << random.below(31) : 0);
      }
      for (let round = 0; round < STATES; round++) {
        const user = oneIn(2);
        s.set(state.CPL, user ? 3 : 0);
        s.set(state.CR0, CR0_PE | CR0_PG | (oneIn(3) ? 0 : CR0_WP));
        s.set(state.CR4, (oneIn(4) ? 0 : CR4_PSE) | (oneIn(2) ? CR4_SMEP : 0) | (oneIn(2) ? CR4_SMAP : 0) | (name === '32 bits' ? 0 : CR4_PAE));
        s.set(state.EFER, (name === 'long' ? EFER_LMA : 0) | (oneIn(5) ? 0 : EFER_NXE));
        s.set(state.FLAGS_OTHER, oneIn(2) ? FLAG_AC : 0);
        s.set64(state.CR3, TABLES + random.below(TABLE_COUNT) * PAGE, 0);
        for (let i = 0; i < 4; i++) s.set64(state.PDPTE + i * 8, (TABLES + random.below(TABLE_COUNT) * PAGE) | (oneIn(8) ? 0 : 1), oneIn(8) ? 1 << random.below(31) : 0);
        memory.tlb.clear();
        for (let page = 0; page < 1024; page++) memory.tlb.fillFetch(0, 0, ram.offsetOf(page * PAGE), page + 1);
        memory.tlb.clear();
        for (let i = 0; i < ACCESSES; i++) {
          const low = (random.below(0x10000) * 0x10000 + random.below(0x10000)) >>> 0;
          const high = name !== 'long' ? 0 : oneIn(16) ? random.below(0x10000) : oneIn(2) ? random.below(0x8000) : (0xffff_8000 | random.below(0x8000)) >>> 0;
          const access = random.below(3) as Access;
          const offset = walk(machine, low, high, access);
          const given = refills[access]!(s.at, (BigInt(high) << 32n) | BigInt(low), 1);
          const what = [name, seed, round, i, ACCESS_NAMES[access], low, high];
          if (offset >= 0) found[access]!++;
          if (given === 0) continue;
          answered[access]!++;
          expect([...what, offset]).toEqual([...what, placeInTlb(machine, low, high, access)]);
          memory.tlb.invalidatePage(low, high);
        }
      }
    }
    for (const access of [READ, WRITE, FETCH]) {
      expect(found[access]).toBeGreaterThan(200);
      expect([name, ACCESS_NAMES[access], answered[access]! / found[access]! > 0.5]).toEqual([name, ACCESS_NAMES[access], true]);
    }
  }
});

/** Where the walk finds the address in the linear memory, with the right to do this again; -1: not without a fault or a bit to set. */
function walk({ vcpu: { memory, state: s } }: FlatMachine, low: number, high: number, access: Access): number {
  memory.walk.isQuiet = true;
  try {
    memory.walk.translate(low, high, access);
    return access === WRITE && !memory.walk.writable ? -1 : memory.walk.offset;
  } catch {
    return -1;
  } finally {
    memory.walk.isQuiet = false;
    s.set64(state.CR2, 0, 0);
  }
}
/** Where the TLB says that it is now; for a fetch, with the right decode map. */
function placeInTlb({ vcpu: { memory: { tlb }, state: s }, ram }: FlatMachine, low: number, high: number, access: Access): number {
  const place = tlb.find([state.READ_TLB, state.WRITE_TLB, state.FETCH_TLB][access] as typeof state.READ_TLB, low, high, s.get(access === FETCH ? state.FETCH_TAG : state.DATA_TAG));
  if (access !== FETCH) return place;
  const map = s.get(s.get(state.TLB_BASE) - s.at + state.FETCH_TLB + state.TLB_CODE_PAGE + ((low >>> 12) % state.TLB_ENTRIES) * state.TLB_STRIDE);
  return ram.offsetOf((map - 1) * PAGE) === place - (place & 4095) ? place : -2;
}
