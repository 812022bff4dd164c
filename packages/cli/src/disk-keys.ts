import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { addKey, backupHeader, changeKey, type ContainerBytes, containerBytes, type KeySlotFacts, type KeySource, openRaw, openVhd, readHeaderFacts, removeKey, restoreHeader } from '@vm/vhd-crypt';
import { nodeKeyMath, parentsBeside, standardCiphers } from '@vm/vhd-crypt/node';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { diskOptions, keySource, openNamedFile } from './disk-opener.ts';
import { type DiskValues, newCost, newKeys } from './disk-settings.ts';
import { UsageError } from './usage-error.ts';

const settings = { math: nodeKeyMath() };

/** The place of a disk's header, and of its data when that is somewhere else. */
interface HeaderPlace {
  readonly bytes: ContainerBytes;
  readonly detachedBytes?: number;
}

/** Works on the header wherever it is: in another file, in the disk that a VHD holds, or around the file. */
export async function withHeader<T>(descriptor: DiskDescriptor, writable: boolean, work: (place: HeaderPlace) => Promise<T>): Promise<T> {
  const { file: path, header } = descriptor;
  if (header !== undefined) {
    const [file, data] = [await openNamedFile(header, { writable }), await openNamedFile(path, {})];
    try {
      return await work({ bytes: await containerBytes(file), detachedBytes: await data.bytes() });
    } finally {
      await file.close();
      await data.close();
    }
  }
  const file = await openNamedFile(path, { writable });
  try {
    const vhd = diskOptions(descriptor).format === 'raw' ? null : await openVhd({ ...file, close: () => Promise.resolve() }, { writable, parents: parentsBeside(path) }).catch(() => null);
    // One that is no VHD by itself is encrypted whole.
    const disk = vhd ?? (await openRaw(file, writable));
    try {
      return await work({ bytes: { name: path, bytes: disk.bytes, writable, read: (at, into) => disk.read(at, into), write: (at, from) => disk.write(at, from), flush: () => disk.flush() } });
    } finally {
      await vhd?.close();
    }
  } finally {
    await file.close();
  }
}

const openingKeys = (descriptor: DiskDescriptor): KeySource => keySource(descriptor.key ?? { kind: 'prompt' });
const addedKeys = (values: DiskValues): KeySource => newKeys(values, 'new-key') ?? keySource({ kind: 'prompt' });

export type KeyAction = 'add' | 'remove' | 'change' | 'list';

/** What was done in words, and the slots that are in use then. */
export async function manageKeys(action: string, descriptor: DiskDescriptor, values: DiskValues): Promise<{ readonly done: string; readonly slots: readonly KeySlotFacts[] }> {
  const { slot, 'even-last': evenLast } = values;
  const refuse = (names: readonly (keyof DiskValues)[]): void => {
    for (const name of names) if (values[name] !== undefined) throw new UsageError(`--${name} does not go with key ${action}`);
  };
  if (action !== 'remove') refuse(['slot', 'even-last']);
  if (action === 'list' || action === 'remove') refuse(['new-key', 'new-key-file', 'new-key-fd', 'kdf', 'kdf-memory', 'iterations']);
  return withHeader(descriptor, action !== 'list', async ({ bytes, detachedBytes }) => {
    const { container } = await readHeaderFacts(bytes, settings, detachedBytes);
    const cost = newCost(values, container === 'luks1' ? '1' : '2');
    const options = { ciphers: standardCiphers(), keys: openingKeys(descriptor), ...(detachedBytes === undefined ? {} : { detachedBytes }), ...(cost === undefined ? {} : { cost }) };
    const work: Readonly<Record<KeyAction, () => Promise<string>>> = {
      add: async () => `slot ${await addKey(bytes, settings, options, addedKeys(values))} has the new secret`,
      remove: async () => `slot ${await removeKey(bytes, settings, options, { ...(slot === undefined ? {} : { slot }), ...(evenLast === undefined ? {} : { evenLast }) })} is free; who kept a copy of the header and the old secret still opens the disk, until it is encrypted anew (rekey)`,
      change: async () => {
        const { removed, added } = await changeKey(bytes, settings, options, addedKeys(values));
        return `slot ${added} has the new secret, slot ${removed} is free`;
      },
      list: () => Promise.resolve(''),
    };
    if (!Object.hasOwn(work, action)) throw new UsageError(`key ${action}: expected add, remove, change or list`);
    const done = await work[action as KeyAction]();
    return { done, slots: (await readHeaderFacts(bytes, settings, detachedBytes)).keySlots };
  });
}

export async function manageHeader(action: string, descriptor: DiskDescriptor, path: string, values: DiskValues): Promise<string> {
  if (action === 'backup') {
    if (values.force === true) throw new UsageError('--force does not go with header backup');
    if (existsSync(path)) throw new UsageError(`${path}: it is there already`);
    const all = await withHeader(descriptor, false, ({ bytes, detachedBytes }) => backupHeader(bytes, settings, detachedBytes));
    await writeFile(path, all, { flag: 'wx', mode: 0o600 });
    return `${all.length} bytes in ${path}; with a secret of today it opens the disk for ever, so keep it as well as that`;
  }
  if (action !== 'restore') throw new UsageError(`header ${action}: expected backup or restore`);
  const backup = await openNamedFile(path, {});
  try {
    await withHeader(descriptor, true, async ({ bytes, detachedBytes }) => restoreHeader(bytes, await containerBytes(backup), settings, { force: values.force === true, ...(detachedBytes === undefined ? {} : { detachedBytes }) }));
  } finally {
    await backup.close();
  }
  return `the header of ${descriptor.file} is that of ${path}`;
}
