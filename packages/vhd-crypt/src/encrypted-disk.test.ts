import { describe, expect, it } from 'vitest';
import { checkVhd } from './check.ts';
import { createCipherRegistry } from './cipher-registry.ts';
import type { ContainerModule } from './container.ts';
import { createDisk, createEncryptedChild } from './create-disk.ts';
import { createChild, createVhd } from './create-vhd.ts';
import { luks1 } from './luks1.ts';
import { memoryFile, type MemoryFile } from './memory-file.ts';
import { mergeIntoParent } from './merge.ts';
import { nobleCiphers } from './noble-aes.ts';
import { nodeCiphers, nodeKeyMath, workerCiphers } from './node.ts';
import { type DiskOptions, openDisk, type OpenedDisk } from './open-disk.ts';
import { openVhd } from './open-vhd.ts';
import { plainContainer } from './plain-container.ts';
import { keyOf, type KeySource } from './sector-cipher.ts';

const KIB = 1024;
const BLOCK = 64 * KIB;
const ciphers = createCipherRegistry([nodeCiphers()]);
const KEY = Uint8Array.from({ length: 64 }, (_, i) => (i * 37 + 11) & 0xff);
const keys = keyOf(KEY);
const settings = { math: nodeKeyMath() };
const luks = { ...settings, ciphers, keys, iterations: 1000 };
const options: DiskOptions = { format: 'vhd', containers: [luks1(settings)], ciphers, keys };

const random = (bytes: number, seed: number): Uint8Array => {
  let state = seed * 2654435761 + 1;
  return Uint8Array.from({ length: bytes }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
};
async function contentsOf(disk: { readonly bytes: number; read(at: number, into: Uint8Array): Promise<void> }): Promise<Uint8Array> {
  const all = new Uint8Array(disk.bytes);
  await disk.read(0, all);
  return all;
}
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a.buffer, a.byteOffset, a.length).equals(b);

async function make(crypt: 'payload' | 'file', bytes = 512 * KIB, type: 'dynamic' | 'fixed' = 'dynamic'): Promise<{ file: MemoryFile; disk: OpenedDisk }> {
  const file = memoryFile(`${crypt}.vhd`);
  await createDisk(file, { format: 'vhd', type, bytes, blockBytes: BLOCK, crypt, luks });
  return { file, disk: await openDisk(file, options) };
}

