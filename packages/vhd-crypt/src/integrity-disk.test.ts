import { createCipheriv, createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { adiantumCiphers } from './adiantum.ts';
import { createCipherRegistry } from './cipher-registry.ts';
import { createDisk } from './create-disk.ts';
import type { MappedDisk } from './extent.ts';
import { openRaw } from './fixed-disk.ts';
import { openIntegrityDisk } from './integrity-disk.ts';
import { integrityBytes, type IntegrityLayout, makeSuperblock, parseSuperblock, placeOf, sectionAt } from './integrity-layout.ts';
import { luks2, readLuks2Facts } from './luks2.ts';
import { formatLuks2, LUKS2_DATA_AT } from './luks2-format.ts';
import type { Luks2Segment } from './luks2-metadata.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { nodeCiphers } from './node/node-aes.ts';
import { nodeKeyMath } from './node/node-key-math.ts';
import { containerBytes, openDisk } from './open-disk.ts';
import { keyOf, type SealedSectors } from './sector-cipher.ts';
import { gcmSectors, hmacSectors } from './web-sealed.ts';

// From disks that Linux 6.1 made (cryptsetup 2.6.1, luksFormat --integrity, without wiping) and wrote to: the superblock, the key, and
// the SHA-256 of all that lies behind the journal.
const RANGE_BYTES = 31_457_280;
interface Recorded {
  readonly superblock: string;
  readonly key: string;
  readonly text: string;
  readonly sectorBytes: number;
  readonly hash: string;
}
const HMAC: readonly Recorded[] = [
  {
    superblock: '696e746567727400040f200001000000f0ec00000000000008000000030c', sectorBytes: 4096, text: '/dev/vda',
    key: 'aee3da0cbfd1d758c4934a692fc99929cab71a9ed625cebcc1b3334d2eebc285d557116d6b18a2643453b50e74afef268290da94cc2a1937666ce2184573fb832f899393d4605b74bd5982cc6987c0824589beba71476c6dbf4c58a91f68bf4a',
    hash: 'c2742defbb5fb75bde34962c316df6474873d5280bda7bcf1b5faf2dc41e1487',
  },
  {
    superblock: '696e746567727400040f20000500000040de00000000000008000000000f', sectorBytes: 512, text: '/dev/vdd',
    key: '784688469bd8a3564f8af015fbad41d8a35addba0c568b0c84dd5d9633b85d36733b9fcea08d33dd217480b31849cd6335e4eabc4c2a3f10907b5710b75d4f647eb5fa5e8f028f8422f5a6b0addce2c9e9b1f9031f5f637600723bab1b16eade',
    hash: '648f045cfcc5c4ea9eb69d2efd510c5f1c2cb1586fd93fdec759693873788c35',
  },
];
const GCM = {
  superblock: '696e746567727400040f1c000100000030ed00000000000008000000030c', sectorBytes: 4096, text: '/dev/vdb',
  key: '70f9bbcaa4f1133b74dfbae010d57c562096e9dfe45ea85f6e922830e0b0c271',
  record: '748ce754fc1404c34de447092471987414b5b39e3bba057691038e6b', // of the first sector
  hash: 'afea6cab0bf0e38b5456e39dd8d6beb25edd262eff17929bbdac5725274fe943', // of the first sector
} as const;

const math = nodeKeyMath();
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));
const first = (text: string): Buffer => Buffer.alloc(12_288, `first of ${text}\n`);
const later = (text: string): Buffer => Buffer.alloc(8192, `later of ${text}\n`);
const LATER_AT = 4200 * 4096;

async function hmacOf({ key, sectorBytes }: Pick<Recorded, 'key' | 'sectorBytes'>): Promise<SealedSectors> {
  const all = hex(key);
  const cipher = await nodeCiphers().create('aes-xts-plain64', all.subarray(0, all.length - 32), sectorBytes);
  return hmacSectors('disk', cipher, all.slice(all.length - 32), sectorBytes);
}
function imageOf(superblock: string, at = 0): MemoryFile {
  const bytes = new Uint8Array(at + RANGE_BYTES);
  bytes.set(hex(superblock), at);
  return memoryFile('disk', bytes);
}
const open = async (file: MemoryFile, sectors: SealedSectors, sectorBytes: number): Promise<MappedDisk> => openIntegrityDisk('disk', await openRaw(file), 0, sectorBytes, sectors);
async function bytesOf(disk: Pick<MappedDisk, 'read'>, at: number, count: number): Promise<Buffer> {
  const got = Buffer.alloc(count);
  await disk.read(at, got);
  return got;
}

