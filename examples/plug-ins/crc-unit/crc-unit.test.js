import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { bench, deviceConformance } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { crcUnit } from './crc-unit.js';

const BASE = 0xd000_0000;
const create = (polynomial = 'crc32') => bench(crcUnit, { base: BASE, polynomial });
const spec = { name: 'crc', manifest: crcUnit.manifest, create: (ctx) => crcUnit.create(ctx, { base: BASE, polynomial: 'crc32' }) };
const feed = (t, text) => { for (const byte of Buffer.from(text)) t.writeMmio(BASE, byte, 1); };

describe('crcUnit', () => {
  for (const { name, run } of deviceConformance({ name: 'crc-unit', devices: () => [spec] })) it(name, run);

  it('computes the checksum of zip files, and the one of iSCSI', () => {
    const t = create();
    feed(t, '123456789');
    expect([t.readMmio(BASE + 4), t.readMmio(BASE + 8)]).toEqual([crc32('123456789'), 9]);
    const other = create('crc32c');
    feed(other, '123456789');
    expect(other.readMmio(BASE + 4)).toBe(0xe306_9283); // the check value of CRC-32/ISCSI
  });

  it('takes several bytes at once, low byte first', () => {
    const t = create();
    t.writeMmio(BASE, 0x3433_3231, 4);
    t.writeMmio(BASE, 0x3635, 2);
    expect([t.readMmio(BASE + 4), t.readMmio(BASE + 8)]).toEqual([crc32('123456'), 6]);
  });

  it('begins anew when it is told to and at a reset, and does nothing else', () => {
    const t = create();
    feed(t, 'x');
    t.writeMmio(BASE + 4, 1);
    t.writeMmio(BASE + 12, 1);
    expect(t.readMmio(BASE + 8)).toBe(1);
    t.writeMmio(BASE + 8, 0);
    expect([t.readMmio(BASE + 8), t.readMmio(BASE + 4), t.readMmio(BASE + 12)]).toEqual([0, 0, 0x3143_5243]);
    feed(t, 'x');
    t.reset();
    expect(t.readMmio(BASE + 8)).toBe(0);
  });

  it('goes on after a restore where it was', () => {
    const t = create();
    feed(t, 'one ');
    const restored = t.restore(t.save());
    feed(restored, 'two');
    expect(restored.readMmio(BASE + 4)).toBe(crc32('one two'));
    for (const state of [null, {}, { remainder: '1', count: 1 }]) expect(() => t.device.load(state, 1)).toThrow(TypeError);
  });

  it('says the same of itself in its code and in its description', () => {
    const description = JSON.parse(readFileSync(new URL('./device.json', import.meta.url), 'utf8'));
    for (const member of ['abi', 'id', 'version', 'state', 'needs']) expect(description[member]).toEqual(crcUnit.manifest[member]);
  });
});
