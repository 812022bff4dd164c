import type { PlainController } from './plain-controller.ts';
import { FIRST_LEGAL_VECTOR } from './spec.ts';

/** Highest vector whose bit is set in a 256-bit set, -1 if the set is empty. */
export function highestVector(set: Uint32Array): number {
  for (let word = 7; word >= 0; word--) {
    const bits = set[word]!;
    if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
  }
  return -1;
}

/**
 * What one local APIC holds between acceptance and end of interrupt: the request, in-service and trigger-mode registers
 * and the two priorities (SDM vol. 3, 12.8.3 and 12.8.4). At most one request and one service per vector: a further
 * edge coalesces, as on the chip.
 */
export class VectorQueue {
  readonly requested: Uint32Array = new Uint32Array(8);
  readonly inService: Uint32Array = new Uint32Array(8);
  readonly levelTriggered: Uint32Array = new Uint32Array(8);
  taskPriority = 0;
  /** AMD's interrupt-enable registers: a vector whose bit is 0 is seen neither as requested nor as in service. Null: all are enabled. */
  enabled: Uint32Array | null = null;
  readonly #plain: PlainController | null;

  /** `plain`: what these registers stand over has no automatic and no selective end. */
  constructor(plain: PlainController | null = null) {
    this.#plain = plain;
  }

  clear(): void {
    this.requested.fill(0);
    this.inService.fill(0);
    this.levelTriggered.fill(0);
    this.taskPriority = 0;
    this.#plain?.assign(this.inService);
  }

  load(requested: readonly number[], inService: readonly number[], levelTriggered: readonly number[]): void {
    this.requested.set(requested);
    this.inService.set(inService);
    this.levelTriggered.set(levelTriggered);
    this.#plain?.assign(this.inService);
  }

  accept(vector: number, level: boolean): void {
    const word = vector >>> 5;
    const bit = 1 << (vector & 31);
    // The trigger mode stays after EOI; only the next acceptance of the vector rewrites it (guests read it late).
    if (level) this.levelTriggered[word]! |= bit;
    else this.levelTriggered[word]! &= ~bit;
    this.requested[word]! |= bit;
  }

  hasRequests(): boolean {
    const { requested } = this;
    return (requested[0]! | requested[1]! | requested[2]! | requested[3]! | requested[4]! | requested[5]! | requested[6]! | requested[7]!) !== 0;
  }

  highestInService(): number {
    return this.#highest(this.inService);
  }

  countInService(): number {
    let count = 0;
    for (let vector = 0; vector < 256; vector++) if ((this.inService[vector >>> 5]! & (1 << (vector & 31))) !== 0) count++;
    return count;
  }

  processorPriority(): number {
    const serviceClass = Math.max(0, this.highestInService()) & 0xf0;
    return (this.taskPriority & 0xf0) >= serviceClass ? this.taskPriority : serviceClass;
  }

  /** Vector that may interrupt now, -1 if none: its class must be above the class of the processor priority. */
  deliverable(): number {
    const vector = this.#highest(this.requested);
    return vector >= FIRST_LEGAL_VECTOR && (vector & 0xf0) > (this.processorPriority() & 0xf0) ? vector : -1;
  }

  /** Takes the request of `vector`, whose service ends in the same moment. */
  acknowledgeEnded(vector: number): void {
    this.#takeRequest(vector);
    this.#plain?.acknowledge(vector);
    this.#plain?.end(vector);
  }

  /** Moves `vector` from requested to in service. */
  acknowledge(vector: number): void {
    this.#takeRequest(vector);
    this.inService[vector >>> 5]! |= 1 << (vector & 31);
    this.#plain?.acknowledge(vector);
  }

  /** Ends the service of the highest vector and returns it, -1 when nothing was in service (a spurious EOI). */
  endOfInterrupt(): number {
    const vector = this.highestInService();
    if (vector >= 0) this.end(vector);
    return vector;
  }

  /** Ends the service of `vector`, wherever it stands; false when it was not in service. */
  end(vector: number): boolean {
    const word = vector >>> 5;
    const bit = 1 << (vector & 31);
    if ((this.inService[word]! & bit) === 0) return false;
    this.inService[word]! &= ~bit;
    this.#plain?.end(vector);
    return true;
  }

  isLevelTriggered(vector: number): boolean {
    return (this.levelTriggered[vector >>> 5]! & (1 << (vector & 31))) !== 0;
  }

  #takeRequest(vector: number): void {
    this.requested[vector >>> 5]! &= ~(1 << (vector & 31));
  }

  #highest(set: Uint32Array): number {
    const { enabled } = this;
    if (enabled === null) return highestVector(set);
    for (let word = 7; word >= 0; word--) {
      const bits = set[word]! & enabled[word]!;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits);
    }
    return -1;
  }
}
