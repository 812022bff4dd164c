import type { KeySource, Luks2Cost, NewContainer } from '@vm/vhd-crypt';
import { nodeKeyMath, standardCiphers } from '@vm/vhd-crypt/node';
import { parseByteSize } from './byte-size.ts';
import { describeDisk, type DiskDescriptor, type KeyOrigin, parseKeyOrigin } from './disk-descriptor.ts';
import { keySource } from './disk-opener.ts';
import { choice, flag, type Option, type OptionValues, text, value } from './option-parser.ts';
import { UsageError } from './usage-error.ts';

const count = (least: number, most: number) => (given: string): number => {
  const number = /^\d{1,9}$/.test(given) ? Number(given) : NaN;
  if (!(number >= least && number <= most)) throw new RangeError(`expected a number from ${least} to ${most}, got ${JSON.stringify(given)}`);
  return number;
};

type DiskOptionTable = {
  readonly size: Option<number>;
  readonly type: Option<'dynamic' | 'fixed' | 'raw'>;
  readonly encrypt: Option<'payload' | 'file'>;
  readonly luks: Option<'1' | '2'>;
  readonly cipher: Option<string>;
  readonly 'sector-bytes': Option<'512' | '1024' | '2048' | '4096'>;
  readonly 'key-bits': Option<'256' | '512'>;
  readonly integrity: Option<'hmac-sha256' | 'aead'>;
  readonly kdf: Option<'pbkdf2' | 'argon2id'>;
  readonly 'kdf-memory': Option<number>;
  readonly iterations: Option<number>;
  readonly slot: Option<number>;
  readonly 'even-last': Option<true>;
  readonly force: Option<true>;
  readonly parent: Option<string>;
  readonly compatibility: Option<'exact' | 'virtualpc'>;
  readonly key: Option<KeyOrigin>;
  readonly 'new-key': Option<KeyOrigin>;
  readonly 'key-file': Option<string>;
  readonly 'key-fd': Option<number>;
  readonly 'new-key-file': Option<string>;
  readonly 'new-key-fd': Option<number>;
  readonly 'drop-blocks': Option<true>;
  readonly shrink: Option<true>;
  readonly delete: Option<true>;
  readonly socket: Option<string>;
  readonly port: Option<number>;
  readonly json: Option<true>;
};

export const DISK_OPTIONS: DiskOptionTable = {
  size: value('SIZE', 'create, convert: of the disk that the guest sees, for example 8G', parseByteSize),
  type: choice(['dynamic', 'fixed', 'raw'], 'create, convert: a VHD that grows (default), one of full size, or no VHD'),
  encrypt: choice(['payload', 'file'], 'create, convert: a container in the disk, which others open too, or around the whole file'),
  luks: choice(['1', '2'], 'with --encrypt: the version of LUKS; QEMU opens 1 (default), cryptsetup both'),
  cipher: text('NAME', 'with --luks 2, encrypt, rekey: as dm-crypt names it: aes-xts-plain64 (default), xchacha12,aes-adiantum-plain64 for hosts without AES; create, convert: aes-ocb-random, which notices changes'),
  'sector-bytes': choice(['512', '1024', '2048', '4096'], 'with --luks 2, encrypt, rekey: what is encrypted at once; default: 4096'),
  'key-bits': choice(['256', '512'], 'with --encrypt, encrypt, rekey: AES-128 or AES-256 in XTS mode; default: the longest of the cipher'),
  integrity: choice(['hmac-sha256', 'aead'], 'with --luks 2: tags that prove the sectors, for dm-integrity; aead encrypts with aes-gcm-random, and both store the whole disk at once'),
  kdf: choice(['pbkdf2', 'argon2id'], 'with --luks 2, key add and change, encrypt, rekey: what makes guessing dear; default: argon2id'),
  'kdf-memory': value('SIZE', 'with argon2id: memory for each guess; default: 128M', parseByteSize),
  iterations: value('N', 'with --encrypt, key add and change, encrypt, rekey: rounds, or passes of argon2id; default: as many as take a second here', count(1, 20_000_000)),
  slot: value('N', 'key remove: this slot, when another one opens with the key', count(0, 31)),
  'even-last': flag('key remove: the last one too, after which nobody can ever read the disk'),
  force: flag('header restore: also over the header of another disk'),
  parent: text('FILE', 'create: a differencing disk over this VHD, which nobody may write to from then on'),
  compatibility: choice(['exact', 'virtualpc'], 'create, convert: virtualpc rounds the size up, so that old readers see the same one'),
  key: value('KEY', 'where the secret comes from; see below', parseKeyOrigin),
  'new-key': value('KEY', 'convert, key, rekey: where the new secret comes from', parseKeyOrigin),
  'key-file': text('FILE', 'the secret: all bytes of a file'),
  'key-fd': value('N', 'the secret: what an open file descriptor gives', count(0, 65535)),
  'new-key-file': text('FILE', 'convert, key, rekey: the new secret'),
  'new-key-fd': value('N', 'convert, key, rekey: the new secret, from an open file descriptor', count(0, 65535)),
  'drop-blocks': flag('repair: give up blocks that point nowhere'),
  shrink: flag('resize: to a smaller size, and lose what is past it'),
  delete: flag('merge: remove the child afterwards'),
  socket: text('PATH', 'export: a socket in the file system, for this user only'),
  port: value('N', 'export: a TCP port of this host, open to all its users; 0 takes a free one', count(0, 65535)),
  json: flag('print one JSON document, for programs'),
};
export type DiskValues = OptionValues<DiskOptionTable>;

