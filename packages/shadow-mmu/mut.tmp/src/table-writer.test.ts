import { describe, expect, it } from 'vitest';
import { auditShadow } from './auditor.ts';
import { DIRTY, LARGE, ModelGuest, READ, RW, WRITE } from './model-guest.ts';

const A = 0x40_0000n;
const T = 0x7000_0000_0000n; // where tables are mapped
const POLICIES = [{ policy: 'flush' }, { policy: 'cached' }, { policy: 'cached', threshold: 100 }, { policy: 'diff' }, { policy: 'diff', discovery: 'threshold', threshold: 100 }] as const;

describe.each(POLICIES)('a table that one more entry leads to, %o', (options) => {
  it('shows nothing that was edited before the entry was there', () => {
    const guest = new ModelGuest(options);
    const a = guest.frame();
    guest.mapNew(a, A, 4, RW | DIRTY);
    const table = guest.entry(a, A) / 4096 | 0;
    guest.map(a, T, table, RW | DIRTY);
    guest.map(a, T + 4096n, guest.entry(a, A, 2) / 4096 | 0, RW | DIRTY);
    for (let round = 0; round < 3; round++) {
      guest.use(a);
      guest.touch(A, 4);
      guest.touch(T, 2);
    }
    const next = guest.frame();
    guest.write(T + 8n, (next << 12) | RW | DIRTY); // the second page is another one now, and nothing was flushed
    const at = Number((A >> 21n) & 511n) + 1;
    guest.write(T + 4096n + BigInt(at * 8), (table << 12) | RW | DIRTY); // and all are at one more address
    expect(guest.access(A + 0x20_0000n)).toBe(guest.access(A));
    expect(guest.access(A + 0x20_0000n + 4096n)).toBe(next);
    expect(auditShadow(guest.machine.mmu)).toEqual([]);
  });

  it('nor through a table in between', () => {
    const guest = new ModelGuest(options);
    const a = guest.frame();
    guest.mapNew(a, A, 4, RW | DIRTY);
    guest.map(a, T, guest.entry(a, A) / 4096 | 0, RW | DIRTY);
    guest.map(a, T + 4096n, guest.entry(a, A, 3) / 4096 | 0, RW | DIRTY);
    for (let round = 0; round < 3; round++) {
      guest.use(a);
      guest.touch(A, 4);
      guest.touch(T, 2);
    }
    const next = guest.frame();
    guest.write(T + 8n, (next << 12) | RW | DIRTY);
    const directory = guest.entry(a, A, 2) / 4096 | 0;
    guest.write(T + 4096n + 8n, (directory << 12) | RW | DIRTY);
    expect(guest.access(A + 0x4000_0000n)).toBe(guest.access(A));
    expect(guest.access(A + 0x4000_0000n + 4096n)).toBe(next);
    expect(auditShadow(guest.machine.mmu)).toEqual([]);
  });

  it('INVLPG of any page ends what is kept of the upper levels', () => {
    const guest = new ModelGuest(options);
    const a = guest.frame();
    guest.mapNew(a, A, 4, RW | DIRTY);
    guest.mapNew(a, A + 0x20_0000n, 1, RW | DIRTY);
    guest.map(a, A + 0x40_0000n, guest.frame(), RW | DIRTY);
    guest.store(guest.entry(a, A, 2) + 24, guest.machine.memory.read32(guest.entry(a, A, 2))); // A once more, three further
    guest.map(a, T, guest.entry(a, A, 2) / 4096 | 0, RW | DIRTY);
    guest.map(a, T + 4096n, guest.entry(a, A) / 4096 | 0, RW | DIRTY);
    for (let round = 0; round < 3; round++) {
      guest.use(a);
      guest.touch(A, 2);
      guest.access(A + 0x60_0000n);
      guest.touch(T, 2);
    }
    // The directory entry of A leads to the other table from now on; only another page is flushed.
    guest.write(T + ((A >> 21n) & 511n) * 8n, guest.machine.memory.read32(guest.entry(a, A, 2) + 8));
    guest.machine.registers[0]?.flushes.push(guest.machine.memory.time);
    guest.machine.processor(0).invalidatePage(0, 0);
    // A page that is new in the table of before, and is reached there.
    guest.write(T + 4096n + 5n * 8n, (guest.frame() << 12) | RW | DIRTY);
    expect(guest.access(A + 0x60_0000n + 5n * 4096n)).toBeGreaterThan(0);
    expect(guest.access(A + 5n * 4096n)).toBe(-1);
  });
});

describe('large pages', () => {
  it('are cut into pieces once and shared by all who map them', () => {
    const guest = new ModelGuest({ policy: 'diff' });
    const a = guest.frame();
    guest.store(guest.entry(a, A, 2), 0x20_0000 | RW | DIRTY | LARGE);
    guest.store(guest.entry(a, A, 2) + 8, 0x20_0000 | RW | DIRTY | LARGE);
    guest.use(a);
    guest.touch(A, 512);
    expect(guest.counters.largeFills).toBe(1);
    expect(guest.counters.guestWalks).toBeLessThan(8);
    expect(guest.access(A + 0x20_0000n + 7n * 4096n, WRITE)).toBe(512 + 7);
    expect(guest.counters.largeFills).toBe(1);
  });

  it('of 1 GiB are cut twice, and end where RAM ends', () => {
    const guest = new ModelGuest({ policy: 'cached' });
    const a = guest.frame();
    guest.store(guest.entry(a, 0x4000_0000n, 3), RW | DIRTY | LARGE);
    for (let round = 0; round < 2; round++) {
      guest.use(a);
      expect(guest.access(0x4000_0000n + 1000n * 4096n, WRITE)).toBe(1000);
      expect(guest.access(0x4000_0000n + 5000n * 4096n, READ)).toBe(5000); // a device's
      expect(guest.access(0x4000_0000n + BigInt(a) * 4096n, READ)).toBe(a);
    }
    expect(guest.intercepts(() => guest.access(0x4000_0000n + BigInt(a) * 4096n, WRITE))).toBe(1);
    expect(auditShadow(guest.machine.mmu)).toEqual([]);
  });
});
