import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { writeCpio } from './cpio.ts';
import { checkInitrd } from './initrd-check.ts';

const ARCHIVE = writeCpio([{ kind: 'folder', path: 'etc' }, { kind: 'file', path: 'etc/data', bytes: Uint8Array.from({ length: 5000 }, (_, i) => (i * 7919) >>> 3) }]);
const ENDED = ARCHIVE.lastIndexOf(0x21) + 1; // the end of TRAILER!!!
const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
/** As gzip makes it of a file. */
const withName = (packed: Uint8Array, name: string): Uint8Array => join(packed.subarray(0, 3), Uint8Array.of(8), packed.subarray(4, 10), new TextEncoder().encode(`${name}\0`), packed.subarray(10));

describe.each<[string, Uint8Array, boolean?]>([
  ['a cpio archive', ARCHIVE],
  ['two of them with padding between them', join(ARCHIVE, new Uint8Array(700), ARCHIVE)],
  ['gzip', Uint8Array.from(gzipSync(ARCHIVE))],
  ['gzip behind an archive', join(ARCHIVE, Uint8Array.from(gzipSync(ARCHIVE)))],
  ['an archive behind gzip', join(Uint8Array.from(gzipSync(ARCHIVE)), new Uint8Array(3), ARCHIVE), true],
  ['gzip twice', join(Uint8Array.from(gzipSync(ARCHIVE)), Uint8Array.from(gzipSync(ARCHIVE)))],
  ['an archive behind Zstandard, and gzip behind it', join(Uint8Array.from(zstdCompressSync(ARCHIVE)), ARCHIVE, Uint8Array.from(gzipSync(ARCHIVE)))],
  ['gzip with a name', withName(Uint8Array.from(gzipSync(ARCHIVE)), 'initrd')],
  ['Zstandard', Uint8Array.from(zstdCompressSync(ARCHIVE))],
])('%s', (_name, bytes, endsInArchive = false) => {
  it('is taken whole', async () => {
    await checkInitrd('x', bytes);
  });

  it('is refused when its end is missing', async () => {
    const padding = bytes === ARCHIVE || bytes.length > 2 * ARCHIVE.length || endsInArchive ? ARCHIVE.length - ENDED + 4 : 1;
    await expect(checkInitrd('x', bytes.slice(0, bytes.length - padding))).rejects.toThrow('--initrd x: it is cut off');
    await expect(checkInitrd('x', bytes.slice(0, bytes.length - 400 - padding))).rejects.toThrow('--initrd x: it is cut off');
  });
});

it('refuses an empty file, and damage', async () => {
  await expect(checkInitrd('x', new Uint8Array(0))).rejects.toThrow('--initrd x: it is empty');
  const damaged = Uint8Array.from(gzipSync(ARCHIVE));
  damaged[damaged.length - 5]! ^= 1; // the checksum
  await expect(checkInitrd('x', damaged)).rejects.toThrow('--initrd x: it cannot be unpacked: incorrect data check');
});

it('leaves what it does not know to the kernel', async () => {
  await checkInitrd('x', Uint8Array.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 1, 2]));
  await checkInitrd('x', new Uint8Array(4096));
});
