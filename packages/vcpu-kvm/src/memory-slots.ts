/** The machine's RAM as KVM's memory slots: the very bytes that devices see (KVM API documentation, section 4.35). */
import type { Gpa } from '@vm/core';
import type { Ram } from '@vm/core/engine';
import { PAGE_READ_ONLY } from '@vm/core/exit';
import type { KvmVm } from './kvm-calls.ts';
import { USERSPACE_MEMORY_REGION } from './kvm-layout-table.ts';
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

  constructor(vm: KvmVm, ram: Ram) {
    this.#vm = vm;
    this.#ram = ram;
    // SAFETY: the linear memory of WebAssembly begins at a page, never moves because it never grows, and lives as long as `ram`, which this holds.
    this.#address = vm.libc.addressOf(new Uint8Array(ram.memory.buffer));
  }

  get slots(): readonly MemorySlot[] { return this.#slots; }

  /** Looks which pages are read-only now and tells KVM what has changed. Throws KvmError. */
  update(window: Gpa): void {
    const wanted = slotsOf(this.#ram, window);
    if (wanted.length === this.#slots.length && wanted.every((slot, i) => isSame(slot, this.#slots[i]!))) return;
    this.#slots.forEach((slot, i) => this.#set(i, { ...slot, bytes: 0 }));
    this.#slots = [];
    wanted.forEach((slot, i) => this.#set(i, slot));
    this.#slots = wanted;
  }

  #set(index: number, { gpa, offset, bytes, readOnly }: MemorySlot): void {
    const view = new DataView(new ArrayBuffer(USERSPACE_MEMORY_REGION.bytes));
    view.setUint32(USERSPACE_MEMORY_REGION.fields.slot[0], index, true);
    view.setUint32(USERSPACE_MEMORY_REGION.fields.flags[0], readOnly ? NUMBERS.KVM_MEM_READONLY : 0, true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.guest_phys_addr[0], BigInt(gpa), true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.memory_size[0], BigInt(bytes), true);
    view.setBigUint64(USERSPACE_MEMORY_REGION.fields.userspace_addr[0], this.#address + BigInt(offset), true);
    this.#vm.call('KVM_SET_USER_MEMORY_REGION', new Uint8Array(view.buffer));
  }
}

function isSame(a: MemorySlot, b: MemorySlot): boolean {
  return a.gpa === b.gpa && a.offset === b.offset && a.bytes === b.bytes && a.readOnly === b.readOnly;
}
