import { resolve } from 'node:path';
import type { DeviceSpec } from '@vm/core';
import {
  blockName, chooseProperties, claimsOf, type DevicePlugin, findConflicts, findImpossible, findPlugin, formatClaim, formatConflict, loadPlugin, nameOf, pluginSpec, type PropertyValue, type ResourceClaim, scanDirectories,
  type ScanResult,
} from '@vm/core/directory';
import { isolatedPlugin, type IsolationOptions } from '@vm/core/isolated';
import { boardClaims, type BoardParts } from '@vm/pc';
import { type DiskDescriptor, parseDiskDescriptor, resolveDisk } from './disk-descriptor.ts';
import { compareWithLock, type DeviceLock, describeLockState } from './device-lock.ts';
import { refusal, type MachineSettings, type ManifestDevice, type ManifestFile } from './machine-manifest.ts';
import { UsageError } from './usage-error.ts';

/** A device of a machine, of which nothing has run yet. */
export interface PlannedDevice {
  readonly name: string;
  readonly plugin: DevicePlugin;
  readonly values: Readonly<Record<string, PropertyValue>>;
  readonly claims: readonly ResourceClaim[];
  readonly blocks: readonly PlannedBlock[];
  readonly isolated: IsolationOptions | null; // in a worker of its own, or with the machine
}

/** A disk of the host that a device has by one of its properties. */
export interface PlannedBlock {
  readonly name: string; // among the back ends of the machine
  readonly disk: DiskDescriptor;
}

export function scanFor({ folder, manifest }: ManifestFile): Promise<ScanResult> {
  return scanDirectories((manifest.directories ?? []).map((directory) => resolve(folder, directory)));
}

/** The devices of a machine's list, as its properties make them. Throws UsageError or VmError; AggregateError for several. */
export function planDevices(file: ManifestFile, machine: string, { devices = [] }: MachineSettings, { plugins, problems }: ScanResult, lock: DeviceLock): readonly PlannedDevice[] {
  return collect(devices.map((entry, i) => () => planDevice(file, `/machines/${machine}/devices/${i}`, entry, plugins, lock, problems.length)));
}

function planDevice({ file, folder }: ManifestFile, path: string, { name, id, version = '*', properties = {}, isolation = 'inproc', answerMs }: ManifestDevice, plugins: readonly DevicePlugin[], lock: DeviceLock, problems: number): PlannedDevice {
  let plugin: DevicePlugin;
  try {
    plugin = findPlugin(plugins, id, version, new Set(lock.keys()));
  } catch (error) {
    const hint = problems === 0 ? '' : `; ${problems} folder${problems === 1 ? '' : 's'} cannot be used: vm devices list ${file}`;
    throw refusal(file, `${path}/id`, 'plug-in', `${(error as Error).message}${hint}`);
  }
  const chosen = chooseProperties(plugin.description, properties);
  if (chosen.problems.length > 0) throw new UsageError(chosen.problems.map((one) => `${file}: ${path}/properties${one.path}: ${one.text} (rule ${one.rule})`).join('\n'));
  const claims = claimsOf(name, plugin.description, chosen.values);
  const impossible = findImpossible(claims);
  if (impossible !== null) throw refusal(file, path, 'resource', `${name}: ${formatClaim(impossible)} is beyond the end`);
  const values: Record<string, PropertyValue> = { ...chosen.values };
  const blocks: PlannedBlock[] = [];
  for (const [property, { type }] of Object.entries(plugin.description.properties ?? {})) {
    if (type !== 'block') continue;
    blocks.push({ name: blockName(name, property), disk: blockOf(file, folder, `${path}/properties/${property}`, values[property] as string) });
    values[property] = blockName(name, property);
  }
  return { name, plugin, values: Object.freeze(values), claims, blocks, isolated: isolation === 'inproc' ? null : answerMs === undefined ? {} : { answerMs } };
}

function blockOf(file: string, folder: string, path: string, text: string): DiskDescriptor {
  try {
    return resolveDisk(parseDiskDescriptor(text), folder);
  } catch (error) {
    throw refusal(file, path, 'disk', (error as Error).message);
  }
}

/** Throws AggregateError of UsageError: a line for each two devices that want the same. Nothing has been made then. */
export function checkConflicts(file: ManifestFile, machine: string, planned: readonly PlannedDevice[], board: BoardParts): void {
  const conflicts = findConflicts([...boardClaims(board), ...planned.flatMap(({ claims }) => claims)]);
  // Those of the board among themselves are its own affair.
  const names = new Set(planned.map(({ name }) => name));
  collect(conflicts.filter(({ second }) => names.has(second.device)).map((conflict) => () => {
    throw refusal(file.file, `/machines/${machine}/devices`, 'conflict', formatConflict(conflict));
  }));
}

/** Throws when a plug-in is not the one that was agreed to. */
export function checkLocked({ file }: ManifestFile, planned: readonly PlannedDevice[], lock: DeviceLock): void {
  collect(planned.map(({ plugin }) => () => {
    const state = compareWithLock(lock, plugin);
    if (state.kind !== 'same') throw new UsageError(`${file}: ${describeLockState(state, plugin)}; vm devices verify ${file} --accept takes it${state.kind === 'changed' ? '' : ', and asks'}`);
  }));
}

/** Runs the code of the plug-ins, once for each; of those that are isolated none. */
export async function loadDevices(planned: readonly PlannedDevice[]): Promise<readonly DeviceSpec[]> {
  const modules = new Map<string, Awaited<ReturnType<typeof loadPlugin>>>();
  for (const { plugin, isolated } of planned) if (isolated === null && !modules.has(nameOf(plugin))) modules.set(nameOf(plugin), await loadPlugin(plugin));
  return Promise.all(planned.map(({ name, plugin, values, claims, isolated }) => (isolated !== null ? isolatedPlugin(name, plugin, values, claims, isolated) : pluginSpec(name, modules.get(nameOf(plugin))!, values, claims, plugin.description.hotPluggable === true))));
}

/** Does all, then throws all that went wrong. */
function collect<T>(work: readonly (() => T)[]): readonly T[] {
  const errors: unknown[] = [];
  const done = work.flatMap((one) => {
    try {
      return [one()];
    } catch (error) {
      errors.push(error);
      return [];
    }
  });
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, errors.map((error) => (error as Error).message).join('\n'));
  return done;
}
