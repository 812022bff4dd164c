import { describe, expect, it } from 'vitest';
import { DeviceWorker, type WorkerClient, type WorkerLimits } from './device-worker.ts';
import { READ, WRITE } from './mailbox.ts';
import { RemoteServices } from './remote-services.ts';
import * as devices from './test-devices.ts';

const FILE = new URL('./test-devices.ts', import.meta.url).href;
const LIMITS: WorkerLimits = { answerMs: 10_000, startMs: 60_000, hookMs: 60_000, heapMiB: 64 };

describe('a list of accesses', () => {
  it('is done at once, in order, and not beyond the one that the processor may have to hear of', async () => {
    const { worker, told } = workerOf('worker', devices.worker);
    worker.create();
    const put = (values: readonly (number | null)[], offset: number): void => values.forEach((value, i) => worker.put(i, value === null ? READ : WRITE, 0, offset, 4, value ?? 0));
    put([5, null, 6, null, null], 0);
    expect([worker.run(5), ...[1, 3, 4].map((i) => worker.result(i, 4))]).toEqual([5, 5, 6, 6]);
    // A line that rises ends it, with the rest left to do.
    put([1, 1, 0, 1, 1], 12);
    expect([worker.run(5), told]).toEqual([1, ['pin 5 true']]);
    worker.put(0, READ, 0, 0, 4, 0);
    worker.put(1, WRITE, 0, 12, 4, 0);
    worker.put(2, WRITE, 0, 0, 4, 77);
    expect([worker.run(3), worker.result(0, 4), told]).toEqual([2, 6, ['pin 5 true', 'pin 5 false']]);
    expect(() => worker.put(64, READ, 0, 0, 4, 0)).toThrow(RangeError);
    await worker.end();
  });
});

describe('a worker that writes what it likes into the mailbox and the ports', () => {
  // One that is not cut off is asked again, so this ends for each of them.
  it.each(Array.from({ length: 10 }, (_, i) => Number(process.env['VM_SEED'] ?? 1) * 100 + i))('VM_SEED %i: gets numbers or an error, reaches nothing that it was not given, and is told once', async (seed) => {
    const { worker, told, failed } = workerOf('scribbles', devices.scribbles, seed, { ...LIMITS, answerMs: 300 });
    worker.create();
    const pio: unknown[] = [];
    for (let i = 0; i < 50; i++) {
      try {
        pio.push(worker.read(0, 0, 4));
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect(() => worker.read(0, 0, 4)).toThrow();
        break;
      }
    }
    expect(pio.every((value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < 2 ** 32)).toBe(true);
    expect(told.every((one) => /^(pin 5 (true|false)|dma \d+ [124]|arm \S+)$/.test(one))).toBe(true);
    expect(failed.length).toBeLessThan(2);
    await worker.end();
  });
});

function workerOf(name: string, module: devices.TestDevice, seed = 0, limits = LIMITS): { readonly worker: DeviceWorker; readonly told: string[]; readonly failed: unknown[] } {
  const told: string[] = [];
  const failed: unknown[] = [];
  const worker = new DeviceWorker({ name, manifest: module.manifest, url: FILE, export: name, config: { seed }, spins: 100 }, limits, (_where, error) => void failed.push(error));
  const region = { base: -1, bytes: 32, map: () => {}, unmap: () => {} };
  const ctx = {
    name, signal: new AbortController().signal, log: () => {},
    pio: { claim: () => region },
    lines: { connect: (pin: number) => ({ set: (high: boolean) => void told.push(`pin ${pin} ${high}`) }) },
    clock: { now: () => 0, timer: () => ({ due: Infinity, arm: (due: number) => void told.push(`arm ${due}`), disarm: () => {} }) },
    dma: { read: () => 0, write: (gpa: number, size: number) => void told.push(`dma ${gpa} ${size}`), copyOut: () => false, copyIn: () => false, readWindow: () => null, writeWindow: () => null, commit: () => {} },
    msi: { send: () => {} },
    host: { block: () => ({ bytes: 0, writable: false }) },
  };
  worker.serve(new RemoteServices(ctx as never, worker) satisfies WorkerClient);
  return { worker, told, failed };
}
