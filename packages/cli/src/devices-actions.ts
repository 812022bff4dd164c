import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkDescription, chooseProperties, DESCRIPTION_FILE, type DeviceDescription, type DevicePlugin, digestOf, findPlugin, nameOf, readJsonText, readPluginFiles, scanDirectories, type ScanResult } from '@vm/core/directory';
import { askForGrant } from './capability-grant.ts';
import { compareWithLock, describeLockState, type LockedPlugin, readLock, writeLock } from './device-lock.ts';
import { readNamedFile, writeWhole } from './host-file.ts';
import { checkConflicts, planDevices, type PlannedDevice, scanFor } from './machine-devices.ts';
import { machineOf, type ManifestFile, readManifest, refusal } from './machine-manifest.ts';
import { partsOf } from './manifest-board.ts';
import { writeDevices } from './manifest-edit.ts';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** The plug-ins of a device directory, or of those that a vm.json names. */
export async function listPlugins(path: string): Promise<ScanResult> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return scanDirectories([path]);
  return scanFor(await readManifest(path));
}

export interface NewDevice {
  readonly id: string;
  readonly machine?: string;
  readonly name?: string; // default: the last word of the id, and a number where that is taken
  readonly version?: string; // default: what is compatible with the newest
  readonly isolation?: 'inproc' | 'worker';
  readonly settings: readonly string[]; // name=value
  readonly granted: readonly string[];
}

/** Adds a device to the list of a machine, with all its properties. Returns its name. */
export async function addDevice(path: string, wanted: NewDevice): Promise<{ readonly machine: string; readonly name: string; readonly plugin: DevicePlugin }> {
  const file = await readManifest(path);
  const { name: machine, settings } = machineOf(file, wanted.machine);
  const scan = await scanFor(file);
  const lock = new Map(readLock(file));
  const plugin = findPlugin(scan.plugins, wanted.id, wanted.version ?? '*', new Set());
  const { description } = plugin;
  const chosen = chooseProperties(description, Object.fromEntries(wanted.settings.map((setting) => parseSetting(setting, description))));
  if (chosen.problems.length > 0) throw new UsageError(chosen.problems.map((one) => `${nameOf(plugin)}: ${one.path.slice(1)}: ${one.text} (rule ${one.rule})`).join('\n'));
  const taken = (settings.devices ?? []).map((device) => device.name);
  const name = wanted.name ?? freeName(description.id, taken);
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) throw new UsageError(`--name: expected lower-case letters, digits and dashes, got ${JSON.stringify(name)}`);
  if (taken.includes(name)) throw new UsageError(`${path}: ${machine} has a device named ${name} already`);
  const entry = { name, id: description.id, version: wanted.version ?? `^${description.version}`, ...(wanted.isolation === undefined ? {} : { isolation: wanted.isolation }), properties: chosen.values };
  const after = { ...settings, devices: [...(settings.devices ?? []), entry] };
  checkConflicts(file, machine, planDevices(file, machine, after, scan, new Map([...lock, [nameOf(plugin), agreed(plugin)]])), partsOf(file, settings));
  await readPluginFiles(plugin);
  await agree(lock, plugin, wanted.granted);
  writeDevices(file, machine, (devices) => [...devices, entry]);
  writeLock(file, lock);
  return { machine, name, plugin };
}

