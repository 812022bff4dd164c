import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { BlockBackend, Capability, DeviceContext, IoRegion, Line, LogLevel, Size, Timer } from '../abi.ts';
import type { DeviceWorker, WorkerClient } from './device-worker.ts';
import {
  ARGUMENTS, ARM_TIMER, CALL_KIND, COPY_IN, COPY_OUT, FLUSH, INVOKE, LOAD, MAILBOX_BYTES, PCI_INTERRUPT, PCI_MESSAGE, READ, READ_WIDE, SEND_MSI, SET_LINE, STEADY, STORE_1, STORE_2, STORE_4, TAKE_MESSAGE, TIME, UNMAP, WRITE, WRITE_WIDE,
} from './mailbox.ts';
import type { PciDevice } from '../pci.ts';
import { askPci, readPciDescription, vectorOf } from './remote-pci.ts';
import type { QueuedHandler } from '../slot-table.ts';
import { sendError } from './sent-error.ts';
import { count, membersOf, sizesOf } from './sent-values.ts';

const MOST_CLAIMS = 256; // regions, lines, timers, disks
const MOST_REQUESTS = 256; // to disks, at a time
const MOST_DISK_BYTES = 1 << 24; // of a request
const MOST_TEXT = 4096;
const LEVELS: readonly unknown[] = ['debug', 'info', 'warn'];
const BUSES: readonly unknown[] = ['pio', 'mmio'];

/** What a machine does for a device in a worker. Everything that arrives may be anything. */
export class RemoteServices implements WorkerClient {
  readonly #ctx: Partial<DeviceContext<Capability>> & Pick<DeviceContext<Capability>, 'log'>;
  readonly #worker: DeviceWorker;
  readonly #regions: IoRegion[] = [];
  readonly #lines: Line[] = [];
  readonly #timers: Timer[] = [];
  readonly #disks: BlockBackend[] = [];
  #pci: PciDevice | null = null;
  #requests = 0;

  constructor(ctx: DeviceContext<Capability>, worker: DeviceWorker) {
    this.#ctx = ctx;
    this.#worker = worker;
  }

