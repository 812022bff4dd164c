import type { ContainerBytes, ContainerOptions } from './container.ts';
import { CryptError } from './crypt-error.ts';
import { randomBytes } from './key-math.ts';
import { SEALED } from './luks2-sealed.ts';
import { refuseRequirements, segmentDigests, unlockLuks2 } from './luks2.ts';
import { freeArea } from './luks2-area.ts';
import { costOfASecond } from './luks2-format.ts';
import { type Luks2Digest, type Luks2Metadata, MOST_SLOTS } from './luks2-metadata.ts';
import { areaBytes, CHEAP, type Luks2Cost, newSecret, sealSlot, wipe } from './luks2-slot.ts';
import { type Luks2Header, type Luks2Settings, readLuks2, writeLuks2 } from './luks2-store.ts';
import type { KeySource } from './sector-cipher.ts';

export interface Luks2KeyOptions extends ContainerOptions {
  /** Of the data, when the header is somewhere else. */
  readonly detachedBytes?: number;
  /** Of a new slot. Default: argon2id, about a second here. */
  readonly cost?: Luks2Cost;
}

/** A second secret for the same key; returns its slot. `keys` opens the container, and `added` gives the new one. */
export async function addLuks2Key(bytes: ContainerBytes, settings: Luks2Settings, options: Luks2KeyOptions, added: KeySource): Promise<number> {
  const header = await readForChange(bytes, settings, options);
  return (await add(bytes, header, settings, options, added)).slot;
}

/** Takes the secret away that `keys` gives, or that of a slot; the last one only with `evenLast`, after which nobody can ever read the disk. */
export async function removeLuks2Key(bytes: ContainerBytes, settings: Luks2Settings, options: Luks2KeyOptions, which: { readonly slot?: number; readonly evenLast?: boolean } = {}): Promise<number> {
  const header = await readForChange(bytes, settings, options);
  // Whoever removes a slot proves that another one can be opened, so that a wrong number does not lock anybody out.
  const opening = which.slot === undefined ? undefined : Object.keys(header.metadata.keyslots).filter((id) => id !== String(which.slot));
  if (which.slot !== undefined && header.metadata.keyslots[which.slot]?.type !== 'luks2') throw new CryptError(bytes.name, 'request', `key slot ${which.slot} is not in use`);
  let slot = String(which.slot);
  if (opening === undefined || !(which.evenLast === true && opening.length === 0)) {
    const unlocked = await unlockLuks2(bytes, opening === undefined ? header : withSlots(header, opening), settings, options);
    wipe(unlocked);
    if (opening === undefined) slot = [...unlocked.values()][0]!.slot;
  }
  if (which.evenLast !== true && usable(header.metadata).length === 1) throw new CryptError(bytes.name, 'request', 'it is the last secret, and without it the disk is lost');
  await drop(bytes, header, settings, slot);
  return Number(slot);
}

/** Another secret in place of the one that `keys` gives: the old one goes when the new one is stored. */
export async function changeLuks2Key(bytes: ContainerBytes, settings: Luks2Settings, options: Luks2KeyOptions, added: KeySource): Promise<{ readonly removed: number; readonly added: number }> {
  const { header, slot, opened } = await add(bytes, await readForChange(bytes, settings, options), settings, options, added);
  await drop(bytes, header, settings, opened);
  return { removed: Number(opened), added: slot };
}

async function readForChange(bytes: ContainerBytes, settings: Luks2Settings, { detachedBytes }: Luks2KeyOptions): Promise<Luks2Header> {
  const header = await readLuks2(bytes, settings, detachedBytes);
  refuseRequirements(bytes.name, header.metadata, [SEALED]);
  return header;
}

const usable = ({ keyslots }: Luks2Metadata): readonly string[] => Object.keys(keyslots).filter((id) => keyslots[id]!.type === 'luks2');

/** As if there were no other slots. */
function withSlots(header: Luks2Header, ids: readonly string[]): Luks2Header {
  const { metadata } = header;
  const digests = Object.fromEntries(Object.entries(metadata.digests).map(([id, digest]): [string, Luks2Digest] => [id, { ...digest, keyslots: digest.keyslots.filter((one) => ids.includes(one)) }]));
  return { ...header, metadata: { ...metadata, digests } };
}

