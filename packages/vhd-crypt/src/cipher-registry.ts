import { CryptError } from './crypt-error.ts';
import type { CipherModule, SealedSectors, SectorCipher } from './sector-cipher.ts';

/** How fast an engine was on this host, in bytes a second: both directions over 64 KiB. */
export interface EngineSpeed {
  readonly engine: string;
  readonly cipher: string;
  readonly bytesPerSecond: number;
}

export interface MadeCipher {
  readonly engine: string;
  readonly cipher: SectorCipher;
  /** Of all that could have done it, the chosen one first; empty when there was no choice. */
  readonly speeds: readonly EngineSpeed[];
}

/** The ciphers of a machine. Two machines with different ones live side by side: nothing here is global. */
export interface CipherRegistry {
  readonly modules: readonly CipherModule[];
  create(disk: string, cipher: string, key: Uint8Array, sectorBytes: number): Promise<MadeCipher>;
  /** The first of the list that can, for ciphers that prove what they decrypt. */
  createSealed(disk: string, cipher: string, key: Uint8Array, sectorBytes: number): Promise<{ readonly engine: string; readonly sectors: SealedSectors }>;
}

/** Whether a cipher proves what it decrypts. */
export function isSealed({ modules }: Pick<CipherRegistry, 'modules'>, cipher: string): boolean {
  return modules.some(({ sealed }) => sealed?.includes(cipher) === true);
}

/** The longest key that a cipher of the registry takes, in bits; 512 when nobody knows it, so that it is refused later with the reason. */
export function longestKeyBits({ modules }: Pick<CipherRegistry, 'modules'>, cipher: string): number {
  if (isSealed({ modules }, cipher)) return 256;
  return 8 * Math.max(...modules.filter(({ ciphers }) => ciphers.includes(cipher)).flatMap(({ keyBytes }) => keyBytes), 0) || 512;
}

const PROBE_BYTES = 65536;
const PROBE_MS = 6;
const LEAST_ROUNDS = 3;

/** Of several modules that do the same, the one that is fastest on this host is taken; `choose: 'first'` takes the order of the list. */
export function createCipherRegistry(modules: readonly CipherModule[], choose: 'fastest' | 'first' = 'fastest'): CipherRegistry {
  const known = new Map<string, readonly EngineSpeed[]>();
  return {
    modules,
    async create(disk, cipher, key, sectorBytes) {
      const able = await modulesFor(modules, disk, cipher, key.length, sectorBytes);
      const [only] = able;
      if (only !== undefined && (able.length === 1 || choose === 'first')) return { engine: only.engine, cipher: await only.create(cipher, key, sectorBytes), speeds: [] };
      const name = `${cipher} ${key.length} ${sectorBytes}`;
      const speeds = known.get(name) ?? (await measure(able, cipher, key.length, sectorBytes));
      known.set(name, speeds);
      const best = able.find(({ engine }) => engine === speeds[0]?.engine) ?? able[0]!;
      return { engine: best.engine, cipher: await best.create(cipher, key, sectorBytes), speeds };
    },
    async createSealed(disk, cipher, key, sectorBytes) {
      for (const { engine, sealed, createSealed, isAvailable } of modules) {
        if (createSealed !== undefined && sealed?.includes(cipher) === true && (await isAvailable())) return { engine, sectors: await createSealed(cipher, key, sectorBytes) };
      }
      throw new CryptError(disk, 'keyUnavailable', `no plug-in does the cipher ${printable(cipher)}`);
    },
  };
}

async function modulesFor(modules: readonly CipherModule[], disk: string, cipher: string, keyBytes: number, sectorBytes: number): Promise<CipherModule[]> {
  const byName = modules.filter(({ ciphers }) => ciphers.includes(cipher));
  if (byName.length === 0) throw new CryptError(disk, 'keyUnavailable', `no plug-in does the cipher ${printable(cipher)}; there are ${[...new Set(modules.flatMap(({ ciphers }) => ciphers))].join(', ') || 'none'}`);
  const fitting = byName.filter((module) => module.keyBytes.includes(keyBytes) && module.sectorBytes.includes(sectorBytes));
  if (fitting.length === 0) throw new CryptError(disk, 'cipher', `${cipher} with a key of ${keyBytes * 8} bits and sectors of ${sectorBytes} bytes`);
  const able: CipherModule[] = [];
  for (const module of fitting) if (await module.isAvailable()) able.push(module);
  if (able.length === 0) throw new CryptError(disk, 'keyUnavailable', `${fitting.map(({ engine }) => engine).join(', ')} cannot run on this host`);
  return able;
}

/** Names come out of images. */
function printable(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

declare const performance: { now(): number }; // the same in Node and in browsers

async function measure(modules: readonly CipherModule[], cipher: string, keyBytes: number, sectorBytes: number): Promise<readonly EngineSpeed[]> {
  const speeds: EngineSpeed[] = [];
  // Any key will do that has two different halves.
  const key = Uint8Array.from({ length: keyBytes }, (_, i) => i + 1);
  const bytes = new Uint8Array(PROBE_BYTES);
  for (const module of modules) {
    const made = await module.create(cipher, key, sectorBytes);
    await made.encrypt(bytes, bytes, 0);
    await made.decrypt(bytes, bytes, 0);
    // The quickest of many: whatever else the host does only adds.
    let least = Infinity;
    const end = performance.now() + PROBE_MS;
    for (let round = 0; round < LEAST_ROUNDS || performance.now() < end; round++) {
      const begin = performance.now();
      await made.encrypt(bytes, bytes, 0);
      await made.decrypt(bytes, bytes, 0);
      least = Math.min(least, performance.now() - begin);
    }
    await made.close();
    speeds.push({ engine: module.engine, cipher, bytesPerSecond: Math.round((2 * PROBE_BYTES * 1000) / least) });
  }
  return speeds.sort((a, b) => b.bytesPerSecond - a.bytesPerSecond);
}
