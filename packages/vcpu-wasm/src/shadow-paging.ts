/** What stands between the page walks of processors and the shadow tables of @vm/shadow-mmu, which they share. */
import {
  CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, PTE_PRESENT,
} from '@vm/x86';
import { PAGE_TABLE } from '@vm/core/exit';
import type { Ram } from '@vm/core/engine';
import { auditShadow, type FirstLevel, MODE_32, MODE_LONG, MODE_PAE, PROCESSOR_BLOCK_BYTES, ROLE_NX, ROLE_PSE, ROLE_SMAP, ROLE_SMEP, ROLE_WP, ShadowMmu, type ShadowProcessor, type TableMemory } from '@vm/shadow-mmu';
import type { ShadowPolicyName } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

export interface ShadowSettings {
  readonly policy: ShadowPolicyName;
  /** Check everything now and then at a switch, flush or INVLPG; a fault found ends the run. Slow. */
  readonly audit: boolean;
}

/** Of the switches, flushes and INVLPGs, those at which everything is checked. */
const AUDITED_PART = 32;

/** Stands for the TLB of a processor that is made later. */
class LateFirstLevel implements FirstLevel {
  tlb: FirstLevel | null = null;
  useTag(tag: number): void { this.tlb?.useTag(tag); }
  dropPage(low: number, high: number): void { this.tlb?.dropPage(low, high); }
  dropAll(): void { this.tlb?.dropAll(); }
  revokeWrites(frames: Uint32Array, count: number): void { this.tlb?.revokeWrites(frames, count); }
}

/** Guest memory as the page tables lie in it. What is outside RAM reads as not present. */
class GuestTables implements TableMemory {
  readonly frames: number;
  readonly #ram: Ram;
  readonly #u32: Uint32Array;
  readonly #attributes: Uint8Array;
  /** The store that is going on is one of accessed and dirty bits. */
  isOwnStore = false;

