import type { Gpa, GuestMemory } from '@vm/core';
import { DESCRIPTOR_BYTES, DESCRIPTOR_INDIRECT, DESCRIPTOR_NEXT, DESCRIPTOR_WRITE } from './spec.ts';

export interface Segment {
  readonly gpa: Gpa;
  readonly bytes: number;
}
/** A request of the driver: buffers to be read, then buffers to be written. All of them lie in RAM. */
export interface Chain {
  readonly position: number; // where the ring has it: `Ring.at` finds it again
  readonly id: number;
  readonly slots: number; // descriptors of the ring itself
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
  readonly readableBytes: number;
  readonly writableBytes: number;
}
export interface Ring {
  /** The next request, or null: there is none, or `fault` says what is wrong with the ring. */
  pop(): Chain | null;
  /** A request that was popped before, by its position. */
  at(position: number): Chain | null;
  push(chain: Chain, written: number): void;
  /** Does the driver want an interrupt for what was pushed since the last question? */
  takeInterrupt(): boolean;
  readonly fault: string | null;
  save(): readonly number[];
  load(indices: readonly number[]): void;
}
/** Where a ring lies, and what was negotiated about it. */
export interface RingPlace {
  readonly size: number;
  readonly descriptors: Gpa;
  readonly driver: Gpa;
  readonly device: Gpa;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

export const MOST_SEGMENTS = 1024;

/** Collects descriptors, and refuses what no driver that keeps the rules sends. */
export class ChainBuilder {
  fault: string | null = null;
  flags = 0;
  next = 0; // in place of the identifier in packed rings
  #count = 0;
  #indirect = false;
  #readable: Segment[] = [];
  #writable: Segment[] = [];
  readonly #dma: GuestMemory;
  readonly #allowsIndirect: boolean;

  constructor(dma: GuestMemory, allowsIndirect: boolean) {
    this.#dma = dma;
    this.#allowsIndirect = allowsIndirect;
  }

  begin(): void {
    this.fault = null;
    this.#count = 0;
    this.#indirect = false;
    this.#readable = [];
    this.#writable = [];
  }

  /** Reads one descriptor. False: there is a fault, or the chain ends with this one. `follows`: tables go on at `next`. */
  add(at: Gpa, follows: boolean): boolean {
    const dma = this.#dma;
    const gpa = readAddress(dma, at);
    const bytes = dma.read(at + 8, 4);
    const word = dma.read(at + 12, 4);
    this.flags = follows ? word & 0xffff : word >>> 16;
    this.next = follows ? word >>> 16 : word & 0xffff;
    if ((this.flags & DESCRIPTOR_INDIRECT) !== 0) return this.#addTable(gpa, bytes, follows);
    return this.#addSegment(gpa, bytes, this.flags) && (this.flags & DESCRIPTOR_NEXT) !== 0;
  }

  finish(position: number, id: number, slots: number): Chain {
    const sum = (segments: readonly Segment[]): number => segments.reduce((total, { bytes }) => total + bytes, 0);
    const [readable, writable] = [this.#readable, this.#writable];
    return { position, id, slots, readable, writable, readableBytes: sum(readable), writableBytes: sum(writable) };
  }

  fail(why: string): false {
    this.fault = why;
    return false;
  }

  #addSegment(gpa: Gpa, bytes: number, flags: number): boolean {
    if (++this.#count > MOST_SEGMENTS) return this.fail(`a chain of more than ${MOST_SEGMENTS} descriptors`);
    if (bytes === 0) return this.fail('a buffer of no bytes');
    if (this.#dma.readWindow(gpa, bytes) === null) return this.fail(`a buffer of ${bytes} bytes at 0x${gpa.toString(16)}, which is not RAM`);
    if ((flags & DESCRIPTOR_WRITE) !== 0) this.#writable.push({ gpa, bytes });
    else if (this.#writable.length > 0) return this.fail('a buffer to be read behind one to be written');
    else this.#readable.push({ gpa, bytes });
    return true;
  }

  /** An indirect table ends its chain. In a split ring its descriptors are linked; in a packed one they are taken in order. */
  #addTable(table: Gpa, bytes: number, follows: boolean): boolean {
    const entries = bytes / DESCRIPTOR_BYTES;
    if (!this.#allowsIndirect || this.#indirect) return this.fail('an indirect descriptor that was not agreed on');
    if ((this.flags & DESCRIPTOR_NEXT) !== 0) return this.fail('an indirect descriptor with a next one');
    if (!Number.isInteger(entries) || entries === 0 || entries > MOST_SEGMENTS) return this.fail(`an indirect table of ${bytes} bytes`);
    this.#indirect = true;
    if (!follows) {
      const id = this.next;
      for (let i = 0; i < entries && this.fault === null; i++) this.add(table + i * DESCRIPTOR_BYTES, false);
      this.next = id;
      return false;
    }
    let index = 0;
    for (let steps = 0; ; steps++) {
      if (index >= entries || steps >= entries) return this.fail('an indirect table with a link out of it, or a loop');
      if (!this.add(table + index * DESCRIPTOR_BYTES, true)) return false;
      index = this.next;
    }
  }
}

/** All-ones beyond what can be RAM. */
export function readAddress(dma: GuestMemory, at: Gpa): Gpa {
  const high = dma.read(at + 4, 4);
  return high >= 0x10_0000 ? 2 ** 52 - 1 : dma.read(at, 4) + high * 2 ** 32;
}

/** Copies from the buffers that are to be read, from byte `from` of them on. */
export function gather(dma: GuestMemory, segments: readonly Segment[], from: number, into: Uint8Array): void {
  forEachPart(segments, from, into.length, (gpa, at, bytes) => dma.copyOut(gpa, into.subarray(at, at + bytes)));
}

/** Copies into the buffers that are to be written. */
export function scatter(dma: GuestMemory, segments: readonly Segment[], to: number, from: Uint8Array): void {
  forEachPart(segments, to, from.length, (gpa, at, bytes) => dma.copyIn(gpa, from.subarray(at, at + bytes)));
}

function forEachPart(segments: readonly Segment[], from: number, count: number, visit: (gpa: Gpa, at: number, bytes: number) => void): void {
  let skip = from;
  let done = 0;
  for (const { gpa, bytes } of segments) {
    if (done === count) return;
    if (skip >= bytes) {
      skip -= bytes;
      continue;
    }
    const part = Math.min(bytes - skip, count - done);
    visit(gpa + skip, done, part);
    skip = 0;
    done += part;
  }
}
