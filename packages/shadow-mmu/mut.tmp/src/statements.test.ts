import { afterEach, describe, expect, it } from 'vitest';
import { auditShadow } from './auditor.ts';
import { DIRTY, GLOBAL, LARGE, ModelGuest, READ, RO, ROLE_LONG, RW, SUPERVISOR, USER_READ, USER_WRITE, WRITE } from './model-guest.ts';
import type { ModelOptions } from './model-machine.ts';
import { ANY_WRITE, MODE_LONG, ROLE_NX, ROLE_SMAP } from './role.ts';
import { keyLevel } from './table-key.ts';

const A = 0x40_0000n; // pages of a process
const T = 0x7000_0000_0000n; // where tables are mapped
const KERNEL = 0xffff_8000_0000_0000n;
const PAGES = 16;

let audited: ModelGuest | null = null;
afterEach(() => {
  if (audited !== null) expect(auditShadow(audited.machine.mmu)).toEqual([]);
  audited = null;
});
function createGuest(options: Partial<ModelOptions> = {}): ModelGuest {
  audited = new ModelGuest(options);
  return audited;
}
/** Two processes with `PAGES` pages each, all touched often enough that every table is tracked. */
function twoProcesses(options: Partial<ModelOptions> = {}): { guest: ModelGuest; a: number; b: number; table: number } {
  const guest = createGuest(options);
  const a = guest.frame();
  const b = guest.frame();
  for (const root of [a, b]) guest.mapNew(root, A, PAGES, RW | DIRTY);
  // The table that holds the pages of A, writable for A itself at T.
  const table = guest.entry(a, A) / 4096 | 0;
  guest.map(a, T, table, RW | DIRTY);
  for (let round = 0; round < 3; round++) {
    for (const root of [a, b]) {
      guest.use(root);
      guest.touch(A, PAGES);
      if (root === a) guest.access(T);
    }
  }
  guest.use(a);
  guest.access(T);
  guest.touch(A, PAGES);
  return { guest, a, b, table };
}

