import type { GuestMemory } from '@vm/core';
import { type Chain, ChainBuilder, type Ring, type RingPlace } from './chain.ts';
import { AVAILABLE_NO_INTERRUPT, DESCRIPTOR_BYTES } from './spec.ts';

/** A split virtqueue, the device's side (2.7). Whatever the driver wrote, each call ends and stays in RAM. */
export class SplitRing implements Ring {
  fault: string | null = null;
  #available = 0; // next entry to take, modulo 2**16
  #used = 0;
  #told = 0; // value of `used` when the driver was last asked about interrupts
  readonly #place: RingPlace;
  readonly #dma: GuestMemory;
  readonly #builder: ChainBuilder;

  constructor(dma: GuestMemory, place: RingPlace) {
    this.#dma = dma;
    this.#place = place;
    this.#builder = new ChainBuilder(dma, place.indirect);
  }

  pop(): Chain | null {
    const { size, driver, device, eventIndex } = this.#place;
    if (this.fault !== null) return null;
    const waiting = (this.#dma.read(driver + 2, 2) - this.#available) & 0xffff;
    if (waiting > size) return this.#fail(`${waiting} new requests in a ring of ${size}`);
    if (waiting === 0) {
      // The driver's next one is to be notified.
      if (eventIndex) this.#dma.write(device + 4 + 8 * size, 2, this.#available);
      return null;
    }
    const head = this.#dma.read(driver + 4 + 2 * (this.#available % size), 2);
    this.#available = (this.#available + 1) & 0xffff;
    return this.at(head);
  }

  at(head: number): Chain | null {
    const { size, descriptors } = this.#place;
    const builder = this.#builder;
    builder.begin();
    let index = head;
    for (let steps = 0; ; steps++) {
      if (index >= size) return this.#fail(`descriptor ${index} of ${size}`);
      if (steps >= size) return this.#fail('a chain that does not end');
      if (!builder.add(descriptors + index * DESCRIPTOR_BYTES, true)) break;
      index = builder.next;
    }
    if (builder.fault !== null) return this.#fail(builder.fault);
    return builder.finish(head, head, 1);
  }

  push({ id }: Chain, written: number): void {
    const { size, device } = this.#place;
    const at = device + 4 + 8 * (this.#used % size);
    this.#dma.write(at, 4, id);
    this.#dma.write(at + 4, 4, written);
    this.#used = (this.#used + 1) & 0xffff;
    this.#dma.write(device + 2, 2, this.#used);
  }

  takeInterrupt(): boolean {
    const { size, driver, eventIndex } = this.#place;
    const added = (this.#used - this.#told) & 0xffff;
    this.#told = this.#used;
    if (added === 0) return false;
    if (!eventIndex) return (this.#dma.read(driver, 2) & AVAILABLE_NO_INTERRUPT) === 0;
    const event = this.#dma.read(driver + 4 + 2 * size, 2);
    return ((this.#used - event - 1) & 0xffff) < added;
  }

  save(): readonly number[] {
    return [this.#available, this.#used, this.#told];
  }

  load([available = 0, used = 0, told = 0]: readonly number[]): void {
    this.#available = available & 0xffff;
    this.#used = used & 0xffff;
    this.#told = told & 0xffff;
  }

  #fail(why: string): null {
    this.fault = why;
    return null;
  }
}
