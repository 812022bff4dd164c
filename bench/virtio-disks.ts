import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache } from '@vm/cli';
import { findOracle } from '@vm/testkit/oracle';
import { ourCommand, QEMU, qemuCommand } from './guest-commands.ts';
import { DISK_TESTS, diskRate } from './guest-disks.ts';
import { initrdWith } from './guest-programs.ts';
import { GuestSession } from './guest-session.ts';
import { median, type Row, row } from './registry.ts';

const GUEST = 'linux-image-cloud-amd64';
const APPEND = 'console=ttyS0 quiet cryptomgr.notests vm.term=dumb';
const MIB = 1 << 20;

/** The same guest with the same image on virtio, here and in QEMU with TCG, both open at once and asked in turn. */
export async function virtioRows(quick: boolean): Promise<Row[]> {
  const [rounds, scale] = quick ? [1, 0.1] : [7, 1];
  const folder = mkdtempSync(join(tmpdir(), 'vm-bench-virtio-'));
  const sessions: Partial<Record<'ours' | 'qemu', GuestSession>> = {};
  try {
    const guest = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
    const initrd = join(folder, 'initrd');
    writeFileSync(initrd, initrdWith(readFileSync(guest.initrd), ['diskio'], folder));
    const files = { kernel: guest.kernel, initrd, append: APPEND, memoryMiB: 256 };
    const image = (name: string): string => {
      const path = join(folder, `${name}.img`);
      writeFileSync(path, new Uint8Array((quick ? 64 : 512) * MIB).fill(0x5a)); // all there, and in the host's cache
      return path;
    };
    sessions.ours = new GuestSession(ourCommand(files, ['--disk', `${image('ours')},format=raw`]));
    if (findOracle(QEMU) !== null) sessions.qemu = new GuestSession([...qemuCommand(files, 'Nehalem'), '-drive', `file=${image('qemu')},format=raw,if=virtio`]);
    const all = Object.entries(sessions);
    for (const [, session] of all) await session.ready();
    const rows: Row[] = [];
    for (const [test, name] of DISK_TESTS) {
      const rates: Record<string, number[]> = { ours: [], qemu: [] };
      for (let round = 0; round <= rounds; round++) {
        for (const [who, session] of round % 2 === 0 ? all : all.toReversed()) {
          const rate = await diskRate(session, 'vda', test, scale);
          if (round > 0) rates[who]!.push(rate); // the first round makes the translators know the driver
        }
      }
      rows.push(row(`a disk on virtio in a Linux guest: ${name}`, 'MiB/s', rounds, median(rates['ours']!), ...(sessions.qemu === undefined ? [] : [{ name: 'QEMU TCG', value: median(rates['qemu']!) }])));
    }
    for (const [, session] of all) await session.powerOff();
    return rows;
  } finally {
    for (const session of Object.values(sessions)) session.kill();
    rmSync(folder, { recursive: true });
  }
}