/** A section of the journal as dm-integrity writes it, of sectors that are in their places in another image. */
function putSection(image: Uint8Array, layout: IntegrityLayout, section: number, round: number, from: Uint8Array, sectors: readonly number[]): void {
  const { journal: { entriesPerSector, entryBytes, sectionSectors }, sectorBytes, tagBytes } = layout;
  const at = sectionAt(layout, section);
  image.fill(0, at, at + sectionSectors * 512);
  const view = new DataView(image.buffer, at);
  for (let entry = 0; entry < 8 * entriesPerSector; entry++) {
    const place = (entry % 8) * 512 + Math.floor(entry / 8) * entryBytes;
    const sector = sectors[entry];
    if (sector === undefined) {
      view.setUint32(place + 4, 0xffff_ffff, true);
      continue;
    }
    view.setBigUint64(place, BigInt(sector), true);
    const { data, tag } = placeOf(layout, sector);
    const bytes = from.slice(data, data + sectorBytes);
    if (bytes.length < sectorBytes) continue;
    for (let i = 0; i < sectorBytes / 512; i++) image.set(bytes.subarray(i * 512 + 504, (i + 1) * 512), at + place + 8 + 8 * i);
    image.set(from.subarray(tag, tag + tagBytes), at + place + 8 + sectorBytes / 64);
    image.set(bytes, at + 4096 + entry * sectorBytes);
  }
  for (let sector = 0; sector < sectionSectors; sector++) putMark(image, layout, section, sector, round);
}
function putMark(image: Uint8Array, layout: IntegrityLayout, section: number, sector: number, round: number): void {
  new DataView(image.buffer).setBigUint64(sectionAt(layout, section) + sector * 512 + 504, (0x1111_1111_1111_1111n * BigInt(round + 1)) ^ ((BigInt(section) << 32n) | BigInt(sector)), true);
}

