import type { Luks1Format, Luks1Settings } from '@vm/vhd-crypt';
import { nodeKeyMath, standardCiphers } from '@vm/vhd-crypt/node';
import { parseByteSize } from './byte-size.ts';
import { describeDisk, type DiskDescriptor, type KeyOrigin } from './disk-descriptor.ts';
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
  readonly 'key-bits': Option<'256' | '512'>;
  readonly iterations: Option<number>;
  readonly parent: Option<string>;
  readonly compatibility: Option<'exact' | 'virtualpc'>;
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
  encrypt: choice(['payload', 'file'], 'create, convert: LUKS1 in the disk, which QEMU opens too, or around the whole file'),
  'key-bits': choice(['256', '512'], 'with --encrypt: AES-128 or AES-256 in XTS mode; default: 512'),
  iterations: value('N', 'with --encrypt: rounds that make guessing slow; default: as many as take a second here', count(1000, 20_000_000)),
  parent: text('FILE', 'create: a differencing disk over this VHD, which nobody may write to from then on'),
  compatibility: choice(['exact', 'virtualpc'], 'create, convert: virtualpc rounds the size up, so that old readers see the same one'),
  'key-file': text('FILE', 'the secret: all bytes of a file'),
  'key-fd': value('N', 'the secret: what an open file descriptor gives', count(0, 65535)),
  'new-key-file': text('FILE', 'convert: the secret of the new disk'),
  'new-key-fd': value('N', 'convert: the secret of the new disk, from an open file descriptor', count(0, 65535)),
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
  const origin = originOf(values['key-file'], values['key-fd'], '--key-file', '--key-fd');
  if (origin === null) return described;
  if (described.key !== undefined) throw new UsageError(`${operand}: the key is given twice`);
  return { ...described, key: origin };
}

/** How a new disk is encrypted; undefined: not at all. */
export function newLuks(values: DiskValues, forNew: 'key' | 'new-key'): (Luks1Settings & Luks1Format) | undefined {
  const { encrypt, 'key-bits': keyBits, iterations } = values;
  const origin = forNew === 'key' ? originOf(values['key-file'], values['key-fd'], '--key-file', '--key-fd') : originOf(values['new-key-file'], values['new-key-fd'], '--new-key-file', '--new-key-fd');
  if (encrypt === undefined) {
    if (keyBits !== undefined || iterations !== undefined || origin !== null) throw new UsageError(`${keyBits !== undefined ? '--key-bits' : iterations !== undefined ? '--iterations' : `--${forNew}-...`} goes with --encrypt`);
    return undefined;
  }
  return {
    math: nodeKeyMath(),
    ciphers: standardCiphers(),
    keys: keySource(origin ?? { kind: 'prompt' }),
    ...(keyBits === undefined ? {} : { keyBits: keyBits === '256' ? 256 : 512 }),
    ...(iterations === undefined ? {} : { iterations }),
  };
}

function originOf(file: string | undefined, descriptor: number | undefined, fileOption: string, descriptorOption: string): KeyOrigin | null {
  if (file !== undefined && descriptor !== undefined) throw new UsageError(`${fileOption} and ${descriptorOption} exclude each other`);
  if (file !== undefined) return { kind: 'file', path: file };
  return descriptor === undefined ? null : { kind: 'fd', descriptor };
}