/** The disk that an operand names, with the key that options name. */
export function describedOperand(operand: string, values: DiskValues): DiskDescriptor {
  const described = describeDisk(operand);
  const origin = originOf(values, 'key');
  if (origin === null) return described;
  if (described.key !== undefined) throw new UsageError(`${operand}: the key is given twice`);
  return { ...described, key: origin };
}

/** The source of a secret that options name; null: none was named. */
export function newKeys(values: DiskValues, which: 'key' | 'new-key'): KeySource | null {
  const origin = originOf(values, which);
  return origin === null ? null : keySource(origin);
}

/** How dear guessing is made; undefined: as the container has it by itself. */
export function newCost({ kdf, 'kdf-memory': memory, iterations }: DiskValues, luks: '1' | '2'): Luks2Cost | undefined {
  const chosen = kdf ?? (luks === '1' || (iterations ?? 0) >= 1000 ? 'pbkdf2' : 'argon2id');
  if (chosen === 'argon2id') {
    if (luks === '1') throw new UsageError('--kdf argon2id goes with --luks 2');
    if (iterations === undefined && memory === undefined) return undefined;
    return { kdf: 'argon2id', passes: iterations ?? 4, memoryKib: Math.max(8, Math.round((memory ?? 128 << 20) / 1024)), lanes: 1 };
  }
  if (memory !== undefined) throw new UsageError('--kdf-memory goes with --kdf argon2id');
  if (iterations !== undefined && iterations < 1000) throw new UsageError(`--iterations ${iterations}: pbkdf2 takes 1000 and more`);
  return iterations === undefined ? (kdf === undefined ? undefined : { kdf: 'pbkdf2', iterations: 1_000_000 }) : { kdf: 'pbkdf2', iterations };
}

/** How a new disk is encrypted; undefined: not at all. */
export function newLuks(values: DiskValues, forNew: 'key' | 'new-key'): NewContainer | undefined {
  const { encrypt, luks = '1', cipher, 'sector-bytes': sectorBytes, 'key-bits': keyBits, integrity } = values;
  const keys = newKeys(values, forNew);
  if (encrypt === undefined) {
    const given = (['luks', 'cipher', 'sector-bytes', 'key-bits', 'integrity', 'kdf', 'kdf-memory', 'iterations'] as const).find((name) => values[name] !== undefined);
    if (given !== undefined || keys !== null) throw new UsageError(`${given === undefined ? `--${forNew}-...` : `--${given}`} goes with --encrypt`);
    return undefined;
  }
  const cost = newCost(values, luks);
  const base = { math: nodeKeyMath(), ciphers: standardCiphers(), keys: keys ?? keySource({ kind: 'prompt' }) };
  if (luks === '2') return { ...base, version: 2, ...(keyBits === undefined ? {} : { keyBits: Number(keyBits) }), ...(cipher === undefined ? {} : { cipher }), ...(sectorBytes === undefined ? {} : { sectorBytes: Number(sectorBytes) as 512 }), ...(integrity === undefined ? {} : { integrity: integrity === 'aead' ? 'aead' : 'hmac(sha256)' }), ...(cost === undefined ? {} : { cost }) };
  const second = (['cipher', 'sector-bytes', 'integrity'] as const).find((name) => values[name] !== undefined);
  if (second !== undefined) throw new UsageError(`--${second} goes with --luks 2`);
  return { ...base, ...(keyBits === undefined ? {} : { keyBits: keyBits === '256' ? 256 : 512 }), ...(cost?.kdf === 'pbkdf2' ? { iterations: cost.iterations } : {}) };
}

function originOf(values: DiskValues, which: 'key' | 'new-key'): KeyOrigin | null {
  const [file, descriptor, origin] = [values[`${which}-file`], values[`${which}-fd`], values[which]];
  if ([file, descriptor, origin].filter((one) => one !== undefined).length > 1) throw new UsageError(`--${which}, --${which}-file and --${which}-fd exclude each other`);
  if (origin !== undefined) return origin;
  if (file !== undefined) return { kind: 'file', path: file };
  return descriptor === undefined ? null : { kind: 'fd', descriptor };
}