  now(): number { return this.#ctx.clock?.now() ?? 0; }

  effect(what: number, first: number, second: number): void {
    switch (what) {
      case SET_LINE: return at(this.#lines, first).set(second !== 0);
      case SEND_MSI: return this.#granted('msi').send(address(first), second >>> 0);
      case ARM_TIMER: return at(this.#timers, first).arm(second);
      case UNMAP: return at(this.#regions, first).unmap();
      case STORE_1: return this.#granted('dma').write(address(first), 1, second & 0xff);
      case STORE_2: return this.#granted('dma').write(address(first), 2, second & 0xffff);
      case STORE_4: return this.#granted('dma').write(address(first), 4, second >>> 0);
      case TAKE_MESSAGE: return this.#worker.takeMessage();
      case PCI_INTERRUPT: return this.#function().setInterrupt(first !== 0);
      case PCI_MESSAGE: return this.#function().interrupt(vectorOf(first));
      default: throw new RangeError(`there is no effect ${what}`);
    }
  }

  message(message: unknown): void {
    const found = membersOf(message);
    if (Object.hasOwn(found, 'settled')) return this.#worker.settled(found['error'] ?? null);
    if (Object.hasOwn(found, 'block')) return this.#request(found);
    const { log, text } = found;
    if (!LEVELS.includes(log) || typeof text !== 'string') throw new TypeError('a message that is none');
    return this.#ctx.log(log as LogLevel, text.slice(0, MOST_TEXT));
  }

  call(calls: MessagePort): void {
    const { words, numbers, bytes } = this.#worker.box;
    const [first, second, third, fourth] = [numbers[ARGUMENTS]!, numbers[ARGUMENTS + 1]!, numbers[ARGUMENTS + 2]!, numbers[ARGUMENTS + 3]!];
    switch (words[CALL_KIND]!) {
      case FLUSH: return;
      case TIME: return void (numbers[ARGUMENTS] = this.#granted('clock').now());
      case LOAD: return void (numbers[ARGUMENTS] = this.#granted('dma').read(address(first), sizeOf(second)));
      case COPY_OUT: {
        const window = this.#granted('dma').readWindow(address(first), count(second, Number.MAX_SAFE_INTEGER));
        if (window !== null) bytes.set(window.subarray(third, third + count(fourth, Math.min(MAILBOX_BYTES, window.length - third))));
        return void (numbers[ARGUMENTS] = window === null ? 0 : 1);
      }
      case COPY_IN: {
        const dma = this.#granted('dma');
        const fits = dma.readWindow(address(first), count(second, Number.MAX_SAFE_INTEGER)) !== null && third + count(fourth, MAILBOX_BYTES) <= second;
        return void (numbers[ARGUMENTS] = fits && dma.copyIn(address(first + third), bytes.subarray(0, fourth)) ? 1 : 0);
      }
      case INVOKE: return this.#invoke(calls);
      default: throw new RangeError(`there is no call ${words[CALL_KIND]!}`);
    }
  }

  /** What the device asked for and may not have is its own affair, and thrown where it asked. */
  #invoke(calls: MessagePort): void {
    const { op, args } = membersOf(receiveMessageOnPort(calls)?.message);
    try {
      if (!Array.isArray(args)) throw new TypeError('a call without arguments');
      calls.postMessage({ value: this.#run(op, args as readonly unknown[]) });
    } catch (error) {
      calls.postMessage({ error: sendError(error) });
    }
  }

  #run(op: unknown, args: readonly unknown[]): unknown {
    const [first, second] = args;
    if (op === 'claim') return this.#claim(args);
    if (op === 'map') return at(this.#regions, first as number).map(second as number);
    if (op === 'line') return add(this.#lines, this.#granted('lines').connect(first as number));
    if (op === 'timer') {
      const id = this.#timers.length;
      return add(this.#timers, this.#granted('clock').timer((due) => this.#worker.fire(id, due)));
    }
    if (op === 'block' && typeof first === 'string') {
      const disk = this.#granted('host').block(first);
      return { id: add(this.#disks, disk), bytes: disk.bytes, writable: disk.writable };
    }
    if (op === 'pci') return this.#createPci(first);
    if (op === 'askPci') return askPci(this.#function(), first, second ?? null);
    throw new TypeError('a call that is none');
  }

  /** Its windows are regions that the guest places, and nobody else. */
  #createPci(description: unknown): readonly number[] {
    const ids: number[] = [];
    this.#pci = this.#granted('pci').create(readPciDescription(description, (readsWide, writesWide) => {
      const id = add(this.#regions, PLACED_BY_GUEST);
      ids.push(id);
      return this.#handlerOf(id, readsWide, writesWide);
    }));
    return ids;
  }

  #function(): PciDevice {
    if (this.#pci === null) throw new TypeError('it has made no function');
    return this.#pci;
  }

  #claim([space, name, bytes, sizes, readsWide, writesWide]: readonly unknown[]): number {
    if (!BUSES.includes(space) || typeof name !== 'string' || name.length > 64 || typeof bytes !== 'number') throw new TypeError('a claim that is none');
    const accepted = sizesOf(sizes);
    const handler = this.#handlerOf(this.#regions.length, readsWide, writesWide);
    const claim = this.#granted(space as 'pio' | 'mmio');
    return add(this.#regions, accepted === null ? claim.claim(name, bytes, handler) : claim.claim(name, bytes, handler, accepted));
  }

  #handlerOf(id: number, readsWide: unknown, writesWide: unknown): QueuedHandler {
    const worker = this.#worker;
    return {
      queue: worker.queue,
      enqueue: (index, offset, size, isWrite, value, now) => worker.put(index, isWrite ? WRITE : READ, id, offset, size, value, now),
      read: (offset, size) => worker.read(id, offset, size),
      isSteady: () => worker.box.words[STEADY] !== 0,
      write: (offset, size, value) => worker.write(id, offset, size, value),
      ...(readsWide !== true ? {} : {
        readWide: (offset, count, into) => {
          worker.put(0, READ_WIDE, id, offset, count, 0);
          worker.run(1);
          for (let i = 0; i < count; i++) into.setUint8(i, worker.box.bytes[i]!);
        },
      }),
      ...(writesWide !== true ? {} : {
        writeWide: (offset, count, from) => {
          for (let i = 0; i < count; i++) worker.box.bytes[i] = from.getUint8(i);
          worker.put(0, WRITE_WIDE, id, offset, count, 0);
          worker.run(1);
        },
      }),
    };
  }

  #request({ block, op, request, at: place, bytes, data }: Readonly<Record<string, unknown>>): void {
    const disk = at(this.#disks, block as number);
    const id = count(request, Number.MAX_SAFE_INTEGER);
    const settle = (data: Uint8Array | null, error: unknown): void => this.#worker.settle(id, data, error === null ? null : sendError(error));
    if (this.#requests >= MOST_REQUESTS) throw new RangeError(`it has ${MOST_REQUESTS} requests to disks under way`);
    const into = op === 'read' ? new Uint8Array(count(bytes, MOST_DISK_BYTES)) : null;
    this.#requests++;
    const run = (): Promise<void> => {
      const from = count(place, Number.MAX_SAFE_INTEGER);
      if (into !== null) return disk.read(from, into);
      if (op === 'write' && data instanceof Uint8Array && data.length <= MOST_DISK_BYTES) return disk.write(from, data);
      if (op === 'flush') return disk.flush();
      if (op === 'discard') return disk.discard(from, count(bytes, Number.MAX_SAFE_INTEGER));
      if (op === 'writeZeroes') return disk.writeZeroes(from, count(bytes, Number.MAX_SAFE_INTEGER));
      throw new TypeError('a request that is none');
    };
    void run().then(() => (this.#requests--, settle(into, null)), (error: unknown) => (this.#requests--, settle(null, error)));
  }

  #granted<C extends Capability>(capability: C): DeviceContext<Capability>[C] {
    const service = this.#ctx[capability];
    if (service === undefined) throw new TypeError(`it was not given ${capability}`);
    return service as DeviceContext<Capability>[C];
  }
}

function refuseToPlace(): never {
  throw new TypeError('the guest places the windows of a PCI device');
}
const PLACED_BY_GUEST: IoRegion = { base: -1, bytes: 0, map: refuseToPlace, unmap: refuseToPlace };

function add<T>(list: T[], item: T): number {
  if (list.length >= MOST_CLAIMS) throw new RangeError(`a device has at most ${MOST_CLAIMS} of a kind`);
  return list.push(item) - 1;
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`there is no ${index}`);
  return found;
}

function address(value: number): number { return count(value, 2 ** 52 - 1); }

function sizeOf(value: number): Size {
  if (value !== 1 && value !== 2 && value !== 4) throw new RangeError(`no access has ${value} bytes`);
  return value;
}