  constructor(ram: Ram) {
    this.#ram = ram;
    this.#u32 = new Uint32Array(ram.memory.buffer);
    this.#attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes >>> 12);
    this.frames = ram.ranges.reduce((most, { gpa, bytes }) => Math.max(most, (gpa + bytes) / 4096), 0);
  }
  isRam(frame: number): boolean { return frame < this.frames && this.#ram.offsetOf(frame * 4096) >= 0; }
  read32(address: number): number {
    const at = this.#ram.offsetOf(address);
    return at < 0 ? 0 : this.#u32[at >>> 2] as number;
  }
  setBits(address: number, expected: number, bits: number): boolean {
    const at = this.#ram.offsetOf(address);
    if (this.#u32[at >>> 2] !== expected) return false;
    this.#u32[at >>> 2] = expected | bits;
    // The page may hold code too, or be watched for something else.
    if (((this.#attributes[(at - this.#ram.base) >>> 12] as number) & ~PAGE_TABLE) !== 0) {
      this.isOwnStore = true;
      this.#ram.written(at, 4);
      this.isOwnStore = false;
    }
    return true;
  }
  watch(frame: number, watched: boolean): void {
    const page = (this.#ram.offsetOf(frame * 4096) - this.#ram.base) >>> 12;
    this.#attributes[page] = watched ? (this.#attributes[page] as number) | PAGE_TABLE : (this.#attributes[page] as number) & ~PAGE_TABLE;
  }
}

/** The shadow tables of one machine. */
export class ShadowTables {
  readonly mmu: ShadowMmu;
  readonly #firstLevels: readonly LateFirstLevel[];
  readonly #audit: boolean;
  /** Without them nothing outlives a switch: generated code walks the guest's tables itself, which is cheaper than to fill shadow tables for so long. */
  readonly #caches: boolean;
  readonly #at: number;
  readonly #views: StateView[] = [];

  /** The tables lie at `at` of the linear memory. */
  constructor(ram: Ram, at: number, bytes: number, processors: number, { policy, audit }: ShadowSettings) {
    const memory = new GuestTables(ram);
    this.#at = at;
    this.#firstLevels = Array.from({ length: processors }, () => new LateFirstLevel());
    this.#audit = audit;
    this.#caches = policy !== 'flush';
    this.mmu = new ShadowMmu({ memory, firstLevels: this.#firstLevels, policy, place: { buffer: ram.memory.buffer, offset: at, bytes } });
    ram.watch(PAGE_TABLE, {
      written: (offset, count) => {
        if (memory.isOwnStore) return;
        for (const range of ram.ranges) {
          const from = Math.max(offset, range.offset);
          const end = Math.min(offset + count, range.offset + range.bytes);
          if (from < end) this.mmu.noteGuestWrite(range.gpa + from - range.offset, end - from);
        }
      },
    });
  }
  processor(index: number, view: StateView, tlb: FirstLevel): ShadowPaging {
    const late = this.#firstLevels[index];
    const processor = this.mmu.processors[index];
    if (late === undefined || processor === undefined) throw new RangeError(`shadow tables: processor ${index} does not exist`);
    late.tlb = tlb;
    view.set(state.SHADOW_BLOCK, this.#caches ? this.#at + index * PROCESSOR_BLOCK_BYTES : 0);
    this.#views.push(view);
    return new ShadowPaging(view, this.mmu, processor, this.#audit);
  }
  *counts(): Generator<readonly [name: string, count: number]> {
    // Generated code counts its own: what it has found in shadow tables, or walked for.
    const more = this.#views.reduce((sum, view) => sum + view.number(state.SHADOW_READS) + view.number(state.SHADOW_WRITES) + view.number(state.SHADOW_FETCHES), 0);
    for (const [name, count] of this.mmu.counts()) yield [name, (this.#caches ? name === 'hits' : name === 'fills' || name === 'guestWalks') ? count + more : count];
  }
}

/** The shadow tables as one processor uses them. */
export class ShadowPaging {
  readonly #state: StateView;
  readonly #mmu: ShadowMmu;
  readonly #audits: boolean;
  #events = 0;
  readonly processor: ShadowProcessor;

  constructor(view: StateView, mmu: ShadowMmu, processor: ShadowProcessor, audits: boolean) {
    this.#state = view;
    this.#mmu = mmu;
    this.processor = processor;
    this.#audits = audits;
  }

  /** CR3 was written. */
  switched(): void {
    const role = this.#role();
    if (role !== 0) this.processor.switchTo(this.#root(role), this.#directories(role));
    this.#audit();
  }
  /** CR0, CR4 or EFER changed how tables are read, or everything was asked to go. */
  changed(): void {
    const role = this.#role();
    this.processor.configure(role, role === 0 ? 0 : this.#root(role), this.#directories(role));
    this.#audit();
  }
  /** Registers are new, and memory may be. */
  forget(): void {
    this.#mmu.forgetAll();
    this.changed();
  }
  invalidatePage(low: number, high: number): void {
    this.processor.invalidatePage(low, high);
    this.#audit();
  }
  /** A processor without paging may write to the page at this physical address from now on. */
  noteUnpagedRight(physical: number): void { this.#mmu.noteForeignRight(Math.floor(physical / 4096)); }

  #role(): number {
    const s = this.#state;
    const cr0 = s.get(state.CR0);
    if ((cr0 & CR0_PG) === 0) return 0;
    const cr4 = s.get(state.CR4);
    const efer = s.get(state.EFER);
    let role = (efer & EFER_LMA) !== 0 ? MODE_LONG : (cr4 & CR4_PAE) !== 0 ? MODE_PAE : MODE_32;
    if ((cr0 & CR0_WP) !== 0) role |= ROLE_WP;
    if ((efer & EFER_NXE) !== 0) role |= ROLE_NX;
    if ((cr4 & CR4_SMEP) !== 0) role |= ROLE_SMEP;
    if ((cr4 & CR4_SMAP) !== 0) role |= ROLE_SMAP;
    if ((cr4 & CR4_PSE) !== 0) role |= ROLE_PSE;
    return role;
  }
  #root(role: number): number {
    return (role & MODE_LONG) === MODE_LONG ? this.#state.number(state.CR3) : this.#state.get(state.CR3);
  }
  /** Frames of the page directories that the pointers lead to, which were loaded with CR3. */
  #directories(role: number): number[] | null {
    if ((role & MODE_LONG) !== MODE_PAE) return null;
    const s = this.#state;
    const frames: number[] = [];
    for (let i = 0; i < 4; i++) {
      const low = s.get(state.PDPTE + i * 8);
      frames.push((low & PTE_PRESENT) === 0 ? -1 : (s.high(state.PDPTE + i * 8) & 0xf_ffff) * 0x10_0000 + (low >>> 12));
    }
    return frames;
  }
  #audit(): void {
    if (!this.#audits || this.#events++ % AUDITED_PART !== 0) return;
    const problems = auditShadow(this.#mmu);
    if (problems.length > 0) throw new Error(`shadow tables: ${problems.slice(0, 5).join('; ')}`);
  }
}
