// The same for whatever container an image begins with: what is known without a key, key slots, and copies of its header.
import type { ContainerBytes, KeySlotFacts } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { addLuks1Key, type Luks1Settings, readLuks1Facts, removeLuks1Key } from './luks1.ts';
import { isLuks2 } from './luks2-header.ts';
import { readLuks2Facts } from './luks2.ts';
import { SEALED } from './luks2-sealed.ts';
import { addLuks2Key, backupLuks2, changeLuks2Key, type Luks2KeyOptions, removeLuks2Key, restoreLuks2 } from './luks2-keys.ts';
import { CHEAP } from './luks2-slot.ts';
import type { Luks2Settings } from './luks2-store.ts';
import type { KeySource } from './sector-cipher.ts';

export interface HeaderFacts {
  readonly container: 'luks1' | 'luks2';
  readonly cipher: string;
  readonly keyBits: number;
  readonly hash: string;
  readonly uuid: string;
  readonly sectorBytes: number;
  readonly dataAt: number;
  /** What the guest sees, where that is less than what lies there. */
  readonly dataBytes?: number;
  readonly keySlots: readonly KeySlotFacts[];
  readonly warnings: readonly string[];
}

export type HeaderSettings = Luks1Settings & Luks2Settings;

/** What a header says without any key; of a detached one `detachedBytes` is the size of the data. */
export async function readHeaderFacts(bytes: ContainerBytes, settings: HeaderSettings, detachedBytes?: number): Promise<HeaderFacts> {
  if (!(await hasLuks2(bytes))) {
    const { slots, iterations, ...facts } = await readLuks1Facts(bytes, settings.mostIterations);
    return { container: 'luks1', ...facts, sectorBytes: 512, keySlots: slots.map((slot, i) => ({ slot, kdf: 'pbkdf2', iterations: iterations[i]! })), warnings: [] };
  }
  const { problems, requirements, label: _, ...facts } = await readLuks2Facts(bytes, settings, detachedBytes);
  const warnings = [...problems.flatMap((problem, i) => (problem === null ? [] : [`copy ${i + 1} of the header: ${problem}`])), ...requirements.filter((name) => name !== SEALED).map((name) => `it requires ${JSON.stringify(name)}`)];
  return { container: 'luks2', ...facts, warnings };
}

/** A second secret for the same key; returns its slot. */
export async function addKey(bytes: ContainerBytes, settings: HeaderSettings, options: Luks2KeyOptions, added: KeySource): Promise<number> {
  if (await hasLuks2(bytes)) return addLuks2Key(bytes, settings, options, added);
  return addLuks1Key(bytes, settings, options.ciphers, options.keys, forLuks1(bytes, added), luks1Iterations(bytes, options));
}

/** Takes a secret away: that of a slot, or the one that `keys` gives. */
export async function removeKey(bytes: ContainerBytes, settings: HeaderSettings, options: Luks2KeyOptions, which: { readonly slot?: number; readonly evenLast?: boolean } = {}): Promise<number> {
  if (await hasLuks2(bytes)) return removeLuks2Key(bytes, settings, options, which);
  if (which.slot !== undefined) throw new CryptError(bytes.name, 'request', 'LUKS1 takes away the secret that is given, and not a slot by its number');
  return removeLuks1Key(bytes, settings, options.ciphers, options.keys, which.evenLast);
}

/** Another secret in place of the one that `keys` gives; the old one goes when the new one is stored. */
export async function changeKey(bytes: ContainerBytes, settings: HeaderSettings, options: Luks2KeyOptions, added: KeySource): Promise<{ readonly removed: number; readonly added: number }> {
  if (await hasLuks2(bytes)) return changeLuks2Key(bytes, settings, options, added);
  // Kept for a moment, since it is needed twice, and asked for once.
  let kept: Uint8Array | null = null;
  const keys: KeySource = {
    id: 'kept',
    async getSecret(request) {
      const secret = await options.keys.getSecret(request);
      kept?.fill(0);
      kept = secret === null ? null : Uint8Array.from(secret);
      return secret;
    },
  };
  try {
    const slot = await addLuks1Key(bytes, settings, options.ciphers, keys, forLuks1(bytes, added), luks1Iterations(bytes, options));
    const again: KeySource = { id: 'kept', getSecret: ({ attempt }) => Promise.resolve(attempt === 0 && kept !== null ? Uint8Array.from(kept) : null) };
    return { removed: await removeLuks1Key(bytes, settings, options.ciphers, again), added: slot };
  } finally {
    (kept as Uint8Array | null)?.fill(0);
  }
}

/** The header with its key slots. With a secret of that time it opens the disk, also when that was taken away later. */
export async function backupHeader(bytes: ContainerBytes, settings: HeaderSettings, detachedBytes?: number): Promise<Uint8Array> {
  if (await hasLuks2(bytes)) return backupLuks2(bytes, settings, detachedBytes);
  const all = new Uint8Array((await readLuks1Facts(bytes, settings.mostIterations)).dataAt);
  await bytes.read(0, all);
  return all;
}

/** Brings back a header of this disk. When it is interrupted it can be done again. */
export async function restoreHeader(bytes: ContainerBytes, backup: ContainerBytes, settings: HeaderSettings, options: { readonly force?: boolean; readonly detachedBytes?: number } = {}): Promise<void> {
  if (await hasLuks2(backup)) return restoreLuks2(bytes, backup, settings, options);
  const saved = await readLuks1Facts({ ...backup, bytes: bytes.bytes }, settings.mostIterations);
  const present = await readLuks1Facts(bytes, settings.mostIterations).catch(() => null);
  if (present !== null && present.uuid !== saved.uuid && options.force !== true) throw new CryptError(bytes.name, 'request', `the backup is that of ${saved.uuid}, and the disk is ${present.uuid}`);
  if (saved.dataAt > backup.bytes) throw new CryptError(bytes.name, 'request', 'the backup is cut off');
  const all = new Uint8Array(saved.dataAt);
  await backup.read(0, all);
  // What names the key slots comes last.
  await bytes.write(4096, all.subarray(4096));
  await bytes.flush();
  await bytes.write(0, all.subarray(0, 4096));
  await bytes.flush();
}

async function hasLuks2(bytes: ContainerBytes): Promise<boolean> {
  const first = new Uint8Array(Math.min(8, bytes.bytes));
  await bytes.read(0, first);
  if (isLuks2(first)) return true;
  // The first copy may be the damaged one.
  const isLuks1 = String.fromCharCode(...first.subarray(0, 4)) === 'LUKS' && first[7] === 1;
  if (isLuks1 || bytes.bytes < 0x4008) return false;
  await bytes.read(0x4000, first);
  return String.fromCharCode(...first.subarray(0, 4)) === 'SKUL' && first[7] === 2;
}

function forLuks1(bytes: ContainerBytes, added: KeySource): KeySource {
  if (added.enroll !== undefined) throw new CryptError(bytes.name, 'request', 'LUKS1 has no place for a wrapped secret; LUKS2 has');
  return added;
}

function luks1Iterations(bytes: ContainerBytes, { cost }: Luks2KeyOptions): number | undefined {
  if (cost === undefined || cost === CHEAP) return undefined;
  if (cost.kdf !== 'pbkdf2') throw new CryptError(bytes.name, 'request', 'LUKS1 derives keys with PBKDF2 only');
  return cost.iterations;
}
