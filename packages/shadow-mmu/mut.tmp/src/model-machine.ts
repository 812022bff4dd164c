/**
 * A machine for tests: processors whose first level keeps everything it may, guest memory that remembers, and an oracle that
 * is asked after each access. What happens is a list of plain steps, so that a list that fails can be made shorter.
 */
import { auditShadow } from './auditor.ts';
import { IdealMemory, IdealTlb } from './ideal-tlb.ts';
import type { IdealAccess, IdealProcessor } from './ideal-tlb.ts';
import type { FirstLevel } from './ports.ts';
import {
  ANY_WRITE, FETCH_SUPERVISOR, FETCH_USER, MODE_32, MODE_LONG, MODE_PAE, READ_OPEN, READ_SUPERVISOR, READ_USER, RIGHT_LARGE, ROLE_NX, ROLE_PSE, ROLE_SMAP, ROLE_SMEP, ROLE_WP,
  WRITE_OPEN, WRITE_SUPERVISOR, WRITE_USER,
} from './role.ts';
import { ShadowMmu } from './shadow-mmu.ts';
import type { ShadowMmuOptions } from './shadow-mmu.ts';
import type { ShadowProcessor } from './shadow-processor.ts';

/** Numbers are reduced to what fits, so any list of steps is a run. */
export type Step =
  | { readonly op: 'access'; readonly processor: number; readonly address: bigint; readonly access: IdealAccess; readonly word: number; readonly low: number; readonly high: number }
  | { readonly op: 'dma'; readonly address: number; readonly low: number; readonly high: number }
  | { readonly op: 'page'; readonly processor: number; readonly address: bigint }
  | { readonly op: 'switch'; readonly processor: number; readonly root: number; readonly directories: readonly number[] }
  | { readonly op: 'flush'; readonly processor: number }
  | { readonly op: 'role'; readonly processor: number; readonly role: number; readonly root: number; readonly directories: readonly number[] };

interface Cached { frame: number; rights: number }

/** Keeps all that it was given, under every tag, until it is told to drop it. */
export class GreedyFirstLevel implements FirstLevel {
  readonly #tags = new Map<number, Map<bigint, Cached>>();
  #now = new Map<bigint, Cached>();
  hits = 0;
  /** Called when the right to write to a frame is about to be taken away: the last moment for a store. */
  onRevoke: ((entry: Cached) => void) | null = null;

