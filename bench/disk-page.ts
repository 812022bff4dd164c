// What is measured of encrypted disks in a page of a browser, and in Node with the same engines: it names nothing of either.
import { adiantumCiphers, createCipherRegistry, createDisk, type KeyMath, keyOf, luks2, memoryFile, nobleCiphers, openDisk, type OpenedDisk, webKeyMath } from '@vm/vhd-crypt';

declare const performance: { now(): number }; // the same in Node and in browsers

export interface PageFigure {
  readonly cipher: string;
  readonly load: string;
  /** MiB a second, of each run. */
  readonly runs: readonly number[];
}
export interface PageOptions {
  readonly ciphers: readonly string[];
  readonly diskBytes: number;
  readonly runs: number;
  readonly milliseconds: number;
}

const MIB = 2 ** 20;
const LOADS = [true, false].flatMap((write) => [{ bytes: MIB, random: false }, { bytes: 4096, random: true }].map((load) => ({ ...load, write, name: `${load.random ? 'random' : 'sequential'} ${write ? 'writes' : 'reads'}, ${load.bytes / 1024} KiB` })));

/** LUKS2 with sectors of 4 KiB in memory, by what a page has: all disks in turn. */
export async function measureDisks({ ciphers: names, diskBytes, runs, milliseconds }: PageOptions): Promise<readonly PageFigure[]> {
  const math = webKeyMath();
  const disks: OpenedDisk[] = [];
  for (const cipher of names) disks.push(await openNew(cipher, diskBytes, math));
  const figures: PageFigure[] = [];
  for (const load of LOADS) {
    const speeds: number[][] = names.map(() => []);
    for (let run = 0; run < runs; run++) for (const [i, disk] of disks.entries()) speeds[i]!.push(await measure(disk, load, milliseconds, run));
    for (const [i, cipher] of names.entries()) figures.push({ cipher, load: load.name, runs: speeds[i]! });
  }
  for (const disk of disks) await disk.close();
  return figures;
}

async function openNew(cipher: string, bytes: number, math: KeyMath): Promise<OpenedDisk> {
  const [file, ciphers, keys] = [memoryFile(cipher), createCipherRegistry([nobleCiphers(), adiantumCiphers()]), keyOf(new Uint8Array(8).fill(7))];
  await createDisk(file, { format: 'raw', bytes, crypt: 'payload', luks: { version: 2, math, ciphers, keys, cipher, cost: { kdf: 'pbkdf2', iterations: 1000 }, sectorBytes: 4096 } });
  const disk = await openDisk(file, { format: 'raw', containers: [luks2({ math })], ciphers, keys });
  const chunk = new Uint8Array(MIB).map((_, i) => i * 7);
  for (let at = 0; at < bytes; at += chunk.length) await disk.write(at, chunk);
  return disk;
}

async function measure(disk: OpenedDisk, { bytes, random, write }: (typeof LOADS)[number], milliseconds: number, seed: number): Promise<number> {
  const buffer = new Uint8Array(bytes).fill(0x5a);
  const places = Math.floor(disk.bytes / bytes);
  let [done, state] = [0, seed * 7919 + 1];
  const begin = performance.now();
  while (performance.now() < begin + milliseconds) {
    state = random ? (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0 : state + 1;
    await (write ? disk.write((state % places) * bytes, buffer) : disk.read((state % places) * bytes, buffer));
    done += bytes;
  }
  // All of it: in memory there is nobody else who would store it later.
  if (write) await disk.flush();
  return done / MIB / ((performance.now() - begin) / 1000);
}
