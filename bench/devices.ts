import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, openSnapshotFile, PAGE_CODEC, PROMPT, writeSnapshotFile } from '@vm/cli';
import { bootGuest, type Guest, type GuestOptions } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { accessRows, counters, manyDevicesRows } from './device-access.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';
import { virtioRows } from './virtio-disks.ts';

const MIB = 1 << 20;
const GUEST = 'linux-image-cloud-amd64';
const ROUNDS = 5;

/** Accesses to devices, with the machine and in workers; many devices; a disk; saved machines of 512 MiB, to a file and back. */
export const devices: Benchmark = {
  summary: 'accesses to devices, many devices, a disk on virtio against QEMU, saving and restoring a Linux guest of 512 MiB',
  run: async ({ quick }) => [...(await accessRows(quick)), ...(await manyDevicesRows(quick)), ...(await bootRows(quick)), ...(await virtioRows(quick)), ...(await snapshotRows(quick))],
};

async function snapshotRows(quick: boolean): Promise<readonly Row[]> {
  const files = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const board: Omit<GuestOptions<WasmVcpu>, 'engine'> = {
    ramBytes: 512 * MIB, kernel: readFileSync(files.kernel), initrd: readFileSync(files.initrd), commandLine: 'console=ttyS0 quiet', clock: { kind: 'virtual', nanosPerInstruction: 10 },
  };
  const folder = mkdtempSync(join(tmpdir(), 'vm-bench-'));
  try {
    await using guest = await bootGuest({ ...board, engine: wasmEngine() });
    await guest.waitFor(PROMPT.trim());
    guest.hold();
    await guest.standing();
    return await measure(guest, board, join(folder, 'saved.vms'), quick ? 2 : ROUNDS);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A boot of Linux to its prompt with few devices beside those of the board, and with many. */
async function bootRows(quick: boolean): Promise<readonly Row[]> {
  const runs = quick ? 1 : 7;
  const files = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const times: Readonly<Record<5 | 100, number[]>> = { 5: [], 100: [] };
  for (let run = 0; run < runs; run++) {
    for (const count of [5, 100] as const) {
      const begin = performance.now();
      await using guest = await bootGuest({
        engine: wasmEngine(), ramBytes: 128 * MIB, kernel: readFileSync(files.kernel), initrd: readFileSync(files.initrd), commandLine: 'console=ttyS0 quiet',
        clock: { kind: 'virtual', nanosPerInstruction: 10 }, devices: await counters(count),
      });
      await guest.waitFor(PROMPT.trim());
      times[count].push(performance.now() - begin);
    }
  }
  return [row('a boot of Linux with 100 more devices, to the prompt', 'ms', runs, median(times[100]), { name: 'with 5 more', value: median(times[5]) })];
}

async function measure(guest: Guest<WasmVcpu>, board: Omit<GuestOptions<WasmVcpu>, 'engine'>, path: string, rounds: number): Promise<readonly Row[]> {
  const [saves, loads]: [number[], number[]] = [[], []];
  for (let i = 0; i < rounds; i++) {
    let begin = performance.now();
    await writeSnapshotFile(path, (sink) => guest.save(sink, { codec: PAGE_CODEC }));
    saves.push(performance.now() - begin);
    begin = performance.now();
    const { bytes } = await openSnapshotFile(path);
    const restored = await bootGuest({ ...board, engine: wasmEngine(), restore: { bytes, codec: PAGE_CODEC } });
    loads.push(performance.now() - begin);
    await restored[Symbol.asyncDispose]();
  }
  return [
    row('save to a file, on the disk', 'ms', rounds, median(saves)),
    row('size of the file', 'MiB', 1, statSync(path).size / MIB),
    row('restore, the first', 'ms', 1, loads[0]!),
    row('restore, a further one in the same process', 'ms', rounds - 1, median(loads.slice(1))),
  ];
}
