/** Lends a local APIC to a controller of the host, in whose hands it is while the guest runs, and takes it back. */
import type { ApicBus } from './apic-bus.ts';
import { type ApicLoan, loanOf, stateOf } from './apic-loan.ts';
import type { LocalApicOptions, LocalApicState } from './local-apic-ports.ts';
import { APIC_BASE_ENABLE, COMMAND_LEVEL } from './spec.ts';

const DEFAULT_HZ = 1e9;
/** A level that no local APIC took is offered again: the host's do not say when they begin to accept. */
const RETRY_NANOS = 10e6;

/** Who has the local APICs while they are lent. */
export interface ApicBorrower {
  /** Delivers a command word, the low half of the ICR; how many took it. */
  send(destination: number, command: number): number;
  /** Its processors come back from a run when they have nothing to do, and are to be told of messages. */
  readonly waits: boolean;
}

interface Lender {
  save(): LocalApicState;
  load(state: LocalApicState): void;
}

export class ApicLoans {
  /** What this local APIC has and those of hosts have not; null: it can be lent. */
  readonly obstacle: string | null;
  readonly #apic: Lender;
  readonly #bus: ApicBus;
  readonly #options: LocalApicOptions;
  readonly #retry: { arm(due: number): void };
  readonly #alarm: { arm(due: number): void; disarm(): void };
  #borrower: ApicBorrower | null = null;

  constructor(apic: Lender, options: LocalApicOptions) {
    this.#apic = apic;
    this.#bus = options.bus;
    this.#options = options;
    this.obstacle = obstacleOf(options);
    this.#retry = options.clock.timer(() => this.#bus.announceAccepting());
    this.#alarm = options.clock.timer(() => options.processor.signal());
  }

  /**
   * From now on the machine's messages go to the borrower, and all that is left here is the wire of the 8259: `isPending` and `acknowledge`
   * speak of that, whatever the vector table says.
   */
  lend(borrower: ApicBorrower): ApicLoan {
    const { clock } = this.#options;
    const state = this.#apic.save();
    const loan = loanOf(state, clock.now());
    this.#borrower = borrower;
    this.#bus.lend((destination, command) => this.#carry(destination, command));
    // A disabled local APIC passes its pins through (SDM vol. 3, 12.4.3), and has no timer.
    this.#apic.load({ ...state, baseLow: (state.baseLow & ~APIC_BASE_ENABLE) >>> 0, requested: ZEROS, inService: ZEROS, timer: { ...state.timer, due: -1 } });
    return loan;
  }

  takeBack(loan: ApicLoan): void {
    if (this.#borrower === null) return;
    this.#borrower = null;
    this.#bus.lend(null);
    this.#alarm.disarm();
    this.#apic.load(stateOf(loan, this.#options.clock.now(), this.#apic.save().lint));
  }

  /** The service of a level has ended. */
  ended(vector: number): void { this.#bus.broadcastEoi(vector); }

  /** The processor waits, and has something to do then. Infinity: only when it is sent something. */
  wakeAt(due: number): void {
    if (due === Infinity) this.#alarm.disarm();
    else this.#alarm.arm(due);
  }

  #carry(destination: number, command: number): number {
    const taken = this.#borrower!.send(destination, command);
    if (taken === 0 && (command & COMMAND_LEVEL) !== 0) this.#retry.arm(this.#options.clock.now() + RETRY_NANOS);
    if (this.#borrower!.waits) this.#options.processor.signal();
    return taken;
  }
}

const ZEROS: readonly number[] = [0, 0, 0, 0, 0, 0, 0, 0];

function obstacleOf({ face, assist, extendedSpace, suppressesBroadcasts, plainController, timerHz = DEFAULT_HZ, tscHz = DEFAULT_HZ }: LocalApicOptions): string | null {
  if (face !== undefined || assist !== undefined) return 'enlightenments';
  if (extendedSpace === true) return 'end of a chosen vector (AMD\'s extended space)';
  if (suppressesBroadcasts === true) return 'way to keep ends of levels from the I/O APIC';
  if (plainController === true) return 'plain controller below';
  return timerHz === DEFAULT_HZ && tscHz === DEFAULT_HZ ? null : 'timer of another rate than 1 GHz';
}
