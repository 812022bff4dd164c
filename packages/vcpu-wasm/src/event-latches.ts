/** What a processor holds between two instructions beside its registers. */
export class EventLatches {
  /** Waits for an interrupt. */
  halted = false;
  /** No interrupt before the next instruction: STI, MOV SS. */
  shadow = false;
  /** The shadow holds back debug traps too. */
  trapShadow = false;
  /** An interrupt was taken, and no instruction has run since. */
  taken = false;
  // What no interrupt flag holds back.
  nmi = false;
  nmiBlocked = false;
  init = false;
  /** Page of a start-up message, or -1. */
  startPage = -1;
  /** Only a start-up message wakes it. */
  waitsForStartup = false;
  shutdown = false;
  /** The program wanted the shutdown. */
  deliberate = false;

  /** Nothing but a reset ends it, as long as no interrupt is taken and nobody sends anything. */
  get isStuck(): boolean { return this.halted && !this.nmi && !this.init && this.startPage < 0; }

  reset(): void {
    Object.assign(this, new EventLatches());
  }
}
