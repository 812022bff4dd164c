import { createHash } from 'node:crypto';
import { opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { VmError } from '../errors.ts';
import { checkDescription } from './description-check.ts';
import type { DescriptionProblem, DeviceDescription } from './description.ts';
import { readJsonText } from './json-text.ts';
import { FolderRefusal, problemOf, readInside } from './plugin-folder.ts';
import { compareVersions, parseRange } from './version-range.ts';

/** A device plug-in in its folder, of which nothing has run. */
export interface DevicePlugin {
  readonly folder: string;
  readonly description: DeviceDescription;
  /** Digest of its device.json, which holds those of its files. */
  readonly digest: string;
}
export interface ScanResult {
  readonly plugins: readonly DevicePlugin[]; // by id, then from the newest version to the oldest
  readonly problems: readonly DescriptionProblem[];
}

export const DESCRIPTION_FILE = 'device.json';
const MOST_DESCRIPTION_BYTES = 256 * 1024;
const MOST_FOLDERS = 10_000;

/** Reads the descriptions of all plug-ins, each in a folder of its own below one of `directories`. Runs no code of them. */
export async function scanDirectories(directories: readonly string[]): Promise<ScanResult> {
  const plugins: DevicePlugin[] = [];
  const problems: DescriptionProblem[] = [];
  for (const directory of directories) {
    for (const folder of await listFolders(directory)) {
      const read = await readDescription(folder);
      if (read === null) continue;
      if (!Array.isArray(read)) plugins.push(read as DevicePlugin);
      else problems.push(...(read as readonly DescriptionProblem[]));
    }
  }
  plugins.sort((a, b) => compareIds(a.description.id, b.description.id) || compareVersions(b.description.version, a.description.version));
  plugins.forEach((plugin, i) => {
    const before = plugins[i - 1];
    if (before === undefined || nameOf(before) !== nameOf(plugin)) return;
    problems.push({ file: join(plugin.folder, DESCRIPTION_FILE), path: '/version', rule: 'unique', text: `${nameOf(plugin)} is in ${before.folder} too` });
  });
  return { plugins, problems };
}

/** The plug-in of a folder, what is wrong with it, or null where a folder has no description. */
export async function readDescription(folder: string): Promise<DevicePlugin | readonly DescriptionProblem[] | null> {
  const file = join(folder, DESCRIPTION_FILE);
  let bytes: Uint8Array;
  try {
    bytes = await readInside(folder, DESCRIPTION_FILE, MOST_DESCRIPTION_BYTES);
  } catch (error) {
    return error instanceof FolderRefusal && error.rule === 'missing' ? null : [{ file, ...problemOf(error) }];
  }
  const { value, problem } = readJsonText(bytes);
  const wrong = problem === null ? checkDescription(value) : [problem];
  if (wrong.length > 0) return wrong.map((one) => ({ file, ...one }));
  return { folder, description: value as DeviceDescription, digest: digestOf(bytes) };
}

/** The newest plug-in whose id and version are asked for; those of `preferred`, as id@version, come before others. Throws VmError E_PLUGIN. */
export function findPlugin(plugins: readonly DevicePlugin[], id: string, range: string, preferred: ReadonlySet<string> = new Set()): DevicePlugin {
  const fits = parseRange(range);
  if (fits === null) throw new VmError('E_PLUGIN', `${id}: expected a version such as 1.2.0, ^1.2 or >=1 <2, got ${JSON.stringify(range)}`);
  const same = plugins.filter(({ description }) => description.id === id);
  if (same.length === 0) throw new VmError('E_PLUGIN', `no device directory has a plug-in ${id}; there ${plugins.length === 0 ? 'are none' : `are ${[...new Set(plugins.map(({ description }) => description.id))].join(', ')}`}`);
  const fitting = same.filter(({ description }) => fits(description.version));
  if (fitting.length === 0) throw new VmError('E_PLUGIN', `${id}: no version fits ${range}; there are ${same.map(({ description }) => description.version).join(', ')}`);
  const found = fitting.find((one) => preferred.has(nameOf(one))) ?? fitting[0]!;
  const twin = fitting.find((one) => one !== found && one.description.version === found.description.version);
  if (twin !== undefined) throw new VmError('E_PLUGIN', `${nameOf(found)} is in two folders: ${found.folder} and ${twin.folder}`);
  return found;
}

export function nameOf({ description: { id, version } }: DevicePlugin): string {
  return `${id}@${version}`;
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256-${createHash('sha256').update(bytes).digest('hex')}`;
}

async function listFolders(directory: string): Promise<readonly string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(directory)) {
      // A link is no plug-in's folder: it could lead anywhere, and tomorrow somewhere else.
      if (entry.isDirectory() && !entry.name.startsWith('.')) names.push(entry.name);
      if (names.length > MOST_FOLDERS) throw new VmError('E_PLUGIN', `${directory}: more than ${MOST_FOLDERS} folders`);
    }
  } catch (error) {
    if (VmError.is(error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new VmError('E_PLUGIN', `device directory ${directory}: ${code === 'ENOENT' ? 'there is no such folder' : code === 'ENOTDIR' ? 'it is no folder' : message}`, { cause: error });
  }
  return names.sort().map((name) => join(directory, name));
}

function compareIds(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
