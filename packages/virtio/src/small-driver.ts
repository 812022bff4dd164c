import type { GuestMemory, Size } from '@vm/core';

/** RAM of one piece from 0 on, for tests. */
export class PlainMemory implements GuestMemory {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: number) {
    this.bytes = new Uint8Array(bytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  read(gpa: number, size: Size): number {
    if (!this.#has(gpa, size)) return 2 ** (8 * size) - 1;
    return size === 4 ? this.#view.getUint32(gpa, true) : size === 2 ? this.#view.getUint16(gpa, true) : this.#view.getUint8(gpa);
  }

  write(gpa: number, size: Size, value: number): void {
    if (!this.#has(gpa, size)) return;
    if (size === 4) this.#view.setUint32(gpa, value, true);
    else if (size === 2) this.#view.setUint16(gpa, value, true);
    else this.#view.setUint8(gpa, value);
  }

  copyOut(gpa: number, into: Uint8Array): boolean {
    const window = this.readWindow(gpa, into.length);
    if (window !== null) into.set(window);
    return window !== null;
  }

  copyIn(gpa: number, from: Uint8Array): boolean {
    const window = this.readWindow(gpa, from.length);
    window?.set(from);
    return window !== null;
  }

  readWindow(gpa: number, bytes: number): Uint8Array | null {
    return this.#has(gpa, bytes) ? this.bytes.subarray(gpa, gpa + bytes) : null;
  }

  writeWindow(gpa: number, bytes: number): Uint8Array | null {
    return this.readWindow(gpa, bytes);
  }

  commit(): void {}

  #has(gpa: number, bytes: number): boolean {
    return Number.isInteger(gpa) && gpa >= 0 && gpa + bytes <= this.bytes.length;
  }
}

export interface Buffer {
  readonly gpa: number;
  readonly bytes: number;
  readonly write?: boolean;
}
export const RING = { descriptors: 0x1000, driver: 0x3000, device: 0x4000, table: 0x5000 };

/** The driver's side of a ring, as simple as can be: one request after the other. */
export interface SmallDriver {
  /** Offers a request; with `indirect` by way of a table. */
  offer(buffers: readonly Buffer[], indirect?: boolean): void;
  /** Used requests since the last question: identifier and length. */
  take(): { readonly id: number; readonly written: number }[];
  /** Interrupt only when this many more requests are used. */
  interruptAfter(requests: number): void;
}

function writeDescriptor(memory: GuestMemory, at: number, { gpa, bytes }: Buffer, low: number, high: number): void {
  memory.write(at, 4, gpa);
  memory.write(at + 4, 4, 0);
  memory.write(at + 8, 4, bytes);
  memory.write(at + 12, 2, low);
  memory.write(at + 14, 2, high);
}

export function splitDriver(memory: GuestMemory, size: number): SmallDriver {
  let [available, used, next] = [0, 0, 0];
  return {
    offer(buffers, indirect = false) {
      const head = next % size;
      const place = (i: number): number => (indirect ? RING.table + 16 * i : RING.descriptors + 16 * ((head + i) % size));
      buffers.forEach((buffer, i) => {
        const last = i === buffers.length - 1;
        writeDescriptor(memory, place(i), buffer, (buffer.write === true ? 2 : 0) | (last ? 0 : 1), last ? 0 : indirect ? i + 1 : (head + i + 1) % size);
      });
      if (indirect) writeDescriptor(memory, RING.descriptors + 16 * head, { gpa: RING.table, bytes: 16 * buffers.length }, 4, 0);
      next += indirect ? 1 : buffers.length;
      memory.write(RING.driver + 4 + 2 * (available % size), 2, head);
      memory.write(RING.driver + 2, 2, ++available & 0xffff);
    },
    take() {
      const done = [];
      for (; ((memory.read(RING.device + 2, 2) - used) & 0xffff) !== 0; used++) {
        const at = RING.device + 4 + 8 * (used % size);
        done.push({ id: memory.read(at, 4), written: memory.read(at + 4, 4) });
      }
      return done;
    },
    interruptAfter: (requests) => memory.write(RING.driver + 4 + 2 * size, 2, (used + requests - 1) & 0xffff),
  };
}

export function packedDriver(memory: GuestMemory, size: number): SmallDriver {
  let [available, availableWrap, used, usedWrap, id] = [0, 1, 0, 1, 0];
  const slotsOf = new Map<number, number>();
  return {
    offer(buffers, indirect = false) {
      const list = indirect ? [{ gpa: RING.table, bytes: 16 * buffers.length }] : buffers;
      if (indirect) buffers.forEach((buffer, i) => writeDescriptor(memory, RING.table + 16 * i, buffer, 0, buffer.write === true ? 2 : 0));
      slotsOf.set(id, list.length);
      list.forEach((buffer: Buffer, i) => {
        const flags = (buffer.write === true ? 2 : 0) | (i < list.length - 1 ? 1 : 0) | (indirect ? 4 : 0);
        writeDescriptor(memory, RING.descriptors + 16 * available, buffer, id, flags | (availableWrap === 1 ? 0x80 : 0x8000));
        if (++available === size) [available, availableWrap] = [0, availableWrap ^ 1];
      });
      id++;
    },
    take() {
      const done = [];
      for (;;) {
        const at = RING.descriptors + 16 * used;
        const flags = memory.read(at + 14, 2);
        if (((flags >> 7) & 1) !== usedWrap || ((flags >> 15) & 1) !== usedWrap) return done;
        const one = { id: memory.read(at + 12, 2), written: memory.read(at + 8, 4) };
        done.push(one);
        used += slotsOf.get(one.id)!;
        if (used >= size) [used, usedWrap] = [used - size, usedWrap ^ 1];
      }
    },
    // The descriptors of the small driver's requests are one each where this is asked.
    interruptAfter(requests) {
      const at = used + requests - 1;
      memory.write(RING.driver, 2, at >= size ? (at - size) | ((usedWrap ^ 1) << 15) : at | (usedWrap << 15));
      memory.write(RING.driver + 2, 2, 2);
    },
  };
}