/** Takes a device from the list of a machine. */
export async function removeDevice(path: string, name: string, givenMachine: string | undefined): Promise<string> {
  const file = await readManifest(path);
  const { name: machine, settings } = machineOf(file, givenMachine);
  const names = (settings.devices ?? []).map((device) => device.name);
  if (!names.includes(name)) {
    const nearest = findNearest(name, names);
    throw new UsageError(`${path}: ${machine} has no device ${name}; ${nearest === null ? (names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`) : `did you mean ${nearest}?`}`);
  }
  const changed = writeDevices(file, machine, (devices) => devices.filter((device) => device.name !== name));
  const used = new Set(Object.values(changed.manifest.machines).flatMap(({ devices = [] }) => devices.map(({ id }) => id)));
  writeLock(file, new Map([...readLock(file)].filter(([plugin]) => used.has(plugin.slice(0, plugin.indexOf('@'))))));
  return machine;
}

export interface Finding {
  readonly machine: string;
  readonly device: string;
  readonly text: string;
  readonly fine: boolean;
}

/** Compares all devices of all machines with what was agreed to. With `accept` what is new is agreed to, and written down. */
export async function verifyDevices(path: string, accept: boolean, granted: readonly string[]): Promise<readonly Finding[]> {
  let file = await readManifest(path);
  const scan = await scanFor(file);
  const before = readLock(file);
  const lock = new Map<string, LockedPlugin>(before);
  const findings: Finding[] = [];
  const used = new Set<string>();
  for (const machine of Object.keys(file.manifest.machines)) {
    const { settings } = machineOf(file, machine);
    const planned = planDevices(file, machine, settings, scan, before);
    checkConflicts(file, machine, planned, partsOf(file, settings));
    for (const { name: device, plugin } of planned) {
      await readPluginFiles(plugin);
      const state = compareWithLock(before, plugin);
      if (accept && state.kind !== 'same') await agree(lock, plugin, granted);
      used.add(nameOf(plugin));
      findings.push({ machine, device, text: `${describeLockState(state, plugin)}${accept && state.kind !== 'same' ? '; agreed to' : ''}`, fine: accept || state.kind === 'same' });
    }
    if (accept) file = writeChosen(file, machine, planned);
  }
  if (accept) writeLock(file, new Map([...lock].filter(([name]) => used.has(name))));
  return findings;
}

/** Writes the digests of a plug-in's files into its description, for whoever has written them. Returns the files. */
export async function sealPlugin(folder: string): Promise<readonly string[]> {
  const path = join(folder, DESCRIPTION_FILE);
  const { value, problem } = readJsonText(readNamedFile('FOLDER', path));
  if (problem !== null) throw refusal(path, problem.path, problem.rule, problem.text);
  const before = (value ?? {}) as { readonly entry?: unknown; readonly files?: unknown };
  const listed = typeof before.files === 'object' && before.files !== null ? Object.keys(before.files) : [];
  const names = [...new Set([...(typeof before.entry === 'string' ? [before.entry] : []), ...listed])];
  const files = Object.fromEntries(names.map((name) => [name, digestOf(readNamedFile('FOLDER', join(folder, name)))]));
  const description = { ...before, files };
  const wrong = checkDescription(description)[0];
  if (wrong !== undefined) throw refusal(path, wrong.path, wrong.rule, wrong.text);
  const text = readFileSync(path, 'utf8');
  // Everything else stays as its author has written it.
  const sealed = text.replace(/"files"\s*:\s*\{[^{}]*\}/, () => `"files": ${JSON.stringify(files, null, 2).replaceAll('\n', '\n  ')}`);
  const same = readJsonText(new TextEncoder().encode(sealed)).value;
  writeWhole(path, JSON.stringify(same) === JSON.stringify(description) ? sealed : `${JSON.stringify(description, null, 2)}\n`);
  return names;
}

/** What was a default becomes what was chosen, so that it stays when the directory has another default later. */
function writeChosen(file: ManifestFile, machine: string, planned: readonly PlannedDevice[]): ManifestFile {
  const values = new Map(planned.map((one) => [one.name, one.values]));
  const before = file.manifest.machines[machine]!.devices ?? [];
  const complete = before.every(({ name, properties = {} }) => Object.keys(values.get(name)!).every((property) => Object.hasOwn(properties, property)));
  return complete ? file : writeDevices(file, machine, (devices) => devices.map((device) => ({ ...device, properties: values.get(device.name)! })));
}

/** Asks for capabilities that were not agreed to for any version of the plug-in. */
async function agree(lock: Map<string, LockedPlugin>, plugin: DevicePlugin, granted: readonly string[]): Promise<void> {
  const state = compareWithLock(lock, plugin);
  if (state.kind === 'new' || state.kind === 'grown') await askForGrant(nameOf(plugin), state.kind === 'new' ? plugin.description.needs : state.more, granted);
  lock.set(nameOf(plugin), agreed(plugin));
}

function agreed({ digest, description: { needs } }: DevicePlugin): LockedPlugin {
  return { digest, needs };
}

/** Throws UsageError. The value itself is checked with those of the others. */
function parseSetting(setting: string, { id, properties = {} }: DeviceDescription): [string, unknown] {
  const equals = setting.indexOf('=');
  const name = equals < 0 ? setting : setting.slice(0, equals);
  if (!Object.hasOwn(properties, name)) {
    const nearest = findNearest(name, Object.keys(properties));
    throw new UsageError(`--set ${setting}: ${id} has no property ${name}; ${nearest === null ? `it has ${Object.keys(properties).join(', ') || 'none'}` : `did you mean ${nearest}?`}`);
  }
  if (equals < 0) throw new UsageError(`--set ${setting}: expected ${name}=VALUE`);
  const text = setting.slice(equals + 1);
  switch (properties[name]!.type) {
    case 'integer': return [name, /^-?(0x[0-9a-f]+|\d+)$/i.test(text) ? parseInteger(text) : text];
    case 'boolean': return [name, text === 'true' ? true : text === 'false' ? false : text];
    default: return [name, text];
  }
}

function parseInteger(text: string): number {
  return text.startsWith('-') ? -Number(text.slice(1)) : Number(text);
}

function freeName(id: string, taken: readonly string[]): string {
  const word = id.slice(id.lastIndexOf('.') + 1).replace(/^[^a-z]+/, '').slice(0, 24) || 'device';
  if (!taken.includes(word)) return word;
  for (let i = 2; ; i++) if (!taken.includes(`${word}${i}`)) return `${word}${i}`;
}

