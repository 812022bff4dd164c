import type { IoHandler, Size } from './abi.ts';
import type { AccessQueue } from './engine.ts';

/** Told when a handler throws, which the ABI forbids. */
export type FaultListener = (owner: string, label: string, error: unknown) => void;

/** Of a device that takes lists of accesses. */
export interface QueuedHandler extends IoHandler {
  readonly queue: AccessQueue;
  enqueue(index: number, offset: number, size: Size, isWrite: boolean, value: number, now: number): void;
}

const OPEN: IoHandler = { read: (_offset, size) => allOnes(size), write: () => undefined };
const FIRST_CAPACITY = 32;

/** What an access reads where nothing answers. */
export function allOnes(size: Size): number {
  return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
}

/**
 * All claimed regions of a machine, ports and memory alike, by slot number; slot 0 is nobody. The first regions are called
 * from one call site each, which V8 then compiles to direct calls: one shared call site for all devices is several times slower.
 */
export class SlotTable {
  #count = 1;
  #queues = 0;
  #bases: Float64Array = new Float64Array(FIRST_CAPACITY);
  #ends: Float64Array = new Float64Array(FIRST_CAPACITY);
  #sizes: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  #reads: Float64Array = new Float64Array(FIRST_CAPACITY);
  #writes: Float64Array = new Float64Array(FIRST_CAPACITY);
  #h1: IoHandler = OPEN;
  #h2: IoHandler = OPEN;
  #h3: IoHandler = OPEN;
  #h4: IoHandler = OPEN;
  #h5: IoHandler = OPEN;
  #h6: IoHandler = OPEN;
  #h7: IoHandler = OPEN;
  #h8: IoHandler = OPEN;
  #h9: IoHandler = OPEN;
  #h10: IoHandler = OPEN;
  #h11: IoHandler = OPEN;
  #h12: IoHandler = OPEN;
  readonly #handlers: IoHandler[] = [OPEN];
  readonly #owners: string[] = [''];
  readonly #labels: string[] = ['nobody'];
  readonly #free: number[] = []; // of devices that have gone
  readonly #onFault: FaultListener;

  constructor(onFault: FaultListener) {
    this.#onFault = onFault;
  }

  add(owner: string, name: string, handler: IoHandler, sizes: readonly Size[]): number {
    const slot = this.#free.pop() ?? this.#count++;
    if (slot >= this.#sizes.length) this.#grow();
    this.#owners[slot] = owner;
    this.#labels[slot] = `${owner}.${name}`;
    this.#sizes[slot] = sizes.reduce((mask: number, size) => mask | size, 0);
    this.#reads[slot] = 0;
    this.#writes[slot] = 0;
    this.#set(slot, handler);
    return slot;
  }

  /** Nobody finds the slot any more: another region may have it. */
  release(slot: number): void {
    this.remove(slot);
    this.#owners[slot] = '';
    this.#free.push(slot);
  }

  /** For good: whoever still finds the slot gets the answer of the open bus. */
  remove(slot: number): void {
    this.#set(slot, OPEN);
  }

  #set(slot: number, handler: IoHandler): void {
    this.#handlers[slot] = handler;
    this.#place(slot, handler);
    this.#queues = this.#handlers.filter((one) => 'queue' in one).length;
  }

