/** What looking ahead needs of a processor: types only. */
import type { CodeFetch } from './code-fetch.ts';
import type * as state from './cpu-state.ts';
import type { DevicePage } from './device-page.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

/** What the loop of the processor lends. */
export interface LookAheadHost {
  /** Runs generated code; throws what it throws. RIP is right afterwards, unless it has thrown. */
  enter(): void;
  syncRip(): void;
  retired(): number;
  /** The budget is what is left of it when so many are retired. */
  rewind(retired: number): void;
  /** Nothing is left of the budget. */
  stop(): void;
  /** Generated code comes back at the next boundary. */
  leave(): void;
  /** Something is to be done between two instructions. */
  isEventful(): boolean;
  now(): number;
}

/** The processor, which may still be in the making. */
export interface LookAheadProcessor { readonly state: StateView; readonly memory: LinearMemory; readonly segments: Segmentation; readonly code: CodeFetch }

/** What blocks may reach beyond what the TLB knows. */
export interface LookAheadReach {
  /** Instructions may be fetched from the linear address, and what is decoded there is true. */
  code(low: number, high: number): boolean;
  /**
   * Where an address of RAM lies, which the TLB knows from now on; -1 when a device is there, which `page` leads to from now on. Raises
   * where neither may be reached.
   */
  data(tlb: typeof state.READ_TLB | typeof state.WRITE_TLB, low: number, high: number, tag: number, page: DevicePage): number;
}
