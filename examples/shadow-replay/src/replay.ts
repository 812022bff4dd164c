/** Gives the events of a trace to shadow page tables. There is no guest: its memory is what the trace says of it. */
import { auditShadow, type Discovery, ShadowMmu, type ShadowPolicyName, type TableMemory, WRITE_SUPERVISOR } from '@vm/shadow-mmu';
import { DirectMappedTlb } from './direct-mapped-tlb.ts';
import type { TraceEvent } from './trace.ts';

export interface ReplayOptions {
  readonly policy: ShadowPolicyName;
  readonly threshold?: number | 'adaptive';
  readonly discovery?: Discovery;
  readonly tables?: number;
  readonly spaces?: number;
  /** Where the guest maps all its memory, as Linux does without randomized addresses: stores to tables come from there. */
  readonly window?: number; // high half of the address, the low half being 0
  /** Check everything so often; default: never. */
  readonly auditEvery?: number;
}
export interface ReplayResult {
  readonly accesses: number;
  readonly stores: number;
  readonly switches: number;
  /** By the name that the counter has. */
  readonly counts: Readonly<Record<string, number>>;
  readonly firstLevelHits: number;
  readonly milliseconds: number;
}

const TLB_ENTRIES = 4096;

/** Guest memory of which only page-table entries are known. */
class TraceMemory implements TableMemory {
  readonly frames: number;
  readonly #words: Uint32Array;
  constructor(frames: number) {
    this.frames = frames;
    this.#words = new Uint32Array(frames * 1024);
  }
  isRam(frame: number): boolean { return frame < this.frames; }
  read32(address: number): number { return this.#words[address >>> 2] ?? 0; }
  write(address: number, low: number, high: number): void {
    this.#words[address >>> 2] = low;
    this.#words[(address >>> 2) + 1] = high;
  }
  setBits(address: number, expected: number, bits: number): boolean {
    if (this.#words[address >>> 2] !== expected) return false;
    this.#words[address >>> 2] = expected | bits;
    return true;
  }
}

export function replay(events: readonly TraceEvent[], options: ReplayOptions): ReplayResult {
  const { window = 0xffff_8880, auditEvery = 0, ...rest } = options;
  const last = events.reduce((most, event) => (event.op === 'known' || event.op === 'store' ? Math.max(most, event.at) : most), 0);
  const memory = new TraceMemory(Math.floor(last / 4096) + 1);
  const first = new DirectMappedTlb(TLB_ENTRIES);
  const mmu = new ShadowMmu({ ...rest, memory, firstLevels: [first] });
  const [processor] = mmu.processors;
  if (processor === undefined) throw new RangeError('there is one first level and so one processor');
  let accesses = 0;
  let stores = 0;
  const translate = (low: number, high: number, need: number): number => {
    if (first.answers(low, high, need)) return -1;
    const error = processor.translate(low, high, need);
    if (error < 0 && processor.rights !== 0) first.fill(low, high, processor.frame, processor.rights);
    return error;
  };
  const begin = performance.now();
  for (const [number, event] of events.entries()) {
    switch (event.op) {
      case 'role': processor.configure(event.role, event.root); break;
      case 'switch': processor.switchTo(event.root); break;
      case 'flush': processor.flush(); break;
      case 'page': processor.invalidatePage(event.low, event.high); break;
      case 'known': memory.write(event.at, event.low, event.high); break;
      case 'store': {
        stores++;
        // By the processor if the guest's window on memory is in the trace, else by nobody.
        const wanted = Math.floor(event.at / 4096);
        const stored = translate(event.at, window, WRITE_SUPERVISOR) < 0;
        memory.write(event.at, event.low, event.high);
        if (!stored || mmu.tracker.isProtected(wanted)) mmu.noteGuestWrite(event.at, 8);
        break;
      }
      case 'access':
        accesses++;
        translate(event.low, event.high, event.need);
        break;
    }
    if (auditEvery === 0 || number % auditEvery !== 0) continue;
    const problems = auditShadow(mmu);
    if (problems.length > 0) throw new Error(`after event ${number}: ${problems.join('; ')}`);
  }
  return {
    accesses, stores, switches: mmu.counters.switches, counts: Object.fromEntries(mmu.counts()), firstLevelHits: first.hits, milliseconds: performance.now() - begin,
  };
}
