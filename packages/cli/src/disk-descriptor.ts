import { resolve } from 'node:path';
import type { CryptMode, DiskFormat, HolePolicy } from '@vm/vhd-crypt';
import { parsePkcs11Uri } from '@vm/vhd-crypt/node';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** Where a secret comes from. */
export type KeyOrigin =
  | { readonly kind: 'prompt' }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'fd'; readonly descriptor: number }
  | { readonly kind: 'env'; readonly name: string }
  /** A key on a PKCS #11 token, as RFC 7512 names it. */
  | { readonly kind: 'pkcs11'; readonly uri: string }
  /** A key service, described in a file. */
  | { readonly kind: 'service'; readonly path: string };

/** Whether it can be asked again while a machine runs, and nobody is there. */
export function isUnattended(origin: KeyOrigin | undefined): boolean {
  return origin !== undefined && origin.kind !== 'prompt' && origin.kind !== 'fd';
}

/** A disk of a machine, as `--disk` names it: `file=x.vhd,key=file:secret.key,overlay=y.vhd,readonly`. */
export interface DiskDescriptor {
  readonly file: string;
  /** Default: vhd for names that end in .vhd, .avhd or .vpc, raw for all others. */
  readonly format?: DiskFormat;
  /** Default: the terminal is asked if the disk turns out to be encrypted. */
  readonly key?: KeyOrigin;
  /** Opens parents that have keys of their own; default: the same as for the disk. */
  readonly parentKey?: KeyOrigin;
  readonly crypt?: CryptMode;
  /** Encryption without a header: the key is the bytes of the key itself. */
  readonly cipher?: string;
  readonly holes?: HolePolicy;
  /** Of LUKS2, when its header is not in the image. */
  readonly header?: string;
  /** A file that keeps what stands for all of a disk with sealed sectors, so that an older image of it is noticed; made when there is none. */
  readonly root?: string;
  /** A differencing VHD that takes all stores; made when there is none. */
  readonly overlay?: string;
  /** Stores stay in memory and are gone at the end. */
  readonly snapshot?: true;
  readonly readonly?: true;
  /** How a machine has it; default virtio. */
  readonly bus?: 'virtio' | 'ata';
  /** Of its back end; default: disk0 and following. */
  readonly name?: string;
  /** Where a machine that was saved had it. */
  readonly slot?: number;
}

type Fields = { -readonly [Name in keyof DiskDescriptor]: DiskDescriptor[Name] };

const FLAGS = ['readonly', 'snapshot'] as const;
const VALUES: Readonly<Record<string, (fields: Fields, value: string) => void>> = {
  file: (fields, value) => void (fields.file = value),
  format: (fields, value) => void (fields.format = oneOf('format', ['raw', 'vhd'], value)),
  key: (fields, value) => void (fields.key = parseKeyOrigin(value)),
  'parent-key': (fields, value) => void (fields.parentKey = parseKeyOrigin(value)),
  crypt: (fields, value) => void (fields.crypt = oneOf('crypt', ['none', 'payload', 'file'], value)),
  cipher: (fields, value) => void (fields.cipher = value),
  holes: (fields, value) => void (fields.holes = oneOf('holes', ['zero', 'noise'], value)),
  header: (fields, value) => void (fields.header = value),
  root: (fields, value) => void (fields.root = value),
  overlay: (fields, value) => void (fields.overlay = value),
  name: (fields, value) => void (fields.name = parseDiskName(value)),
  bus: (fields, value) => void (fields.bus = oneOf('bus', ['virtio', 'ata'], value)),
};

export const DISK_SYNTAX = 'file=FILE[,format=raw|vhd][,key=KEY][,parent-key=KEY][,crypt=none|payload|file][,cipher=NAME][,holes=zero|noise][,header=FILE][,root=FILE][,overlay=FILE][,snapshot][,readonly]';