describe.each(['payload', 'file'] as const)('a disk encrypted in mode %s', (crypt) => {
  it('is to its user as one without encryption (VHD-04, VHD-15)', async () => {
    const { file, disk } = await make(crypt);
    expect([disk.bytes, disk.writable, disk.crypt]).toEqual([512 * KIB, true, crypt]);
    const model = new Uint8Array(disk.bytes);
    expect(same(await contentsOf(disk), model)).toBe(true); // VHD-07
    const places = random(120, 3);
    for (let i = 0; i < 40; i++) {
      const at = Math.min((places[i * 3]! << 11) + places[i * 3 + 1]! * (i % 3 === 0 ? 512 : 7), disk.bytes - 1);
      const from = random(Math.min(1 + places[i * 3 + 2]! * (i % 4 === 0 ? 512 : 33), disk.bytes - at), i);
      if (i % 7 === 6) {
        await disk.writeZeroes(at, from.length);
        from.fill(0);
      } else await disk.write(at, from);
      model.set(from, at);
    }
    expect(same(await contentsOf(disk), model)).toBe(true);
    const part = new Uint8Array(1000);
    await disk.read(777, part);
    expect(same(part, model.subarray(777, 1777))).toBe(true);
    for (const refused of [disk.read(disk.bytes - 1, new Uint8Array(2)), disk.write(-1, part), disk.write(0.5, part)]) await expect(refused).rejects.toMatchObject({ code: 'E_IMAGE' });
    await disk.flush();
    const again = await openDisk(memoryFile('again.vhd', file.contents()), options);
    expect(same(await contentsOf(again), model)).toBe(true);
    if (crypt === 'payload') expect((await checkVhd(file)).findings).toEqual([]);
  });

  it('leaves nothing of what the guest wrote in the file, slack and all (VHD-01, VHD-03)', async () => {
    const { file, disk } = await make(crypt);
    const written = [random(30_000, 1), new TextEncoder().encode('FAT16   This disk has a boot sector and a directory.'.repeat(40)), Uint8Array.from({ length: 4096 }, (_, i) => 1 + ((i * 3 + (i >> 4)) % 199))];
    for (const [i, data] of written.entries()) await disk.write(100_000 * i + 512 * i, data);
    await disk.write(BLOCK * 7 - 100, written[1]!.subarray(0, 200)); // first a part of a sector, then over it
    await disk.write(BLOCK * 7 - 130, written[0]!.subarray(0, 300));
    await disk.close();
    const stored = Buffer.from(file.contents());
    const fragments = new Set<string>();
    for (const data of written) for (let at = 0; at + 16 <= data.length; at++) fragments.add(Buffer.from(data.subarray(at, at + 16)).toString('latin1'));
    for (let at = 0; at + 16 <= stored.length; at++) if (fragments.has(stored.toString('latin1', at, at + 16))) throw new Error(`16 bytes of the guest at ${at} of the file`);
    expect(fragments.size).toBeGreaterThan(30_000);
    if (crypt === 'file') expect([stored.includes('conectix'), stored.includes('cxsparse')]).toEqual([false, false]);
  });

  it('changes just the units of the sectors that are written (VHD-02)', async () => {
    const { file, disk } = await make(crypt);
    await disk.write(0, random(disk.bytes, 9));
    await disk.flush();
    const before = Buffer.from(file.contents());
    await disk.write(BLOCK + 3 * 512 + 5, random(10, 8));
    await disk.write(3 * BLOCK, random(1024, 8));
    await disk.flush();
    const after = file.contents();
    const changed: number[] = [];
    for (let at = 0; at < before.length; at += 512) if (!before.subarray(at, at + 512).equals(after.subarray(at, at + 512))) changed.push(at);
    expect(changed).toHaveLength(3);
    expect(changed[2]! - changed[1]!).toBe(512);
  });

  it('reads as noise where two units of ciphertext changed places (VHD-09), and only there', async () => {
    const { file, disk } = await make(crypt, 256 * KIB, crypt === 'file' ? 'dynamic' : 'fixed');
    const model = random(disk.bytes, 4);
    await disk.write(0, model);
    await disk.flush();
    const first = Buffer.from(file.contents());
    await disk.write(512, random(512, 5));
    await disk.write(5 * 512, random(512, 6));
    await disk.flush();
    const second = file.contents();
    const units = Array.from({ length: first.length / 512 }, (_, i) => i * 512).filter((at) => !first.subarray(at, at + 512).equals(second.subarray(at, at + 512)));
    expect(units).toHaveLength(2);
    const swapped = Buffer.from(first);
    first.copy(swapped, units[0]!, units[1]!, units[1]! + 512);
    first.copy(swapped, units[1]!, units[0]!, units[0]! + 512);
    const got = await contentsOf(await openDisk(memoryFile('swapped.vhd', swapped), options));
    for (let at = 0; at < got.length; at += 512) expect([at, same(got.subarray(at, at + 512), model.subarray(at, at + 512))]).toEqual([at, at !== 512 && at !== 5 * 512]);
  });
});

