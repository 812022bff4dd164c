import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findOracle } from '@vm/testkit/oracle';
import { type Assembler, CONDITION_E, r16, r8, RAX, RDX } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { powerOff, smallKernel, spin } from './small-kernel.ts';
import { start, VM } from './vm-program.ts';
import { runOf } from './vm-run.ts';

const MiB = 2 ** 20;
const PATTERN = 'a pattern that the host must not see. ';

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-disks-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const at = (name: string): string => join(folder, name);

function raw(name: string, bytes: number): string {
  writeFileSync(at(name), '');
  truncateSync(at(name), bytes);
  return at(name);
}

describe('disks of a machine', () => {
  itWithGuest('linux-image-cloud-amd64', 'Linux makes file systems on virtio and ATA, in raw files and in encrypted VHDs; the host finds them whole, and in the encrypted ones nothing', async ({ kernel, initrd }) => {
    writeFileSync(at('key'), 'a secret of the host');
    const encrypted = ['v.vhd', 'a.vhd'].map(at);
    for (const path of encrypted) {
      const made = await start([...VM, 'disk', 'create', path, '--size', '16M', '--encrypt', 'payload', '--iterations', '1000', '--key-file', at('key')], '').done;
      expect(made).toMatchObject({ code: 0 });
    }
    const plain = [raw('v.img', 16 * MiB), raw('a.img', 16 * MiB)];
    const disks = [plain[0]!, `${encrypted[0]!},key=file:${at('key')}`, `${plain[1]!},bus=ata`, `${encrypted[1]!},key=file:${at('key')},bus=ata`];
    const names = ['vda', 'vdb', 'sda', 'sdb'];
    const script = [
      `yes '${PATTERN}' | head -c 3000000 >/tmp/pattern; sha256sum /tmp/pattern`,
      ...names.map((name) => `mke2fs -F /dev/${name} >/dev/null 2>&1 && mkdir /mnt${name} && mount -t ext2 /dev/${name} /mnt${name} && cp /tmp/pattern /root/known.bin /mnt${name} && umount /mnt${name}`),
      'echo 3 >/proc/sys/vm/drop_caches',
      ...names.map((name) => `mount -t ext2 /dev/${name} /mnt${name} && sha256sum /mnt${name}/pattern; umount /mnt${name}`),
      `dd if=/tmp/pattern of=/dev/vda bs=512 count=8 seek=${(16 * MiB) / 512 - 8} conv=fsync 2>/dev/null; blockdev --getsz /dev/sda; cat /sys/block/vdb/serial; echo`,
      'poweroff -f',
    ].join('\n');
    const run = await start([...VM, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0 quiet', '--timeout', '300s', ...disks.flatMap((disk) => ['--disk', disk])], `${script}\n`).done;
    const pattern = Buffer.from(`${PATTERN}\n`.repeat(80_000)).subarray(0, 3_000_000);
    const sum = createHash('sha256').update(pattern).digest('hex');
    expect(run.code).toBe(0);
    for (const name of names) expect(run.output).toContain(`${sum}  /mnt${name}/pattern`);
    expect(run.output).toMatch(/\n32768\r?\nv\.vhd/);
    expect(readFileSync(plain[0]!).subarray(-4096).equals(pattern.subarray(0, 4096))).toBe(true);
    for (const path of plain) expect(readFileSync(path).includes(PATTERN)).toBe(true);
    for (const path of encrypted) expect(readFileSync(path).includes('that the host')).toBe(false);
    // What the host reads by itself.
    const copies: string[] = [];
    for (const path of encrypted) {
      const copy = `${path}.img`;
      expect(await start([...VM, 'disk', 'convert', `${path},key=file:${at('key')}`, copy, '--type', 'raw'], '').done).toMatchObject({ code: 0 });
      copies.push(copy);
    }
    const [check, look] = ['e2fsck', 'debugfs'].map((tool) => findOracle(tool));
    for (const image of [...plain, ...copies]) {
      if (check !== null && image !== plain[0]) expect(spawnSync(check!, ['-fn', image]).status).toBe(0);
      if (look !== null) expect(createHash('sha256').update(spawnSync(look!, ['-R', 'cat pattern', image], { maxBuffer: 8 * MiB }).stdout).digest('hex')).toBe(sum);
    }
  });

  it('a disk that cannot be used ends with 2 and its name', async () => {
    writeFileSync(at('no.vhd'), 'this is no disk');
    const kernel = at('kernel');
    writeFileSync(kernel, smallKernel(spin));
    const boot = (disk: string): Promise<{ code: number | null; errors: string }> => start([...VM, 'boot', '--kernel', kernel, '--disk', disk], '').done;
    const missing = await boot(at('missing.img'));
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.errors).toContain(`--disk ${at('missing.img')}: `);
    expect((await boot(at('no.vhd'))).errors).toContain(`--disk ${at('no.vhd')}: `);
    expect(await boot(`${raw('x.img', 4096)},bus=scsi`)).toMatchObject({ code: 2 });
  });

  it('a program reads a sector over ATA at the same instructions in every run under the virtual clock', async () => {
    const image = at('letters.img');
    writeFileSync(image, 'letters on a disk'.padEnd(1024, '.'));
    const kernel = at('reader');
    writeFileSync(kernel, smallKernel((code) => {
      for (const [port, value] of [[0x1f6, 0xe0], [0x1f2, 1], [0x1f3, 0], [0x1f4, 0], [0x1f5, 0], [0x1f7, 0x20]] as const) code.mov(r16(RDX), port).mov(r8(RAX), value).out(r16(RDX), r8(RAX));
      waitForData(code);
      for (let i = 0; i < 9; i++) {
        code.mov(r16(RDX), 0x1f0).in(r16(RAX), r16(RDX)).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
        code.shr(r16(RAX), 8).out(r16(RDX), r8(RAX));
      }
      powerOff(code);
      spin(code);
    }));
    const run = async () => runOf(await start([...VM, 'boot', '--kernel', kernel, '--memory', '16M', '--clock', 'virtual', '--stats=json', '--disk', `${image},bus=ata,snapshot`], '').done);
    const first = await run();
    expect(first).toMatchObject({ code: 0, output: 'letters on a disk.' });
    expect(await run()).toEqual(first);
  });
});

function waitForData(code: Assembler): void {
  code.mov(r16(RDX), 0x1f7).label('busy').in(r8(RAX), r16(RDX)).test(r8(RAX), 8).jcc(CONDITION_E, 'busy');
}