/** Fields are separated by commas; two commas are one in a name. A first field without `=` is the file. Throws RangeError. */
export function parseDiskDescriptor(text: string): DiskDescriptor {
  const fields: Partial<Fields> = {};
  const seen = new Set<string>();
  for (const [i, part] of splitFields(text).entries()) {
    const equals = part.indexOf('=');
    const name = equals < 0 ? part : part.slice(0, equals);
    const flag = FLAGS.find((one) => one === part);
    if (seen.has(name)) throw new RangeError(`${name} is given twice`);
    seen.add(name);
    if (flag !== undefined) fields[flag] = true;
    else if (equals >= 0 && Object.hasOwn(VALUES, name)) {
      if (equals === part.length - 1) throw new RangeError(`${name}= needs a value`);
      VALUES[name]!(fields as Fields, part.slice(equals + 1));
    } else if (i === 0 && equals < 0 && part !== '') fields.file = part;
    else {
      const nearest = findNearest(name, [...Object.keys(VALUES), ...FLAGS]);
      throw new RangeError(`unknown field ${JSON.stringify(part)}${nearest === null ? '' : `; did you mean ${nearest}?`}`);
    }
  }
  const { file } = fields;
  if (file === undefined) throw new RangeError('file=FILE is missing');
  if (fields.overlay !== undefined && fields.snapshot === true) throw new RangeError('overlay and snapshot exclude each other');
  if (fields.root !== undefined && (fields.overlay !== undefined || fields.header !== undefined)) throw new RangeError('root goes with neither overlay nor header');
  if (fields.readonly === true && (fields.overlay !== undefined || fields.snapshot === true)) throw new RangeError('readonly goes with neither overlay nor snapshot');
  if (fields.cipher !== undefined && fields.key !== undefined && fields.key.kind !== 'file' && fields.key.kind !== 'fd') throw new RangeError('cipher= takes a key of exact length, so it needs key=file:FILE or key=fd:N');
  return { ...fields, file };
}

/** With all its files where they are seen from a folder. */
export function resolveDisk({ file, overlay, header, root, key, parentKey, ...rest }: DiskDescriptor, folder: string): DiskDescriptor {
  return {
    ...rest,
    file: resolve(folder, file),
    ...(overlay === undefined ? {} : { overlay: resolve(folder, overlay) }),
    ...(header === undefined ? {} : { header: resolve(folder, header) }),
    ...(root === undefined ? {} : { root: resolve(folder, root) }),
    ...(key === undefined ? {} : { key: resolveKey(key, folder) }),
    ...(parentKey === undefined ? {} : { parentKey: resolveKey(parentKey, folder) }),
  };
}

function resolveKey(key: KeyOrigin, folder: string): KeyOrigin {
  return key.kind === 'file' || key.kind === 'service' ? { ...key, path: resolve(folder, key.path) } : key;
}

function parseDiskName(text: string): string {
  if (!/^[a-z][a-z0-9-]{0,23}$/.test(text)) throw new RangeError(`name: expected lower-case letters, digits and dashes, got ${JSON.stringify(text)}`);
  return text;
}

export const KEY_SYNTAX = 'prompt, file:FILE, fd:N, env:NAME, service:FILE or pkcs11:token=NAME;object=NAME?module-path=FILE&pin-source=FILE';

/** As `KEY_SYNTAX` says. Throws RangeError. */
export function parseKeyOrigin(text: string): KeyOrigin {
  if (text === 'prompt') return { kind: 'prompt' };
  if (text.startsWith('file:') && text.length > 5) return { kind: 'file', path: text.slice(5) };
  if (text.startsWith('service:') && text.length > 8) return { kind: 'service', path: text.slice(8) };
  if (/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(text)) return { kind: 'env', name: text.slice(4) };
  if (text.startsWith('pkcs11:')) {
    parsePkcs11Uri(text);
    return { kind: 'pkcs11', uri: text };
  }
  // The secret itself would be in the list of processes, and in the shell's history.
  if (!/^fd:\d{1,6}$/.test(text)) throw new RangeError(`key: expected ${KEY_SYNTAX}; secrets themselves do not belong on a command line`);
  return { kind: 'fd', descriptor: Number(text.slice(3)) };
}

/** The text that `parseKeyOrigin` reads, with files where they are seen from here. */
export function formatKeyOrigin(origin: KeyOrigin): string {
  switch (origin.kind) {
    case 'prompt': return 'prompt';
    case 'fd': return `fd:${origin.descriptor}`;
    case 'env': return `env:${origin.name}`;
    case 'pkcs11': return origin.uri;
    default: return `${origin.kind}:${resolve(origin.path)}`;
  }
}

function splitFields(text: string): string[] {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') parts[parts.length - 1] += text[i]!;
    else if (text[i + 1] === ',') {
      parts[parts.length - 1] += ',';
      i++;
    } else parts.push('');
  }
  return parts;
}

function oneOf<const Word extends string>(name: string, words: readonly Word[], given: string): Word {
  const word = words.find((one) => one === given);
  if (word === undefined) throw new RangeError(`${name}: expected ${words.join(' or ')}, got ${JSON.stringify(given)}`);
  return word;
}

/** The same for a text that the user gave outside of an option. */
export function describeDisk(text: string): DiskDescriptor {
  try {
    return parseDiskDescriptor(text);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`${text}: ${error.message}`, { cause: error });
    throw error;
  }
}
