import type { InterruptEnds } from './interrupt-ends.ts';
import * as spec from './spec.ts';
import type { VectorQueue } from './vector-queue.ts';

/**
 * AMD's extended APIC space (AMD APM vol. 2, 16.3.1 and 16.7): the end of a chosen vector, and enabling vectors one by one.
 * Both have to be switched on; there are no extended vector-table entries.
 */
export class ExtendedSpace {
  control = 0;
  readonly enables: Uint32Array = new Uint32Array(8).fill(0xffff_ffff);
  readonly #queue: VectorQueue;
  readonly #ends: InterruptEnds;

  constructor(queue: VectorQueue, ends: InterruptEnds) {
    this.#queue = queue;
    this.#ends = ends;
  }

  reset(): void {
    this.control = 0;
    this.enables.fill(0xffff_ffff);
    this.apply();
  }

  save(): number[] {
    return [this.control, ...this.enables];
  }

  load(state: readonly number[]): void {
    this.control = (state[0] ?? 0) & (spec.EXTENDED_ENABLES | spec.EXTENDED_SELECTED_EOI);
    for (let i = 0; i < 8; i++) this.enables[i] = state[i + 1] ?? 0xffff_ffff;
    this.apply();
  }

  has(index: number): boolean {
    return (index >= spec.LAPIC_EXTENDED_FEATURE && index <= spec.LAPIC_SELECTED_EOI) || (index >= spec.LAPIC_ENABLE && index < spec.LAPIC_ENABLE + 8);
  }

  read(index: number): number {
    switch (index) {
      case spec.LAPIC_EXTENDED_FEATURE: return spec.EXTENDED_ENABLES | spec.EXTENDED_SELECTED_EOI;
      case spec.LAPIC_EXTENDED_CONTROL: return this.control;
      case spec.LAPIC_SELECTED_EOI: return 0;
      default: return this.enables[index - spec.LAPIC_ENABLE]!;
    }
  }

  /** Afterwards something may have become deliverable. */
  write(index: number, value: number): void {
    this.#ends.settle(); // an end that was not told belongs to what was visible then
    if (index === spec.LAPIC_EXTENDED_CONTROL) this.control = value & (spec.EXTENDED_ENABLES | spec.EXTENDED_SELECTED_EOI);
    else if (index === spec.LAPIC_SELECTED_EOI) {
      if ((this.control & spec.EXTENDED_SELECTED_EOI) !== 0) this.#ends.endSelected(value & 0xff);
    } else if (index >= spec.LAPIC_ENABLE && (this.control & spec.EXTENDED_ENABLES) !== 0) {
      this.enables[index - spec.LAPIC_ENABLE] = index === spec.LAPIC_ENABLE ? value | 0xffff : value; // vectors below 16 have no bits
    }
    this.apply();
    this.#ends.offer();
  }

  /** After `control` or `enables` was set. */
  apply(): void {
    this.#queue.enabled = (this.control & spec.EXTENDED_ENABLES) === 0 ? null : this.enables;
  }
}