  /** Handlers that take lists. */
  get queues(): number { return this.#queues; }

  setRange(slot: number, base: number, bytes: number): void {
    this.#bases[slot] = base;
    this.#ends[slot] = base + bytes;
  }

  label(slot: number): string {
    return this.#labels[slot] ?? 'nobody';
  }

  base(slot: number): number {
    return this.#bases[slot]!;
  }

  end(slot: number): number {
    return this.#ends[slot]!;
  }

  /** Sizes that the handler takes, OR-ed. */
  sizes(slot: number): number {
    return this.#sizes[slot]!;
  }

  reads(slot: number): number {
    return this.#reads[slot]!;
  }

  writes(slot: number): number {
    return this.#writes[slot]!;
  }

  /** The handler takes this access as it is. HOT. */
  takes(slot: number, address: number, size: Size): boolean {
    return (this.#sizes[slot]! & size) !== 0 && address + size <= this.#ends[slot]!;
  }

  /** HOT. */
  read(slot: number, address: number, size: Size): number {
    const offset = address - this.#bases[slot]!;
    this.#reads[slot]!++;
    try {
      switch (slot) {
        case 1: return this.#h1.read(offset, size) >>> 0;
        case 2: return this.#h2.read(offset, size) >>> 0;
        case 3: return this.#h3.read(offset, size) >>> 0;
        case 4: return this.#h4.read(offset, size) >>> 0;
        case 5: return this.#h5.read(offset, size) >>> 0;
        case 6: return this.#h6.read(offset, size) >>> 0;
        case 7: return this.#h7.read(offset, size) >>> 0;
        case 8: return this.#h8.read(offset, size) >>> 0;
        case 9: return this.#h9.read(offset, size) >>> 0;
        case 10: return this.#h10.read(offset, size) >>> 0;
        case 11: return this.#h11.read(offset, size) >>> 0;
        case 12: return this.#h12.read(offset, size) >>> 0;
        default: return this.#handlers[slot]!.read(offset, size) >>> 0;
      }
    } catch (error) {
      this.#fault(slot, error);
      return allOnes(size);
    }
  }

  /** HOT. */
  write(slot: number, address: number, size: Size, value: number): void {
    const offset = address - this.#bases[slot]!;
    this.#writes[slot]!++;
    try {
      switch (slot) {
        case 1: return this.#h1.write(offset, size, value);
        case 2: return this.#h2.write(offset, size, value);
        case 3: return this.#h3.write(offset, size, value);
        case 4: return this.#h4.write(offset, size, value);
        case 5: return this.#h5.write(offset, size, value);
        case 6: return this.#h6.write(offset, size, value);
        case 7: return this.#h7.write(offset, size, value);
        case 8: return this.#h8.write(offset, size, value);
        case 9: return this.#h9.write(offset, size, value);
        case 10: return this.#h10.write(offset, size, value);
        case 11: return this.#h11.write(offset, size, value);
        case 12: return this.#h12.write(offset, size, value);
        default: return this.#handlers[slot]!.write(offset, size, value);
      }
    } catch (error) {
      this.#fault(slot, error);
    }
  }

  isSteady(slot: number, address: number, size: Size): boolean {
    try {
      return this.#handlers[slot]!.isSteady?.(address - this.#bases[slot]!, size) === true;
    } catch (error) {
      this.#fault(slot, error);
      return false;
    }
  }

  queue(slot: number): AccessQueue | null { return (this.#handlers[slot] as Partial<QueuedHandler>).queue ?? null; }

  enqueue(slot: number, index: number, address: number, size: Size, isWrite: boolean, value: number, now: number): void {
    (isWrite ? this.#writes : this.#reads)[slot]!++;
    (this.#handlers[slot] as QueuedHandler).enqueue(index, address - this.#bases[slot]!, size, isWrite, value, now);
  }

  /** False: the handler wants wide accesses split. */
  readWide(slot: number, address: number, bytes: number, into: DataView): boolean {
    const handler = this.#handlers[slot]!;
    if (handler.readWide === undefined || address + bytes > this.#ends[slot]!) return false;
    this.#reads[slot]!++;
    try {
      handler.readWide(address - this.#bases[slot]!, bytes, into);
    } catch (error) {
      this.#fault(slot, error);
    }
    return true;
  }

  writeWide(slot: number, address: number, bytes: number, from: DataView): boolean {
    const handler = this.#handlers[slot]!;
    if (handler.writeWide === undefined || address + bytes > this.#ends[slot]!) return false;
    this.#writes[slot]!++;
    try {
      handler.writeWide(address - this.#bases[slot]!, bytes, from);
    } catch (error) {
      this.#fault(slot, error);
    }
    return true;
  }

  /** A device that broke once is not asked again: all its regions become the open bus. */
  cutOff(owner: string): void {
    this.#owners.forEach((other, index) => {
      if (other === owner && index > 0) this.remove(index);
    });
  }

  #fault(slot: number, error: unknown): void {
    const owner = this.#owners[slot]!;
    this.cutOff(owner);
    this.#onFault(owner, this.label(slot), error);
  }

  #grow(): void {
    const grown = <Table extends Float64Array | Uint8Array>(fresh: Table, old: Table): Table => (fresh.set(old), fresh);
    const capacity = this.#sizes.length * 2;
    this.#bases = grown(new Float64Array(capacity), this.#bases);
    this.#ends = grown(new Float64Array(capacity), this.#ends);
    this.#sizes = grown(new Uint8Array(capacity), this.#sizes);
    this.#reads = grown(new Float64Array(capacity), this.#reads);
    this.#writes = grown(new Float64Array(capacity), this.#writes);
  }

  #place(slot: number, handler: IoHandler): void {
    switch (slot) {
      case 1: this.#h1 = handler; break;
      case 2: this.#h2 = handler; break;
      case 3: this.#h3 = handler; break;
      case 4: this.#h4 = handler; break;
      case 5: this.#h5 = handler; break;
      case 6: this.#h6 = handler; break;
      case 7: this.#h7 = handler; break;
      case 8: this.#h8 = handler; break;
      case 9: this.#h9 = handler; break;
      case 10: this.#h10 = handler; break;
      case 11: this.#h11 = handler; break;
      case 12: this.#h12 = handler; break;
      default: break;
    }
  }
}
