import { describe, expect, it } from 'vitest';
import { decodeHeader, encodeHeader } from './dynamic-header.ts';
import { decodeFooter, encodeFooter, type Footer, vhdTime } from './footer.ts';
import { geometryBytes, geometryOf, MAX_GEOMETRY, roundUpToGeometry, sizeRule } from './geometry.ts';
import { decodeUtf16, locatorPath } from './parent-locator.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

// The footer of a dynamic disk of 127 GiB that Virtual PC made, up to its reserved bytes.
const VIRTUAL_PC = `636f6e6563746978 00000002 00010000 0000000000000200`;

const FOOTER: Footer = {
  type: 'dynamic',
  headerAt: 512,
  timestamp: 0x1234_5678,
  creator: 'vpc ',
  creatorVersion: 0x0005_0003,
  creatorHost: 'Wi2k',
  originalBytes: 5 * 2 ** 40,
  currentBytes: 6 * 2 ** 40 + 512,
  geometry: { cylinders: 65278, heads: 16, sectorsPerTrack: 255 },
  uniqueId: Uint8Array.from({ length: 16 }, (_, i) => 200 + i),
  savedState: true,
};

describe('structures of a VHD', () => {
  it('encodes a footer as the specification says and decodes it to the same', () => {
    const bytes = encodeFooter(FOOTER);
    expect(Buffer.from(bytes.subarray(0, 24)).toString('hex')).toBe(VIRTUAL_PC.replaceAll(' ', ''));
    expect(decodeFooter(bytes)).toEqual(FOOTER);
    const fixed: Footer = { ...FOOTER, type: 'fixed', headerAt: null };
    expect(Buffer.from(encodeFooter(fixed).subarray(16, 24)).toString('hex')).toBe('ffffffffffffffff');
    expect(decodeFooter(encodeFooter(fixed))).toEqual(fixed);
  });

  it('notices any single changed byte of a footer and of a header', () => {
    const header = { tableAt: 1536, tableEntries: 100, blockBytes: 2 * MIB, parentId: FOOTER.uniqueId, parentTimestamp: 7, parentName: 'Elternplatte-ä.vhd', locators: [{ code: 'W2ru', at: 2048, bytes: 30 }] };
    expect(decodeHeader(encodeHeader(header))).toEqual(header);
    for (let i = 0; i < 512; i++) {
      const bytes = encodeFooter(FOOTER);
      bytes[i] = (bytes[i] ?? 0) ^ 0x10;
      expect(decodeFooter(bytes)).toBeTypeOf('string');
    }
    for (let i = 0; i < 1024; i++) {
      const bytes = encodeHeader(header);
      bytes[i] = (bytes[i] ?? 0) ^ 0x10;
      expect(decodeHeader(bytes)).toBeTypeOf('string');
    }
  });

  it('says why it refuses', () => {
    expect(decodeFooter(new Uint8Array(512))).toBe('no cookie "conectix"');
    expect(decodeHeader(encodeHeader({ tableAt: 1536, tableEntries: 1, blockBytes: 3 * MIB, parentId: new Uint8Array(16), parentTimestamp: 0, parentName: '', locators: [] }))).toMatch(/^blocks of 3145728 bytes/);
    expect(decodeHeader(encodeHeader({ tableAt: 1536, tableEntries: 2 ** 31, blockBytes: 2 * MIB, parentId: new Uint8Array(16), parentTimestamp: 0, parentName: '', locators: [] }))).toMatch(/^a table of 2147483648 blocks/);
  });

  // What qemu-img makes of these sizes.
  it.each([
    [1 * MIB, 1_079_296, [31, 4, 17]],
    [3 * MIB, 3_168_256, [91, 4, 17]],
    [10 * MIB, 10_514_432, [302, 4, 17]],
    [64 * MIB, 67_125_248, [964, 8, 17]],
    [100 * MIB, 104_865_792, [1004, 12, 17]],
    [127 * GIB, 136_365_219_840, [65279, 16, 255]],
  ])('rounds %d bytes up to a geometry', (bytes, rounded, [cylinders, heads, sectorsPerTrack]) => {
    expect(roundUpToGeometry(bytes)).toBe(rounded);
    expect(geometryOf(rounded / 512)).toEqual({ cylinders, heads, sectorsPerTrack });
  });

  it('never gives a geometry that is larger than the disk', () => {
    for (let sectors = 1; sectors < 2 ** 33; sectors = Math.ceil(sectors * 1.37)) expect(geometryBytes(geometryOf(sectors))).toBeLessThanOrEqual(sectors * 512);
    expect(roundUpToGeometry(2 ** 41)).toBeNull();
  });

  it('goes by the geometry for those who did, and by the bytes for all others', () => {
    const small = geometryOf(MIB / 512);
    expect(['vpc ', 'vs  ', 'qemu', 'win ', 'qem2', 'vbox', 'd2v ', 'tap\0'].map((creator) => sizeRule(creator, small))).toEqual(['geometry', 'geometry', 'geometry', 'bytes', 'bytes', 'bytes', 'bytes', 'bytes']);
    expect(sizeRule('vpc ', MAX_GEOMETRY)).toBe('bytes');
  });

  it('counts time from the year 2000', () => {
    expect(vhdTime(Date.UTC(2000, 0, 1, 0, 1))).toBe(60);
    expect(vhdTime(0)).toBe(0);
  });

  it('reads the paths of locators', () => {
    const utf16 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'utf16le'));
    expect(locatorPath('W2ru', utf16('.\\base\\été.vhd\0junk'))).toBe('base/été.vhd');
    expect(locatorPath('W2ku', utf16('C:\\vm\\a.vhd'))).toBe('C:/vm/a.vhd');
    expect(locatorPath('MacX', Buffer.from('file://localhost/vm/%C3%A9.vhd\0'))).toBe('/vm/é.vhd');
    expect(locatorPath('MacX', Buffer.from('file:///%ff'))).toBeNull();
    expect(locatorPath('Wi2k', Buffer.from('x'))).toBeNull();
    expect(decodeUtf16(Uint8Array.of(0, 65, 0), true)).toBe('A');
  });
});