for (const policy of ['cached', 'diff'] as const) {
  describe(`with the policy ${policy}`, () => {
    it('SHM-01: returning to an address space whose tables nobody edited fills nothing', () => {
      const { guest, a, b } = twoProcesses({ policy });
      expect(guest.fills(() => {
        guest.use(b);
        guest.touch(A, PAGES);
        guest.use(a);
        guest.touch(A, PAGES);
      })).toBe(0);
    });

    it('SHM-02: a page table whose translations outlive a switch has no writable mapping', () => {
      const { guest, a, b, table } = twoProcesses({ policy });
      guest.write(T, guest.machine.memory.read32(table * 4096));
      for (const root of [b, a]) {
        guest.use(root);
        const { pool } = guest.machine.mmu;
        for (let at = 1; at < pool.tables; at++) {
          if (keyLevel(pool.key[at] as number) !== 1) continue;
          for (let i = pool.nextLive(at, 0); i < 512; i = pool.nextLive(at, i + 1)) {
            if (pool.frameOf(at, i) === table) expect(pool.rightsOf(at, i) & ANY_WRITE).toBe(0);
          }
        }
        expect([...guest.machine.firstLevels[0]?.writable() ?? []]).not.toContain(table);
      }
    });

    it('SHM-03: the first store to a protected page table is intercepted, and the next hundred are not', () => {
      const { guest } = twoProcesses({ policy });
      const entry = guest.machine.memory.read32(guest.entry(1, A));
      expect(guest.intercepts(() => guest.write(T, entry))).toBe(1);
      expect(guest.intercepts(() => { for (let i = 0; i < 100; i++) guest.write(T + BigInt(i * 8), entry); })).toBe(0);
    });

    it('SHM-04: it makes stale what was made from that page table, and nothing else', () => {
      const { guest, a, b, table } = twoProcesses({ policy });
      const { pool } = guest.machine.mmu;
      guest.write(T, (guest.frame() << 12) | RW | DIRTY);
      expect(Array.from(pool.stale.subarray(0, pool.staleCount), (at) => pool.frame[at])).toEqual([table]);
      // All pages of the table with `cached`, the one that was edited with `diff`; none of the other process.
      guest.use(b);
      expect(guest.fills(() => guest.touch(A, PAGES))).toBe(0);
      guest.use(a);
      expect(guest.fills(() => guest.touch(A, PAGES))).toBe(policy === 'diff' ? 1 : PAGES);
    });

    it('SHM-05: stale translations are used until the switch and never after it', () => {
      const { guest, a, b } = twoProcesses({ policy });
      const old = guest.access(A);
      const next = guest.frame();
      guest.write(T, (next << 12) | RW);
      expect(guest.access(A)).toBe(old);
      guest.use(b);
      guest.use(a);
      expect(guest.access(A)).toBe(next);
    });

    it.each(['switch', 'flush'] as const)('SHM-06: a %s alone is enough', (way) => {
      const { guest, b } = twoProcesses({ policy });
      const { pool } = guest.machine.mmu;
      guest.write(T, 0);
      expect(pool.staleCount).toBe(1);
      if (way === 'switch') guest.use(b);
      else guest.machine.processor(0).flush();
      expect(pool.staleCount).toBe(0);
      if (way === 'flush') expect(guest.access(A)).toBe(-1);
    });

    it('SHM-07: after the purge the page table is protected again', () => {
      const { guest } = twoProcesses({ policy });
      const entry = guest.machine.memory.read32(guest.entry(1, A));
      guest.write(T, entry);
      guest.machine.processor(0).flush();
      expect(guest.intercepts(() => { guest.write(T, entry); guest.write(T, entry); })).toBe(1);
    });

    it('SHM-10: two address spaces share the tables that they share', () => {
      const guest = createGuest({ policy });
      const [a, b] = [guest.frame(), guest.frame()];
      guest.mapNew(a, KERNEL, PAGES, SUPERVISOR | DIRTY);
      guest.store(b * 4096 + 256 * 8, guest.machine.memory.read32(a * 4096 + 256 * 8));
      for (const root of [a, b, a, b, a]) {
        guest.use(root);
        guest.touch(KERNEL, PAGES);
      }
      guest.use(b);
      expect(guest.fills(() => guest.touch(KERNEL, PAGES))).toBe(0);
      // Two roots and three tables below them.
      expect(guest.machine.mmu.pool.used).toBe(5);
    });

    it('SHM-10: two processors share one address space', () => {
      const guest = createGuest({ policy, processors: 2 });
      const a = guest.frame();
      guest.mapNew(a, A, PAGES);
      guest.use(a, 0);
      guest.use(a, 1);
      guest.touch(A, PAGES, 0);
      expect(guest.fills(() => guest.touch(A, PAGES, 1))).toBe(0);
    });

    it('SHM-11: tables are not shared between roles', () => {
      const guest = createGuest({ policy, processors: 2 });
      const a = guest.frame();
      guest.map(a, A, guest.frame(), RO | DIRTY);
      guest.configure(MODE_LONG | ROLE_NX, a, 0); // without WP
      guest.configure(ROLE_LONG, a, 1);
      expect(guest.access(A, WRITE, 0)).toBeGreaterThan(0);
      expect(guest.access(A, WRITE, 1)).toBe(-1 - 3);
      guest.configure(ROLE_LONG | ROLE_SMAP, a, 0);
      expect(guest.access(A, READ, 1)).toBeGreaterThan(0);
      expect(guest.access(A, READ, 0)).toBe(-1 - 1);
    });

    it('SHM-11: nor between what the levels above them allow', () => {
      const guest = createGuest({ policy });
      const a = guest.frame();
      guest.map(a, A, guest.frame(), RW | DIRTY);
      guest.map(a, KERNEL, guest.frame(), RW, SUPERVISOR);
      // The table of the user's page under an entry that is the supervisor's.
      guest.store(guest.entry(a, KERNEL, 2), guest.machine.memory.read32(guest.entry(a, A, 2)) & ~4);
      guest.use(a);
      const frame = guest.access(A, USER_WRITE);
      expect(frame).toBeGreaterThan(0);
      expect(guest.access(KERNEL, WRITE)).toBe(frame);
      expect(guest.access(KERNEL, USER_READ)).toBe(-1 - 5);
      expect(guest.access(A, USER_READ)).toBe(frame);
    });

    it('SHM-12: a writable translation made at another address counts as one', () => {
      const { guest, a, table } = twoProcesses({ policy });
      guest.map(a, T + 0x20_0000n, table, RW | DIRTY);
      for (let round = 0; round < 2; round++) {
        guest.use(a);
        guest.touch(A, PAGES);
        expect(guest.access(T + 0x20_0000n, READ)).toBe(table); // for reading it is no writer
      }
      expect(guest.machine.mmu.pool.staleCount).toBe(0);
      expect(guest.intercepts(() => guest.access(T + 0x20_0000n, WRITE))).toBe(1);
      expect(guest.machine.mmu.pool.staleCount).toBe(1);
    });

    it('SHM-12: a large page that covers page tables lets only its other pieces be written to', () => {
      const { guest, a, table } = twoProcesses({ policy });
      guest.store(guest.entry(a, T + 0x4000_0000n, 2), RW | DIRTY | LARGE); // frames 0 to 511
      for (let round = 0; round < 2; round++) {
        guest.use(a);
        guest.touch(A, PAGES);
        guest.access(T + 0x4000_0000n + 500n * 4096n);
      }
      const large = T + 0x4000_0000n;
      expect(guest.intercepts(() => guest.access(large + 500n * 4096n, WRITE))).toBe(0);
      expect(guest.intercepts(() => guest.access(large + BigInt(table) * 4096n, WRITE))).toBe(1);
      expect(guest.counters.largeFills).toBeGreaterThan(0);
    });

    it('SHM-13: a page table that maps itself works', () => {
      const guest = createGuest({ policy });
      const a = guest.frame();
      guest.mapNew(a, A, PAGES, RW | DIRTY);
      guest.store(a * 4096 + 510 * 8, (a << 12) | RW | DIRTY);
      const self = (level: number): bigint => { // the last levels of a walk through entry 510 are the table itself
        let address = 0n;
        for (let at = 4; at > 4 - level; at--) address |= 510n << BigInt(12 + 9 * (at - 1));
        return address | 0xffff_0000_0000_0000n;
      };
      const entryOfA = self(1) | (A >> 9n); // the window on all entries of level 1
      const rootItself = self(4);
      for (let round = 0; round < 3; round++) {
        guest.use(a);
        guest.touch(A, PAGES);
        expect(guest.access(rootItself)).toBe(a);
      }
      const next = guest.frame();
      guest.write(entryOfA, (next << 12) | RW | DIRTY);
      guest.use(a);
      expect(guest.access(A)).toBe(next);
      // The root unmaps A through itself.
      expect(guest.intercepts(() => guest.write(rootItself, 0))).toBe(1);
      guest.use(a);
      expect(guest.access(A)).toBe(-1);
    });

    it('SHM-14: stores of devices to a page table make it stale', () => {
      const { guest, a, b, table } = twoProcesses({ policy });
      const next = guest.frame();
      guest.machine.memory.write64(table * 4096, (next << 12) | RW, 0);
      guest.machine.mmu.noteGuestWrite(table * 4096 - 512, 4096);
      const { pool } = guest.machine.mmu;
      expect(Array.from(pool.stale.subarray(0, pool.staleCount), (at) => pool.frame[at])).toContain(table);
      expect(guest.counters.announced).toBeGreaterThan(0);
      guest.use(b);
      guest.use(a);
      expect(guest.access(A)).toBe(next);
    });

    it('SHM-15: accessed and dirty bits are those of the accesses', () => {
      const guest = createGuest({ policy });
      const a = guest.frame();
      guest.map(a, A, guest.frame());
      const at = guest.entry(a, A);
      const bits = (): number => guest.machine.memory.read32(at) & DIRTY;
      guest.use(a);
      expect(bits()).toBe(0);
      guest.access(A, READ);
      expect(bits()).toBe(0x20);
      guest.access(A, READ);
      expect(bits()).toBe(0x20);
      guest.access(A, WRITE);
      expect(bits()).toBe(0x60);
      // The guest clears them, and flushes: both have to be set again.
      guest.store(at, guest.machine.memory.read32(at) & ~DIRTY);
      guest.use(a);
      expect(bits()).toBe(0);
      guest.access(A, READ);
      expect(bits()).toBe(0x20);
      guest.access(A, WRITE);
      expect(bits()).toBe(0x60);
      for (const level of [2, 3, 4]) expect(guest.machine.memory.read32(guest.entry(a, A, level)) & DIRTY).toBe(0x20);
    });

    it('SHM-16: a flush asked for by another processor waits for the access that is under way', () => {
      const { guest, a } = twoProcesses({ policy, processors: 2 });
      guest.use(a, 1);
      const [first, second] = [guest.machine.processor(0), guest.machine.processor(1)];
      second.beginAccess();
      const frame = guest.access(A, WRITE, 1);
      guest.store(guest.entry(a, A), guest.machine.memory.read32(guest.entry(a, A)) & ~0x40);
      first.flush();
      expect(second.requestFlush()).toBe(false);
      expect(second.isFlushed).toBe(false);
      guest.machine.memory.write32(frame * 4096, 1); // the store that the access is about
      second.endAccess();
      expect(second.isFlushed).toBe(true);
      expect(second.requestFlush()).toBe(true);
      guest.access(A, WRITE, 1);
      expect(guest.machine.memory.read32(guest.entry(a, A)) & 0x40).toBe(0x40);
    });

    it('SHM-17: a flush is not left out because another processor has just flushed', () => {
      const { guest, a } = twoProcesses({ policy, processors: 2 });
      guest.use(a, 1);
      guest.touch(A, PAGES, 1);
      guest.machine.processor(0).flush();
      const next = guest.frame();
      guest.write(T, (next << 12) | RW | DIRTY);
      guest.machine.processor(1).flush();
      expect(guest.access(A, READ, 1)).toBe(next);
      // What the second processor purged, the first may find gone: more than it asked for is always allowed.
      guest.machine.processor(0).flush();
      expect(guest.access(A, READ, 0)).toBe(next);
    });

    it('SHM-18: global translations outlive a switch and not a flush of everything', () => {
      const guest = createGuest({ policy });
      const [a, b] = [guest.frame(), guest.frame()];
      guest.map(a, KERNEL, guest.frame(), SUPERVISOR | DIRTY | GLOBAL);
      guest.store(b * 4096 + 256 * 8, guest.machine.memory.read32(a * 4096 + 256 * 8));
      for (const root of [a, b, a, b]) {
        guest.use(root);
        guest.access(KERNEL);
      }
      guest.use(a);
      expect(guest.fills(() => guest.access(KERNEL))).toBe(0);
      const next = guest.frame();
      guest.map(a, KERNEL, next, SUPERVISOR | DIRTY | GLOBAL);
      guest.machine.processor(0).flush(); // a change of CR4.PGE
      expect(guest.access(KERNEL)).toBe(next);
    });

    it('SHM-19: what was made from a page table is stale before anybody may write to it', () => {
      const seen: string[] = [];
      let watched = -1;
      const { guest, table } = twoProcesses({
        policy,
        onStep: (step, frame) => {
          if (audited === null || frame !== watched) return;
          const { pool } = audited.machine.mmu;
          const writers = [...audited.machine.firstLevels[0]?.writable() ?? []].filter((one) => one === frame).length;
          if (step === 'stale' || step === 'open') seen.push(`${step}: ${pool.staleCount} stale, ${pool.countWriters(frame)} writers, ${writers} in first levels`);
        },
      });
      watched = table;
      guest.write(T, 0);
      expect(seen).toEqual(['stale: 1 stale, 0 writers, 0 in first levels', 'open: 1 stale, 0 writers, 0 in first levels']);
      expect(guest.machine.mmu.pool.countWriters(table)).toBe(1);
    });

    it('SHM-19: no store is lost when another processor purges between the interception and the store', () => {
      const { guest, a, table } = twoProcesses({ policy, processors: 2 });
      guest.use(a, 1);
      const next = guest.frame();
      const address = T;
      // The first processor has its right, and has not stored yet.
      expect(guest.access(address, WRITE, 0)).toBe(table);
      guest.machine.processor(1).flush();
      guest.touch(A, PAGES, 1);
      // It stores now: the right is gone, so it is intercepted once more.
      expect(guest.intercepts(() => guest.write(address, (next << 12) | RW | DIRTY, 0))).toBe(1);
      guest.machine.processor(1).flush();
      expect(guest.access(A, READ, 1)).toBe(next);
    });

    it('SHM-20: page faults are what the tables say now', () => {
      const { guest, a } = twoProcesses({ policy });
      const at = guest.entry(a, A);
      guest.store(at, (guest.machine.memory.read32(at) & ~(2 | DIRTY)) >>> 0);
      guest.use(a);
      const old = guest.access(A, READ);
      expect(guest.access(A, WRITE)).toBe(-1 - 3);
      // The right is given without a flush, and then the page is taken away without one.
      guest.write(T, (old << 12) | RW);
      expect(guest.access(A, WRITE)).toBe(old);
      guest.write(T, (old << 12) | RO | DIRTY);
      guest.use(a);
      expect(guest.access(A, READ)).toBe(old);
      guest.write(T, 0);
      expect(guest.access(A, READ)).toBe(old); // stale, and allowed
      expect(guest.access(A, WRITE)).toBe(-1 - 2); // not present, and not: not writable
      guest.write(T, 0x1000_0000_0000 + 1); // the same for an entry that was not there before
      expect(guest.access(A + BigInt(PAGES) * 4096n, READ)).toBe(-1);
    });

    it('SHM-21: a processor loses its right to write before the page table counts as protected', () => {
      const steps: string[] = [];
      let watched = -1;
      const { guest, a, b, table } = twoProcesses({ policy, processors: 2, onStep: (step, frame) => { if (frame === watched) steps.push(step); } });
      guest.use(a, 1);
      const next = guest.frame();
      guest.write(T, guest.machine.memory.read32(table * 4096), 0);
      const first = guest.machine.firstLevels[0];
      if (first === undefined) throw new Error('there is a first processor');
      // While the second processor purges, the first stores through the translation that it has.
      first.onRevoke = ({ frame }) => { guest.machine.memory.write64(frame * 4096, (next << 12) | RW | DIRTY, 0); };
      watched = table;
      guest.use(b, 1);
      first.onRevoke = null;
      expect(steps).toEqual(['stripped', 'revoked', 'protected']);
      expect(guest.machine.mmu.tracker.isProtected(table)).toBe(true);
      expect([...first.writable()]).not.toContain(table);
      guest.use(a, 1);
      expect(guest.access(A, READ, 1)).toBe(next);
    });
  });
}

