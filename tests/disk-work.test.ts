import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '@vm/cli';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { ctl } from './vm-ctl.ts';
import { printed, start, VM } from './vm-program.ts';

const MiB = 2 ** 20;
const PROMPT = '/root# ';
const LOAD = 'for set in virtio disk; do while read -r one; do insmod /lib/modules/$set.d/$one 2>/dev/null; done </lib/modules/$set; done; until [ -b /dev/vda ]; do usleep 1000; done';
interface Work {
  readonly mode: string;
  readonly going: boolean;
  readonly done: number;
  readonly total: number;
}

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-disk-work-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

async function workOf(name: string): Promise<Work | null> {
  for (;;) {
    const { code, output } = await ctl(name, 'disk');
    if (code === 0) return (JSON.parse(output) as { readonly work: Work | null }[])[0]!.work;
  }
}

describe('disks that are encrypted while their machine runs', () => {
  itWithGuest('linux-image-cloud-amd64', 'Linux stores and reads a disk that is encrypted under it, through the death of the machine, and finds all of it (VHD-22)', async ({ kernel, initrd }) => {
    const name = `work-${process.pid}`;
    const data = Buffer.alloc(48 * MiB, 'there from the beginning ');
    writeFileSync(at('disk.img'), data);
    writeFileSync(at('key'), 'a secret');
    const boot = (disk: string): ReturnType<typeof start> => start([...VM, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0 quiet', '--memory', '256M', '--disk', disk, '--name', name, '--timeout', '400s'], null);
    let machine = boot(at('disk.img'));
    let commands = 0;
    const does = async (command: string): Promise<void> => {
      const seen = printed(machine.child, `did ${++commands}.`); // which the echo of the command does not hold
      machine.child.stdin!.write(`${command}; echo did $(( ${commands} )).\n`);
      await seen;
    };
    await printed(machine.child, PROMPT);
    await does(LOAD);
    // Of 3,000 places of 16 KiB every third is stored, in an order that goes all over the disk, and each is synced.
    const stores = (from: number, to: number): string => `i=${from}; while [ $i -lt ${to} ]; do n=$(( i * 1201 % 3000 )); dd if=/root/known.bin of=/dev/vda bs=16384 count=1 seek=$n conv=fsync 2>/dev/null; i=$(( i + 1 )); done`;
    const stored = does(stores(0, 40));
    expect(await ctl(name, 'disk', 'encrypt', 'disk0', '--key-file', at('key'), '--iterations', '1000')).toMatchObject({ code: 0, errors: '' });
    await stored;
    for (let work = await workOf(name); work !== null && work.done < 8 * MiB; work = await workOf(name));
    machine.child.kill('SIGKILL');
    await machine.done;
    machine = boot(`file=${at('disk.img')},key=file:${at('key')}`);
    await printed(machine.child, PROMPT);
    const again = await workOf(name);
    if (again !== null) expect(again).toMatchObject({ mode: 'encrypt', going: false, total: 48 * MiB });
    if (again !== null) expect(await ctl(name, 'disk', 'go', 'disk0')).toMatchObject({ code: 0, errors: '' });
    await does(`${LOAD}; ${stores(40, 80)}`);
    while ((await workOf(name)) !== null) await new Promise((resolve) => setTimeout(resolve, 50));
    await does(`${stores(80, 90)}; echo 3 >/proc/sys/vm/drop_caches; sha256sum /dev/vda >/tmp/sum`);
    machine.child.stdin!.end('cat /tmp/sum; poweroff -f\n');
    const { code, output } = await machine.done;
    expect(code).toBe(0);
    expect(readFileSync(at('disk.img')).includes('there from the beginning')).toBe(false);
    // What the guest saw, what it should have seen, and what the file holds.
    expect(await runCli(['disk', 'decrypt', at('disk.img'), '--key-file', at('key')])).toBe(0);
    const after = readFileSync(at('disk.img'));
    expect(after.length).toBe(data.length);
    for (let i = 0; i < 90; i++) data.set(knownBytes(), ((i * 1201) % 3000) * 16_384);
    expect(after.equals(data)).toBe(true);
    expect(output).toContain(createHash('sha256').update(data).digest('hex'));
  }, 400_000);
});

/** The beginning of /root/known.bin. */
function knownBytes(): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: 16_384 }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}