describe('the layout of dm-integrity (VHD-31)', () => {
  it.each(HMAC)('with HMAC-SHA-256 and sectors of $sectorBytes bytes is stored bit for bit as Linux does', async (recorded) => {
    const file = imageOf(recorded.superblock);
    const disk = await open(file, await hmacOf(recorded), recorded.sectorBytes);
    await disk.write(0, first(recorded.text));
    await disk.write(LATER_AT, later(recorded.text)); // in the second run
    await disk.flush();
    const layout = parseSuperblock(file.contents(), RANGE_BYTES);
    if (typeof layout === 'string') throw new Error(layout);
    expect(sha256(file.contents().subarray(layout.initialSectors * 512))).toBe(recorded.hash);
    const again = await open(file, await hmacOf(recorded), recorded.sectorBytes);
    expect((await bytesOf(again, 0, 12_288)).equals(first(recorded.text))).toBe(true);
    expect((await bytesOf(again, LATER_AT + 100, 5000)).equals(later(recorded.text).subarray(100, 5100))).toBe(true);
    // Parts of sectors, and across the border of runs.
    const border = layout.runSectors * 512;
    await again.write(border - 8192, Buffer.alloc(16_384, 7));
    await again.write(border - 100, Buffer.alloc(200, 9));
    expect((await bytesOf(again, border - 101, 202)).equals(Buffer.concat([Buffer.of(7), Buffer.alloc(200, 9), Buffer.of(7)]))).toBe(true);
    await again.write(300, Buffer.alloc(5000, 3));
    expect((await bytesOf(again, 299, 5002)).equals(Buffer.concat([first(recorded.text).subarray(299, 300), Buffer.alloc(5000, 3), first(recorded.text).subarray(5300, 5301)]))).toBe(true);
  });

  it('with AES-GCM opens the sector that Linux sealed, and seals its own', async () => {
    const [key, record] = [hex(GCM.key), hex(GCM.record)];
    const nonce = record.subarray(16);
    const theirs = createCipheriv('aes-256-gcm', key, nonce);
    theirs.setAAD(Buffer.concat([Buffer.alloc(8), nonce]));
    const sealed = Buffer.concat([theirs.update(first(GCM.text).subarray(0, 4096)), theirs.final()]);
    expect([sha256(sealed), theirs.getAuthTag().toString('hex')]).toEqual([GCM.hash, GCM.record.slice(0, 32)]);
    const file = imageOf(GCM.superblock);
    const layout = parseSuperblock(file.contents(), RANGE_BYTES);
    if (typeof layout === 'string') throw new Error(layout);
    const place = placeOf(layout, 0);
    await file.write(place.tag, record);
    await file.write(place.data, sealed);
    const disk = await open(file, await gcmSectors('disk', key, 4096), 4096);
    expect((await bytesOf(disk, 0, 4096)).equals(first(GCM.text).subarray(0, 4096))).toBe(true);
    await disk.write(LATER_AT + 10, later(GCM.text)).catch(() => undefined); // nothing is there to keep
    await disk.write(LATER_AT, later(GCM.text));
    await disk.write(LATER_AT + 4096, later(GCM.text));
    expect((await bytesOf(disk, LATER_AT + 4096, 8192)).equals(later(GCM.text))).toBe(true);
  });

  it('tells the sector that was changed, at any byte of it or its tag, or that was never stored', async () => {
    for (const [superblock, sectors] of [[HMAC[0]!.superblock, await hmacOf(HMAC[0]!)], [GCM.superblock, await gcmSectors('disk', hex(GCM.key), 4096)]] as const) {
      const file = imageOf(superblock);
      const disk = await open(file, sectors, 4096);
      await disk.write(0, Buffer.alloc(3 * 4096, 'text'));
      const layout = parseSuperblock(file.contents(), RANGE_BYTES);
      if (typeof layout === 'string') throw new Error(layout);
      const { data, tag } = placeOf(layout, 8);
      const places = [...Array.from({ length: layout.tagBytes }, (_, i) => tag + i), ...Array.from({ length: 60 }, (_, i) => data + i * 69)];
      for (const at of places) {
        const was = Buffer.alloc(1);
        await file.read(at, was);
        await file.write(at, Uint8Array.of(was[0]! ^ (1 << (at % 8))));
        await expect(bytesOf(disk, 0, 3 * 4096)).rejects.toMatchObject({ rule: 'integrity', message: expect.stringContaining('sector 8 is not') as string });
        expect((await bytesOf(disk, 8192, 4096)).equals(Buffer.alloc(4096, 'text'))).toBe(true);
        await file.write(at, was);
      }
      expect((await bytesOf(disk, 0, 3 * 4096)).equals(Buffer.alloc(3 * 4096, 'text'))).toBe(true);
      await expect(bytesOf(disk, 10 * 4096, 512)).rejects.toThrow('sector 80 is not');
    }
  });

  it('stores what Linux left in its journal before anything else, and shows it where nothing may be stored', async () => {
    const recorded = HMAC[1]!;
    const image = imageOf(recorded.superblock);
    const writer = await open(image, await hmacOf(recorded), recorded.sectorBytes);
    await writer.write(0, first(recorded.text));
    const older = image.contents();
    await writer.write(LATER_AT, later(recorded.text));
    await writer.write(0, later(recorded.text));
    const newer = image.contents();
    const layout = parseSuperblock(newer, RANGE_BYTES);
    if (typeof layout === 'string') throw new Error(layout);
    expect(layout.journal.sections).toBe(5);
    const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
    const laterAt = LATER_AT / 512;
    const sections = [{ round: 1, from: newer, sectors: numbers(0, 16) }, { round: 1, from: newer, sectors: numbers(300, 5) }, { round: 0, from: older, sectors: numbers(0, 24) }, { round: 0, from: newer, sectors: numbers(laterAt, 16) }, { round: 0, from: older, sectors: [] }];
    const dirty = imageOf(recorded.superblock).contents();
    for (const [section, { round, from, sectors }] of sections.entries()) putSection(dirty, layout, section, round, from, sectors);
    // The last one was cut off: its end is of the round before.
    putMark(dirty, layout, 1, layout.journal.sectionSectors - 1, 0);
    for (const writable of [false, true]) {
      const file = memoryFile('disk', dirty);
      const disk = await openIntegrityDisk('disk', await openRaw(file, writable), 0, recorded.sectorBytes, await hmacOf(recorded));
      expect((await bytesOf(disk, 0, 12_288)).equals(Buffer.concat([later(recorded.text), first(recorded.text).subarray(8192)]))).toBe(true);
      expect((await bytesOf(disk, LATER_AT, 8192)).equals(later(recorded.text))).toBe(true);
      await expect(bytesOf(disk, 300 * 512, 512)).rejects.toMatchObject({ rule: 'integrity' });
      expect(sha256(file.contents()) === sha256(dirty)).toBe(!writable);
      if (!writable) continue;
      // Everything behind the journal is as if it had never been in one, and what is stored now is not undone.
      expect(sha256(file.contents().subarray(layout.initialSectors * 512))).toBe(sha256(newer.subarray(layout.initialSectors * 512)));
      await disk.write(0, Buffer.alloc(512, 1));
      const again = await open(file, await hmacOf(recorded), recorded.sectorBytes);
      expect((await bytesOf(again, 0, 1024)).equals(Buffer.concat([Buffer.alloc(512, 1), later(recorded.text).subarray(512, 1024)]))).toBe(true);
    }
    // Marks of all four rounds are no ring, and sectors past the end are none of the disk's.
    for (const round of [0, 1, 2, 3]) putSection(dirty, layout, round, round, newer, [2 ** 32 * 7]);
    const odd = await open(memoryFile('disk', dirty), await hmacOf(recorded), recorded.sectorBytes);
    await expect(bytesOf(odd, 0, 512)).rejects.toMatchObject({ rule: 'integrity' });
    putSection(dirty, layout, 3, 0, newer, [2 ** 32 * 7, layout.dataSectors]);
    await open(memoryFile('disk', dirty), await hmacOf(recorded), recorded.sectorBytes);
  });

  it('is refused with numbers that cannot be', async () => {
    const sectors = await hmacOf(HMAC[0]!);
    const good = imageOf(HMAC[0]!.superblock).contents();
    const opening = (change: (bytes: DataView) => void, sectorBytes = 4096): Promise<MappedDisk> => {
      const bytes = good.slice();
      change(new DataView(bytes.buffer));
      return open(memoryFile('disk', bytes), sectors, sectorBytes);
    };
    for (const change of [
      (bytes: DataView) => bytes.setUint8(0, 0), (bytes: DataView) => bytes.setUint8(8, 9), (bytes: DataView) => bytes.setUint8(9, 60), (bytes: DataView) => bytes.setUint16(10, 0, true),
      (bytes: DataView) => bytes.setUint16(10, 31, true), (bytes: DataView) => bytes.setUint32(12, 0xffff_ffff, true), (bytes: DataView) => bytes.setUint32(16, 61_000, true), (bytes: DataView) => bytes.setUint32(20, 0xffff_ffff, true),
      (bytes: DataView) => bytes.setUint32(24, 12, true), (bytes: DataView) => bytes.setUint8(28, 0), (bytes: DataView) => bytes.setUint32(16, 0, true),
    ]) await expect(opening(change)).rejects.toMatchObject({ rule: 'header' });
    await expect(opening(() => undefined, 512)).rejects.toMatchObject({ rule: 'header' });
  });
});

