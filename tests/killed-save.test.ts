import { spawnSync } from 'node:child_process';
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSnapshotFile } from '@vm/cli';
import { r32, RDI } from '@vm/x86';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { outByte, smallKernel, spin } from './small-kernel.ts';
import { printed, start, VM } from './vm-program.ts';

const MiB = 2 ** 20;
const RANDOM = { from: 0x40_0000, to: 0x60_0000 }; // 2 MiB that do not pack

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-killed-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

// A pipe takes the place of the file that the machine writes to, so that the save stands still where the reader does.
it.each([0, 12, 100_000, 2 * MiB])('a machine that is killed when it has written %i bytes of a saved machine leaves the one before whole', async (bytes) => {
  writeFileSync(at('kernel'), smallKernel((code) => {
    code.mov(r32(RDI), RANDOM.from).label('fill');
    code.data(0x0f, 0xc7, 0xf0, 0xab, 0x81, 0xff, ...new Uint8Array(Uint32Array.of(RANDOM.to).buffer), 0x72, 0xf4); // rdrand eax; stosd; cmp edi, to; jb fill
    outByte(code, 0x3f8, 0x0a);
    spin(code);
  }));
  const name = `killed-${process.pid}-${bytes}`;
  const machine = start([...VM, 'boot', '--kernel', at('kernel'), '--memory', '16M', '--name', name], null);
  await printed(machine.child, '\n');
  const saved = at('saved.vms');
  if (bytes === 0) expect(await start([...VM, 'snapshot', 'save', name, saved], '').done).toMatchObject({ code: 0 });
  const before = readFileSync(saved);
  expect(before.length).toBeGreaterThan(2 * MiB);
  expect(spawnSync('mkfifo', [`${saved}.${machine.child.pid}.tmp`]).status).toBe(0);
  const saving = start([...VM, 'snapshot', 'save', name, saved], '');
  const pipe = createReadStream(`${saved}.${machine.child.pid}.tmp`, { highWaterMark: 4096 });
  let read = 0;
  await new Promise<void>((resolve) => {
    pipe.on('open', () => bytes === 0 && resolve());
    pipe.on('data', (chunk) => {
      read += chunk.length;
      if (read >= bytes) resolve();
    });
  });
  pipe.pause();
  machine.child.kill('SIGKILL');
  await machine.done;
  pipe.destroy();
  expect((await saving.done).code).not.toBe(0);
  expect(read).toBeLessThan(before.length);
  expect(readFileSync(saved).equals(before)).toBe(true);
  expect((await openSnapshotFile(saved)).saved.head.ramBytes).toBe(16 * MiB);
});