/** Material first, then the header that names it. */
async function add(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, options: Luks2KeyOptions, added: KeySource): Promise<{ readonly header: Luks2Header; readonly slot: number; readonly opened: string }> {
  const { metadata, copy } = header;
  const slot = Array.from({ length: MOST_SLOTS }, (_, i) => i).find((id) => metadata.keyslots[id] === undefined);
  const unlocked = await unlockLuks2(bytes, header, settings, options);
  try {
    const [[digestId, { key, slot: opened }] = [] as never] = [...unlocked];
    if (unlocked.size !== 1) throw new CryptError(bytes.name, 'request', 'it has more than one key');
    const offset = freeArea(header, areaBytes(key.length));
    if (slot === undefined || offset === null) throw new CryptError(bytes.name, 'request', 'all key slots are in use');
    const { secret, token } = await newSecret(added, { purpose: 'add', disk: bytes.name, uuid: copy.uuid, attempt: 0 });
    try {
      const cost = token === null ? (options.cost ?? (await costOfASecond(settings.math))) : CHEAP;
      const keyslot = await sealSlot(bytes, settings, options.ciphers, key, secret, offset, cost);
      const digest = metadata.digests[digestId]!;
      const after: Luks2Metadata = {
        ...metadata,
        keyslots: { ...metadata.keyslots, [slot]: keyslot },
        digests: { ...metadata.digests, [digestId]: { ...digest, keyslots: [...digest.keyslots, String(slot)] } },
        ...(token === null ? {} : { tokens: { ...metadata.tokens, [freeId(metadata.tokens)]: { ...token, keyslots: [String(slot)] } } }),
      };
      return { header: await writeLuks2(bytes, header, after, settings), slot, opened };
    } finally {
      secret.fill(0);
    }
  } finally {
    wipe(unlocked);
  }
}

/** The material goes first: a header that says no more where it was would not make it go away. */
async function drop(bytes: ContainerBytes, header: Luks2Header, settings: Luks2Settings, slot: string): Promise<void> {
  const { [slot]: gone, ...keyslots } = header.metadata.keyslots;
  if (gone === undefined) throw new CryptError(bytes.name, 'request', `key slot ${slot} is not in use`);
  await bytes.write(Number(gone.area.offset), randomBytes(Number(gone.area.size)));
  await bytes.flush();
  const without = <T extends { readonly keyslots: readonly string[] }>(all: Readonly<Record<string, T>>): Record<string, T> => Object.fromEntries(Object.entries(all).map(([id, one]) => [id, { ...one, keyslots: one.keyslots.filter((name) => name !== slot) }]));
  const tokens = Object.fromEntries(Object.entries(header.metadata.tokens).filter(([, one]) => !(one.keyslots.length === 1 && one.keyslots[0] === slot)));
  await writeLuks2(bytes, header, { ...header.metadata, keyslots, digests: without(header.metadata.digests), tokens: without(tokens) }, settings);
}

function freeId(of: object): number {
  let id = 0;
  while (Object.hasOwn(of, id)) id++;
  return id;
}

/** All of a header, to be kept somewhere else: with a secret of that time it opens the disk, so it is to be kept as secret as that. */
export async function backupLuks2(bytes: ContainerBytes, settings: Luks2Settings, detachedBytes?: number): Promise<Uint8Array> {
  const { copy, metadata } = await readLuks2(bytes, settings, detachedBytes);
  const all = new Uint8Array(2 * copy.bytes + Number(metadata.config.keyslots_size));
  await bytes.read(0, all);
  return all;
}

/** Brings a header back. It has to be that of this disk, unless the disk has none that can be read, or `force` is given. */
export async function restoreLuks2(bytes: ContainerBytes, backup: ContainerBytes, settings: Luks2Settings, { force = false, detachedBytes }: { readonly force?: boolean; readonly detachedBytes?: number } = {}): Promise<void> {
  // A backup ends where the data would begin.
  const saved = await readLuks2(backup, settings, bytes.bytes);
  const present = await readLuks2(bytes, settings, detachedBytes).catch(() => null);
  if (present !== null && present.copy.uuid !== saved.copy.uuid && !force) throw new CryptError(bytes.name, 'request', `the backup is that of ${saved.copy.uuid}, and the disk is ${present.copy.uuid}`);
  if (present !== null && !force && JSON.stringify(present.metadata.segments) !== JSON.stringify(saved.metadata.segments)) throw new CryptError(bytes.name, 'request', 'the disk was encrypted anew after the backup, whose keys are of no use for it');
  const end = 2 * saved.copy.bytes + Number(saved.metadata.config.keyslots_size);
  const dataAt = detachedBytes === undefined ? Math.min(...[...segmentDigests(backup.name, saved.metadata).keys()].map((id) => Number(saved.metadata.segments[id]!.offset))) : end;
  if (end > dataAt || end > bytes.bytes || end > backup.bytes) throw new CryptError(bytes.name, 'request', 'the backup does not fit before the data');
  const piece = new Uint8Array(1 << 20);
  for (let at = 2 * saved.copy.bytes; at < end; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, end - at));
    await backup.read(at, part);
    await bytes.write(at, part);
  }
  await bytes.flush();
  const sequence = Math.max(saved.copy.sequence, present?.copy.sequence ?? 0);
  await writeLuks2(bytes, { ...saved, copy: { ...saved.copy, sequence } }, saved.metadata, settings);
}
