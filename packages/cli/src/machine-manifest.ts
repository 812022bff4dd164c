import { dirname, resolve } from 'node:path';
import { readJsonText } from '@vm/core/directory';
import type { ConsoleKind, Enlightenment, EoiPolicy } from '@vm/pc';
import type { CompoundPolicyName, Handoff } from '@vm/trap-compound';
import type { InterruptChipKind } from '@vm/vcpu-kvm';
import type { CpuModelName, ShadowMode, TranslatorMode } from '@vm/vcpu-wasm';
import { type ApicKind, isCompounding, kernelChipLacks } from './boot-board.ts';
import type { EngineChoice } from './engine-choice.ts';
import { readNamedFile } from './host-file.ts';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';
import { checkManifestShape } from './manifest-schema.ts';

/** A machine of a vm.json. The schema beside this file says what each member means. */
export interface MachineSettings {
  readonly engine?: { readonly id?: EngineChoice; readonly cpuModel?: CpuModelName; readonly translator?: TranslatorMode; readonly shadow?: ShadowMode; readonly compound?: CompoundPolicyName; readonly handoff?: Handoff; readonly kvmThreads?: boolean; readonly kvmChip?: InterruptChipKind };
  readonly ram?: number | string;
  readonly cpus?: number;
  readonly apic?: ApicKind;
  readonly enlighten?: Enlightenment;
  readonly eoi?: EoiPolicy;
  readonly clock?: 'host' | 'virtual';
  readonly seed?: number;
  readonly boot?: BootSource;
  readonly onFault?: 'stop' | 'go-on';
  readonly onReset?: 'boot' | 'end';
  readonly rng?: boolean;
  readonly hpet?: boolean;
  readonly console?: ConsoleKind;
  readonly disks?: readonly ManifestDisk[];
  readonly devices?: readonly ManifestDevice[];
}
export interface BootSource {
  readonly kernel?: string;
  readonly multiboot?: string;
  readonly rom?: string;
  readonly initrd?: string;
  readonly entry?: 'auto' | 32 | 64 | 'pvh';
  readonly append?: string;
  readonly modules?: readonly { readonly file: string; readonly text?: string }[];
  readonly shadow?: boolean;
}
export interface ManifestDisk {
  readonly file: string;
  readonly bus?: 'virtio' | 'ata';
  readonly format?: 'raw' | 'vhd';
  readonly overlay?: string;
  readonly snapshot?: boolean;
  readonly readonly?: boolean;
  readonly keyFile?: string;
  readonly crypt?: 'none' | 'payload' | 'file';
  readonly cipher?: string;
  readonly holes?: 'zero' | 'noise';
}
export interface ManifestDevice {
  readonly name: string;
  readonly id: string;
  readonly version?: string;
  readonly isolation?: 'inproc' | 'worker';
  readonly answerMs?: number;
  readonly properties?: Readonly<Record<string, boolean | number | string>>;
}
export interface VmManifest extends Omit<MachineSettings, 'rng' | 'hpet' | 'console' | 'disks' | 'devices'> {
  readonly $schema?: string;
  readonly abi: number;
  readonly directories?: readonly string[];
  readonly machines: Readonly<Record<string, MachineSettings>>;
}
/** A vm.json that was read. */
export interface ManifestFile {
  readonly file: string; // as the user named it
  readonly folder: string; // which its paths start from
  readonly manifest: VmManifest;
}

export const MANIFEST_ABI = 1;
const SHARED = ['engine', 'ram', 'cpus', 'apic', 'enlighten', 'eoi', 'clock', 'seed', 'boot', 'onFault', 'onReset'] as const;

/** Throws UsageError that names file, path and rule, one line for each thing that is wrong. */
export async function readManifest(file: string): Promise<ManifestFile> {
  const { value, problem } = readJsonText(readNamedFile('manifest', file));
  if (problem !== null) throw refusal(file, problem.path, problem.rule, problem.text);
  await checkManifestShape(file, value);
  const manifest = value as VmManifest;
  if (manifest.abi !== MANIFEST_ABI) throw refusal(file, '/abi', 'abi', `it is made for device ABI ${manifest.abi}, this is ABI ${MANIFEST_ABI}`);
  checkEngine(file, '/engine', manifest.engine);
  for (const [name, machine] of Object.entries(manifest.machines)) checkMachine(file, `/machines/${name}`, machine);
  return { file, folder: resolve(dirname(file)), manifest };
}

/** A machine by its name, or the first one, with what stands beside the machines. Throws UsageError. */
export function machineOf({ file, manifest }: ManifestFile, given: string | undefined): { readonly name: string; readonly settings: MachineSettings } {
  const names = Object.keys(manifest.machines);
  const name = given ?? names[0]!;
  if (!Object.hasOwn(manifest.machines, name)) {
    const nearest = findNearest(name, names);
    throw new UsageError(`${file}: there is no machine ${name}; ${nearest === null ? `there are ${names.join(', ')}` : `did you mean ${nearest}?`}`);
  }
  const shared = Object.fromEntries(SHARED.filter((member) => manifest[member] !== undefined).map((member) => [member, manifest[member]]));
  return { name, settings: { ...shared, ...manifest.machines[name]! } };
}

export function refusal(file: string, path: string, rule: string, text: string): UsageError {
  return new UsageError(`${file}: ${path === '' ? '/' : path}: ${text} (rule ${rule})`);
}

/** What a schema cannot say in words that help. */
function checkMachine(file: string, path: string, { engine, devices = [], disks = [], ...board }: MachineSettings): void {
  checkEngine(file, `${path}/engine`, engine);
  checkChip(file, `${path}/engine/kvmChip`, { ...board, ...engine });
  const names = new Set<string>();
  for (const [i, { name, isolation, answerMs }] of devices.entries()) {
    if (names.has(name)) throw refusal(file, `${path}/devices/${i}/name`, 'unique', `there are two devices named ${name}`);
    names.add(name);
    if (answerMs !== undefined && isolation !== 'worker') throw refusal(file, `${path}/devices/${i}/answerMs`, 'exclude', 'it goes with isolation: worker');
  }
  for (const [i, disk] of disks.entries()) {
    if (disk.overlay !== undefined && disk.snapshot === true) throw refusal(file, `${path}/disks/${i}`, 'exclude', 'overlay and snapshot exclude each other');
    if (disk.readonly === true && (disk.overlay !== undefined || disk.snapshot === true)) throw refusal(file, `${path}/disks/${i}`, 'exclude', 'readonly goes with neither overlay nor snapshot');
  }
}

function checkChip(file: string, path: string, { id = 'wasm', kvmChip, ...board }: Omit<MachineSettings, 'engine'> & NonNullable<MachineSettings['engine']>): void {
  if (kvmChip === undefined) return;
  if (id === 'wasm') throw refusal(file, path, 'exclude', 'it goes with id: kvm or auto');
  const lack = kvmChip === 'kernel' ? kernelChipLacks(board) : null;
  if (lack !== null) throw refusal(file, path, 'exclude', lack);
}

function checkEngine(file: string, path: string, { id = 'wasm', kvmThreads = false, ...blocks }: NonNullable<MachineSettings['engine']> = {}): void {
  if (!kvmThreads) return;
  if (id === 'wasm') throw refusal(file, `${path}/kvmThreads`, 'exclude', 'it goes with id: kvm or auto');
  if (isCompounding(blocks)) throw refusal(file, `${path}/kvmThreads`, 'exclude', 'accesses cannot be compounded with processors in threads');
}
