import { highestVector } from './vector-queue.ts';

/**
 * The controller of a host that knows one end only: that of the highest vector in service. The guest's, over it, has more. What ends by itself
 * is the highest when it is acknowledged, so it ends here in the same moment. A chosen vector below the highest is owed: it stays in
 * service here, where it holds nobody up who would not wait for the highest anyhow, and ends as soon as it is the highest itself.
 */
export class PlainController {
  /** Ends it was told. */
  ends = 0;
  readonly inService: Uint32Array = new Uint32Array(8);
  readonly owed: Uint32Array = new Uint32Array(8);

  /** From the guest's in-service registers, all of which are to be ended yet. */
  assign(inService: Uint32Array): void {
    this.inService.set(inService);
    this.owed.fill(0);
  }

  /** HOT. */
  acknowledge(vector: number): void {
    this.inService[vector >>> 5]! |= 1 << (vector & 31);
    this.owed[vector >>> 5]! &= ~(1 << (vector & 31)); // it serves a second time what had ended for the guest: one end is enough
  }

  /** HOT: the guest's service of a vector has ended. */
  end(vector: number): void {
    this.owed[vector >>> 5]! |= 1 << (vector & 31);
    for (let highest = highestVector(this.inService); highest >= 0; highest = highestVector(this.inService)) {
      const word = highest >>> 5;
      const bit = 1 << (highest & 31);
      if ((this.owed[word]! & bit) === 0) return;
      this.inService[word]! &= ~bit;
      this.owed[word]! &= ~bit;
      this.ends++;
    }
  }
}
