import type { ApicBus } from './apic-bus.ts';
import type { EoiAssist } from './interrupt-ends.ts';
import type { GuestFace } from './synthetic/guest-face.ts';
import type { ApicClock, ApicTimerState } from './local-apic-timer.ts';

/** The processor that a local APIC belongs to. */
export interface ApicProcessor {
  /** Something may have become deliverable: ask `isPending()` at the next instruction boundary. */
  signal(): void;
  /** A non-maskable interrupt arrived. */
  nmi?(): void;
  /** INIT: back to the reset state, waiting for a start-up message unless this is the boot processor. */
  init?(): void;
  /** Start-up message: run at `page` << 12 in real mode. */
  startup?(page: number): void;
}

/** The 8259 behind LINT0: asked for the vector of an ExtINT. */
export interface ExternalInterrupts {
  acknowledge(): number;
}

export interface LocalApicOptions {
  readonly id: number;
  readonly bus: ApicBus;
  readonly clock: ApicClock;
  readonly processor: ApicProcessor;
  readonly external?: ExternalInterrupts; // absent: no 8259 in the machine
  readonly timerHz?: number; // default 1 GHz
  readonly tscHz?: number; // default 1 GHz; the guest's TSC reads 0 at machine time 0
  readonly assist?: EoiAssist; // absent: every end is written to a register
  /** AMD's extended space, with the end of any vector. Default: false. */
  readonly extendedSpace?: boolean;
  /** Software may keep ends of levels from the I/O APICs, which then need an EOI register. Default: false. */
  readonly suppressesBroadcasts?: boolean;
  /** The controller that this one is made over ends the highest vector in service and no other, and none by itself. Default: false. */
  readonly plainController?: boolean;
  /** A hypervisor's, which is an `assist` too. */
  readonly face?: GuestFace;
}

export interface LocalApicState {
  readonly baseLow: number;
  readonly baseHigh: number;
  readonly registers: readonly number[];
  readonly requested: readonly number[];
  readonly inService: readonly number[];
  readonly levelTriggered: readonly number[];
  readonly lint: readonly boolean[];
  readonly timer: ApicTimerState;
  readonly offered: boolean; // a mark in the guest's memory stands
  readonly extended: readonly number[]; // control and enables, empty without
}
