import { VmError } from './errors.ts';
import type { SlotTable } from './slot-table.ts';

/** Where in one address space the regions lie: from an address to a slot, 0 for nobody. */
export interface AddressMap {
  find(address: number): number;
  /** Places or moves a slot. Throws VmError E_OVERLAP and changes nothing when part of the range is taken. */
  place(slot: number, base: number, bytes: number): void;
  remove(slot: number): void;
}

const PORTS = 0x1_0000;

/** The 65,536 ports, one table entry each. */
export class PortMap implements AddressMap {
  // Some entries more than there are ports, for accesses that run over the end.
  readonly #slots: Uint16Array = new Uint16Array(PORTS + 8);
  readonly #table: SlotTable;

  constructor(table: SlotTable) {
    this.#table = table;
  }

  find(port: number): number {
    return this.#slots[port]!;
  }

  place(slot: number, base: number, bytes: number): void {
    checkRange(this.#table.label(slot), base, bytes, PORTS);
    for (let port = base; port < base + bytes; port++) {
      const other = this.#slots[port]!;
      if (other !== 0 && other !== slot) throw overlap(this.#table, slot, other, base, bytes);
    }
    this.remove(slot);
    this.#slots.fill(slot, base, base + bytes);
  }

  remove(slot: number): void {
    for (let port = this.#slots.indexOf(slot); port >= 0 && this.#slots[port] === slot; port++) this.#slots[port] = 0;
  }
}

const PHYSICAL = 2 ** 52;

/** Guest-physical memory: a sorted list, with the last region found tried first. */
export class MemoryMap implements AddressMap {
  #starts: Float64Array = new Float64Array(0);
  #ends: Float64Array = new Float64Array(0);
  #slots: Uint16Array = new Uint16Array(0);
  #last = 0;
  readonly #table: SlotTable;

  constructor(table: SlotTable) {
    this.#table = table;
  }

  /** HOT. */
  find(address: number): number {
    const starts = this.#starts;
    if (starts.length === 0) return 0;
    const last = this.#last;
    if (address >= starts[last]! && address < this.#ends[last]!) return this.#slots[last]!;
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (starts[middle]! <= address) low = middle;
      else high = middle - 1;
    }
    if (address < starts[low]! || address >= this.#ends[low]!) return 0;
    this.#last = low;
    return this.#slots[low]!;
  }

  place(slot: number, base: number, bytes: number): void {
    checkRange(this.#table.label(slot), base, bytes, PHYSICAL);
    for (let i = 0; i < this.#slots.length; i++) {
      const other = this.#slots[i]!;
      if (other !== slot && base < this.#ends[i]! && base + bytes > this.#starts[i]!) throw overlap(this.#table, slot, other, base, bytes);
    }
    this.#rebuild(slot, [{ slot, start: base, end: base + bytes }]);
  }

  remove(slot: number): void {
    this.#rebuild(slot, []);
  }

  #rebuild(without: number, added: { readonly slot: number; readonly start: number; readonly end: number }[]): void {
    const kept = Array.from(this.#slots, (slot, i) => ({ slot, start: this.#starts[i]!, end: this.#ends[i]! }));
    const all = [...kept.filter((range) => range.slot !== without), ...added].sort((a, b) => a.start - b.start);
    this.#starts = Float64Array.from(all, (range) => range.start);
    this.#ends = Float64Array.from(all, (range) => range.end);
    this.#slots = Uint16Array.from(all, (range) => range.slot);
    this.#last = 0;
  }
}

function checkRange(label: string, base: number, bytes: number, limit: number): void {
  if (Number.isInteger(base) && base >= 0 && base + bytes <= limit) return;
  throw new RangeError(`${label}: expected a base of 0 to 0x${(limit - bytes).toString(16)}, got ${base}`);
}

function overlap(table: SlotTable, slot: number, other: number, base: number, bytes: number): VmError {
  const range = `0x${base.toString(16)} to 0x${(base + bytes - 1).toString(16)}`;
  const owner = table.label(slot).split('.')[0]!;
  return new VmError('E_OVERLAP', `${table.label(slot)}: ${range} is taken by ${table.label(other)}`, { device: owner });
}
