import type { VectorQueue } from './vector-queue.ts';

/** How the guest says that it is through with interrupts: what the machine offers beside the register of ends. */
export type EoiPolicy = 'explicit' | 'auto' | 'lazy' | 'selective';
export const EOI_POLICIES: readonly EoiPolicy[] = ['explicit', 'auto', 'lazy', 'selective'];

/** Each policy offers what those before it do, and one thing more. */
export interface EoiOffers {
  readonly automatic: boolean; // sources whose interrupts end when they are acknowledged
  readonly lazy: boolean; // a mark in memory in place of a store to the register
  readonly selective: boolean; // an end for any vector in service
}

export function offersOf(policy: EoiPolicy): EoiOffers {
  const rank = EOI_POLICIES.indexOf(policy);
  return { automatic: rank >= 1, lazy: rank >= 2, selective: rank >= 3 };
}

/** What a guest may have arranged with the machine about ends of interrupts. The synthetic interrupt controller, and KVM's face. */
export interface EoiAssist {
  /** The acknowledgement of this vector ends it. Asked for edges only: an I/O APIC has to hear of the end of a level. */
  endsItself(vector: number): boolean;
  /** Tells the guest that the next end needs no exit; false where it has named no place for that. */
  offer(): boolean;
  /** Takes the offer back; true when the guest has made use of it. */
  withdraw(): boolean;
  /** The service of a vector has ended. */
  ended(vector: number): void;
}

/** Where the guest wrote an end. */
export type EndRegister = 'memory' | 'model' | 'synthetic' | 'selective';

/** Counts of one processor: what ends of interrupts cost. */
export class EndCounts {
  delivered = 0;
  memory = 0; // ends by the register in memory, by the model-specific one, by the hypervisor's, of a chosen vector
  model = 0;
  synthetic = 0;
  selective = 0;
  automatic = 0;
  lazy = 0;
  offered = 0;
  withdrawn = 0;
  level = 0; // told to the I/O APICs
  spurious = 0; // nothing was in service
  nesting = 0; // most vectors in service at a time, those that end themselves left out
}

/**
 * Ends of interrupts of one local APIC. An offer in the guest's memory stands for the highest vector in service, which was
 * an edge with nothing else requested. Whoever looks at requests or services calls `settle` first: it finds out whether the
 * guest has used the offer, and takes it back otherwise, so that the next end is heard of. At most one offer stands, so a
 * guest that ends two vectors without an exit does not exist.
 */
export class InterruptEnds {
  readonly counts: EndCounts = new EndCounts();
  #offered = false;
  #inService = 0;
  readonly #queue: VectorQueue;
  readonly #assist: EoiAssist | null;
  readonly #ended: (vector: number) => void;

  /** `ended` hears of every vector whose service has ended, but for those that end themselves. */
  constructor(queue: VectorQueue, assist: EoiAssist | null, ended: (vector: number) => void) {
    this.#queue = queue;
    this.#assist = assist;
    this.#ended = ended;
  }

  get offered(): boolean {
    return this.#offered;
  }

  /** For a saved machine: the mark is in memory already. */
  set offered(offered: boolean) {
    this.#offered = offered && this.#assist !== null;
    this.#inService = this.#queue.countInService();
  }

  forget(): void {
    if (this.#offered) this.#assist?.withdraw();
    this.#offered = false;
    this.#inService = 0;
  }

  /** HOT: before anything that reads or changes requests, services and priorities. */
  settle(): void {
    if (!this.#offered) return;
    this.#offered = false;
    if (this.#assist!.withdraw()) {
      this.counts.lazy++;
      this.#finish(this.#queue.endOfInterrupt());
    } else this.counts.withdrawn++;
  }

  /** HOT: a vector goes from requested to in service, or straight to its end. */
  acknowledge(vector: number): void {
    this.counts.delivered++;
    if (this.#assist !== null && !this.#queue.isLevelTriggered(vector) && this.#assist.endsItself(vector)) {
      this.counts.automatic++;
      this.#queue.acknowledgeEnded(vector);
    } else {
      this.#queue.acknowledge(vector);
      if (++this.#inService > this.counts.nesting) this.counts.nesting = this.#inService;
    }
    this.offer();
  }

  /** The end of the highest vector in service. */
  end(register: EndRegister): void {
    this.counts[register]++;
    this.settle(); // first: a guest that has used the offer means the vector below
    const vector = this.#queue.endOfInterrupt();
    if (vector < 0) this.counts.spurious++;
    else this.#finish(vector);
    this.offer();
  }

  /** The end of any vector in service; others stay as they are. */
  endSelected(vector: number): void {
    this.counts.selective++;
    this.settle();
    if (this.#queue.end(vector)) this.#finish(vector);
    else this.counts.spurious++;
    this.offer();
  }

  /** HOT: an edge in service with nothing requested beside it may end without an exit. */
  offer(): void {
    if (this.#offered || this.#assist === null || this.#queue.hasRequests()) return;
    const vector = this.#queue.highestInService();
    if (vector < 0 || this.#queue.isLevelTriggered(vector) || !this.#assist.offer()) return;
    this.#offered = true;
    this.counts.offered++;
  }

  #finish(vector: number): void {
    if (vector < 0) return;
    this.#inService = Math.max(0, this.#inService - 1);
    if (this.#queue.isLevelTriggered(vector)) this.counts.level++;
    this.#ended(vector);
    this.#assist?.ended(vector);
  }
}
