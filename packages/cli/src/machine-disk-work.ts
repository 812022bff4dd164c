import type { Luks2Cost } from '@vm/vhd-crypt';
import type { ControlRequest } from './control-socket.ts';
import { isUnattended, type KeyOrigin, parseKeyOrigin } from './disk-descriptor.ts';
import type { LiveDisk, LiveDiskState } from './live-disk.ts';
import { UsageError } from './usage-error.ts';

export const DISK_WORK = ['list', 'encrypt', 'decrypt', 'rekey', 'go', 'stop'] as const;
export type DiskWork = (typeof DISK_WORK)[number];

/** What a control socket can have done to the images of a machine's disks. Throws UsageError, and CryptError for what cannot be. */
export async function workOnDisks(disks: ReadonlyMap<string, LiveDisk>, { work = 'list', disk: name, key, newKey, iterations }: ControlRequest): Promise<readonly LiveDiskState[]> {
  const all = (): readonly LiveDiskState[] => [...disks].map(([one, disk]) => disk.state(one));
  if (work === 'list') return all();
  const disk = typeof name === 'string' ? disks.get(name) : undefined;
  if (disk === undefined) throw new UsageError(`disk: there is ${[...disks.keys()].join(', ') || 'none'}, got ${JSON.stringify(name ?? null)}`);
  switch (work as DiskWork) {
    case 'encrypt':
    case 'decrypt':
    case 'rekey':
      await disk.begin(work as 'encrypt', { key: unattendedKey(key), newKey: unattendedKey(newKey), cost: costOf(iterations) });
      break;
    case 'go':
      disk.go();
      break;
    case 'stop':
      await disk.stop();
      break;
    default: throw new UsageError(`disk: expected ${DISK_WORK.join(', ')}, got ${JSON.stringify(work)}`);
  }
  return [disk.state(name as string)];
}

function costOf(iterations: unknown): Luks2Cost | undefined {
  if (iterations === undefined) return undefined;
  if (typeof iterations !== 'number' || !Number.isInteger(iterations) || iterations < 1000) throw new UsageError('disk: iterations expected 1000 and more');
  return { kdf: 'pbkdf2', iterations };
}

/** Secrets do not go over the socket, only where they are: `file:PATH`, and what else can be asked when nobody is there. */
export function unattendedKey(given: unknown): KeyOrigin | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'string') throw new UsageError('a key expected a text');
  let origin: KeyOrigin;
  try {
    origin = parseKeyOrigin(given);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
  if (!isUnattended(origin)) throw new UsageError('the terminal and the descriptors are those of the machine: a key in a file, the environment, a service or a token');
  return origin;
}
