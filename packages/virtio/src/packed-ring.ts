import type { GuestMemory } from '@vm/core';
import { type Chain, ChainBuilder, type Ring, type RingPlace } from './chain.ts';
import * as spec from './spec.ts';

/** A packed virtqueue, the device's side (2.8): one ring of descriptors, with a wrap counter for each direction. */
export class PackedRing implements Ring {
  fault: string | null = null;
  #available = 0;
  #availableWrap = 1;
  #used = 0;
  #usedWrap = 1;
  #added = 0; // descriptors used since then
  readonly #place: RingPlace;
  readonly #dma: GuestMemory;
  readonly #builder: ChainBuilder;

  constructor(dma: GuestMemory, place: RingPlace) {
    this.#dma = dma;
    this.#place = place;
    this.#builder = new ChainBuilder(dma, place.indirect);
    dma.write(place.device, 4, spec.EVENTS_ENABLED << 16);
  }

  pop(): Chain | null {
    const { size, descriptors } = this.#place;
    if (this.fault !== null) return null;
    const flags = this.#dma.read(descriptors + this.#available * spec.DESCRIPTOR_BYTES + 14, 2);
    const available = (flags & spec.DESCRIPTOR_AVAILABLE) !== 0 ? 1 : 0;
    const used = (flags & spec.DESCRIPTOR_USED) !== 0 ? 1 : 0;
    if (available !== this.#availableWrap || used === this.#availableWrap) return null;
    const chain = this.at(this.#available);
    if (chain === null) return null;
    this.#available += chain.slots;
    if (this.#available >= size) {
      this.#available -= size;
      this.#availableWrap ^= 1;
    }
    return chain;
  }

  at(position: number): Chain | null {
    const { size, descriptors } = this.#place;
    const builder = this.#builder;
    builder.begin();
    let slots = 1;
    while (builder.add(descriptors + ((position + slots - 1) % size) * spec.DESCRIPTOR_BYTES, false)) {
      if (++slots > size) return this.#fail('a chain longer than its ring');
    }
    if (builder.fault !== null) return this.#fail(builder.fault);
    return builder.finish(position, builder.next, slots);
  }

  push({ id, slots }: Chain, written: number): void {
    const { size, descriptors } = this.#place;
    const at = descriptors + this.#used * spec.DESCRIPTOR_BYTES;
    const marks = this.#usedWrap === 1 ? spec.DESCRIPTOR_AVAILABLE | spec.DESCRIPTOR_USED : 0;
    this.#dma.write(at + 8, 4, written);
    this.#dma.write(at + 12, 4, (id | ((marks | (written > 0 ? spec.DESCRIPTOR_WRITE : 0)) << 16)) >>> 0);
    this.#used += slots;
    this.#added += slots;
    if (this.#used < size) return;
    this.#used -= size;
    this.#usedWrap ^= 1;
  }

  takeInterrupt(): boolean {
    const { size, driver, eventIndex } = this.#place;
    const added = this.#added;
    this.#added = 0;
    if (added === 0) return false;
    const flags = this.#dma.read(driver + 2, 2) & 3;
    if (flags !== spec.EVENTS_AT_DESCRIPTOR || !eventIndex) return flags !== spec.EVENTS_DISABLED;
    const event = this.#dma.read(driver, 2);
    // Descriptors from the event to the end of what is used, in the same turn of the ring or the one before.
    const behind = this.#used - (event & 0x7fff) + (event >>> 15 === this.#usedWrap ? 0 : size);
    return behind > 0 && behind <= added;
  }

  save(): readonly number[] {
    return [this.#available, this.#availableWrap, this.#used, this.#usedWrap, this.#added];
  }

  load([available = 0, availableWrap = 1, used = 0, usedWrap = 1, added = 0]: readonly number[]): void {
    const { size } = this.#place;
    this.#available = (available >>> 0) % size;
    this.#availableWrap = availableWrap & 1;
    this.#used = (used >>> 0) % size;
    this.#usedWrap = usedWrap & 1;
    this.#added = Math.min(added >>> 0, size);
  }

  #fail(why: string): null {
    this.fault = why;
    return null;
  }
}
