import { describe, expect, it } from 'vitest';
import { HEADER_BYTES, PROCESSOR_LEVELS, PROCESSOR_ROOT, PROCESSOR_TAG, shadowIndex } from './layout.ts';
import { DIRTY, ModelGuest, READ, RO, RW, SUPERVISOR, WRITE } from './model-guest.ts';
import { READ_SUPERVISOR } from './role.ts';
import { shadowBytes } from './shadow-mmu.ts';
import { SpaceTags } from './space-tags.ts';

const KERNEL = 0xffff_8000_0000_0000n;
const T = KERNEL + 0x4000_0000n; // where the table of the kernel's pages is mapped

/** Two processes with one kernel, all of it cached under the tags of both. */
function twoSpaces(policy: 'cached' | 'diff', bits: number): { guest: ModelGuest; a: number; b: number } {
  const guest = new ModelGuest({ policy });
  const [a, b] = [guest.frame(), guest.frame()];
  guest.map(a, KERNEL, guest.frame(), bits);
  guest.map(a, T, guest.entry(a, KERNEL) / 4096 | 0, SUPERVISOR | DIRTY);
  guest.store(b * 4096 + 256 * 8, guest.machine.memory.read32(a * 4096 + 256 * 8));
  for (const root of [a, b, a, b]) {
    guest.use(root);
    guest.access(KERNEL);
    guest.access(T);
  }
  return { guest, a, b };
}

it('under flush every switch and flush begins a tag, because a first level may have answered itself, from tables of the guest that nobody saw', () => {
  const bytes = shadowBytes(64);
  const buffer = new ArrayBuffer(bytes);
  const guest = new ModelGuest({ policy: 'flush', place: { buffer, offset: 0, bytes } });
  const [a, b] = [guest.frame(), guest.frame()];
  const tags = new Set<number>();
  for (const root of [a, b, a, b, b]) {
    guest.use(root);
    tags.add(new DataView(buffer).getInt32(PROCESSOR_TAG, true));
  }
  expect(tags.size).toBe(5);
});

describe.each(['cached', 'diff'] as const)('tags of the first level, policy %s', (policy) => {
  it('stay what they are while nobody edits a table', () => {
    const { guest, a, b } = twoSpaces(policy, SUPERVISOR | DIRTY);
    const first = guest.machine.firstLevels[0];
    const before = first?.hits ?? 0;
    for (const root of [a, b, a, b]) {
      guest.use(root);
      guest.access(KERNEL);
    }
    expect((first?.hits ?? 0) - before).toBe(4);
  });

  it('are others when INVLPG has dropped a translation that another space uses too', () => {
    const { guest, a } = twoSpaces(policy, SUPERVISOR | DIRTY);
    const next = guest.frame();
    guest.write(T, (next << 12) | SUPERVISOR | DIRTY);
    guest.machine.processor(0).invalidatePage(0, 0xffff_8000);
    expect(guest.access(KERNEL)).toBe(next);
    guest.use(a);
    expect(guest.access(KERNEL)).toBe(next);
  });

  it('are others when a walk has put another page in the place of one', () => {
    const { guest, a } = twoSpaces(policy, 1 | DIRTY);
    const next = guest.frame();
    guest.write(T, (next << 12) | SUPERVISOR | DIRTY);
    expect(guest.access(KERNEL, WRITE)).toBe(next); // the stale translation has no such right
    guest.use(a);
    expect(guest.access(KERNEL)).toBe(next);
  });

  it('begin again when there are no more, with an empty first level', () => {
    const tags = new SpaceTags(2);
    expect([tags.tagFor(1, 0), tags.tagFor(2, 0), tags.tagFor(1, 0)]).toEqual([0, 1, 0]);
    expect(tags.tagFor(1, 1)).toBe(0);
    expect(tags.begunAgain).toBe(true);
    expect(tags.tagFor(2, 1)).toBe(1);
    expect(tags.begunAgain).toBe(false);
  });
});

describe('the layout', () => {
  it('can be read by others as the README says', () => {
    const offset = 0x8000;
    const tables = 64;
    const buffer = new ArrayBuffer(offset + shadowBytes(tables));
    const guest = new ModelGuest({ policy: 'diff', place: { buffer, offset, bytes: shadowBytes(tables) } });
    const a = guest.frame();
    guest.map(a, KERNEL + 0x1234_5000n, guest.frame(), RO);
    guest.use(a);
    const frame = guest.access(KERNEL + 0x1234_5000n, READ);
    const view = new DataView(buffer);
    expect(view.getInt32(offset + PROCESSOR_LEVELS, true)).toBe(4);
    expect(view.getInt32(offset + PROCESSOR_TAG, true)).toBeGreaterThanOrEqual(0);
    let table = view.getInt32(offset + PROCESSOR_ROOT, true);
    expect(table).toBeGreaterThanOrEqual(offset + HEADER_BYTES + 4096);
    for (const level of [4, 3, 2]) table = view.getInt32(table + shadowIndex(level, 0x1234_5000, 0xffff_8000) * 8, true);
    const entry = table + shadowIndex(1, 0x1234_5000, 0xffff_8000) * 8;
    expect(view.getInt32(entry, true)).toBe(frame);
    expect(view.getInt32(entry + 4, true) & READ_SUPERVISOR).toBe(READ_SUPERVISOR);
  });

  it.each([
    ['bytes that are no tables', { offset: 0, bytes: 5000 }],
    ['an offset within a page', { offset: 16, bytes: shadowBytes(64) }],
    ['too few tables', { offset: 0, bytes: shadowBytes(10) }],
  ])('refuses %s', (_what, place) => {
    expect(() => new ModelGuest({ place: { buffer: new ArrayBuffer(1 << 20), ...place } })).toThrow(RangeError);
  });
});

describe('room', () => {
  it('is made by giving up the spaces used longest ago', () => {
    const guest = new ModelGuest({ policy: 'diff', tables: 40 });
    const roots = Array.from({ length: 20 }, () => guest.frame());
    for (const root of roots) guest.mapNew(root, 0x40_0000n, 2, RW | DIRTY);
    for (const root of roots) {
      guest.use(root);
      guest.touch(0x40_0000n, 2);
    }
    expect(guest.counters.evictedSpaces).toBeGreaterThan(0);
    expect(guest.counters.pressurePurges).toBe(0);
    expect(guest.machine.mmu.pool.used).toBeLessThan(40);
    guest.use(roots[18] as number);
    expect(guest.fills(() => guest.touch(0x40_0000n, 2))).toBe(0);
    guest.use(roots[0] as number);
    expect(guest.fills(() => guest.touch(0x40_0000n, 2))).toBe(2);
  });

  it('is made by giving up everything when one space takes all', () => {
    const guest = new ModelGuest({ policy: 'diff', tables: 24, frames: 200 });
    const root = guest.frame();
    for (let i = 0n; i < 30n; i++) guest.map(root, i * 0x20_0000n, guest.frame(), RW | DIRTY);
    guest.use(root);
    for (let round = 0; round < 2; round++) for (let i = 0n; i < 30n; i++) expect(guest.access(i * 0x20_0000n)).toBeGreaterThan(0);
    expect(guest.counters.pressurePurges).toBeGreaterThan(0);
  });
});
