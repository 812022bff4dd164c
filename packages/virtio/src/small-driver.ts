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

/** Where the parts of a ring lie. */
export interface RingPlace { readonly descriptors: number; readonly driver: number; readonly device: number }
/** What the driver does before it uses the queues, of 16 entries each (virtio 1.2, section 3.1.1). `write` reaches BAR 4, `features` is the low half of what it takes. */
export function beginDriver(write: (offset: number, size: Size, value: number) => void, features: number, packed: boolean, queues: readonly RingPlace[]): void {
  write(0x14, 1, 3);
  for (const [select, bits] of [[0, features], [1, packed ? 5 : 1]] as const) {
    write(8, 4, select);
    write(12, 4, bits);
  }
  write(0x14, 1, 11);
  queues.forEach(({ descriptors, driver, device }, queue) => {
    write(0x16, 2, queue);
    write(0x18, 2, 16);
    [descriptors, driver, device].forEach((at, i) => write(0x20 + 8 * i, 4, at));
    write(0x1c, 2, 1);
  });
  write(0x14, 1, 15);
}