it.each([
  ['hmac(sha256)', 'aes-xts-plain64', 512, 768, 4096],
  ['hmac(sha256)', 'aes-xts-plain64', 256, 512, 512],
  ['hmac(sha256)', 'xchacha12,aes-adiantum-plain64', 256, 512, 4096],
  ['aead', 'aes-gcm-random', 256, 256, 4096],
] as const)('LUKS2 with the integrity %s is made, with %s and keys of %i bits (VHD-31)', async (integrity, cipher, keyBits, allBits, sectorBytes) => {
  const [ciphers, keys] = [createCipherRegistry([nodeCiphers(), adiantumCiphers()]), keyOf(new Uint8Array(8))];
  const luks = { version: 2, math, ciphers, keys, cost: { kdf: 'pbkdf2', iterations: 1000 }, cipher, keyBits, sectorBytes, integrity } as const;
  for (const format of ['raw', 'vhd'] as const) {
    const file = memoryFile('disk');
    await createDisk(file, { format, bytes: 3 << 20, crypt: 'payload', luks });
    const opening = (): ReturnType<typeof openDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format, containers: [luks2({ math })], ciphers, keys });
    const disk = await opening();
    expect([disk.bytes, disk.encryption]).toMatchObject([3 << 20, { cipher: `${cipher}, ${integrity}`, keyBits: allBits, sectorBytes }]);
    expect((await bytesOf(disk, 0, disk.bytes)).every((byte) => byte === 0)).toBe(true);
    await disk.write(5000, first('here'));
    await disk.close();
    const again = await opening();
    expect((await bytesOf(again, 4999, 12_289)).equals(Buffer.concat([Buffer.alloc(1), first('here')]))).toBe(true);
    await again.close();
  }
  await expect(createDisk(memoryFile('disk'), { format: 'raw', bytes: 3 << 20, crypt: 'payload', luks: { ...luks, detached: true } })).rejects.toMatchObject({ rule: 'request' });
  await expect(createDisk(memoryFile('disk'), { format: 'raw', bytes: 3 << 20, crypt: 'payload', luks: { ...luks, cipher: 'rot13' } })).rejects.toMatchObject({ rule: 'cipher' });
});

