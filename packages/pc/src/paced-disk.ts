import type { BlockBackend, Clock, DeviceModule, Nanos, Plain, Timer } from '@vm/core';

/** What a disk needs of a machine whose time is virtual. */
export interface PacedDiskServices {
  readonly clock: Clock;
  /** Machine time stands still until the function that it returns is called. */
  hold(): () => void;
  /** Lets promises that were just resolved go on before the next instruction. */
  yield(): void;
}

type Operation = 'read' | 'write' | 'flush' | 'discard' | 'zeroes';
/** A request, and when it ends. */
interface Request {
  readonly operation: Operation;
  readonly at: number;
  readonly bytes: number;
  readonly due: Nanos;
}

const ACCESS_NANOS: Nanos = 50_000;
const NANOS_PER_BYTE = 1;
const MOST_REQUESTS = 1 << 16;

/** A disk whose `stop` waits for what is under way on the host. */
export function trackedDisk(disk: BlockBackend): BlockBackend {
  return wrap(disk, (_operation, _at, _bytes, work) => work());
}

/**
 * Requests of one disk that take a time which their size decides and the host does not: the machine stands still while the host works,
 * and each request ends between the same two instructions of every run. After a restore, devices make the requests again that had
 * not ended; those end when they would have.
 */
export class DiskPace {
  #timer: Timer | null = null;
  #begun = 0;
  #expected: readonly Request[] = [];
  #expectedAt: Nanos = -1; // machine time of the restore
  readonly #waiting: (Request & { readonly order: number; readonly resolve: () => void })[] = [];
  readonly #services: () => PacedDiskServices;

  /** `services` is asked for at the first request. */
  constructor(services: () => PacedDiskServices) {
    this.#services = services;
  }

  async run(operation: Operation, at: number, bytes: number, work: () => Promise<void>): Promise<void> {
    const { clock, hold } = this.#services();
    this.#timer ??= clock.timer(() => this.#fire());
    const request = { operation, at, bytes, due: this.#dueOf(operation, at, bytes, clock.now()), order: this.#begun++ };
    const release = hold();
    let end: Promise<void>;
    let failure: unknown = null;
    try {
      await work();
    } catch (error) {
      failure = error;
    } finally {
      end = new Promise((resolve) => this.#waiting.push({ ...request, resolve }));
      this.#waiting.sort((a, b) => a.due - b.due || a.order - b.order);
      this.#timer.arm(this.#waiting[0]!.due);
      release();
    }
    await end;
    if (failure !== null) throw failure;
  }

  /** Only while the machine stands still and nothing is under way on the host. */
  save(): Plain {
    return this.#waiting.toSorted((a, b) => a.order - b.order).map(({ operation, at, bytes, due }) => ({ operation, at, bytes, due }));
  }

  load(state: Plain, now: Nanos): void {
    if (!Array.isArray(state) || state.length > MOST_REQUESTS) throw new TypeError('disk-pace: expected requests');
    this.#expected = (state as readonly Plain[]).map((one) => {
      const { operation, at, bytes, due } = (one ?? {}) as Readonly<Record<string, Plain>>;
      if (typeof operation !== 'string' || typeof at !== 'number' || typeof bytes !== 'number' || typeof due !== 'number' || !Number.isFinite(due)) throw new TypeError('disk-pace: a request expected operation, at, bytes, due');
      return { operation: operation as Operation, at, bytes, due };
    });
    this.#expectedAt = now;
  }

  #dueOf(operation: Operation, at: number, bytes: number, now: Nanos): Nanos {
    const [next, ...rest] = this.#expectedAt === now ? this.#expected : [];
    if (next === undefined) return now + ACCESS_NANOS + bytes * NANOS_PER_BYTE;
    // The first half of a request whose second half was under way had ended before.
    if (next.operation !== operation || next.at !== at || next.bytes !== bytes) return now;
    this.#expected = rest;
    return next.due;
  }

  #fire(): void {
    const { clock, yield: serve } = this.#services();
    const now = clock.now();
    while (this.#waiting.length > 0 && this.#waiting[0]!.due <= now) this.#waiting.shift()!.resolve();
    if (this.#waiting.length > 0) this.#timer!.arm(this.#waiting[0]!.due);
    serve();
  }
}

/** A disk whose requests are paced. */
export function pacedDisk(disk: BlockBackend, pace: DiskPace): BlockBackend {
  return wrap(disk, (operation, at, bytes, work) => pace.run(operation, at, bytes, work));
}

/** Keeps with a saved machine when requests of its disks end. */
export const diskPace: DeviceModule<ReadonlyMap<string, DiskPace>, 'clock'> = {
  manifest: { abi: 1, id: 'vm.disk-pace', version: '0.0.0', state: 2, needs: ['clock'] },
  create: ({ clock }, paces) => ({
    save: () => Object.fromEntries(Array.from(paces, ([name, pace]) => [name, pace.save()])),
    load: (state) => {
      const saved = (state ?? {}) as Readonly<Record<string, Plain>>;
      const names = [...paces.keys()];
      if (typeof saved !== 'object' || Object.keys(saved).length !== names.length || !names.every((name) => Object.hasOwn(saved, name))) throw new TypeError(`disk-pace: expected the requests of ${names.length} disks`);
      for (const [name, pace] of paces) pace.load(saved[name]!, clock.now());
    },
  }),
};

function wrap(disk: BlockBackend, run: (operation: Operation, at: number, bytes: number, work: () => Promise<void>) => Promise<void>): BlockBackend {
  const underWay = new Set<Promise<void>>();
  const request = (operation: Operation, at: number, bytes: number, work: () => Promise<void>): Promise<void> =>
    run(operation, at, bytes, () => {
      const done = work();
      underWay.add(done);
      void done.catch(() => {}).finally(() => underWay.delete(done));
      return done;
    });
  return {
    bytes: disk.bytes,
    writable: disk.writable,
    read: (at, into) => request('read', at, into.length, () => disk.read(at, into)),
    write: (at, from) => request('write', at, from.length, () => disk.write(at, from)),
    flush: () => request('flush', 0, 0, () => disk.flush()),
    discard: (at, bytes) => request('discard', at, 0, () => disk.discard(at, bytes)),
    writeZeroes: (at, bytes) => request('zeroes', at, 0, () => disk.writeZeroes(at, bytes)),
    start: () => disk.start?.(),
    async stop() {
      await Promise.allSettled(underWay);
      await disk.stop?.();
    },
  };
}
