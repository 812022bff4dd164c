import type { IoHandler, IoRegion, IoSpace, Size } from './abi.ts';
import type { AddressMap } from './address-map.ts';
import type { AccessQueue, IoBus } from './engine.ts';
import { VmError } from './errors.ts';
import { allOnes, type SlotTable } from './slot-table.ts';

const ALL_SIZES: readonly Size[] = [1, 2, 4];

/** One address space: devices claim regions of it, processors access it. */
export class Bus implements IoBus {
  #open = 0;
  readonly #map: AddressMap;
  readonly #table: SlotTable;
  readonly #regions: Region[] = [];

  constructor(table: SlotTable, map: AddressMap) {
    this.#table = table;
    this.#map = map;
  }

  get reads(): number {
    return this.#regions.reduce((sum, { slot }) => sum + this.#table.reads(slot), 0);
  }

  get writes(): number {
    return this.#regions.reduce((sum, { slot }) => sum + this.#table.writes(slot), 0);
  }

  /** Accesses that nobody answered. */
  get open(): number {
    return this.#open;
  }

  /** Accesses by region. */
  *counts(): Generator<readonly [name: string, count: number]> {
    for (const { owner, name, slot } of this.#regions) {
      yield [`${owner}.${name}.reads`, this.#table.reads(slot)];
      yield [`${owner}.${name}.writes`, this.#table.writes(slot)];
    }
  }

  /** HOT. */
  read(address: number, size: Size): number {
    const slot = this.#map.find(address);
    if (slot === 0 || !this.#table.takes(slot, address, size)) return this.#readInParts(slot, address, size);
    return this.#table.read(slot, address, size);
  }

  /** HOT. */
  write(address: number, size: Size, value: number): void {
    const slot = this.#map.find(address);
    if (slot === 0 || !this.#table.takes(slot, address, size)) return this.#writeInParts(slot, address, size, value);
    this.#table.write(slot, address, size, value);
  }

  readWide(address: number, bytes: number, into: DataView): void {
    const slot = this.#map.find(address);
    if (slot !== 0 && this.#table.readWide(slot, address, bytes, into)) return;
    for (let i = 0; i < bytes; i += 4) into.setUint32(i, this.read(address + i, 4), true);
  }

  writeWide(address: number, bytes: number, from: DataView): void {
    const slot = this.#map.find(address);
    if (slot !== 0 && this.#table.writeWide(slot, address, bytes, from)) return;
    for (let i = 0; i < bytes; i += 4) this.write(address + i, 4, from.getUint32(i, true));
  }

  get queues(): number { return this.#table.queues; }

  isSteady(address: number, size: Size): boolean {
    const slot = this.#map.find(address);
    return slot === 0 || (this.#table.takes(slot, address, size) && this.#table.isSteady(slot, address, size));
  }

  queue(address: number, size: Size): AccessQueue | null {
    const slot = this.#map.find(address);
    return slot !== 0 && this.#table.takes(slot, address, size) ? this.#table.queue(slot) : null;
  }

  enqueue(index: number, address: number, size: Size, isWrite: boolean, value: number, now: number): void {
    this.#table.enqueue(this.#map.find(address), index, address, size, isWrite, value, now);
  }

  /** This space as the device `owner` sees it. */
  spaceFor(owner: string): IoSpace {
    return { claim: (name, bytes, handler, sizes = ALL_SIZES) => this.#claim(owner, name, bytes, handler, sizes) };
  }

  /** Takes back everything that `owner` claimed. */
  release(owner: string): void {
    const kept = this.#regions.filter((region) => region.owner !== owner || (region.release(), false));
    this.#regions.splice(0, Infinity, ...kept);
  }

  #claim(owner: string, name: string, bytes: number, handler: IoHandler, sizes: readonly Size[]): IoRegion {
    if (!Number.isInteger(bytes) || bytes < 1) throw new RangeError(`${owner}.${name}: expected a size of 1 byte or more, got ${bytes}`);
    if (sizes.length === 0) throw new RangeError(`${owner}.${name}: expected at least one access size`);
    if (this.#regions.some((region) => region.owner === owner && region.name === name)) {
      throw new VmError('E_NAME', `${owner}.${name} is claimed twice`, { device: owner });
    }
    const region = new Region(owner, name, bytes, this.#table.add(owner, name, handler, sizes), this.#table, this.#map);
    this.#regions.push(region);
    return region;
  }

  /** Nobody there, over the end of a region, or a size that the handler does not take. */
  #readInParts(slot: number, address: number, size: Size): number {
    const table = this.#table;
    if (slot === 0 && size === 1) {
      this.#open++;
      return 0xff;
    }
    if (slot !== 0) {
      const least = leastSize(table.sizes(slot));
      if (size < least) {
        // The register is wider than the access: read it once and cut.
        const inside = (address - table.base(slot)) % least;
        const start = address - inside;
        if (inside + size > least || start + least > table.end(slot)) return allOnes(size);
        return ((table.read(slot, start, least) >>> (8 * inside)) & allOnes(size)) >>> 0;
      }
    }
    if (size === 1) return 0xff;
    const half = size === 4 ? 2 : 1;
    return (this.read(address, half) | (this.read(address + half, half) << (8 * half))) >>> 0;
  }

  #writeInParts(slot: number, address: number, size: Size, value: number): void {
    if (slot === 0 && size === 1) {
      this.#open++;
      return;
    }
    // Half a register cannot be written without inventing the other half.
    if (size === 1 || (slot !== 0 && size < leastSize(this.#table.sizes(slot)))) return;
    const half = size === 4 ? 2 : 1;
    this.write(address, half, (value & allOnes(half)) >>> 0);
    this.write(address + half, half, value >>> (8 * half));
  }
}

class Region implements IoRegion {
  #base = -1;
  #released = false;
  readonly owner: string;
  readonly name: string;
  readonly bytes: number;
  readonly slot: number;
  readonly #table: SlotTable;
  readonly #map: AddressMap;

  constructor(owner: string, name: string, bytes: number, slot: number, table: SlotTable, map: AddressMap) {
    this.owner = owner;
    this.name = name;
    this.bytes = bytes;
    this.slot = slot;
    this.#table = table;
    this.#map = map;
  }

  get base(): number {
    return this.#base;
  }

  map(base: number): void {
    if (this.#released) throw new VmError('E_PHASE', `${this.owner}.${this.name}: the device is torn down`, { device: this.owner });
    this.#map.place(this.slot, base, this.bytes);
    this.#table.setRange(this.slot, base, this.bytes);
    this.#base = base;
  }

  unmap(): void {
    if (this.#base >= 0) this.#map.remove(this.slot);
    this.#base = -1;
  }

  release(): void {
    this.unmap();
    this.#table.release(this.slot);
    this.#released = true;
  }
}

function leastSize(sizes: number): Size {
  return (sizes & 1) !== 0 ? 1 : (sizes & 2) !== 0 ? 2 : 4;
}