describe('encrypted disks', () => {
  it('read zeros where nothing is stored (VHD-07), or noise when told to, as QEMU has it', async () => {
    const { file, disk } = await make('payload');
    await disk.write(BLOCK + 512, new Uint8Array(512).fill(1));
    await disk.write(3 * BLOCK, new Uint8Array(BLOCK)); // zeros where there is nothing stay nothing
    expect((await disk.extents(0, disk.bytes)).map(({ at, bytes, depth }) => [at / BLOCK, bytes / BLOCK, depth])).toEqual([[0, 1, null], [1, 1, 0], [2, 6, null]]);
    const whole = await contentsOf(disk);
    const model = new Uint8Array(disk.bytes).fill(1, BLOCK + 512, BLOCK + 1024);
    expect(same(whole, model)).toBe(true);
    // What is stored is the same for both: a block that gets room holds encrypted zeros where nobody wrote.
    const noisy = await openDisk(memoryFile('noise.vhd', file.contents()), { ...options, holes: 'noise' });
    const noise = await contentsOf(noisy);
    expect(same(noise.subarray(BLOCK, 2 * BLOCK), model.subarray(BLOCK, 2 * BLOCK))).toBe(true);
    expect(noise.subarray(0, BLOCK).every((byte) => byte === 0)).toBe(false);
    await noisy.writeZeroes(0, 512);
    await expectZeros(noisy, 0, 512);
    expect((await noisy.extents(0, BLOCK))[0]!.depth).toBe(0);
  });

  async function expectZeros(disk: OpenedDisk, at: number, bytes: number): Promise<void> {
    const got = new Uint8Array(bytes).fill(1);
    await disk.read(at, got);
    expect(got.every((byte) => byte === 0)).toBe(true);
  }

  it('give up blocks that are discarded, which read as zeros then, while stores go on beside them', async () => {
    const { file, disk } = await make('payload', 16 * BLOCK);
    const model = random(disk.bytes, 5);
    await disk.write(0, model);
    const size = await file.bytes();
    await disk.discard(3 * BLOCK, 5 * BLOCK);
    // The container takes some of the first block, so blocks of the guest and of the file differ by that.
    const left = disk.vhd!.table!.entries.reduce((sum, entry) => sum + (entry === 0xffff_ffff ? 1 : 0), 0);
    expect(left).toBeGreaterThanOrEqual(4);
    const after = await contentsOf(disk);
    expect(after.subarray(4 * BLOCK, 7 * BLOCK).every((byte) => byte === 0)).toBe(true);
    expect(same(after.subarray(0, 3 * BLOCK), model.subarray(0, 3 * BLOCK)) && same(after.subarray(8 * BLOCK), model.subarray(8 * BLOCK))).toBe(true);
    const part = random(512, 6);
    await Promise.all([disk.write(5 * BLOCK, part), disk.discard(5 * BLOCK, BLOCK), disk.write(5 * BLOCK + 1024, part), disk.discard(6 * BLOCK, BLOCK), disk.write(6 * BLOCK + 512, part)]);
    const got = (await contentsOf(disk)).subarray(5 * BLOCK, 7 * BLOCK);
    expect(same(got.subarray(1024, 1536), part) && same(got.subarray(BLOCK + 512, BLOCK + 1024), part)).toBe(true);
    for (let at = 0; at < got.length; at += 512) expect(same(got.subarray(at, at + 512), part) || got.subarray(at, at + 512).every((byte) => byte === 0)).toBe(true);
    await disk.write(0, model);
    expect(same(await contentsOf(disk), model)).toBe(true);
    expect(await file.bytes()).toBe(size);
    await disk.close();
  });

  it('give no room to zeros, also to those beside what is stored', async () => {
    const { file, disk } = await make('payload', 32 * BLOCK);
    await disk.write(3 * BLOCK, random(BLOCK / 2, 3));
    const size = await file.bytes();
    await disk.writeZeroes(3 * BLOCK + 4096, 20 * BLOCK);
    await disk.write(3 * BLOCK + 512, new Uint8Array(5 * BLOCK));
    expect(await file.bytes()).toBe(size);
    const contents = await contentsOf(disk);
    expect(same(contents.subarray(3 * BLOCK, 3 * BLOCK + 512), random(512, 3))).toBe(true);
    expect(contents.fill(0, 3 * BLOCK, 3 * BLOCK + 512).every((byte) => byte === 0)).toBe(true);
  });

  it('keep every store when many come at once, in parts of sectors and in blocks without room', async () => {
    const { disk } = await make('payload');
    const model = new Uint8Array(disk.bytes);
    await Promise.all(Array.from({ length: 64 }, (_, i) => {
      const at = i * 5000 + (i % 3 === 0 ? 0 : i);
      const from = random(i % 3 === 0 ? 5000 : 4000, i);
      model.set(from, at);
      return disk.write(at, from);
    }));
    await Promise.all(Array.from({ length: 32 }, (_, i) => {
      const from = random(512, 99 + i);
      model.set(from, (i * 2 + 1) * 512);
      return disk.write((i * 2 + 1) * 512, from);
    }));
    expect(same(await contentsOf(disk), model)).toBe(true);
  });

  it('fail as a whole when the host refuses a part, and go on afterwards', async () => {
    const file = memoryFile('plain.raw', new Uint8Array(3 << 20));
    let refusing = true;
    const refuse = (at: number): boolean => refusing && at === 3 * (1 << 18);
    const shaky = {
      ...file,
      read: (at: number, into: Uint8Array) => (refuse(at) ? Promise.reject(new Error('bad sector')) : file.read(at, into)),
      write: (at: number, from: Uint8Array) => (refuse(at) ? Promise.reject(new Error('no room')) : file.write(at, from)),
    };
    const disk = await openDisk(shaky, { format: 'raw', crypt: 'payload', containers: [plainContainer({ cipher: 'aes-xts-plain64' })], ciphers, keys });
    const data = random(5 << 19, 9);
    await expect(disk.write(0, data)).rejects.toThrow('no room');
    await expect(disk.read(0, new Uint8Array(1 << 20))).rejects.toThrow('bad sector');
    refusing = false;
    await disk.write(0, data);
    expect(same((await contentsOf(disk)).subarray(0, data.length), data)).toBe(true);
    await disk.close();
  });

  it('are encrypted before the guest can change what it asked to be stored, which stays as it was (VHD-12)', async () => {
    const { disk } = await make('payload', 256 * KIB, 'fixed');
    const buffer = random(4096, 2);
    const before = buffer.slice();
    const stored = disk.write(0, buffer);
    expect(same(buffer, before)).toBe(true);
    await stored;
    expect(same(buffer, before)).toBe(true);
  });

  it('show through a child with its own stores, and the chain shares one key (VHD-08)', async () => {
    const { file, disk } = await make('payload');
    await disk.write(BLOCK, random(BLOCK, 1));
    await disk.flush();
    const child = memoryFile('child.vhd');
    await createChild(child, { parent: disk.vhd!, path: 'payload.vhd' });
    const before = Buffer.from(file.contents());
    const top = await openDisk(child, { ...options, parents: () => Promise.resolve({ file }) });
    await top.write(BLOCK + 700, random(100, 2));
    await top.write(6 * BLOCK + 512, random(512, 3));
    const model = new Uint8Array(disk.bytes);
    model.set(random(BLOCK, 1), BLOCK);
    model.set(random(100, 2), BLOCK + 700);
    model.set(random(512, 3), 6 * BLOCK + 512);
    expect(same(await contentsOf(top), model)).toBe(true);
    expect(before.equals(file.contents())).toBe(true);
    expect((await top.extents(0, top.bytes)).map(({ depth }) => depth)).toContain(1);
  });

  it('have a key of their own in a child, which shows nothing of what changed to who has both files (VHD-10, VHD-08)', async () => {
    const { file, disk } = await make('payload');
    await disk.write(BLOCK, random(2 * BLOCK, 1));
    await disk.flush();
    const before = Buffer.from(file.contents());
    const childSecret = new TextEncoder().encode('the secret of the child');
    const parents = (): Promise<{ readonly file: MemoryFile }> => Promise.resolve({ file });
    const child = memoryFile('child.vhd');
    await createEncryptedChild(child, { parent: disk.vhd!, path: 'payload.vhd', luks: { ...luks, keys: keyOf(childSecret) }, parents });
    const asked: string[] = [];
    const both: KeySource = { id: 'both', getSecret: ({ disk: name, attempt }) => Promise.resolve((asked.push(name), attempt > 0 ? null : name.startsWith('the parent') ? KEY.slice() : childSecret.slice())) };
    const open = (from: MemoryFile, rest: Partial<DiskOptions> = {}): Promise<OpenedDisk> => openDisk(from, { ...options, keys: both, parents, ...rest });
    const top = await open(child);
    expect(asked).toEqual(['child.vhd', 'the parent of child.vhd']);
    const model = new Uint8Array(disk.bytes);
    model.set(random(2 * BLOCK, 1), BLOCK);
    expect(same(await contentsOf(top), model)).toBe(true);
    for (const [at, bytes] of [[BLOCK + 700, 100], [6 * BLOCK + 512, 512], [2 * BLOCK - 5, 2000], [0, 3]] as const) {
      await top.write(at, random(bytes, at));
      model.set(random(bytes, at), at);
    }
    // The same data in the same sector, once more.
    await top.write(BLOCK + 4096, model.subarray(BLOCK + 4096, BLOCK + 8192));
    await top.flush();
    expect(same(await contentsOf(top), model)).toBe(true);
    expect(same(await contentsOf(await open(memoryFile('again.vhd', child.contents()))), model)).toBe(true);
    expect(before.equals(file.contents())).toBe(true);
    const ciphertext = await openVhd(file, { writable: false });
    const sector = new Uint8Array(512);
    const place = ciphertext.bytes - disk.bytes + BLOCK + 4096;
    await ciphertext.read(place, sector);
    expect(Buffer.from(child.contents()).includes(Buffer.from(sector))).toBe(false);
    expect((await top.extents(BLOCK, 8192)).map(({ depth }) => depth)).toEqual([1, 0, 1, 0]);
    await expect(open(child, { keys: keyOf(childSecret) })).rejects.toMatchObject({ rule: 'key', file: 'the parent of child.vhd' });
    await expect(open(child, { keys })).rejects.toMatchObject({ rule: 'key', file: 'child.vhd' });
    const parent = await openDisk(file, { ...options });
    const reader = await open(child, { writable: false });
    await mergeIntoParent(reader.vhd!, parent.vhd!, { plain: { child: reader, parent, dataAt: reader.vhd!.bytes - reader.bytes, sameKey: false } });
    expect(same(await contentsOf(await openDisk(memoryFile('merged.vhd', file.contents()), options)), model)).toBe(true);
  });

  it('of two machines use different techniques side by side (VHD-06)', async () => {
    const flip: ContainerModule = {
      id: 'flip',
      probe: () => true,
      open: () => {
        const turn = async (from: Uint8Array, into: Uint8Array, first: number): Promise<void> => from.forEach((byte, i) => (into[i] = byte ^ (0x55 + first + (i >>> 9))));
        return Promise.resolve({ dataAt: 0, cipher: { encrypt: turn, decrypt: turn, close: () => Promise.resolve() }, facts: { container: 'flip', cipher: 'flip-plain64', engine: 'test', keyBits: 0, sectorBytes: 512, uuid: null, keySlots: [] } });
      },
    };
    const file = memoryFile('flip.vhd');
    await createVhd(file, { bytes: 256 * KIB, type: 'dynamic', blockBytes: BLOCK });
    const other = await openDisk(file, { format: 'vhd', containers: [flip] });
    const { disk } = await make('payload', 256 * KIB);
    const inWorkers = createCipherRegistry([workerCiphers({ module: nodeCiphers(), workers: 1, leastBytes: 0 })]);
    const third = await openDisk((await make('payload', 256 * KIB)).file, { ...options, ciphers: inWorkers });
    const data = random(100_000, 7);
    const disks = [disk, other, third];
    await Promise.all(disks.map((one) => one.write(1000, data)));
    const contents = await Promise.all(disks.map(contentsOf));
    for (const one of contents) expect(same(one.subarray(1000, 101_000), data)).toBe(true);
    expect(disks.map(({ encryption }) => [encryption?.cipher, encryption?.engine])).toEqual([['aes-xts-plain64', 'node'], ['flip-plain64', 'test'], ['aes-xts-plain64', 'node-worker']]);
    await third.close();
    await disk.read(0, new Uint8Array(512)); // which the others are not closed with
  });

  it('without a header are those of dm-crypt: sectors from 0, the key as it is', async () => {
    const file = memoryFile('plain.raw', new Uint8Array(64 * KIB));
    const disk = await openDisk(file, { format: 'raw', crypt: 'payload', containers: [plainContainer()], ciphers, keys });
    const data = random(4096, 1);
    await disk.write(8192, data);
    const cipher = await nobleCiphers().create('aes-xts-plain64', KEY, 512);
    const stored = file.contents().slice(8192, 8192 + 4096);
    await cipher.decrypt(stored, stored, 16);
    expect(same(stored, data)).toBe(true);
    expect(disk.encryption?.container).toBe('plain');
  });

  it('with units of 4 KiB on a VHD of 512-byte sectors read and write any range', async () => {
    const file = memoryFile('large.vhd');
    await createVhd(file, { bytes: 256 * KIB + 1536, type: 'dynamic', blockBytes: BLOCK });
    const disk = await openDisk(file, { format: 'vhd', crypt: 'payload', containers: [plainContainer({ sectorBytes: 4096 })], ciphers, keys });
    expect(disk.bytes).toBe(256 * KIB);
    const model = new Uint8Array(disk.bytes);
    for (const [at, bytes] of [[5, 10], [4096, 4096], [BLOCK - 512, 1024], [200_000, 3000]] as const) {
      await disk.write(at, random(bytes, at));
      model.set(random(bytes, at), at);
    }
    expect(same(await contentsOf(disk), model)).toBe(true);
  });

  it('of files that were cut off are refused or opened, wherever the cut is', async () => {
    const { file } = await make('file', 64 * KIB);
    const whole = file.contents();
    for (const bytes of [0, 5, 511, 593, 1025, 2050, whole.length - 511, whole.length - 1, 1 << 21, (1 << 21) + 2]) {
      // With its end gone the footer at the beginning is enough.
      const opened = await openDisk(memoryFile('cut.vhd', whole.subarray(0, bytes)), { ...options, writable: false }).catch((thrown: unknown) => thrown);
      expect(opened).toMatchObject(bytes > whole.length - 512 ? { warnings: [expect.stringContaining('footer at the end')] } : { code: 'E_IMAGE' });
    }
  });

  it('forget their key when they are closed', async () => {
    const { disk } = await make('payload');
    await disk.write(0, random(512, 1));
    await disk.close();
    await disk.close();
    await expect(disk.read(0, new Uint8Array(512))).rejects.toThrow('the cipher is closed');
  });
});
