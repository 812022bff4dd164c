import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeviceManifest, DeviceModule } from '../abi.ts';
import { ABI } from '../device-spec.ts';
import { VmError } from '../errors.ts';
import type { DeviceDescription, PropertyValue } from './description.ts';
import { problemOf, readInside } from './plugin-folder.ts';
import { writePrivateCopy } from './private-copy.ts';
import { DESCRIPTION_FILE, type DevicePlugin, digestOf, nameOf } from './scan.ts';
import { isRecord } from './schema-check.ts';

/** What plug-ins of directories are: their configuration is their properties. */
export type PluginModule = DeviceModule<Readonly<Record<string, PropertyValue>>>;

const MOST_FILE_BYTES = 16 * 2 ** 20;
const MOST_ALL_BYTES = 64 * 2 ** 20;
const MOST_LOAD_MS = 10_000;

/** Reads the files of a plug-in and compares their digests. Throws VmError E_INTEGRITY, with one line for each that differs. */
export async function readPluginFiles({ folder, description, digest }: DevicePlugin): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const wrong: string[] = [];
  let left = MOST_ALL_BYTES;
  const own = await readInside(folder, DESCRIPTION_FILE, MOST_FILE_BYTES).catch(() => null);
  if (own === null || digestOf(own) !== digest) wrong.push(`${DESCRIPTION_FILE}: it has changed since it was read (rule digest)`);
  for (const [file, expected] of Object.entries(description.files)) {
    try {
      const bytes = await readInside(folder, file, Math.min(MOST_FILE_BYTES, left));
      left -= bytes.length;
      const is = digestOf(bytes);
      if (is === expected) files.set(file, bytes);
      else wrong.push(`${file}: expected ${expected}, got ${is} (rule digest)`);
    } catch (error) {
      const { rule, text } = problemOf(error);
      wrong.push(`${file}: ${text} (rule ${rule})`);
    }
  }
  if (wrong.length > 0) throw new VmError('E_INTEGRITY', `${nameOf({ folder, description, digest })}: ${folder} is not what its ${DESCRIPTION_FILE} says\n${wrong.map((line) => `  ${line}`).join('\n')}`);
  return files;
}

/**
 * Runs the code of a plug-in and returns its module. What runs is the bytes whose digests were compared: they are imported from a
 * private copy, beside which no other file lies. Throws VmError E_INTEGRITY, E_ABI or E_PLUGIN, with the plug-in's name.
 */
export async function loadPlugin(plugin: DevicePlugin): Promise<PluginModule> {
  const { description } = plugin;
  const name = nameOf(plugin);
  if (description.abi !== ABI) throw new VmError('E_ABI', `${name} is made for ABI ${description.abi}, this is ABI ${ABI}`);
  const files = await readPluginFiles(plugin);
  const copy = writePrivateCopy(files);
  try {
    const loaded = await importInTime(join(copy, ...description.entry.split('/')), name, description);
    const found: unknown = Object.hasOwn(loaded, description.export) ? loaded[description.export] : undefined;
    if (!isRecord(found) || typeof found['create'] !== 'function' || !isRecord(found['manifest'])) {
      throw new VmError('E_PLUGIN', `${name}: ${description.entry} exports no device module named ${description.export}`);
    }
    const module = found as unknown as PluginModule;
    checkSame(description, module.manifest, name);
    return module;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function importInTime(path: string, name: string, { entry }: DeviceDescription): Promise<Readonly<Record<string, unknown>>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it is not done after ${MOST_LOAD_MS / 1000} s`)), MOST_LOAD_MS);
  });
  try {
    return (await Promise.race([import(pathToFileURL(path).href), late])) as Readonly<Record<string, unknown>>;
  } catch (error) {
    throw new VmError('E_PLUGIN', `${name}: importing ${entry} failed: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What was decided upon by the description has to be what runs. */
function checkSame(description: DeviceDescription, manifest: DeviceManifest, name: string): void {
  for (const member of ['abi', 'id', 'version', 'state', 'oldestState'] as const) {
    if (manifest[member] !== description[member]) throw new VmError('E_MANIFEST', `${name}: ${member} is ${String(manifest[member])} in its code and ${String(description[member])} in its ${DESCRIPTION_FILE}`);
  }
  const [code, said] = [manifest.needs, description.needs].map((needs) => (Array.isArray(needs) ? [...needs].sort().join(', ') : 'no list'));
  if (code !== said) throw new VmError('E_MANIFEST', `${name}: needs is ${code} in its code and ${said} in its ${DESCRIPTION_FILE}`);
}
