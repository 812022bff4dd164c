import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryDisk } from '@vm/block';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { shell, smallKernel } from './small-kernel.ts';
import { ctl } from './vm-ctl.ts';
import { printed, type Result, start, VM } from './vm-program.ts';

const MiB = 2 ** 20;
const PLUG_INS = fileURLToPath(new URL('../examples/plug-ins', import.meta.url));
const PROMPT = '/root# ';
const LOAD = 'for set in virtio disk; do while read -r one; do insmod /lib/modules/$set.d/$one 2>/dev/null; done </lib/modules/$set; done';

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-hot-plug-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

function raw(name: string, bytes: number): string {
  writeFileSync(at(name), '');
  truncateSync(at(name), bytes);
  return at(name);
}

describe('devices that come and go', () => {
  itWithGuest('linux-image-cloud-amd64', 'Linux without an APIC finds a disk that comes, stores a file on it and lets go of it, at the same instruction in every run (DEV-05)', async ({ kernelBytes, initrdBytes }) => {
    const run = async (): Promise<unknown> => {
      const disk = memoryDisk(4 * MiB);
      await using guest = await bootGuest({
        engine: wasmEngine({ randomSeed: 0 }), ramBytes: 256 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0 quiet noapic nolapic vm.term=dumb',
        clock: { kind: 'virtual', nanosPerInstruction: 10 },
      });
      const does = (command: string): Promise<string> => (guest.type(`${command}\n`), guest.waitFor(PROMPT));
      await guest.waitFor(PROMPT);
      const gone: string[] = [];
      const there = await guest.addDisk({ disk, name: 'late' }, () => void gone.push('late'));
      expect(there).toEqual({ name: 'virtio-late', slot: 3, state: 'there' });
      await does(LOAD);
      const found = await does('until [ -b /dev/vda ]; do usleep 1000; done; cat /sys/block/vda/serial; echo; dd if=/root/known.bin of=/dev/vda bs=4096 conv=fsync 2>/dev/null; grep -c "IO-APIC" /proc/interrupts');
      expect(found).toMatch(/late\r?\n0\r?\n/);
      const left = guest.hot.left('virtio-late');
      expect(await guest.hot.remove('virtio-late')).toBe('asked');
      expect(guest.hot.list()).toEqual([{ name: 'virtio-late', slot: 3, state: 'asked' }]);
      await left;
      expect([guest.hot.list(), gone]).toEqual([[], ['late']]);
      const atRemoval = guest.machine.vcpu.retired;
      expect(await does('ls /sys/bus/pci/devices; ls /dev/vda')).toMatch(/\n0000:00:00\.0\r?\nls: /);
      guest.type('poweroff -f\n');
      await guest.poweredOff();
      const stored = new Uint8Array(65_536);
      await disk.read(0, stored);
      return [atRemoval, guest.machine.vcpu.retired, createHash('sha256').update(stored).digest('hex')];
    };
    const first = await run();
    expect(first).toEqual([expect.any(Number), expect.any(Number), createHash('sha256').update(knownBytes()).digest('hex')]);
    expect(await run()).toEqual(first);
  });

  itWithGuest('linux-image-cloud-amd64', 'vm ctl brings Linux a disk and takes it away, and a machine that was saved in between has it (DEV-05)', async ({ kernel, initrd }) => {
    const name = `hot-${process.pid}`;
    const disks = [raw('first.img', 4 * MiB), raw('second.img', 4 * MiB)];
    const machine = start([...VM, 'boot', '--kernel', kernel, '--initrd', initrd, '--append', 'console=ttyS0 quiet', '--memory', '256M', '--disk', disks[0]!, '--name', name, '--timeout', '300s'], null);
    const says = async (command: string, wanted: string): Promise<void> => {
      const seen = printed(machine.child, wanted);
      machine.child.stdin!.write(`${command}\n`);
      await seen;
    };
    await printed(machine.child, PROMPT);
    const added = await ctl(name, 'add', 'disk', `${disks[1]!},name=data`);
    expect([added.errors, JSON.parse(added.output)]).toEqual(['', { name: 'virtio-data', slot: 4, state: 'there' }]);
    await says('until [ -b /dev/vdb ]; do usleep 1000; done; mke2fs -F /dev/vdb >/dev/null 2>&1 && mkdir /m && mount -t ext2 /dev/vdb /m && cp /root/known.bin /m && sync && echo stor""ed', 'stored');
    expect(await ctl(name, 'add', 'disk', disks[0]!)).toMatchObject({ code: 2, errors: expect.stringContaining('first.img') as string });
    expect(JSON.parse((await ctl(name, 'remove', 'disk0', '--wait', '100s')).output)).toEqual({ device: 'virtio-disk0', state: 'gone' });
    expect(await ctl(name, 'pause')).toMatchObject({ code: 0 });
    expect(await ctl(name, 'snapshot', at('saved'))).toMatchObject({ code: 0, errors: '' });
    expect(await ctl(name, 'quit')).toMatchObject({ code: 0 });
    await machine.done;
    const restored = start([...VM, 'boot', '--restore', at('saved'), '--name', name, '--timeout', '300s'], null);
    const listed = async (): Promise<unknown> => {
      for (;;) {
        const { code, output } = await ctl(name, 'devices');
        if (code === 0) return JSON.parse(output) as unknown;
      }
    };
    expect(await listed()).toEqual([{ name: 'virtio-data', slot: 4, state: 'there' }]);
    restored.child.stdin!.end('umount /m; echo 3 >/proc/sys/vm/drop_caches; mount -t ext2 /dev/vdb /m && sha256sum /m/known.bin; ls /dev/vd*; poweroff -f\n');
    const { code, output } = await restored.done;
    expect([code, output]).toEqual([0, expect.stringContaining(`${createHash('sha256').update(knownBytes()).digest('hex')}  /m/known.bin`)]);
    expect(output).toMatch(/\n\/dev\/vdb\r?\n/);
  });

  const vmJson = (boot: object): void => {
    const card = (name: string, subsystem: number, isolation: 'inproc' | 'worker'): object => ({ name, id: 'example.alarm-card', isolation, properties: { subsystem } });
    writeFileSync(at('vm.json'), JSON.stringify({ abi: 1, directories: [PLUG_INS], boot, ram: '256M', machines: { main: { devices: [card('first', 7, 'inproc')] } } }));
    writeFileSync(at('card.json'), JSON.stringify(card('second', 8, 'worker')));
  };
  const agree = (): Promise<Result> => start([...VM, 'devices', 'verify', at('vm.json'), '--accept', '--grant', 'all'], '').done;

  itWithGuest('linux-image-cloud-amd64', 'Linux uses a PCI card of a directory that was there at boot, and one in a worker that comes, and lets go of it (DEV-05)', async ({ kernel, initrd }) => {
    vmJson({ kernel, initrd, append: 'console=ttyS0 quiet' });
    expect(await agree()).toMatchObject({ code: 0 });
    const name = `card-${process.pid}`;
    const machine = start([...VM, 'run', at('vm.json'), '--name', name, '--timeout', '300s'], null);
    const says = async (command: string, wanted: string): Promise<void> => {
      const seen = printed(machine.child, wanted);
      machine.child.stdin!.write(`${command}\n`);
      await seen;
    };
    await printed(machine.child, PROMPT);
    const ring = 'ring() { cd /sys/bus/pci/devices/0000:00:$1.0; echo 1 >enable; read base end flags <resource; devmem $base 32 $2; until [ $(devmem $((base + 4)) 32) = 0x00000001 ]; do :; done; echo $(cat subsystem_device) rang $(devmem $((base + 8)) 32); }';
    await says(`${ring}; ring 13 1000`, '0x0007 rang 0x00000001');
    expect(JSON.parse((await ctl(name, 'add', at('card.json'))).output)).toEqual({ name: 'second', slot: 3, state: 'there' });
    await says('until [ -d /sys/bus/pci/devices/0000:00:03.0 ]; do usleep 1000; done; ring 03 2000', '0x0008 rang 0x00000001');
    expect(JSON.parse((await ctl(name, 'remove', 'second', '--wait', '100s')).output)).toEqual({ device: 'second', state: 'gone' });
    await says('ls /sys/bus/pci/devices; ring 13 1000', '0x0007 rang 0x00000002');
    machine.child.stdin!.end('poweroff -f\n');
    const { code, output } = await machine.done;
    expect([code, output]).toEqual([0, expect.stringMatching(/\n0000:00:00\.0\s+0000:00:13\.0\r?\n/)]);
  });

  it('a machine that was saved with a card that came, in a worker, and without one that went, is made of that again (DEV-05)', async () => {
    writeFileSync(at('kernel'), smallKernel(shell));
    vmJson({ kernel: 'kernel' });
    expect(await agree()).toMatchObject({ code: 0 });
    const name = `saved-card-${process.pid}`;
    const machine = start([...VM, 'run', at('vm.json'), '--name', name, '--timeout', '100s'], null);
    await printed(machine.child, '# ');
    expect(JSON.parse((await ctl(name, 'devices')).output)).toEqual([{ name: 'first', slot: 19, state: 'there' }]);
    expect(await ctl(name, 'add', at('card.json'))).toMatchObject({ code: 0 });
    expect(await ctl(name, 'add', at('card.json'))).toMatchObject({ code: 2, errors: expect.stringContaining('second') as string });
    expect(await ctl(name, 'remove', 'first', '--force')).toMatchObject({ code: 0 });
    expect(await ctl(name, 'snapshot', at('with-card'))).toMatchObject({ code: 0, errors: '' });
    expect(await ctl(name, 'quit')).toMatchObject({ code: 0 });
    await machine.done;
    const restored = start([...VM, 'run', at('vm.json'), '--restore', at('with-card'), '--name', name, '--timeout', '100s'], null);
    restored.child.stdin!.write('x\n');
    await printed(restored.child, '# ');
    expect(JSON.parse((await ctl(name, 'devices')).output)).toEqual([{ name: 'second', slot: 3, state: 'there' }]);
    restored.child.stdin!.end('f');
    expect(await restored.done).toMatchObject({ code: 0, errors: '' });
  });

  it('a guest that does not answer keeps its device, which says so; force takes it away; what cannot go stays (DEV-05)', async () => {
    writeFileSync(at('kernel'), smallKernel(shell));
    const name = `deaf-${process.pid}`;
    const machine = start([...VM, 'boot', '--kernel', at('kernel'), '--memory', '16M', '--disk', raw('x.img', MiB), '--name', name, '--timeout', '100s'], null);
    await printed(machine.child, '# ');
    expect(await ctl(name, 'remove', 'disk0', '--wait', '0')).toMatchObject({ code: 1, errors: expect.stringContaining('--force') as string });
    expect(JSON.parse((await ctl(name, 'devices')).output)).toEqual([{ name: 'virtio-disk0', slot: 3, state: 'asked' }]);
    expect(await ctl(name, 'remove', 'pit')).toMatchObject({ code: 2, errors: expect.stringContaining('there is no device named pit that can go; there are virtio-disk0') as string });
    expect(JSON.parse((await ctl(name, 'remove', 'disk0', '--force')).output)).toEqual({ device: 'virtio-disk0', state: 'gone' });
    expect(JSON.parse((await ctl(name, 'add', 'disk', `${raw('y.img', MiB)},name=y`)).output)).toEqual({ name: 'virtio-y', slot: 4, state: 'there' });
    expect(JSON.parse((await ctl(name, 'add', 'rng')).output)).toEqual({ name: 'virtio-rng', slot: 2, state: 'there' });
    for (const refused of [['add', 'rng'], ['add', 'tape'], ['add', 'disk', at('none.img')]]) expect(await ctl(name, ...refused), refused.join(' ')).toMatchObject({ code: 2, output: '' });
    machine.child.stdin!.write('f');
    expect(await machine.done).toMatchObject({ code: 0, errors: '' });
  });
});

/** /root/known.bin of our initial RAM file systems. */
function knownBytes(): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: 65_536 }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}
