import type { Gpa, GuestMemory, Size } from './abi.ts';
import type { Ram } from './engine.ts';
import { allOnes } from './slot-table.ts';

/** RAM for devices and loaders. Every store passes `commit`, which tells the watchers of the pages. */
export class RamAccess implements GuestMemory {
  readonly #ram: Ram;
  readonly #view: DataView;

  constructor(ram: Ram) {
    this.#ram = ram;
    this.#view = new DataView(ram.memory.buffer);
  }

  /** HOT. */
  read(gpa: Gpa, size: Size): number {
    const at = this.#locate(gpa, size);
    if (at < 0) return allOnes(size);
    return size === 4 ? this.#view.getUint32(at, true) : size === 2 ? this.#view.getUint16(at, true) : this.#view.getUint8(at);
  }

  /** HOT. */
  write(gpa: Gpa, size: Size, value: number): void {
    const at = this.#locate(gpa, size);
    if (at < 0) return;
    if (size === 4) this.#view.setUint32(at, value, true);
    else if (size === 2) this.#view.setUint16(at, value, true);
    else this.#view.setUint8(at, value);
    this.#ram.written(at, size);
  }

  copyOut(gpa: Gpa, into: Uint8Array): boolean {
    const window = this.readWindow(gpa, into.length);
    if (window !== null) into.set(window);
    return window !== null;
  }

  copyIn(gpa: Gpa, from: Uint8Array): boolean {
    const window = this.writeWindow(gpa, from.length);
    if (window === null) return false;
    window.set(from);
    this.commit(gpa, from.length);
    return true;
  }

  readWindow(gpa: Gpa, bytes: number): Uint8Array | null {
    const at = this.#locate(gpa, bytes);
    return at < 0 ? null : new Uint8Array(this.#ram.memory.buffer, at, bytes);
  }

  writeWindow(gpa: Gpa, bytes: number): Uint8Array | null {
    return this.readWindow(gpa, bytes);
  }

  commit(gpa: Gpa, bytes: number): void {
    const at = this.#locate(gpa, bytes);
    if (at >= 0 && bytes > 0) this.#ram.written(at, bytes);
  }

  /** Offset of a range that is RAM from end to end, else -1. The two ranges of RAM never touch in the guest's addresses. */
  #locate(gpa: Gpa, bytes: number): number {
    const at = gpa >= 0 ? this.#ram.offsetOf(gpa) : -1;
    if (at < 0 || bytes <= 1) return at;
    const last = this.#ram.offsetOf(gpa + bytes - 1);
    return last - at === bytes - 1 ? at : -1;
  }
}
