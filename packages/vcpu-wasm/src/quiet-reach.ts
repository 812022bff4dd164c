/**
 * What a block of a lent processor reaches: nobody has told it of translations or code that changed, so at its beginning it knows
 * nothing. It walks the guest's tables as they are now, and changes none of them: where an accessed or dirty bit would have to be set, the
 * block ends, and the processor that sets it is the borrower's.
 */
import { DESCRIPTOR_DB } from '@vm/x86';
import type { InterruptPort, Ram } from '@vm/core/engine';
import type { CodeCache } from './code-page.ts';
import type { CodeCopies } from './code-copies.ts';
import type { CodeFetch } from './code-fetch.ts';
import * as state from './cpu-state.ts';
import type { DevicePage } from './device-page.ts';
import type { GuestFault } from './guest-fault.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { LookAheadReach } from './look-ahead-host.ts';
import { FETCH, READ, WRITE } from './page-walk.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

const ROOM = 256; // uops that there has to be room for when a block begins

export interface ReachParts {
  readonly state: StateView;
  readonly memory: LinearMemory;
  readonly segments: Segmentation;
  readonly code: CodeFetch;
  readonly cache: CodeCache;
  readonly copies: CodeCopies;
  readonly interrupts: InterruptPort;
  readonly fault: GuestFault;
  readonly ram: Ram;
}

export class QuietReach implements LookAheadReach {
  readonly #parts: ReachParts;

  constructor(parts: ReachParts) {
    this.#parts = parts;
    parts.memory.walk.isQuiet = true;
  }

  begin(): void {
    const { memory, copies, cache } = this.#parts;
    if (cache.isFull(ROOM)) cache.flush();
    copies.begin();
    memory.tlb.flush();
  }

  code(low: number, high: number): boolean {
    const { memory, segments, code, cache, copies, fault, state: s } = this.#parts;
    try {
      memory.walk.translate(low, high, FETCH);
    } catch (error) {
      if (error !== fault) throw error;
      return false;
    }
    const { offset, physical } = memory.walk;
    if (offset < 0 || this.#isWindow(physical)) return false;
    const map = code.mapOf(offset - (offset & 4095), segments.is64Bit() ? 64 : (s.attributes(state.CS) & DESCRIPTOR_DB) !== 0 ? 32 : 16);
    if (map === 0) return false;
    copies.compare(cache.ofMap(map));
    return true;
  }
  /** Of the page that the processor is in now more may have been decoded. */
  decoded(): void {
    const { cache, copies, state: s } = this.#parts;
    copies.note(cache.ofMap(s.get(state.CODE_PAGE)));
  }

  data(tlb: typeof state.READ_TLB | typeof state.WRITE_TLB, low: number, high: number, tag: number, page: DevicePage): number {
    const { memory, ram, state: s } = this.#parts;
    memory.walk.translate(low, high, tlb === state.WRITE_TLB ? WRITE : READ);
    const { offset, physical } = memory.walk;
    if (this.#isWindow(physical)) memory.raise(0, 0);
    if (offset < 0) {
      page.aim(low, high, physical);
      return -1;
    }
    const from = offset - (offset & 4095);
    if (tlb === state.READ_TLB) memory.tlb.fillRead(low, high, from, tag);
    else {
      if (s.u8[ram.attributesOffset + ((from - ram.base) >>> 12)] !== 0) memory.raise(0, 0); // code, or nobody may store there
      memory.tlb.fillWrite(low, high, from, tag);
    }
    return offset;
  }

  #isWindow(physical: number): boolean {
    const window = this.#parts.interrupts.window();
    return window >= 0 && physical >= window && physical < window + 4096;
  }
}
