import type { Gpa } from './abi.ts';
import type { LinearMemory, Ram, RamRange, RamWatcher } from './engine.ts';
import { VmError } from './errors.ts';
import { PAGE_READ_ONLY } from './exit.ts';

const PAGE_BYTES = 4096;
const WASM_PAGE_BYTES = 0x1_0000;
const LINEAR_LIMIT = 2 ** 32; // of a memory with 32-bit addresses
const HOLE_START = 0xc000_0000; // devices live between here and 4 GiB
const HOLE_END = 2 ** 32;

const FIRMWARE_MOST = 0x80_0000; // below that devices have their place

/** Makes a linear memory that never grows. */
export type CreateMemory = (wasmPages: number) => LinearMemory;

/** RAM as the machine has it. */
export interface MachineRam extends Ram {
  /** A byte a page, 1: stored to by somebody who tells, devices for instance; null: nobody wants to know. */
  stored: Uint8Array | null;
}

/** `firmwareBytes` that end at 4 GiB come behind all RAM and are in none of its ranges. */
export function createRam(ramBytes: number, reserveBytes: number, createMemory: CreateMemory = createWasmMemory, firmwareBytes = 0): MachineRam {
  if (!Number.isInteger(ramBytes) || ramBytes <= 0 || ramBytes % PAGE_BYTES !== 0) {
    throw new VmError('E_MEMORY', `RAM: expected a positive multiple of ${PAGE_BYTES} bytes, got ${ramBytes}`);
  }
  if (!Number.isInteger(firmwareBytes) || firmwareBytes < 0 || firmwareBytes % PAGE_BYTES !== 0 || firmwareBytes > FIRMWARE_MOST) {
    throw new VmError('E_MEMORY', `firmware: expected a multiple of ${PAGE_BYTES} bytes up to ${FIRMWARE_MOST}, got ${firmwareBytes}`);
  }
  const bytes = ramBytes + firmwareBytes;
  const attributesOffset = align(reserveBytes, PAGE_BYTES);
  const base = align(attributesOffset + bytes / PAGE_BYTES, WASM_PAGE_BYTES);
  if (base + bytes > LINEAR_LIMIT) {
    const most = Math.floor((LINEAR_LIMIT - base) / 2 ** 20);
    throw new VmError('E_MEMORY', `RAM: ${bytes} bytes do not fit a 32-bit linear memory, which leaves ${most} MiB`);
  }
  const ranges: RamRange[] = [{ gpa: 0, offset: base, bytes: Math.min(ramBytes, HOLE_START) }];
  if (ramBytes > HOLE_START) ranges.push({ gpa: HOLE_END, offset: base + HOLE_START, bytes: ramBytes - HOLE_START });
  return new LinearRam(createMemory(align(base + bytes, WASM_PAGE_BYTES) / WASM_PAGE_BYTES), base, bytes, ranges, attributesOffset, firmwareBytes);
}

class LinearRam implements MachineRam {
  stored: Uint8Array | null = null;
  readonly memory: LinearMemory;
  readonly base: number;
  readonly bytes: number;
  readonly ranges: readonly RamRange[];
  readonly attributesOffset: number;
  readonly #ramBytes: number;
  readonly #firmwareStart: number; // guest-physical
  readonly #attributes: Uint8Array;
  readonly #watchers: { readonly mask: number; readonly watcher: RamWatcher }[] = [];

  constructor(memory: LinearMemory, base: number, bytes: number, ranges: readonly RamRange[], attributesOffset: number, firmwareBytes: number) {
    this.memory = memory;
    this.base = base;
    this.bytes = bytes;
    this.ranges = ranges;
    this.attributesOffset = attributesOffset;
    this.#ramBytes = bytes - firmwareBytes;
    this.#firmwareStart = HOLE_END - firmwareBytes;
    this.#attributes = new Uint8Array(memory.buffer, attributesOffset, bytes / PAGE_BYTES);
    this.#attributes.fill(PAGE_READ_ONLY, this.#ramBytes / PAGE_BYTES);
  }

  /** HOT. */
  offsetOf(gpa: Gpa): number {
    if (gpa < HOLE_START) return gpa < this.#ramBytes ? this.base + gpa : -1;
    if (gpa < HOLE_END) return gpa < this.#firmwareStart ? -1 : this.base + this.#ramBytes + gpa - this.#firmwareStart;
    const above = gpa - HOLE_END + HOLE_START;
    return above < this.#ramBytes ? this.base + above : -1;
  }

  watch(mask: number, watcher: RamWatcher): void {
    this.#watchers.push({ mask, watcher });
  }

  written(offset: number, bytes: number): void {
    const first = (offset - this.base) >>> 12;
    const last = (offset + bytes - 1 - this.base) >>> 12;
    let bits = 0;
    if (this.stored !== null) this.stored.fill(1, first, last + 1);
    for (let page = first; page <= last; page++) bits |= this.#attributes[page]!;
    if (bits === 0) return;
    for (let i = 0; i < this.#watchers.length; i++) {
      const entry = this.#watchers[i]!;
      if ((entry.mask & bits) !== 0) entry.watcher.written(offset, bytes);
    }
  }
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}

interface MemoryDescriptor {
  readonly initial: number;
  readonly maximum: number;
}

function createWasmMemory(wasmPages: number): LinearMemory {
  const host = globalThis as { readonly WebAssembly?: { readonly Memory: new (descriptor: MemoryDescriptor) => LinearMemory } };
  if (host.WebAssembly === undefined) throw new VmError('E_HOST', 'this host has no WebAssembly');
  try {
    return new host.WebAssembly.Memory({ initial: wasmPages, maximum: wasmPages });
  } catch (cause) {
    throw new VmError('E_MEMORY', `RAM: the host has no ${wasmPages * WASM_PAGE_BYTES} bytes in one piece`, { cause });
  }
}