describe('with the threshold of the patented scheme', () => {
  it('SHM-08: page tables that are new are not searched for', () => {
    const guest = createGuest({ threshold: 100, discovery: 'threshold' });
    const a = guest.frame();
    guest.mapNew(a, A, PAGES, RW | DIRTY);
    guest.use(a);
    guest.touch(A, PAGES);
    expect(guest.counters.discovered).toBe(4);
    expect(guest.counters.searches).toBe(0);
    expect(guest.machine.mmu.tracker.untrackedCount).toBe(4);
    // They are taken to be stale at every switch.
    guest.use(a);
    expect(guest.fills(() => guest.touch(A, PAGES))).toBe(PAGES);
  });

  it('SHM-09: at the threshold nothing happens, and above it everything is purged once and tracked', () => {
    const guest = createGuest({ threshold: 4, discovery: 'threshold' });
    const [a, b] = [guest.frame(), guest.frame()];
    for (const root of [a, b]) guest.mapNew(root, A, PAGES, RW | DIRTY);
    guest.use(a);
    guest.touch(A, PAGES);
    expect(guest.machine.mmu.tracker.untrackedCount).toBe(4);
    expect(guest.counters.thresholdPurges).toBe(0);
    guest.use(b);
    guest.access(A);
    expect(guest.counters.thresholdPurges).toBe(1);
    expect(guest.machine.mmu.pool.liveEntries).toBeLessThan(8);
    guest.use(a);
    guest.touch(A, PAGES);
    guest.use(a);
    expect(guest.fills(() => guest.touch(A, PAGES))).toBe(0);
  });

  it('a guest that goes on making tables passes the threshold again, and only then', () => {
    const guest = createGuest({ threshold: 8, discovery: 'threshold' });
    for (let i = 0; i < 12; i++) {
      const root = guest.frame();
      guest.mapNew(root, A, 2, RW | DIRTY);
      guest.use(root);
      guest.touch(A, 2);
    }
    // 48 tables: the ninth of each round is the one too many.
    expect(guest.counters.thresholdPurges).toBe(Math.floor(48 / 9));
  });
});
