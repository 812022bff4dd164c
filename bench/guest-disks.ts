import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { ourCommand } from './guest-commands.ts';
import { initrdWith, resultsIn } from './guest-programs.ts';
import { GuestSession } from './guest-session.ts';
import { median, type Row, row } from './registry.ts';

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';
/** What diskio does, and how it is called in tables. */
export const DISK_TESTS: readonly (readonly [test: string, name: string])[] = [
  ['seqwrite', 'sequential writes, 1024 KiB, depth 1'],
  ['seqread', 'sequential reads, 1024 KiB, depth 1'],
  ['randwrite', 'random writes, 4 KiB, depth 1'],
  ['randread', 'random reads, 4 KiB, depth 1'],
  ['manywrite', 'random writes, 4 KiB, depth 8'],
  ['manyread', 'random reads, 4 KiB, depth 8'],
];

/** MiB a second of one test in a guest. */
export async function diskRate(session: GuestSession, device: string, test: string, scale: number): Promise<number> {
  const { output } = await session.run(`/programs/diskio /dev/${device} ${test} ${scale}`);
  const [result] = resultsIn(output);
  if (result === undefined) throw new Error(`${test} of ${device}: ${JSON.stringify(output)}`);
  return result.units / 2 ** 20 / (result.nanos / 1e9);
}

/** What a Linux guest gets of an encrypted disk and of a plain one, both in one machine and in turn. */
export async function guestRows(disks: { readonly encrypted: string; readonly plain: string; readonly secret: string }, folder: string, quick: boolean): Promise<Row[]> {
  const [rounds, scale] = quick ? [1, 0.1] : [9, 1];
  const guest = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const initrd = join(folder, 'initrd');
  writeFileSync(initrd, initrdWith(readFileSync(guest.initrd), ['diskio'], folder));
  const session = new GuestSession(ourCommand({ kernel: guest.kernel, initrd, append: APPEND, memoryMiB: 256 }, ['--disk', disks.plain, '--disk', `${disks.encrypted},key=file:${disks.secret}`]));
  try {
    await session.ready();
    const rows: Row[] = [];
    for (const [test, name] of DISK_TESTS) {
      const rates: Record<'vda' | 'vdb', number[]> = { vda: [], vdb: [] };
      // The first round makes the translator know the driver.
      for (let round = 0; round <= rounds; round++) {
        for (const device of round % 2 === 0 ? (['vda', 'vdb'] as const) : (['vdb', 'vda'] as const)) {
          const rate = await diskRate(session, device, test, scale);
          if (round > 0) rates[device].push(rate);
        }
      }
      rows.push(row(`in a Linux guest: ${name}`, 'MiB/s', rounds, median(rates.vdb), { name: 'no encryption', value: median(rates.vda) }));
    }
    await session.powerOff();
    return rows;
  } finally {
    session.kill();
  }
}
