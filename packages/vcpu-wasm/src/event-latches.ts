import type { ProcessorEvent } from '@vm/core/engine';

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
  /** A second one came before the first was taken: it waits for the end of the handler as one would that came during it. */
  nmiAgain = false;
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

  /** What no flag holds back has come. */
  get isUrgent(): boolean { return this.nmi || this.init || this.waitsForStartup; }
  /** The next instruction cannot be run like any other. */
  get isInTheWay(): boolean { return this.halted || this.shutdown || this.shadow; }

  note(event: ProcessorEvent, page: number): void {
    if (event === 'nmi') {
      this.nmiAgain ||= this.nmi && !this.nmiBlocked;
      this.nmi = true;
    }
    else if (event === 'init') { this.init = true; this.startPage = -1; }
    else if (this.waitsForStartup || this.init) this.startPage = page & 0xff;
  }

  /** The handler of an NMI begins: others wait for its end. */
  takeNmi(): void {
    this.nmi = this.nmiAgain;
    this.nmiAgain = false;
    this.nmiBlocked = true;
  }

  /** Page of the start-up message that it waited for, and waits no more; -1: none has come. */
  takeStartup(): number {
    const page = this.startPage;
    if (page < 0) return page;
    this.startPage = -1;
    this.waitsForStartup = false;
    this.halted = false;
    return page;
  }

  reset(): void {
    Object.assign(this, new EventLatches());
  }
}
