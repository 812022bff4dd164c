/** The last things that passed between a processor and what surrounds it, for the report of a crash. */
import type { AccessQueue, IoBus } from '@vm/core/engine';

export type EventKind = 'in' | 'out' | 'read' | 'write' | 'exception' | 'interrupt';
export interface ProcessorEvent {
  readonly kind: EventKind;
  readonly instructions: number; // retired when it happened
  /** Port or guest-physical address; RIP of an exception. */
  readonly address: bigint;
  readonly bytes: number; // of an access
  /** What was read or written; a vector. */
  readonly value: number;
  readonly errorCode: number; // of an exception; -1: none
}

const KINDS: readonly EventKind[] = ['in', 'out', 'read', 'write', 'exception', 'interrupt'];
export const EVENT_IN = 0;
export const EVENT_OUT = 1;
export const EVENT_READ = 2;
export const EVENT_WRITE = 3;
export const EVENT_EXCEPTION = 4;
export const EVENT_INTERRUPT = 5;
const CAPACITY = 32; // a power of two
const TWO_32 = 1n << 32n;
const FIELDS = 8;

/** A ring that is written over. Numbers in one array, so that noting allocates nothing. */
export class EventLog {
  #count = 0;
  readonly #ring: Float64Array = new Float64Array(CAPACITY * FIELDS);

  /** `bytes` of an exception is the upper half of its address. HOT. */
  add(kind: number, instructions: number, address: number, bytes: number, value: number, errorCode: number): void {
    const at = (this.#count++ & (CAPACITY - 1)) * FIELDS;
    const ring = this.#ring;
    ring[at] = kind;
    ring[at + 1] = instructions;
    ring[at + 2] = address;
    ring[at + 3] = bytes;
    ring[at + 4] = value;
    ring[at + 5] = errorCode;
  }

  /** Error code of the newest event if that is the exception `vector`; -1: it has none, or is something else. */
  errorCodeOf(vector: number): number {
    const at = ((this.#count - 1) & (CAPACITY - 1)) * FIELDS;
    return this.#ring[at] === EVENT_EXCEPTION && this.#ring[at + 4] === vector ? (this.#ring[at + 5] as number) : -1;
  }

  /** Oldest first. */
  list(): readonly ProcessorEvent[] {
    const first = Math.max(0, this.#count - CAPACITY);
    return Array.from({ length: this.#count - first }, (_, i) => {
      const at = ((first + i) & (CAPACITY - 1)) * FIELDS;
      const [kind, instructions, address, bytes, value, errorCode] = this.#ring.subarray(at, at + 6) as unknown as [number, number, number, number, number, number];
      const wide = kind === EVENT_EXCEPTION ? BigInt(bytes) * TWO_32 + BigInt(address) : BigInt(address);
      return { kind: KINDS[kind]!, instructions, address: wide, bytes: kind === EVENT_EXCEPTION ? 0 : bytes, value, errorCode };
    });
  }
}

/** A bus whose accesses are noted. */
export class LoggedBus implements IoBus {
  readonly #bus: IoBus;
  readonly #log: EventLog;
  readonly #readKind: number;
  readonly #retired: () => number;

  /** Writes are noted as the kind behind `readKind`. */
  constructor(bus: IoBus, log: EventLog, readKind: number, retired: () => number) {
    this.#bus = bus;
    this.#log = log;
    this.#readKind = readKind;
    this.#retired = retired;
  }

  /** HOT. */
  read(address: number, size: 1 | 2 | 4): number {
    const value = this.#bus.read(address, size);
    this.#log.add(this.#readKind, this.#retired(), address, size, value, -1);
    return value;
  }

  /** HOT. Noted before it is done: it may be what ends the machine. */
  write(address: number, size: 1 | 2 | 4, value: number): void {
    this.#log.add(this.#readKind + 1, this.#retired(), address, size, value, -1);
    this.#bus.write(address, size, value);
  }

  readWide(address: number, bytes: number, into: DataView): void {
    this.#bus.readWide(address, bytes, into);
    this.#log.add(this.#readKind, this.#retired(), address, bytes, into.getUint32(0, true), -1);
  }

  writeWide(address: number, bytes: number, from: DataView): void {
    this.#log.add(this.#readKind + 1, this.#retired(), address, bytes, from.getUint32(0, true), -1);
    this.#bus.writeWide(address, bytes, from);
  }

  get queues(): number { return this.#bus.queues ?? 0; }
  isSteady(address: number, size: 1 | 2 | 4): boolean { return this.#bus.isSteady?.(address, size) === true; }

  queue(address: number, size: 1 | 2 | 4): AccessQueue | null { return this.#bus.queue?.(address, size) ?? null; }

  /** What a read of a list gives is not noted. */
  enqueue(index: number, address: number, size: 1 | 2 | 4, isWrite: boolean, value: number, now: number): void {
    this.#log.add(isWrite ? this.#readKind + 1 : this.#readKind, this.#retired(), address, size, value, -1);
    this.#bus.enqueue!(index, address, size, isWrite, value, now);
  }
}
