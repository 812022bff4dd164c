import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DevicePlugin, nameOf, readJsonText } from '@vm/core/directory';
import { explainFileError, writeWhole } from './host-file.ts';
import type { ManifestFile } from './machine-manifest.ts';
import { UsageError } from './usage-error.ts';

/** What somebody agreed to: which bytes a plug-in is made of, and what it may have. */
export interface LockedPlugin {
  readonly digest: string; // of its device.json, which holds those of its files
  readonly needs: readonly string[];
}
/** The plug-ins that a vm.json uses, by id@version. */
export type DeviceLock = ReadonlyMap<string, LockedPlugin>;

const LOCK_VERSION = 1;

/** vm.lock.json stands beside vm.json, x.lock.json beside x.json. */
export function lockPath({ file }: ManifestFile): string {
  return `${file.replace(/\.json$/, '')}.lock.json`;
}

/** Empty where there is no lock file. Throws UsageError. */
export function readLock(manifest: ManifestFile): DeviceLock {
  const path = lockPath(manifest);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw new UsageError(`${path}: ${explainFileError(error)}`, { cause: error });
  }
  const { value, problem } = readJsonText(bytes);
  const refuse = (where: string, rule: string, text: string): UsageError => new UsageError(`${path}: ${where}: ${text} (rule ${rule})`);
  if (problem !== null) throw refuse(problem.path === '' ? '/' : problem.path, problem.rule, problem.text);
  const { lock, devices } = (value ?? {}) as { readonly lock?: unknown; readonly devices?: unknown };
  if (lock !== LOCK_VERSION) throw refuse('/lock', 'version', `expected ${LOCK_VERSION}, got ${JSON.stringify(lock) ?? 'nothing'}`);
  if (typeof devices !== 'object' || devices === null || Array.isArray(devices)) throw refuse('/devices', 'type', 'expected an object');
  return new Map(Object.entries(devices as Record<string, unknown>).map(([name, one]) => {
    const { digest, needs } = (one ?? {}) as { readonly digest?: unknown; readonly needs?: unknown };
    if (typeof digest !== 'string' || !Array.isArray(needs) || needs.some((need) => typeof need !== 'string')) throw refuse(`/devices/${name.replaceAll('/', '~1')}`, 'type', 'expected digest and needs');
    return [name, { digest, needs: needs as string[] }];
  }));
}

export function writeLock(manifest: ManifestFile, lock: DeviceLock): void {
  const devices = Object.fromEntries([...lock].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { digest, needs }]) => [name, { digest, needs: [...needs].sort() }]));
  writeWhole(lockPath(manifest), `${JSON.stringify({ lock: LOCK_VERSION, devices }, null, 2)}\n`);
}

export type LockState =
  | { readonly kind: 'same' }
  | { readonly kind: 'new' } // nobody agreed to any version of it
  | { readonly kind: 'changed'; readonly from: string } // digest, or another version
  | { readonly kind: 'grown'; readonly more: readonly string[] }; // capabilities that nobody agreed to

/** How a plug-in relates to what was agreed to. Capabilities of any version of it that was agreed to count. */
export function compareWithLock(lock: DeviceLock, plugin: DevicePlugin): LockState {
  const { id, needs } = plugin.description;
  const own = lock.get(nameOf(plugin));
  const others = [...lock].filter(([name]) => name.startsWith(`${id}@`));
  if (others.length === 0) return { kind: 'new' };
  const granted = own?.needs ?? others.flatMap(([, one]) => one.needs);
  const more = needs.filter((need) => !granted.includes(need));
  if (more.length > 0) return { kind: 'grown', more };
  if (own?.digest === plugin.digest) return { kind: 'same' };
  return { kind: 'changed', from: own === undefined ? others.map(([name]) => name).join(', ') : own.digest };
}

export function describeLockState(state: LockState, plugin: DevicePlugin): string {
  const where = `${nameOf(plugin)} in ${join(plugin.folder)}`;
  switch (state.kind) {
    case 'same': return `${where} is what was agreed to`;
    case 'new': return `${where} is new; it needs ${plugin.description.needs.join(', ') || 'nothing'}`;
    case 'changed': return state.from.startsWith('sha256-')
      ? `${where} has changed: its device.json had the digest ${state.from}, and has ${plugin.digest} now`
      : `${where} is another version than ${state.from}`;
    case 'grown': return `${where} needs more than was agreed to: ${state.more.join(', ')}`;
  }
}
