import type { BlockBackend, Clock, Nanos, Timer } from '@vm/core';

/** What a disk needs of a machine whose time is virtual. */
export interface PacedDiskServices {
  readonly clock: Clock;
  /** Machine time stands still until the function that it returns is called. */
  hold(): () => void;
  /** Lets promises that were just resolved go on before the next instruction. */
  yield(): void;
}

const ACCESS_NANOS: Nanos = 50_000;
const NANOS_PER_BYTE = 1;

/** A disk whose `stop` waits for what is under way on the host. */
export function trackedDisk(disk: BlockBackend): BlockBackend {
  return wrap(disk, (_bytes, work) => work());
}

/**
 * A disk whose requests take a time that their size decides and the host does not: the machine stands still while the host works,
 * and each request ends between the same two instructions of every run. `services` is asked for at the first request.
 */
export function pacedDisk(disk: BlockBackend, services: () => PacedDiskServices): BlockBackend {
  let timer: Timer | null = null;
  let begun = 0;
  const waiting: { readonly due: Nanos; readonly order: number; readonly resolve: () => void }[] = [];
  const fire = ({ clock, yield: serve }: PacedDiskServices): void => {
    const now = clock.now();
    while (waiting.length > 0 && waiting[0]!.due <= now) waiting.shift()!.resolve();
    if (waiting.length > 0) timer!.arm(waiting[0]!.due);
    serve();
  };
  return wrap(disk, async (bytes, work) => {
    const machine = services();
    timer ??= machine.clock.timer(() => fire(machine));
    const due = machine.clock.now() + ACCESS_NANOS + bytes * NANOS_PER_BYTE;
    const order = begun++;
    const release = machine.hold();
    let end: Promise<void>;
    let failure: unknown = null;
    try {
      await work();
    } catch (error) {
      failure = error;
    } finally {
      end = new Promise((resolve) => waiting.push({ due, order, resolve }));
      waiting.sort((a, b) => a.due - b.due || a.order - b.order);
      timer.arm(waiting[0]!.due);
      release();
    }
    await end;
    if (failure !== null) throw failure;
  });
}

function wrap(disk: BlockBackend, run: (bytes: number, work: () => Promise<void>) => Promise<void>): BlockBackend {
  const underWay = new Set<Promise<void>>();
  const request = (bytes: number, work: () => Promise<void>): Promise<void> =>
    run(bytes, () => {
      const done = work();
      underWay.add(done);
      void done.catch(() => {}).finally(() => underWay.delete(done));
      return done;
    });
  return {
    bytes: disk.bytes,
    writable: disk.writable,
    read: (at, into) => request(into.length, () => disk.read(at, into)),
    write: (at, from) => request(from.length, () => disk.write(at, from)),
    flush: () => request(0, () => disk.flush()),
    discard: (at, bytes) => request(0, () => disk.discard(at, bytes)),
    writeZeroes: (at, bytes) => request(0, () => disk.writeZeroes(at, bytes)),
    start: () => disk.start?.(),
    async stop() {
      await Promise.allSettled(underWay);
      await disk.stop?.();
    },
  };
}
