import { mkdtempSync, openSync, closeSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { randomFillSync } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, it } from 'vitest';
import { createCipherRegistry } from '../cipher-registry.ts';
import { createDisk } from '../create-disk.ts';
import { decryptImage, encryptImage } from '../encrypt-image.ts';
import { luks2 } from '../luks2.ts';
import { addLuks2Key } from '../luks2-keys.ts';
import { copySecret } from '../key-math.ts';
import { memoryFile } from '../memory-file.ts';
import { nodeCiphers, nodeKeyMath, opensslCiphers } from '../node.ts';
import { containerBytes, openDisk } from '../open-disk.ts';
import { rekeyImage } from '../reencrypt-image.ts';
import type { CipherModule, KeySource } from '../sector-cipher.ts';

const MASK = 0xa5;
const PAGE = 4096;
const folder = mkdtempSync(join(tmpdir(), 'forgotten-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Bytes that are nowhere in memory as they are, only under a mask. */
class Masked {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes.map((byte) => byte ^ MASK);
  }
  static random(count: number): Masked {
    return new Masked(randomFillSync(new Uint8Array(count)).map((byte) => byte ^ MASK)).flip();
  }
  flip(): Masked {
    const other = Object.create(Masked.prototype) as Masked;
    return Object.assign(other, { bytes: this.bytes.map((byte) => byte ^ MASK) });
  }
  /** As a source of secrets, whose callers wipe what they get. */
  get keys(): KeySource {
    return { id: 'masked', getSecret: ({ attempt }) => Promise.resolve(attempt === 0 ? unmasked(this.bytes) : null) };
  }
}

/** Not in the engine's heap, where its collector would leave copies. */
function unmasked(bytes: Uint8Array): Uint8Array {
  const plain = copySecret(bytes);
  for (let i = 0; i < plain.length; i++) plain[i]! ^= MASK;
  return plain;
}

/** Where the bytes are in memory that this process can write to. */
function findInMemory(wanted: readonly Masked[]): string[] {
  const found: string[] = [];
  const memory = openSync('/proc/self/mem', 'r');
  const chunk = new Uint8Array(1 << 20);
  const byStart: number[][] = [];
  for (const [which, { bytes }] of wanted.entries()) (byStart[(bytes[0]! ^ MASK) | ((bytes[1]! ^ MASK) << 8)] ??= []).push(which);
  try {
    for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
      const [, from = '', to = '', place = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ \S+ *(.*)$/.exec(line) ?? [];
      for (const [at, end] of presentRuns(parseInt(from, 16), parseInt(to, 16), chunk.length)) {
        let count = 0;
        try {
          count = readSync(memory, chunk, 0, end - at, at);
        } catch {
          break; // of a device, or gone meanwhile
        }
        for (let i = 0; i + 16 <= count; i++) {
          const candidates = byStart[chunk[i]! | (chunk[i + 1]! << 8)];
          if (candidates === undefined) continue;
          for (const which of candidates) {
            const { bytes } = wanted[which]!;
            let same = 2;
            while (same < 16 && (chunk[i + same]! ^ MASK) === bytes[same]) same++;
            if (same === 16) found.push(`${which} in ${place || 'a nameless place'}`);
          }
        }
        chunk.fill(0, 0, count);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

/** Pages that are there, in runs of at most so many bytes; one may begin with the last page of the one before. */
function* presentRuns(from: number, to: number, most: number): Generator<readonly [number, number]> {
  if (!(to > from)) return;
  const map = openSync('/proc/self/pagemap', 'r');
  const entries = Buffer.alloc(((to - from) / PAGE) * 8);
  const read = readSync(map, entries, 0, entries.length, (from / PAGE) * 8);
  closeSync(map);
  for (let page = 0; page * 8 < read; page++) {
    const first = page;
    while (page * 8 < read && (entries[page * 8 + 7]! & 0xc0) !== 0 && (page - first) * PAGE < most) page++;
    if (page > first) yield [from + first * PAGE, from + page * PAGE];
    if ((page - first) * PAGE >= most) page -= 2;
  }
}

describe.runIf(process.platform === 'linux')('secrets after disks were closed (VHD-32)', () => {
  it('are neither in the memory of the process nor in a snapshot of its heap, with any engine', async () => {
    const secrets = [Masked.random(24), Masked.random(24), Masked.random(24)];
    const keys: Masked[] = [];
    const watched = (module: CipherModule): CipherModule => ({ ...module, create: (cipher, key, sectorBytes) => (keys.push(new Masked(key)), module.create(cipher, key, sectorBytes)) });
    for (const module of [nodeCiphers(), opensslCiphers()]) {
      if (!(await module.isAvailable())) continue;
      const ciphers = createCipherRegistry([watched(module)]);
      const settings = { math: nodeKeyMath() };
      const cost = { kdf: 'pbkdf2', iterations: 1000 } as const;
      const [first, second, third] = secrets as [Masked, Masked, Masked];
      const options = { format: 'raw', ciphers, cost, keyBits: 256 } as const;
      const file = memoryFile('disk.raw');
      await createDisk(file, { format: 'raw', bytes: 1 << 20 });
      await encryptImage(file, settings, { ...options, keys: first.keys });
      await addLuks2Key(await containerBytes(file), settings, { ciphers, keys: first.keys, cost }, second.keys);
      await rekeyImage(file, settings, { ...options, keys: second.keys, newKeys: third.keys });
      const open = (secret: Masked): ReturnType<typeof openDisk> => openDisk(file, { format: 'raw', containers: [luks2(settings)], ciphers, keys: secret.keys });
      await expect(open(first)).rejects.toMatchObject({ rule: 'key' });
      const disk = await open(third);
      await disk.write(0, new Uint8Array(9000));
      expect(findInMemory(keys).length).toBeGreaterThan(0); // while it is open, so that looking finds what is there
      await disk.close();
      await decryptImage(file, settings, { ...options, keys: third.keys });
    }
    expect(keys.length).toBeGreaterThan(6);
    await new Promise((resolve) => setImmediate(resolve));
    setFlagsFromString('--expose-gc');
    (runInNewContext('gc') as () => void)();
    expect(findInMemory([...secrets, ...keys])).toEqual([]);
    writeHeapSnapshot(join(folder, 'heap.heapsnapshot'));
    const heap = readFileSync(join(folder, 'heap.heapsnapshot'));
    for (const { bytes } of [...secrets, ...keys]) {
      const plain = Buffer.from(bytes.map((byte) => byte ^ MASK));
      for (const text of [plain.toString('base64').slice(0, 20), plain.toString('hex').slice(0, 24), plain.toString('latin1')]) expect(heap.includes(text)).toBe(false);
    }
    expect(readdirSync(folder)).toEqual(['heap.heapsnapshot']);
  }, 120_000);
});
