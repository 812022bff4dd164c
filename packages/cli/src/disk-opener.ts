import { existsSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { overlay } from '@vm/block';
import { readJsonText } from '@vm/core/directory';
import { containerBytes, type ContainerModule, copySecret, createChild, type DiskOptions, formatOfName, type ImageFile, type KeyRequest, type KeySource, luks1, luks2, openDisk, type OpenedDisk, openVhd, type ParentSource, plainContainer } from '@vm/vhd-crypt';
import { askingKeys, keyDescriptor, keyEnvironment, keyFile, keyService, nodeKeyMath, openImageFile, parentsBeside, parsePkcs11Uri, pkcs11Keys, standardCiphers } from '@vm/vhd-crypt/node';
import type { DiskDescriptor, KeyOrigin } from './disk-descriptor.ts';
import { keepRoot, readRoot } from './disk-root.ts';
import { explainFileError, readNamedFile } from './host-file.ts';
import { askPassphrase } from './passphrase-prompt.ts';
import { UsageError } from './usage-error.ts';

export interface DiskOpenOptions {
  /** Default: the terminal. */
  readonly ask?: Parameters<typeof askingKeys>[0];
  /** Default: for stores, unless the descriptor says readonly. */
  readonly writable?: boolean;
}

/** Opens the disk that a descriptor names, as a machine gets it. Whoever opens it closes it. */
export async function openDescribedDisk(descriptor: DiskDescriptor, options: DiskOpenOptions = {}): Promise<OpenedDisk> {
  if (descriptor.header !== undefined) return withHeaderFile(descriptor, descriptor.header, options);
  const { file, overlay: overlayPath, snapshot } = descriptor;
  const writable = options.writable ?? descriptor.readonly !== true;
  if (overlayPath !== undefined) {
    if (!existsSync(overlayPath)) await makeOverlay(descriptor, overlayPath);
    return openDisk(await openNamedFile(overlayPath, { writable }), { ...diskOptions(descriptor, options), format: 'vhd', writable, parents: parentsOf(descriptor, overlayPath) });
  }
  const rootPath = descriptor.root;
  const root = rootPath === undefined ? null : readRoot(rootPath);
  const opened = await openDisk(await openNamedFile(file, { writable: writable && snapshot !== true }), { ...diskOptions(descriptor, options), ...(root === null ? {} : { root }) });
  const disk = rootPath === undefined ? opened : await rooted(opened, rootPath);
  if (snapshot !== true) return disk;
  const { read, write, flush, discard, writeZeroes, writable: stores } = overlay(disk);
  return { ...disk, read, write, flush, discard, writeZeroes, writable: stores, allocationBytes: null, close: () => disk.close() };
}

async function rooted(opened: OpenedDisk, path: string): Promise<OpenedDisk> {
  try {
    return keepRoot(opened, path);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The header is read before the disk is there, and stays open no longer than that. */
async function withHeaderFile(descriptor: DiskDescriptor, path: string, options: DiskOpenOptions): Promise<OpenedDisk> {
  const { overlay: _, snapshot: __, ...rest } = descriptor;
  if (descriptor.overlay !== undefined || descriptor.snapshot === true) throw new UsageError(`${descriptor.file}: header= goes with neither overlay nor snapshot`);
  const header = await openNamedFile(path, {});
  try {
    const base = diskOptions({ ...rest, crypt: 'payload' }, options);
    const containers = [luks2({ math: nodeKeyMath(), header: await containerBytes(header) })];
    return await openDisk(await openNamedFile(descriptor.file, { writable: options.writable ?? descriptor.readonly !== true }), { ...base, containers });
  } finally {
    await header.close();
  }
}

/** What a descriptor says about opening. */
export function diskOptions(descriptor: DiskDescriptor, options: DiskOpenOptions = {}): DiskOptions {
  const { file, format, cipher, crypt, holes, key, parentKey } = descriptor;
  const containers: ContainerModule[] = cipher === undefined ? [luks1({ math: nodeKeyMath() }), luks2({ math: nodeKeyMath() })] : [plainContainer({ cipher })];
  const mode = crypt ?? (cipher === undefined ? undefined : 'payload');
  return {
    format: format ?? formatOfName(file),
    parents: parentsBeside(file),
    containers,
    ciphers: standardCiphers(),
    ...(mode === undefined ? {} : { crypt: mode }),
    ...(holes === undefined ? {} : { holes }),
    ...(parentKey === undefined ? {} : { parentKeys: keySource(parentKey, options) }),
    // Asked for when the disk turns out to be encrypted. One that was named must be of use.
    ...(key === undefined ? { fallbackKeys: keySource({ kind: 'prompt' }, options) } : { keys: keySource(key, options) }),
  };
}

export function keySource(origin: KeyOrigin, { ask = askPassphrase }: DiskOpenOptions = {}): KeySource {
  if (origin.kind === 'prompt') return askingKeys(ask);
  switch (origin.kind) {
    case 'fd': return explained(`key fd:${origin.descriptor}`, keyDescriptor(origin.descriptor));
    case 'file': return explained(`key file:${origin.path}`, keyFile(origin.path));
    case 'env': return keyEnvironment(origin.name);
    case 'service': return keyServiceOf(origin.path);
    case 'pkcs11': {
      const place = parsePkcs11Uri(origin.uri);
      const pin = explained(`PIN of ${place.token}`, keyFile(place.pinSource));
      return pkcs11Keys({ ...place, pin: async () => withoutLineEnd((await pin.getSecret({ purpose: 'open', disk: place.token, uuid: null, attempt: 0 }))!) });
    }
  }
}

/** `{ "url": "https://...", "key": "name", "tokenFile": "file" }` */
function keyServiceOf(path: string): KeySource {
  const { value, problem } = readJsonText(readNamedFile('key service', path));
  if (problem !== null) throw new UsageError(`${path}: ${problem.text} (rule ${problem.rule})`);
  const { url, key, tokenFile, timeoutMs, ...rest } = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  if (typeof url !== 'string' || typeof key !== 'string' || typeof tokenFile !== 'string' || (timeoutMs !== undefined && typeof timeoutMs !== 'number') || Object.keys(rest).length > 0) throw new UsageError(`${path}: expected { "url": "https://...", "key": "name", "tokenFile": "file" } and perhaps "timeoutMs"`);
  try {
    return keyService({ url, key, bearer: async () => new TextDecoder().decode(readNamedFile('token of the key service', resolve(dirname(path), tokenFile))).trim(), ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  } catch (error) {
    throw new UsageError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

function withoutLineEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.findLastIndex((byte) => byte !== 10 && byte !== 13) + 1;
  const kept = bytes.slice(0, end);
  bytes.fill(0);
  return kept;
}

/** A file of the host, with reasons in words. */
export async function openNamedFile(path: string, options: Parameters<typeof openImageFile>[1]): Promise<ImageFile> {
  try {
    return await openImageFile(path, options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new UsageError(`${path}: it is there already`, { cause: error });
    if ((error as NodeJS.ErrnoException).syscall !== undefined) throw new UsageError(`${path}: ${explainFileError(error)}`, { cause: error });
    throw error;
  }
}

/** The answer that opened a first disk serves for a second one with the same key. */
export function askedOnce(source: KeySource | undefined): KeySource & { close(): void } {
  let kept: Uint8Array | null = null;
  return {
    id: 'asked once',
    async getSecret(request) {
      if (request.attempt === 0 && kept !== null) return copySecret(kept);
      const secret = (await source?.getSecret(request)) ?? null;
      kept?.fill(0);
      kept = secret === null ? null : copySecret(secret);
      return secret;
    },
    // What it made is what opens the disk that was made with it.
    ...(source?.enroll === undefined ? {} : {
      async enroll(request: KeyRequest) {
        const made = await source.enroll!(request);
        kept?.fill(0);
        kept = copySecret(made.secret);
        return made;
      },
    }),
    close: () => void kept?.fill(0),
  };
}

function explained(what: string, source: KeySource): KeySource {
  return {
    id: source.id,
    async getSecret(request) {
      try {
        return await source.getSecret(request);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall !== undefined) throw new UsageError(`${what}: ${explainFileError(error)}`, { cause: error });
        throw error;
      }
    },
  };
}

/** The parent of an overlay is the file that was named, wherever the overlay says it was; its own parents lie beside it. */
function parentsOf({ file }: DiskDescriptor, overlayPath: string): ParentSource {
  const beside = parentsBeside(overlayPath);
  let asked = false;
  return async (path) => {
    if (asked) return beside(path);
    asked = true;
    return { file: await openNamedFile(file, {}), parents: parentsBeside(file) };
  };
}

async function makeOverlay(descriptor: DiskDescriptor, path: string): Promise<void> {
  const { file } = descriptor;
  if ((descriptor.format ?? formatOfName(file)) !== 'vhd') throw new UsageError(`${file}: an overlay file needs a VHD below it; snapshot keeps stores in memory`);
  if (descriptor.crypt === 'file') throw new UsageError(`${file}: a file that is encrypted whole can have no overlay file, which would not be encrypted`);
  const base = await openNamedFile(file, {});
  try {
    const parent = await openVhd(base, { parents: parentsBeside(file) });
    const child = await openNamedFile(path, { create: true });
    try {
      await createChild(child, { parent, path: relative(dirname(resolve(path)), resolve(file)), absolutePath: resolve(file) });
    } finally {
      await child.close();
    }
    await parent.close();
  } finally {
    await base.close();
  }
}
