import type { BlockBackend, Clock, Gpa, GuestMemory, IoHandler, IoRegion, IoSpace, Line, LogLevel, Size, Timer } from '../abi.ts';
import { ARM_TIMER, COPY_IN, COPY_OUT, LOAD, MAILBOX_BYTES, SEND_MSI, SET_LINE, STORE_1, STORE_2, STORE_4, UNMAP } from './mailbox.ts';
import { receiveError, type SentError } from './sent-error.ts';
import type { WorkerLink } from './worker-link.ts';
import { workerPci } from './worker-pci.ts';

interface DiskRequest {
  readonly into: Uint8Array | null;
  resolve(): void;
  reject(error: Error): void;
}

/** What a device in a worker gets in place of the machine's own services. Names and rules are those of the ABI. */
export class WorkerServices {
  readonly handlers: IoHandler[] = [];
  readonly #timers: WorkerTimer[] = [];
  readonly #requests = new Map<number, DiskRequest>();
  readonly #link: WorkerLink;
  #lastRequest = 0;

  constructor(link: WorkerLink) {
    this.#link = link;
  }

  context(name: string, needs: readonly string[], signal: AbortSignal): object {
    const link = this.#link;
    const offered: Readonly<Record<string, () => unknown>> = {
      pio: () => this.#space('pio'),
      mmio: () => this.#space('mmio'),
      lines: () => ({ connect: (pin: number) => new WorkerLine(link, link.invoke('line', pin) as number) }),
      msi: () => ({ send: (address: Gpa, data: number) => link.effect(SEND_MSI, address, data) }),
      clock: (): Clock => ({ now: () => link.now(), timer: (fire) => this.#timer(fire) }),
      dma: () => new WorkerMemory(link),
      host: () => ({ block: (block: string) => this.#block(block) }),
      pci: () => workerPci(link, this.handlers),
    };
    const granted = Object.fromEntries(needs.map((need) => [need, offered[need]!()]));
    return Object.freeze({ ...granted, name, signal, log: (level: LogLevel, text: string) => link.tell({ log: level, text: String(text) }) });
  }

  fire(timer: number, due: number): void { this.#timers[timer]!.fire(due); }

  /** A request to a disk is done. */
  settle(request: number, data: Uint8Array | null, error: SentError | null): void {
    const waiting = this.#requests.get(request);
    this.#requests.delete(request);
    if (waiting === undefined) return;
    if (data !== null) waiting.into?.set(data.subarray(0, waiting.into.length));
    if (error === null) waiting.resolve();
    else waiting.reject(receiveError(error));
  }

  #space(space: 'pio' | 'mmio'): IoSpace {
    return {
      claim: (name: string, bytes: number, handler: IoHandler, sizes?: readonly Size[]): IoRegion => {
        const region = this.#link.invoke('claim', space, name, bytes, sizes === undefined ? null : [...sizes], handler.readWide !== undefined, handler.writeWide !== undefined) as number;
        this.handlers[region] = handler;
        let base = -1;
        return {
          get base() { return base; },
          bytes,
          map: (to) => {
            this.#link.invoke('map', region, to);
            base = to;
          },
          unmap: () => {
            if (base >= 0) this.#link.effect(UNMAP, region, 0);
            base = -1;
          },
        };
      },
    };
  }

  #timer(fire: (due: number) => void): Timer {
    const timer = new WorkerTimer(this.#link, this.#link.invoke('timer') as number, fire);
    this.#timers[timer.id] = timer;
    return timer;
  }

  #block(name: string): BlockBackend {
    const { id, bytes, writable } = this.#link.invoke('block', name) as { readonly id: number; readonly bytes: number; readonly writable: boolean };
    const ask = (op: string, at: number, count: number, into: Uint8Array | null, data: Uint8Array | null): Promise<void> => new Promise((resolve, reject) => {
      const request = ++this.#lastRequest;
      this.#requests.set(request, { into, resolve, reject });
      this.#link.tell({ block: id, op, request, at, bytes: count, data });
    });
    return {
      bytes,
      writable,
      read: (at, into) => ask('read', at, into.length, into, null),
      write: (at, from) => ask('write', at, from.length, null, from.slice()),
      flush: () => ask('flush', 0, 0, null, null),
      discard: (at, count) => ask('discard', at, count, null, null),
      writeZeroes: (at, count) => ask('writeZeroes', at, count, null, null),
    };
  }
}

class WorkerLine implements Line {
  #high = false;
  readonly #link: WorkerLink;
  readonly #id: number;

  constructor(link: WorkerLink, id: number) {
    this.#link = link;
    this.#id = id;
  }

  set(high: boolean): void {
    if (high === this.#high) return;
    this.#high = high;
    this.#link.effect(SET_LINE, this.#id, high ? 1 : 0);
  }
}

class WorkerTimer implements Timer {
  due: number = Infinity;
  readonly id: number;
  readonly #link: WorkerLink;
  readonly #fire: (due: number) => void;

  constructor(link: WorkerLink, id: number, fire: (due: number) => void) {
    this.#link = link;
    this.id = id;
    this.#fire = fire;
  }

  arm(due: number): void {
    if (Number.isNaN(due)) throw new RangeError('timer: expected a time, got NaN');
    this.due = due;
    this.#link.effect(ARM_TIMER, this.id, due);
  }

  disarm(): void {
    if (this.due !== Infinity) this.arm(Infinity);
  }

  fire(due: number): void {
    this.due = Infinity;
    this.#fire(due);
  }
}

const STORES = { 1: STORE_1, 2: STORE_2, 4: STORE_4 } as const;
const MOST_WINDOWS = 64;

/** Guest memory through the machine: windows are copies of the moment at which they were asked for. */
class WorkerMemory implements GuestMemory {
  readonly #link: WorkerLink;
  readonly #windows: { readonly gpa: Gpa; readonly bytes: Uint8Array }[] = []; // the last ones for storing

  constructor(link: WorkerLink) {
    this.#link = link;
  }

  read(gpa: Gpa, size: Size): number { return this.#link.call(LOAD, gpa, size); }

  write(gpa: Gpa, size: Size, value: number): void {
    if (size === 4) this.#link.effect(STORE_4, gpa, value >>> 0);
    else this.#link.effect(STORES[size], gpa, value & (size === 2 ? 0xffff : 0xff));
  }

  copyOut(gpa: Gpa, into: Uint8Array): boolean {
    const { bytes } = this.#link.box;
    for (let at = 0; at === 0 || at < into.length; at += MAILBOX_BYTES) {
      const count = Math.min(MAILBOX_BYTES, into.length - at);
      if (this.#link.call(COPY_OUT, gpa, into.length, at, count) === 0) return false;
      into.set(bytes.subarray(0, count), at);
    }
    return true;
  }

  copyIn(gpa: Gpa, from: Uint8Array): boolean {
    for (let at = 0; at === 0 || at < from.length; at += MAILBOX_BYTES) {
      const count = Math.min(MAILBOX_BYTES, from.length - at);
      this.#link.stage(from.subarray(at, at + count));
      if (this.#link.call(COPY_IN, gpa, from.length, at, count) === 0) return false;
    }
    return true;
  }

  readWindow(gpa: Gpa, bytes: number): Uint8Array | null {
    const window = new Uint8Array(bytes);
    return this.copyOut(gpa, window) ? window : null;
  }

  writeWindow(gpa: Gpa, bytes: number): Uint8Array | null {
    const window = this.readWindow(gpa, bytes);
    if (window === null) return null;
    if (this.#windows.length === MOST_WINDOWS) this.#windows.shift();
    this.#windows.push({ gpa, bytes: window });
    return window;
  }

  commit(gpa: Gpa, bytes: number): void {
    const window = this.#windows.findLast((one) => gpa >= one.gpa && gpa + bytes <= one.gpa + one.bytes.length);
    if (window !== undefined) this.copyIn(gpa, window.bytes.subarray(gpa - window.gpa, gpa - window.gpa + bytes));
  }
}