it('a superblock is made as Linux makes it (VHD-31)', () => {
  for (const [{ superblock, sectorBytes }, tagBytes] of [...HMAC.map((one) => [one, 32] as const), [GCM, 28] as const]) expect(Buffer.from(makeSuperblock(RANGE_BYTES, sectorBytes, tagBytes)!.subarray(0, 30)).toString('hex')).toBe(superblock);
  expect(makeSuperblock(65_536, 4096, 32)).toBe(null);
  for (const bytes of [4096, 3 << 20, 2 ** 32 + 4096]) {
    const range = integrityBytes(bytes, 4096, 32);
    const layout = parseSuperblock(makeSuperblock(range, 4096, 32)!, range);
    expect(typeof layout === 'string' ? layout : layout.dataSectors * 512).toBe(bytes);
    expect(range).toBeLessThan(bytes * 1.03 + (4 << 20));
  }
});

it.each([
  ['hmac(sha256)', 'aes-xts-plain64', 512, HMAC[0]!.superblock],
  ['aead', 'aes-gcm-random', 256, GCM.superblock],
] as const)('LUKS2 opens a segment with the integrity %s (VHD-31)', async (type, encryption, keyBits, superblock) => {
  const [ciphers, keys] = [createCipherRegistry([nodeCiphers()]), keyOf(new Uint8Array(8))];
  const file = imageOf(superblock, LUKS2_DATA_AT);
  const journal = { journal_encryption: 'none', journal_integrity: 'none' };
  const make = (integrity: NonNullable<Luks2Segment['integrity']>): Promise<unknown> => containerBytes(file).then((bytes) => formatLuks2(bytes, { math }, { ciphers, keys, cost: { kdf: 'pbkdf2', iterations: 1000 }, keyBits }, async ({ metadata }) => ({ ...metadata, segments: { 0: { ...metadata.segments['0']!, encryption, integrity } } })));
  const opening = (): ReturnType<typeof openDisk> => openDisk({ ...file, close: () => Promise.resolve() }, { format: 'raw', containers: [luks2({ math })], ciphers, keys });
  await make({ type, ...journal });
  const disk = await opening();
  expect([disk.bytes, disk.encryption?.cipher]).toEqual([encryption === 'aes-gcm-random' ? 60_720 * 512 : 60_656 * 512, `${encryption}, ${type}`]);
  expect((await readLuks2Facts(await containerBytes(file), { math })).dataBytes).toBe(disk.bytes);
  await disk.write(8192, first('here'));
  await disk.close();
  const again = await opening();
  expect((await bytesOf(again, 8192, 12_288)).equals(first('here'))).toBe(true);
  await again.close();
  await make({ type: 'cmac(aes)', ...journal });
  await expect(opening()).rejects.toMatchObject({ rule: 'cipher' });
  await make({ type, ...journal, journal_integrity: 'hmac(sha256)' });
  await expect(opening()).rejects.toMatchObject({ rule: 'cipher' });
});
