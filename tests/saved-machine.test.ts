import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { memoryDisk } from '@vm/block';
import type { BlockBackend } from '@vm/core';
import { findOracle } from '@vm/testkit/oracle';
import { type Assembler, mem, r16, r32, r8, R9, RAX, RCX, RDI, RDX } from '@vm/x86';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { instants, type SavedBoard, SavedGuest } from './saved-guest.ts';
import { outByte, smallKernel } from './small-kernel.ts';
import { printed, type Result, start, VM } from './vm-program.ts';
import { runOf } from './vm-run.ts';

const MiB = 2 ** 20;
const SEED = Number(process.env['VM_SEED'] ?? 1);
const WHERE = `VM_SEED=${SEED}`;

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-saved-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('under the virtual clock, a machine that is saved and restored is the machine never interrupted', () => {
  it('down to random numbers, floating point, REP in the middle, and translations that the guest never gave up', async () => {
    const board = { ramBytes: 16 * MiB, kernel: smallKernel(everything) };
    const end = 0.1e9;
    await using whole = await SavedGuest.boot(board);
    await whole.runTo(end);
    const expected = await whole.digest();
    await using parts = await SavedGuest.boot(board);
    for (const [i, nanos] of instants(SEED, 30, 0, end).entries()) await parts.roundTrip(nanos, i % 3 === 0 ? 'off' : undefined);
    await parts.runTo(end);
    expect(await parts.digest(), WHERE).toEqual(expected);
    expect(expected.output.length).toBeGreaterThan(1000);
  });

  itWithGuest('linux-image-cloud-amd64', 'at 100 random instants of a boot of Linux, to the last bit of memory', async ({ kernelBytes, initrdBytes }) => {
    const board = { ramBytes: 80 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0 earlyprintk=ttyS0' };
    const end = 1.5e9;
    await using whole = await SavedGuest.boot(board);
    await whole.runTo(end);
    const expected = await whole.digest();
    await using parts = await SavedGuest.boot(board);
    // Now and then one kind of engine goes on with what another has begun.
    for (const [i, nanos] of instants(SEED, 100, 0, end).entries()) await parts.roundTrip(nanos, i % 20 === 7 ? 'off' : undefined);
    await parts.runTo(end);
    expect(await parts.digest(), WHERE).toEqual(expected);
    expect(expected.output).toContain('Linux version');
  });

  itWithGuest('linux-image-cloud-amd64', 'with shadow tables, which are made anew, at 20 random instants of a boot of Linux', async ({ kernelBytes, initrdBytes }) => {
    const board: SavedBoard = { ramBytes: 96 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0', shadow: 'cached' };
    const end = 2.4e9; // programs run
    await using whole = await SavedGuest.boot(board);
    await whole.runTo(end);
    const expected = await whole.digest();
    await using parts = await SavedGuest.boot(board);
    for (const [i, nanos] of instants(SEED, 20, 1e9, end).entries()) await parts.roundTrip(nanos, i % 10 === 7 ? 'off' : undefined, true);
    await parts.runTo(end);
    expect(await parts.digest(), WHERE).toEqual(expected);
    expect(whole.guest.machine.counters.read()['cpu.shadow.switches']).toBeGreaterThan(50);
  });

  itWithGuest('linux-image-cloud-amd64', 'in the middle of heavy writing to disks on virtio and ATA, which are clean afterwards and hold the same', async ({ kernelBytes, initrdBytes }) => {
    const contents = [new Uint8Array(8 * MiB), new Uint8Array(8 * MiB)];
    const board = (disks: readonly Uint8Array[]): SavedBoard => ({
      ramBytes: 96 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0 quiet',
      disks: disks.map((bytes, i) => ({ disk: memoryDisk(bytes) as BlockBackend, bus: i === 0 ? 'virtio' : 'ata' })),
    });
    const script = [
      ...['vda', 'sda'].map((name) => `mke2fs -F /dev/${name} >/dev/null 2>&1; mkdir -p /mnt/${name}; mount -t ext2 /dev/${name} /mnt/${name}`),
      ...[1, 2, 3].flatMap((i) => ['vda', 'sda'].map((name) => `dd if=/dev/urandom of=/mnt/${name}/f${i} bs=64k count=6 conv=fsync 2>/dev/null &`)),
      'wait; sync; umount /mnt/vda /mnt/sda; echo all is \'\'written',
    ].join('\n');
    // One boot for both.
    await using booted = await SavedGuest.boot(board(contents));
    await booted.guest.waitFor('# ');
    booted.guest.hold();
    await booted.guest.standing();
    const beginning = await booted.save();
    const begin = booted.guest.machine.clock.now();
    const run = async (times: readonly number[]) => {
      const disks = contents.map((bytes) => bytes.slice());
      await using guest = await SavedGuest.boot(board(disks), beginning);
      guest.guest.type(`${script}\n`);
      for (const nanos of times) await guest.roundTrip(nanos);
      const release = await waitForText(guest, 'all is written\r\n');
      const digest = await guest.digest();
      release();
      return { digest: { ...digest, disks: disks.map((bytes) => createHash('sha256').update(bytes).digest('hex')) }, disks, end: guest.guest.machine.clock.now() };
    };
    const whole = await run([]);
    const parts = await run(instants(SEED, 5, begin, whole.end - 50e6));
    expect(parts.digest, WHERE).toEqual(whole.digest);
    const check = findOracle('e2fsck');
    for (const [i, bytes] of parts.disks.entries()) {
      writeFileSync(at(`disk${i}.img`), bytes);
      if (check !== null) expect(spawnSync(check, ['-fn', at(`disk${i}.img`)]).status).toBe(0);
      expect(Buffer.from(bytes).includes('f3')).toBe(true);
    }
  });
});

describe('vm snapshot', () => {
  it('a machine saved by one process goes on in another at the very instruction, a fork has other random numbers, and what does not fit is refused', async () => {
    const kernel = at('everything');
    writeFileSync(kernel, smallKernel(everything));
    writeFileSync(at('disk.img'), new Uint8Array(1 * MiB));
    const boot = [...VM, 'boot', '--kernel', kernel, '--memory', '16M', '--clock', 'virtual', '--stats=json', '--disk', at('disk.img')];
    const run = (...args: readonly string[]): Promise<Result> => start([...VM, ...args], '').done;
    const name = `t${process.pid}`;
    const first = start([...boot, '--name', name], '');
    await printed(first.child, '\n');
    expect(await ask(name, { command: 'pause' })).toMatchObject({ ok: true, result: { instructions: expect.any(Number) as number } });
    const saved = at('saved.vms');
    expect(await run('snapshot', 'save', name, saved)).toMatchObject({ code: 0, errors: '' });
    expect(statSync(saved).mode & 0o777).toBe(0o600);
    expect(await ask(name, { command: 'screenshot' })).toEqual({ ok: false, error: 'screenshot: this machine has no display, and its console is text' });
    expect(await ask(name, { command: 'juggle' })).toMatchObject({ ok: false, error: expect.stringContaining('unknown command "juggle"') as string });
    expect(await ask(name, { command: 'snapshot', file: join(folder, 'none', 'x.vms') })).toMatchObject({ ok: false, error: expect.stringContaining('there is no such folder') as string });
    expect(await ask(name, { command: 'counters' })).toMatchObject({ ok: true, result: { 'cpu.instructions': expect.any(Number) as number } });
    expect(await ask(name, { command: 'quit' })).toEqual({ ok: true, result: null });
    const ended = await first.done;
    expect(ended.code).toBe(0);
    // A line that is after all the first process has printed.
    const until = lineOf(numberOf(ended.output) + 20);
    const whole = runOf(await start([...boot, '--exit-on', until], '').done);
    const restored = runOf(await run('snapshot', 'load', saved, '--stats=json', '--exit-on', until));
    expect(restored).toMatchObject({ code: 0, instructions: whole.instructions });
    expect(whole.output).toBe(ended.output + restored.output);
    const forked = runOf(await run('snapshot', 'load', saved, '--fork', '--stats=json', '--exit-on', until));
    expect([forked.code, forked.output === restored.output, forked.output.length]).toEqual([0, false, restored.output.length]);
    expect(await run('boot', '--restore', saved, '--memory', '32M')).toMatchObject({ code: 2, errors: expect.stringContaining('it has 16 MiB of RAM') as string });
    utimesSync(at('disk.img'), new Date(), new Date(Date.now() + 5000));
    expect((await run('snapshot', 'load', saved)).errors).toMatch(/disk\.img was changed at .*: its memory and this disk would not agree\n$/);
  });

  it('a machine whose stores are in memory cannot be saved, and a file that was there stays', async () => {
    const kernel = at('everything');
    writeFileSync(kernel, smallKernel(everything));
    writeFileSync(at('other.img'), new Uint8Array(1 * MiB));
    writeFileSync(at('kept.vms'), 'what was there');
    const name = `s${process.pid}`;
    const machine = start([...VM, 'boot', '--kernel', kernel, '--memory', '16M', '--name', name, '--disk', `${at('other.img')},snapshot`], '');
    await printed(machine.child, '\n');
    expect(await ask(name, { command: 'snapshot', file: at('kept.vms') })).toMatchObject({ ok: false, error: expect.stringContaining('are in memory only and would be lost') as string });
    expect(readFileSync(at('kept.vms'), 'utf8')).toBe('what was there');
    await ask(name, { command: 'quit' });
    await machine.done;
  });
});

/** A line of JSON to a machine's socket, and its answer. */
function ask(name: string, request: object): Promise<unknown> {
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? '';
  const socket = createConnection(join(runtime === '' ? join(tmpdir(), `vm-${userInfo().uid}`) : join(runtime, 'vm'), `${name}.sock`));
  return new Promise((resolve, reject) => {
    let text = '';
    socket.on('error', reject).on('connect', () => socket.write(`${JSON.stringify(request)}\n`)).setEncoding('utf8').on('data', (more: string) => {
      text += more;
      if (!text.includes('\n')) return;
      socket.destroy();
      resolve(JSON.parse(text));
    });
  });
}

async function waitForText(guest: SavedGuest, text: string): Promise<() => void> {
  await guest.guest.waitFor(text);
  const release = guest.guest.hold();
  await guest.guest.standing();
  return release;
}

const LARGE_PAGE = 0x60_0000;
const DIRECTORY_ENTRY = 0xb000 + (LARGE_PAGE / 0x20_0000) * 8; // of the tables that the machine boots with
const FILLED = 0x70_0000;
const SHIFTS = [24, 20, 16, 12, 8, 4, 0]; // of the digits of a number

/** Does a little of everything that has state outside of memory, and tells of it, without end. */
function everything(code: Assembler): void {
  outByte(code, 0x3f8 + 2, 0x07);
  outByte(code, 0x3f8 + 4, 0x0b);
  code.data(0x0f, 0x20, 0xe0, 0x0d, 0x00, 0x06, 0x00, 0x00, 0x0f, 0x22, 0xe0); // cr4: OSFXSR, OSXMMEXCPT
  code.data(0xdb, 0xe3, 0xd9, 0xee); // fninit, fldz
  code.op('xor', r32(R9), r32(R9)).label('again');
  // The accessed bit that it clears stays clear for as long as the TLB has the page.
  code.and(mem(4, { displacement: DIRECTORY_ENTRY }), ~0x20).mov(r32(RAX), mem(4, { displacement: LARGE_PAGE })).mov(r32(RAX), mem(4, { displacement: DIRECTORY_ENTRY }));
  code.data(0x49, 0x01, 0xc2); // add r10, rax
  code.data(0x0f, 0xc7, 0xf0, 0x49, 0x01, 0xc3); // rdrand eax; add r11, rax
  code.data(0x0f, 0x31, 0x49, 0x01, 0xc4); // rdtsc; add r12, rax
  code.data(0xd9, 0xe8, 0xde, 0xc1); // fld1; faddp
  code.data(0x66, 0x0f, 0x6e, 0xc8, 0x66, 0x0f, 0xfe, 0xc1); // movd xmm1, eax; paddd xmm0, xmm1
  code.mov(r32(RDI), FILLED).mov(r32(RCX), 0x1_0000).data(0xf3, 0xaa); // rep stosb
  code.add(r32(R9), 1);
  for (const shift of SHIFTS) {
    code.mov(r32(RAX), r32(R9)).shr(r32(RAX), shift).and(r8(RAX), 15).add(r8(RAX), 0x61).mov(r16(RDX), 0x3f8).out(r16(RDX), r8(RAX));
  }
  code.data(0x4c, 0x89, 0xd8).and(r8(RAX), 15).add(r8(RAX), 0x41).out(r16(RDX), r8(RAX)); // mov rax, r11: what random numbers have come to
  code.mov(r8(RAX), 0x0a).out(r16(RDX), r8(RAX)).jmp('again');
}

/** The last whole number that `everything` has printed. */
function numberOf(output: string): number {
  return Array.from(output.split('\n').at(-2)!.slice(0, SHIFTS.length)).reduce((sum, letter) => sum * 16 + letter.charCodeAt(0) - 0x61, 0);
}

function lineOf(number: number): string {
  return `\n${SHIFTS.map((shift) => String.fromCharCode(0x61 + ((number >> shift) & 15))).join('')}`;
}
