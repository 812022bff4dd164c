import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { type SavedBoard, SavedGuest } from './saved-guest.ts';
import { printed, start, VM } from './vm-program.ts';

const MiB = 2 ** 20;

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-console-'))));
afterAll(() => rmSync(folder, { recursive: true }));

describe('a virtio console', () => {
  itWithGuest('linux-image-cloud-amd64', 'is what Linux has its shell on: it reads what was typed before it was there, is saved, and goes on in another process', async ({ kernel, initrd }) => {
    const [name, saved] = [`console-${process.pid}`, join(folder, 'saved')];
    const first = start([...VM, 'boot', '--console', 'virtio', '--kernel', kernel, '--initrd', initrd, '--memory', '256M', '--name', name, '--timeout', '300s'], null);
    first.child.stdin!.write("kept=early; echo $((6*7))-$(tty)-$(cat /sys/class/tty/console/active)-$(grep -c . /proc/consoles)\n");
    await printed(first.child, '42-/dev/hvc0-hvc0-1');
    expect(await start([...VM, 'ctl', name, 'snapshot', saved], '').done).toMatchObject({ code: 0, errors: '' });
    await start([...VM, 'ctl', name, 'quit'], '').done;
    await first.done;
    const second = await start([...VM, 'boot', '--restore', saved, '--timeout', '300s'], 'echo $kept-$((7*8))\npoweroff -f\n').done;
    expect(second).toMatchObject({ code: 0, output: expect.stringContaining('early-56') });
  });

  itWithGuest('linux-image-cloud-amd64', 'is the same run, instruction by instruction, when it is saved before the guest has opened it, just then and while it reads and writes (DEV-08)', async ({ kernelBytes, initrdBytes }) => {
    let opened = 0;
    let first: SavedGuest | null = null;
    const board: SavedBoard = {
      ramBytes: 256 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=hvc0 quiet vm.term=dumb', console: 'virtio', onReset: 'end',
      onMoment: (moment) => {
        if (moment === 'listening' && opened === 0) opened = first!.guest.machine.clock.now();
      },
    };
    const script = `i=0; while [ $i -lt 40 ]; do echo line $i $(wc -c </root/known.bin); i=$((i+1)); done\n${'echo a word or two\n'.repeat(40)}poweroff -f\n`;
    const finish = async (one: SavedGuest): Promise<unknown> => {
      await one.guest.poweredOff();
      return [one.output, one.instructions];
    };
    await using whole = await SavedGuest.boot(board);
    first = whole;
    whole.guest.type(script);
    const expected = await finish(whole);
    const end = whole.guest.machine.clock.now();
    expect(whole.output).toMatch(/line 39 65536\r?\n/);
    expect(whole.output.match(/^a word or two\r?$/gm)).toHaveLength(40);
    expect(opened).toBeGreaterThan(0);
    await using parts = await SavedGuest.boot(board);
    parts.guest.type(script);
    for (const nanos of [opened - 1e6, opened + 1000, ...[0.5, 0.8, 0.95, 0.99].map((share) => opened + share * (end - opened))]) await parts.roundTrip(nanos, undefined, true);
    expect(await finish(parts)).toEqual(expected);
  });
});
