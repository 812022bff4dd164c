/**
 * RAM of a flat machine: a range from address 0, and single pages anywhere else. It knows which pages were stored to, so that
 * the next run can begin with zeros at the cost of those alone.
 */
import type { Ram, RamWatcher } from '@vm/core/engine';
import { PAGE_CLEAN } from '@vm/core/exit';

const PAGE = 4096;

export class FlatMemory {
  readonly ram: Ram;
  /** The range from address 0. */
  readonly bytes: Uint8Array;
  readonly #all: Uint8Array;
  readonly #attributes: Uint8Array;
  readonly #watchers: RamWatcher[] = [];
  /** Offset of each page outside the first range, by its number. */
  readonly #places = new Map<number, number>();
  /** Pages, counted from the start of RAM, stored to since `clear`. */
  readonly #dirty: number[] = [];
  readonly #lowBytes: number;
  readonly #extraPages: number;

  /** `reserveBytes` of linear memory belong to the engine. */
  constructor(reserveBytes: number, lowBytes: number, extraPages: number) {
    const ramBytes = lowBytes + extraPages * PAGE;
    const base = Math.ceil((reserveBytes + ramBytes / PAGE) / 65536) * 65536;
    const pages = Math.ceil((base + ramBytes) / 65536);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.#lowBytes = lowBytes;
    this.#extraPages = extraPages;
    this.#attributes = new Uint8Array(memory.buffer, reserveBytes, ramBytes / PAGE).fill(PAGE_CLEAN);
    this.#all = new Uint8Array(memory.buffer, base, ramBytes);
    this.bytes = this.#all.subarray(0, lowBytes);
    this.ram = {
      memory, base, bytes: ramBytes, attributesOffset: reserveBytes,
      ranges: [{ gpa: 0, offset: base, bytes: lowBytes }],
      offsetOf: (gpa) => {
        if (gpa < lowBytes) return base + gpa;
        const place = this.#places.get(Math.floor(gpa / PAGE));
        return place === undefined ? -1 : place + (gpa % PAGE);
      },
      watch: (_mask, watcher) => { this.#watchers.push(watcher); },
      written: (offset, bytes) => this.#written(offset, bytes),
    };
  }

  #written(offset: number, bytes: number): void {
    const first = (offset - this.ram.base) >>> 12;
    const last = (offset + bytes - 1 - this.ram.base) >>> 12;
    for (let page = first; page <= last; page++) {
      const attributes = this.#attributes[page] as number;
      if ((attributes & PAGE_CLEAN) !== 0) {
        this.#attributes[page] = attributes & ~PAGE_CLEAN;
        this.#dirty.push(page);
      }
      if ((attributes & ~PAGE_CLEAN) !== 0) for (const watcher of this.#watchers) watcher.written(offset, bytes);
    }
  }

  /** Makes sure that there is RAM at `address`, an integer below 2^52. */
  provide(address: number): void {
    const page = Math.floor(address / PAGE);
    if (address < this.#lowBytes || this.#places.has(page)) return;
    if (this.#places.size === this.#extraPages) throw new RangeError(`memory outside the first ${this.#lowBytes >>> 20} MiB: at most ${this.#extraPages / 256} MiB expected`);
    this.#places.set(page, this.ram.base + this.#lowBytes + this.#places.size * PAGE);
  }
  has(address: number): boolean { return this.ram.offsetOf(address) >= 0; }

  /** Stores bytes so that decoded code notices. All of it has to be RAM. */
  put(address: number, bytes: ArrayLike<number>): void {
    for (let from = 0; from < bytes.length; ) {
      const at = address + from;
      const count = Math.min(bytes.length - from, PAGE - (at % PAGE));
      const offset = this.#offset(at);
      const place = offset - this.ram.base;
      if (bytes instanceof Uint8Array) this.#all.set(from === 0 && count === bytes.length ? bytes : bytes.subarray(from, from + count), place);
      else for (let i = 0; i < count; i++) this.#all[place + i] = bytes[from + i] as number;
      this.#written(offset, count);
      from += count;
    }
  }
  /** A copy of `count` bytes; what is no RAM reads as all-ones. */
  get(address: number, count: number): Uint8Array {
    const out = new Uint8Array(count).fill(0xff);
    for (let from = 0; from < count; ) {
      const at = address + from;
      const part = Math.min(count - from, PAGE - (at % PAGE));
      const offset = this.ram.offsetOf(at);
      if (offset >= 0) out.set(this.#all.subarray(offset - this.ram.base, offset - this.ram.base + part), from);
      from += part;
    }
    return out;
  }
  #offset(address: number): number {
    const offset = this.ram.offsetOf(address);
    if (offset < 0) throw new RangeError(`there is no memory at 0x${address.toString(16)}`);
    return offset;
  }

  /** Makes everything zero. Write translations that the processor has cached must go afterwards. */
  clear(): void {
    for (const page of this.#dirty) {
      const offset = this.ram.base + page * PAGE;
      this.#all.fill(0, page * PAGE, (page + 1) * PAGE);
      const attributes = this.#attributes[page] as number;
      if (attributes !== 0) for (const watcher of this.#watchers) watcher.written(offset, PAGE);
      this.#attributes[page] = (this.#attributes[page] as number) | PAGE_CLEAN;
    }
    this.#dirty.length = 0;
  }
  /** Also forgets the pages outside the first range; their place is used again. */
  forget(): void {
    this.clear();
    this.#places.clear();
  }
}
