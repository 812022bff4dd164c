/** The shadow tables alone, without an engine: what each level costs, and how it grows. Guests of four levels, tables made by plain stores. */
import { type FirstLevel, MODE_LONG, noFirstLevel, READ_USER, ROLE_NX, ROLE_WP, ShadowMmu, type ShadowPolicyName, type TableMemory, WRITE_USER } from '@vm/shadow-mmu';
import type { Chart, Point } from './chart.ts';
import { median, row, type Row, shortest } from './registry.ts';

const ROLE = MODE_LONG | ROLE_WP | ROLE_NX;
const PRESENT = 0x67; // present, writable, for the user, accessed, dirty
const POLICIES: readonly ShadowPolicyName[] = ['flush', 'cached', 'diff'];
const OWN = 0x40_0000, SHARED_TOP = 256; // addresses of a process, and the entry of its root that all of them share
const TABLES = 16_384;

/** Guest memory that hands out frames, and who may be asked about it. */
class TableGuest {
  readonly mmu: ShadowMmu;
  readonly #words: Uint32Array;
  #next = 1;

  constructor(policy: ShadowPolicyName, frames: number, spaces: number) {
    const words = new Uint32Array(frames * 1024);
    this.#words = words;
    const memory: TableMemory = {
      frames,
      isRam: (frame) => frame < frames,
      read32: (address) => words[address / 4] ?? 0,
      setBits: (address, expected, bits) => {
        if (words[address / 4] !== expected) return false;
        words[address / 4] = expected | bits;
        return true;
      },
    };
    const first: FirstLevel = noFirstLevel;
    this.mmu = new ShadowMmu({ memory, firstLevels: [first], policy, tables: TABLES, spaces });
  }
  frame(): number { return this.#next++; }
  store(frame: number, index: number, value: number): void {
    this.#words[frame * 1024 + index * 2] = value;
    this.mmu.noteGuestWrite(frame * 4096 + index * 8, 8);
  }
  entryOf(table: number, index: number): number { return this.#words[table * 1024 + index * 2] as number; }
  #child(table: number, index: number): number {
    const entry = this.entryOf(table, index);
    if (entry !== 0) return entry >>> 12;
    const made = this.frame();
    this.store(table, index, (made << 12) | PRESENT);
    return made;
  }
  /** `pages` pages from an address below 4 GiB, or at entry `top` of the root; the frame of the last page table. */
  map(root: number, address: number, pages: number, top = 0): number {
    const third = this.#child(root, top);
    let table = 0;
    for (let page = 0; page < pages; page++) {
      const at = address + page * 4096;
      table = this.#child(this.#child(third, (at >>> 30) & 511), (at >>> 21) & 511);
      this.store(table, (at >>> 12) & 511, (this.frame() << 12) | PRESENT);
    }
    return table;
  }
  touch(address: number, pages: number, high = 0, kind = READ_USER): void {
    const processor = this.mmu.processors[0]!;
    for (let page = 0; page < pages; page++) processor.translate(address + page * 4096, high, kind);
  }
}
const SHARED_HIGH = SHARED_TOP << 7; // upper half of an address whose top index is SHARED_TOP; canonical or not is the engine's to ask

export function modelRows(quick: boolean): Row[] {
  return [...levels(quick), ...processes(quick), ...workingSets(quick)];
}

/** Pictures of its rows: what the tables need and cost, and how fills grow with processes. */
export function modelCharts(rows: readonly Row[]): Chart[] {
  const points = (pattern: RegExp, series: string, value: (row: Row) => number = ({ ours }) => ours): Point[] =>
    rows.flatMap((one) => {
      const found = pattern.exec(one.name);
      return found === null ? [] : [{ series: found[2] === undefined ? series : found[1]!, x: Number(found[2] ?? found[1]), y: value(one) }];
    });
  const fills = /^model, (cached|diff): fills a switch with (\d+) processes/;
  return [
    { file: 'shadow-memory.svg', title: 'Shadow tables of a working set', x: { title: 'working set, MiB', isLogarithmic: true }, y: { title: 'tables, KiB', isLogarithmic: true }, points: points(/^model, shadow tables of a working set of ([\d.]+) MiB/, 'cached') },
    { file: 'shadow-purge.svg', title: 'A purge of everything', x: { title: 'working set, MiB', isLogarithmic: true }, y: { title: 'microseconds', isLogarithmic: true }, points: points(/^model, a purge of everything, working set of ([\d.]+) MiB/, 'cached') },
    {
      file: 'shadow-fills.svg', title: 'Fills at a switch, 80 address spaces kept', x: { title: 'processes', isLogarithmic: true }, y: { title: 'fills', isLogarithmic: false },
      points: [...points(fills, 'flush', ({ peer }) => peer ?? 0).map((point) => ({ ...point, series: 'flush' })), ...points(fills, '')],
    },
  ].filter((chart) => chart.points.length > 0);
}

/** Nanoseconds of one answer of each kind. */
function levels(quick: boolean): Row[] {
  const pages = 1024;
  const guest = new TableGuest('cached', 4096, 8);
  const root = guest.frame();
  guest.map(root, OWN, pages);
  const processor = guest.mmu.processors[0]!;
  processor.configure(ROLE, root * 4096);
  guest.touch(OWN, pages);
  const runs = quick ? 5 : 30;
  const time = (work: () => void): number => {
    const from = performance.now();
    work();
    return ((performance.now() - from) * 1e6) / pages;
  };
  const hit = shortest(runs * 10, () => time(() => guest.touch(OWN, pages)));
  const walk = shortest(runs, () => {
    guest.mmu.forgetAll();
    processor.configure(ROLE, root * 4096);
    return time(() => guest.touch(OWN, pages));
  });
  return [
    row('model, a miss that the shadow tables answer', 'ns', runs, hit),
    row('model, a miss that walks the guest\'s tables', 'ns', runs, walk, { name: 'a hit', value: hit }),
    row('model, an interception, with the purge and the protection that follow', 'ns', runs, interception(runs)),
  ];
}

/** One store to each of many page tables that are in use, and the switch after it. */
function interception(runs: number): number {
  const tables = 256;
  const guest = new TableGuest('diff', 4096, 8);
  const root = guest.frame();
  const window = 0x8000_0000;
  const frames = Array.from({ length: tables }, (_, i) => guest.map(root, OWN + i * 0x20_0000, 4));
  const last = guest.map(root, window, 1); // a table through which the guest writes to its tables
  frames.forEach((frame, i) => guest.store(last, i, (frame << 12) | PRESENT));
  const processor = guest.mmu.processors[0]!;
  processor.configure(ROLE, root * 4096);
  const all = (): void => { for (let i = 0; i < tables; i++) guest.touch(OWN + i * 0x20_0000, 4); };
  all();
  processor.flush();
  return shortest(runs, () => {
    all();
    const before = guest.mmu.counters.intercepts;
    const from = performance.now();
    guest.touch(window, tables, 0, WRITE_USER);
    processor.flush();
    const nanos = (performance.now() - from) * 1e6;
    const intercepts = guest.mmu.counters.intercepts - before;
    if (intercepts < tables) throw new Error(`${intercepts} interceptions of ${tables} stores`);
    return nanos / intercepts;
  });
}

/** Fills a switch, of processes that take turns with 16 pages of their own and 48 that all share. */
function processes(quick: boolean): Row[] {
  const rows: Row[] = [];
  for (const count of quick ? [2, 64] : [2, 4, 8, 16, 32, 64, 128, 256, 512]) {
    const found = POLICIES.map((policy) => {
      const guest = new TableGuest(policy, 32_768, 80);
      const shared = guest.frame();
      guest.map(shared, OWN, 48, SHARED_TOP);
      const roots = Array.from({ length: count }, () => {
        const root = guest.frame();
        guest.map(root, OWN, 16);
        guest.store(root, SHARED_TOP, guest.entryOf(shared, SHARED_TOP));
        return root;
      });
      const processor = guest.mmu.processors[0]!;
      processor.configure(ROLE, roots[0]! * 4096);
      const turn = (): void => {
        for (const root of roots) {
          processor.switchTo(root * 4096);
          guest.touch(OWN, 16);
          guest.touch(OWN, 48, SHARED_HIGH);
        }
      };
      for (let i = 0; i < 4; i++) turn();
      const before = guest.mmu.counters.fills;
      for (let i = 0; i < 2; i++) turn();
      return (guest.mmu.counters.fills - before) / (2 * count);
    });
    found.forEach((fills, i) => {
      if (i > 0) rows.push(row(`model, ${POLICIES[i]}: fills a switch with ${count} processes, 80 address spaces kept`, '', 1, fills, { name: 'flush', value: found[0]! }));
    });
  }
  return rows;
}

/** Bytes of shadow tables for a working set, and what it costs to purge them all. */
function workingSets(quick: boolean): Row[] {
  const rows: Row[] = [];
  for (const pages of quick ? [1024] : [64, 256, 1024, 4096, 16_384, 65_536]) {
    const guest = new TableGuest('cached', 2 * pages + 1024, 8);
    const root = guest.frame();
    guest.map(root, OWN, pages);
    const processor = guest.mmu.processors[0]!;
    const times: number[] = [];
    for (let i = 0; i < (quick ? 3 : 9); i++) {
      processor.configure(ROLE, root * 4096);
      guest.touch(OWN, pages);
      if (i === 0) rows.push(row(`model, shadow tables of a working set of ${(pages * 4096) / 2 ** 20} MiB`, 'KiB', 1, guest.mmu.pool.bytes / 1024, { name: 'working set', value: pages * 4 }));
      const from = performance.now();
      guest.mmu.forgetAll();
      times.push((performance.now() - from) * 1000);
    }
    rows.push(row(`model, a purge of everything, working set of ${(pages * 4096) / 2 ** 20} MiB`, 'us', times.length, median(times)));
  }
  return rows;
}