  useTag(tag: number): void {
    this.#now = this.#tags.get(tag) ?? new Map<bigint, Cached>();
    this.#tags.set(tag, this.#now);
  }
  dropPage(low: number, high: number): void {
    this.#now.delete(page(low, high));
    for (const [key, { rights }] of this.#now) if ((rights & RIGHT_LARGE) !== 0) this.#now.delete(key);
  }
  dropAll(): void {
    for (const entries of this.#tags.values()) entries.clear();
  }
  revokeWrites(frames: Uint32Array, count: number): void {
    const gone = new Set(frames.subarray(0, count));
    for (const entries of this.#tags.values()) {
      for (const entry of entries.values()) {
        if (!gone.has(entry.frame) || (entry.rights & ANY_WRITE) === 0) continue;
        this.onRevoke?.(entry);
        entry.rights &= ~ANY_WRITE;
      }
    }
  }
  find(low: number, high: number): Cached | undefined { return this.#now.get(page(low, high)); }
  fill(low: number, high: number, frame: number, rights: number): void { this.#now.set(page(low, high), { frame, rights }); }
  *writable(): Generator<number> {
    for (const entries of this.#tags.values()) for (const { frame, rights } of entries.values()) if ((rights & ANY_WRITE) !== 0) yield frame;
  }
}
const page = (low: number, high: number): bigint => (BigInt(high >>> 0) << 20n) | BigInt(low >>> 12);

export interface ModelOptions extends Omit<ShadowMmuOptions, 'memory' | 'firstLevels'> {
  readonly frames: number;
  readonly processors?: number;
  /** A processor whose right to write is taken away uses it once more. */
  readonly lastStores?: boolean;
}

export class ModelMachine {
  readonly memory: IdealMemory;
  readonly ideal: IdealTlb;
  readonly mmu: ShadowMmu;
  readonly firstLevels: readonly GreedyFirstLevel[];
  readonly registers: readonly IdealProcessor[];
  #last = 0;
  /** Stores of other processors while a step was done: bits may then have been set on a way that is no more. */
  #lastStores = 0;

  constructor(options: ModelOptions) {
    const { frames, processors = 1, lastStores = false, ...rest } = options;
    this.memory = new IdealMemory(frames);
    this.ideal = new IdealTlb(this.memory);
    this.firstLevels = Array.from({ length: processors }, () => new GreedyFirstLevel());
    this.registers = Array.from({ length: processors }, () => ({
      mode: 'long', wp: true, nx: true, smep: false, smap: false, pse: true, root: 0, directories: [-1, -1, -1, -1], flushes: [0], pages: [],
    }));
    this.mmu = new ShadowMmu({ ...rest, memory: this.memory, firstLevels: this.firstLevels });
    for (let index = 0; index < processors; index++) this.configure(index, ROLE_LONG, 0);
    if (lastStores) {
      for (const first of this.firstLevels) {
        first.onRevoke = ({ frame }) => {
          // Some entry of the table is rewritten as another one of it: that is what guests do to tables.
          if (frame >= frames) return;
          this.#lastStores++;
          this.#last = (this.#last + 7) % 5;
          this.memory.write32(frame * 4096 + (this.#last % 3) * 8, this.memory.read32(frame * 4096 + ((this.#last + 1) % 3) * 8));
        };
      }
    }
  }

  get counters(): ShadowMmu['counters'] { return this.mmu.counters; }
  processor(index: number): ShadowProcessor { return this.mmu.processors[index] as ShadowProcessor; }

  /** Does one step and checks it; a text when something is wrong. */
  run(step: Step): string | null {
    const wrong = this.#do(step);
    if (wrong !== null) return wrong;
    const problems = auditShadow(this.mmu);
    if (problems.length > 0) return `audit: ${problems.slice(0, 3).join('; ')}`;
    if (this.mmu.policy.caches) {
      for (const first of this.firstLevels) for (const frame of first.writable()) if (this.mmu.tracker.isProtected(frame)) return `a first level may write to protected frame ${frame}`;
    }
    return null;
  }
  #do(step: Step): string | null {
    switch (step.op) {
      case 'access': return this.#access(step.processor, step.address, step.access, step);
      case 'dma':
        this.memory.write64(step.address, step.low, step.high);
        this.mmu.noteGuestWrite(step.address, 8);
        return null;
      case 'page':
        this.ideal.invalidatePage(this.#register(step.processor), step.address);
        this.processor(step.processor).invalidatePage(Number(step.address & 0xffff_ffffn), Number((step.address >> 32n) & 0xffff_ffffn));
        return null;
      case 'flush':
        this.ideal.flush(this.#register(step.processor));
        this.processor(step.processor).flush();
        return null;
      case 'switch': this.switchTo(step.processor, step.root, step.directories); return null;
      case 'role': this.configure(step.processor, step.role, step.root, step.directories); return null;
    }
  }
  #register(index: number): IdealProcessor { return this.registers[index] as IdealProcessor; }

  switchTo(index: number, root: number, directories: readonly number[] = [-1, -1, -1, -1]): void {
    const p = this.#register(index);
    this.ideal.flush(p);
    p.root = root;
    p.directories = [...directories];
    this.processor(index).switchTo(root, p.mode === 'pae' ? directories : null);
  }
  configure(index: number, role: number, root: number, directories: readonly number[] = [-1, -1, -1, -1]): void {
    const p = this.#register(index);
    this.ideal.flush(p);
    p.mode = (role & 3) === MODE_32 ? 'legacy' : (role & 3) === MODE_PAE ? 'pae' : 'long';
    p.wp = (role & ROLE_WP) !== 0;
    p.nx = (role & ROLE_NX) !== 0;
    p.smep = (role & ROLE_SMEP) !== 0;
    p.smap = (role & ROLE_SMAP) !== 0;
    p.pse = (role & ROLE_PSE) !== 0;
    p.root = root;
    p.directories = [...directories];
    this.processor(index).configure(role, root, p.mode === 'pae' ? directories : null);
  }

  /** As a processor does: its first level, then the shadow tables. The frame, or -1 - error code. */
  translate(index: number, address: bigint, access: IdealAccess): number {
    const low = Number(address & 0xffff_ffffn);
    const high = Number((address >> 32n) & 0xffff_ffffn);
    const first = this.firstLevels[index] as GreedyFirstLevel;
    const need = needOf(access);
    const known = first.find(low, high);
    if (known !== undefined && (known.rights & need) !== 0) {
      first.hits++;
      return known.frame;
    }
    const p = this.processor(index);
    const error = p.translate(low, high, need);
    if (error >= 0) return -1 - error;
    if (p.rights !== 0) first.fill(low, high, p.frame, p.rights);
    return p.frame;
  }
  #access(index: number, address: bigint, access: IdealAccess, { word, low, high }: { readonly word: number; readonly low: number; readonly high: number }): string | null {
    const p = this.#register(index);
    this.memory.touched.length = 0;
    this.#lastStores = 0;
    const got = this.translate(index, address, access);
    const where = `${access.kind}${access.user ? ' by the user' : ''} of ${address.toString(16)} on ${index}`;
    const touched = this.#lastStores > 0 ? [] : [...this.memory.touched];
    if (got < 0) {
      const now = this.ideal.walk(p, address, access);
      if (now.fault !== -1 - got) return `${where}: fault ${-1 - got}, and the tables say ${now.fault}`;
      if (touched.length > 0) return `${where}: accessed bits were set for a fault`;
      return null;
    }
    if (!this.ideal.allows(p, address, access, got)) return `${where}: frame ${got}, which nothing allows; the tables say ${describe(this.ideal.walk(p, address, access))}`;
    for (const { address: at, before, after } of touched) {
      const path = this.ideal.walk(p, address, access).path;
      const place = path.lastIndexOf(at); // a table that maps itself is on the way twice
      if (place < 0) return `${where}: bits were set in an entry that is not on the way`;
      if (((before ^ after) & ~(place === path.length - 1 && access.kind === 'write' ? 0x60 : 0x20)) !== 0) return `${where}: other bits than accessed and dirty were set`;
    }
    if (access.kind === 'write' && got < this.memory.frames) this.memory.write64(got * 4096 + word * 8, low, high);
    return null;
  }
}
const describe = (found: { readonly fault: number; readonly frame: number }): string => (found.fault < 0 ? `frame ${found.frame}` : `fault ${found.fault}`);

export function needOf({ kind, user, open }: IdealAccess): number {
  if (user) return kind === 'read' ? READ_USER : kind === 'write' ? WRITE_USER : FETCH_USER;
  if (kind === 'fetch') return FETCH_SUPERVISOR;
  if (open) return kind === 'read' ? READ_OPEN : WRITE_OPEN;
  return kind === 'read' ? READ_SUPERVISOR : WRITE_SUPERVISOR;
}
export const ROLE_LONG: number = MODE_LONG | ROLE_WP | ROLE_NX;
export const ROLE_ALL: number = ROLE_WP | ROLE_NX | ROLE_SMEP | ROLE_SMAP | ROLE_PSE;
