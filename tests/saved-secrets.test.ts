import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { encodePlain, type PageCodec, readSnapshot } from '@vm/core/snapshot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outByte, smallKernel, spin } from './small-kernel.ts';
import { printed, start, VM } from './vm-program.ts';

const CODEC: PageCodec = {
  name: 'zstd',
  pack: (pages) => zstdCompressSync(pages, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
  unpack: (packed, bytes) => zstdDecompressSync(packed, { maxOutputLength: bytes }),
  crc32: (bytes, before) => crc32(bytes, before),
};

let folder = '';
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'vm-secrets-'))));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);

describe('a saved machine with an encrypted disk', () => {
  it('says that it is not encrypted itself, is for its owner only, and has no key of the host in it (VHD-16, VHD-17)', async () => {
    const key = createHash('sha512').update('a key').digest(); // the key itself, so that it is known what to look for
    writeFileSync(at('key'), key);
    writeFileSync(at('disk.img'), new Uint8Array(1 << 20));
    writeFileSync(at('kernel'), smallKernel((code) => {
      outByte(code, 0x3f8, 0x0a);
      spin(code);
    }));
    const name = `k${process.pid}`;
    const disk = `${at('disk.img')},format=raw,cipher=aes-xts-plain64,key=file:${at('key')}`;
    const machine = start([...VM, 'boot', '--kernel', at('kernel'), '--memory', '16M', '--name', name, '--disk', disk], '');
    await printed(machine.child, '\n');
    const run = (...args: readonly string[]) => start([...VM, ...args], '').done;
    const told = await run('snapshot', 'save', name, at('saved.vms'));
    expect(JSON.parse(told.output)).toMatchObject({ encrypted: false });
    expect(JSON.parse((await run('snapshot', 'inspect', at('saved.vms'))).output)).toMatchObject({ file: { encrypted: false } });
    await run('ctl', name, 'quit');
    await machine.done;
    expect(statSync(at('saved.vms')).mode & 0o777).toBe(0o600);
    const bytes = readFileSync(at('saved.vms'));
    const { head, devices, interrupts, processor, pages } = readSnapshot(bytes, CODEC);
    const parts = [bytes, ...[head.about, devices.map(({ state }) => state), interrupts, processor].map((plain) => Buffer.from(encodePlain(plain))), ...pages.map(({ packed, pages: count }) => Buffer.from(CODEC.unpack(packed, count * 4096)))];
    expect(pages.reduce((sum, { pages: count }) => sum + count, 0)).toBeGreaterThan(0);
    for (const part of parts) for (let i = 0; i < key.length; i += 8) expect(part.includes(key.subarray(i, i + 8))).toBe(false);
  });

  it('is encrypted with a key, and goes on with it (VHD-26)', async () => {
    writeFileSync(at('secret'), 'of the saved machine');
    writeFileSync(at('kernel'), smallKernel((code) => {
      outByte(code, 0x3f8, 0x0a);
      spin(code);
    }));
    const name = `s${process.pid}`;
    const run = (...args: readonly string[]) => start([...VM, ...args], '').done;
    const machine = start([...VM, 'boot', '--kernel', at('kernel'), '--memory', '16M', '--name', name], '');
    await printed(machine.child, '\n');
    expect(await run('snapshot', 'save', name, at('never.vms'), '--key', 'prompt')).toMatchObject({ code: 2, errors: expect.stringContaining('the terminal and the descriptors are those of the machine') as string });
    const saved = await run('snapshot', 'save', name, at('sealed.vms'), '--key', `file:${at('secret')}`);
    expect(JSON.parse(saved.output)).toMatchObject({ encrypted: true });
    await run('ctl', name, 'quit');
    await machine.done;
    expect(JSON.parse((await run('snapshot', 'inspect', at('sealed.vms'), '--key', `file:${at('secret')}`)).output)).toMatchObject({ file: { encrypted: true } });
    const restored = start([...VM, 'boot', '--restore', at('sealed.vms'), '--restore-key', `file:${at('secret')}`, '--timeout', '1ms'], '');
    expect(await restored.done).toMatchObject({ code: 124, errors: expect.stringContaining('still running') as string });
  }, 240_000);
});
