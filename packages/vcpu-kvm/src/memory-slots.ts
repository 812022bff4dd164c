/** The machine's RAM as KVM's memory slots: the very bytes that devices see (KVM API documentation, section 4.35). */
import type { Gpa } from '@vm/core';
import type { Ram } from '@vm/core/engine';
import { PAGE_READ_ONLY } from '@vm/core/exit';
import type { KvmVm } from './kvm-calls.ts';
import { DIRTY_LOG, USERSPACE_MEMORY_REGION } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

const PAGE = 4096;
const END = 2 ** 32;

export interface MemorySlot {
  readonly gpa: Gpa;
  readonly offset: number; // in the linear memory
  readonly bytes: number;
  readonly readOnly: boolean;
}

/** RAM in pieces that lie in one place and can, or cannot, be stored to. At `window`, a page or -1, there is none: the interrupt controller comes before it. */
export function slotsOf(ram: Ram, window: Gpa): MemorySlot[] {
  const attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / PAGE);
  const behind = ram.ranges.reduce((sum, range) => sum + range.bytes, 0);
  const firmware = ram.bytes - behind; // behind the ranges, in front of 4 GiB
  const ranges = [...ram.ranges, ...(firmware === 0 ? [] : [{ gpa: END - firmware, offset: ram.base + behind, bytes: firmware }])];
  const slots: MemorySlot[] = [];
  for (const { gpa, offset, bytes } of ranges) {
    let from = 0;
    const first = (offset - ram.base) / PAGE;
    const kindOf = (at: number): number => (gpa + at === window ? -1 : (attributes[first + at / PAGE] as number) & PAGE_READ_ONLY);
    while (from < bytes) {
      const kind = kindOf(from);
      let to = from + PAGE;
      while (to < bytes && kindOf(to) === kind) to += PAGE;
      if (kind >= 0) slots.push({ gpa: gpa + from, offset: offset + from, bytes: to - from, readOnly: kind !== 0 });
      from = to;
    }
  }
  return slots;
}

export class MemorySlots {
  readonly #vm: KvmVm;
  readonly #ram: Ram;
  readonly #address: bigint;
  #slots: readonly MemorySlot[] = [];
  /** A byte a page of RAM, 1: a guest has stored there; null: stores are not logged. */
  #stored: Uint8Array | null = null;

  constructor(vm: KvmVm, ram: Ram) {
    this.#vm = vm;
    this.#ram = ram;
    // SAFETY: the linear memory of WebAssembly begins at a page, never moves because it never grows, and lives as long as `ram`, which this holds.
    this.#address = vm.libc.addressOf(new Uint8Array(ram.memory.buffer));
  }

  get slots(): readonly MemorySlot[] { return this.#slots; }

  /** Looks which pages are read-only now and tells KVM what has changed. Throws KvmError. */
  update(window: Gpa, before: () => void = () => undefined): void {
    const wanted = slotsOf(this.#ram, window);
    if (wanted.length === this.#slots.length && wanted.every((slot, i) => isSame(slot, this.#slots[i]!))) return;
    before();
    this.#collect();
    this.#slots.forEach((slot, i) => this.#set(i, { ...slot, bytes: 0 }));
    this.#slots = [];
    wanted.forEach((slot, i) => this.#set(i, slot));
    this.#slots = wanted;
  }

  get isLogging(): boolean { return this.#stored !== null; }
  /** From now on KVM notes the pages that guests store to. Throws KvmError. */
  beginLog(): void {
    if (this.#stored !== null) return;
    this.#stored = new Uint8Array(this.#ram.bytes / PAGE);
    this.#slots.forEach((slot, i) => this.#set(i, slot));
  }
  endLog(): void {
    this.#stored = null;
    this.#slots.forEach((slot, i) => this.#set(i, slot));
  }
  /** Pages stored to since the log was begun or this was last asked, neighbours together, in the order of RAM. */
  takeLog(visit: (gpa: Gpa, bytes: number) => void): void {
    this.#collect();
    const stored = this.#stored;
    if (stored === null) return;
    for (const { gpa, offset, bytes } of this.#slots) {
      const first = (offset - this.#ram.base) / PAGE;
      for (let from = 0; from < bytes; from += PAGE) {
        if (stored[first + from / PAGE] === 0) continue;
        let to = from;
        while (to < bytes && stored[first + to / PAGE] !== 0) to += PAGE;
        stored.fill(0, first + from / PAGE, first + to / PAGE);
        visit(gpa + from, to - from);
        from = to;
      }
    }
  }
  /** What KVM has noted, which it forgets by that. */
  #collect(): void {
    const stored = this.#stored;
    if (stored === null) return;
    this.#slots.forEach(({ offset, bytes, readOnly }, i) => {
      if (readOnly) return;
      const pages = bytes / PAGE;
      // SAFETY: an ArrayBuffer's bytes lie outside of V8's heap and do not move; `bits` holds them until the call has come back.
      const bits = new Uint8Array(new ArrayBuffer(Math.ceil(pages / 64) * 8));
      const view = new DataView(new ArrayBuffer(DIRTY_LOG.bytes));
      view.setUint32(DIRTY_LOG.fields.slot[0], i, true);
      view.setBigUint64(DIRTY_LOG.fields.dirty_bitmap[0], this.#vm.libc.addressOf(bits), true);
      this.#vm.call('KVM_GET_DIRTY_LOG', new Uint8Array(view.buffer));
      const first = (offset - this.#ram.base) / PAGE;
      for (let page = 0; page < pages; page++) if ((((bits[page >>> 3] as number) >>> (page & 7)) & 1) !== 0) stored[first + page] = 1;
    });
  }

  #set(index: number, { gpa, offset, bytes, readOnly }: MemorySlot): void {
    const view = new DataView(new ArrayBuffer(USERSPACE_MEMORY_REGION.bytes));
    view.setUint32(USERSPACE_MEMORY_REGION.fields.slot[0], index, true);
    view.setUint32(USERSPACE_MEMORY_REGION.fields.flags[0], readOnly ? NUMBERS.KVM_MEM_READONLY : this.#stored !== null ? NUMBERS.KVM_MEM_LOG_DIRTY_PAGES : 0, true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.guest_phys_addr[0], BigInt(gpa), true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.memory_size[0], BigInt(bytes), true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.userspace_addr[0], this.#address + BigInt(offset), true);
    this.#vm.call('KVM_SET_USER_MEMORY_REGION', new Uint8Array(view.buffer));
  }
}

function isSame(a: MemorySlot, b: MemorySlot): boolean {
  return a.gpa === b.gpa && a.offset === b.offset && a.bytes === b.bytes && a.readOnly === b.readOnly;
}
