import type { LegacyFormat } from '../processor-model.ts';
import type { Exchanged } from '../switch-setup.ts';

/** What a monitor is built with. */
export type ExcursionPolicy = 'always' | 'avoid' | 'batch';

/** A program for 32-bit protected mode or for real mode, or a disk that a PC would boot from, in virtual-8086 mode. */
export type LegacyGuest =
  | { readonly kind: 'flat'; readonly bytes: Uint8Array }
  | { readonly kind: 'real'; readonly bytes: Uint8Array }
  /** `keys` are typed when the guest asks for one; Enter is a carriage return. */
  | { readonly kind: 'disk'; readonly bytes: Uint8Array; readonly keys?: string };

export interface MonitorOptions {
  readonly guest: LegacyGuest;
  /** Page tables of the legacy side, or none; a disk cannot do without, and real mode has none. Default: `32-bit` where there may be some. */
  readonly paging?: LegacyFormat;
  /** Default `avoid`; in real mode there is `always` alone. */
  readonly excursion?: ExcursionPolicy;
  /** Order of mode bit and page table; default `claimed`. */
  readonly order?: 'claimed' | 'manual';
  /** What the guest may change as well, because the 64-bit side's is kept; the guest's own is lost at each excursion. Default: nothing. */
  readonly exchange?: readonly Exchanged[];
  /** Rounds of each of the host's programs; default 200,000. */
  readonly rounds?: number;
  /** Ticks of the host's timer that the guest may go on without asking for anything; default 2000. */
  readonly watchdogTicks?: number;
  /** Host's timer; default 1000. */
  readonly hz?: number;
  /** Each tick is an NMI as well, which reaches guests that have turned interrupts off; through the I/O APIC. Default true. */
  readonly nmiTicks?: boolean;
  /** Say at the end how often what happened. Default false: these numbers are not the same everywhere. */
  readonly statistics?: boolean;
}
