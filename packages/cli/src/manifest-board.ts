import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { type BoardParts, checkKernel } from '@vm/pc';
import { type BareProgram, DEFAULT_CHAR_PORT, DEFAULT_PASS_BYTE, DEFAULT_POST_PORTS } from './bare-program.ts';
import { APPEND, type BoardSettings } from './boot-board.ts';
import { parseByteSize } from './byte-size.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { readNamedFile } from './host-file.ts';
import { checkInitrd } from './initrd-check.ts';
import { type BootSource, type MachineSettings, type ManifestDisk, type ManifestFile, refusal } from './machine-manifest.ts';

/** A machine of a vm.json with all its images read. */
export interface ManifestMachine {
  readonly board: BoardSettings;
  readonly disks: readonly DiskDescriptor[];
  readonly bare?: BareProgram;
}

const DEFAULT_RAM = '512M';
const KINDS = ['kernel', 'multiboot', 'rom'] as const;
type Kind = (typeof KINDS)[number];
/** Members of `boot` that are for some of what can be booted. */
const BELONGS: Readonly<Partial<Record<keyof BootSource, readonly Kind[]>>> = { initrd: ['kernel'], entry: ['kernel'], append: ['kernel', 'multiboot'], modules: ['multiboot'], shadow: ['rom'] };

/** Reads the images of a machine. Throws UsageError. */
export async function readMachine(file: ManifestFile, name: string, settings: MachineSettings): Promise<ManifestMachine> {
  const { engine = {}, ram = DEFAULT_RAM, cpus, apic, enlighten, eoi, clock = 'host', seed, boot = {}, onFault, onReset = 'boot', rng, hpet, console, disks = [] } = settings;
  const kind = kindOf(file, name, boot);
  const memoryBytes = ramBytesOf(ram);
  const images = await readImages(file, kind, boot, APPEND[console ?? 'serial']);
  const { cpuModel, translator, shadow, compound, handoff, kvmThreads, kvmChip } = engine;
  const bare = bareOf(kind);
  return {
    board: {
      ...images, memoryBytes, clock, onReset,
      ...(cpuModel === undefined ? {} : { cpuModel }), ...(translator === undefined ? {} : { translator }), ...(shadow === undefined ? {} : { shadow }), ...(compound === undefined ? {} : { compound }), ...(handoff === undefined ? {} : { handoff }), ...(kvmThreads === undefined ? {} : { kvmThreads }), ...(kvmChip === undefined ? {} : { kvmChip }),
      ...(apic === undefined ? {} : { apic }), ...(enlighten === undefined ? {} : { enlighten }), ...(eoi === undefined ? {} : { eoi }),
      ...(cpus === undefined ? {} : { cpus }), ...(seed === undefined ? {} : { seed }), ...(rng === undefined ? {} : { rng }), ...(hpet === undefined ? {} : { hpet }), ...(console === undefined ? {} : { console }), ...(onFault === undefined ? {} : { onFault }),
    },
    disks: disks.map((disk) => describe(file, disk)),
    ...(bare === undefined ? {} : { bare }),
  };
}

/** What the board of a machine will have; nothing is read but the size of a ROM. */
export function partsOf({ folder }: ManifestFile, { ram = DEFAULT_RAM, boot = {}, hpet = false, enlighten, disks = [] }: MachineSettings): BoardParts {
  const bare = bareOf(KINDS.find((kind) => boot[kind] !== undefined) ?? 'kernel');
  const rom = boot.rom === undefined ? undefined : statSync(resolve(folder, boot.rom), { throwIfNoEntry: false });
  return {
    ramBytes: ramBytesOf(ram),
    disks: disks.map(({ bus = 'virtio' }) => bus),
    hpet,
    ...(enlighten === 'hyperv-full' ? { synthetic: true } : {}),
    ...(rom === undefined ? {} : { firmwareBytes: rom.size }),
    ...(bare === undefined ? {} : { bare }),
  };
}

function ramBytesOf(ram: number | string): number {
  return typeof ram === 'number' ? ram : parseByteSize(ram);
}

function bareOf(kind: Kind): BareProgram | undefined {
  return kind === 'kernel' ? undefined : { postPorts: DEFAULT_POST_PORTS, charPort: kind === 'rom' ? DEFAULT_CHAR_PORT : null, passByte: DEFAULT_PASS_BYTE };
}

function kindOf({ file, manifest }: ManifestFile, name: string, boot: BootSource): Kind {
  const path = Object.hasOwn(manifest.machines[name]!, 'boot') || manifest.boot === undefined ? `/machines/${name}/boot` : '/boot';
  const given = KINDS.filter((kind) => boot[kind] !== undefined);
  if (given.length === 0) throw refusal(file, path, 'required', 'kernel is missing, or multiboot, or rom');
  if (given.length > 1) throw refusal(file, path, 'exclude', `${given.join(' and ')} exclude each other`);
  const kind = given[0]!;
  for (const member of Object.keys(boot) as (keyof BootSource)[]) {
    const owners = BELONGS[member];
    if (owners !== undefined && !owners.includes(kind)) throw refusal(file, `${path}/${member}`, 'exclude', `it goes with ${owners.join(' or ')}`);
  }
  return kind;
}

type Images = Pick<BoardSettings, 'kernel' | 'entry' | 'initrd' | 'modules' | 'rom' | 'romShadow' | 'append'>;

async function readImages({ folder }: ManifestFile, kind: Kind, boot: BootSource, defaultAppend: string): Promise<Images> {
  const read = (what: string, path: string): Uint8Array => readNamedFile(`boot.${what}`, resolve(folder, path));
  const { append } = boot;
  if (kind === 'rom') return { rom: read('rom', boot.rom!), romShadow: boot.shadow === true };
  if (kind === 'multiboot') {
    const modules = (boot.modules ?? []).map(({ file, text = '' }) => ({ bytes: read('modules', file), text: `${wordOf(file)} ${text}`.trim() }));
    return { kernel: read('multiboot', boot.multiboot!), entry: 'multiboot', append: `${wordOf(boot.multiboot!)} ${append ?? ''}`.trim(), modules };
  }
  const kernel = read('kernel', boot.kernel!);
  const entry = boot.entry ?? 'auto';
  checkKernel(kernel, entry);
  const initrd = boot.initrd === undefined ? null : read('initrd', boot.initrd);
  if (initrd !== null) await checkInitrd(boot.initrd!, initrd);
  return { kernel, entry, append: append ?? defaultAppend, ...(initrd === null ? {} : { initrd }) };
}

function wordOf(path: string): string {
  return basename(path).replaceAll(/\s/g, '_');
}

function describe({ folder }: ManifestFile, { file, overlay, keyFile, snapshot, readonly, ...rest }: ManifestDisk): DiskDescriptor {
  return {
    ...rest,
    file: resolve(folder, file),
    ...(overlay === undefined ? {} : { overlay: resolve(folder, overlay) }),
    ...(keyFile === undefined ? {} : { key: { kind: 'file', path: resolve(folder, keyFile) } }),
    ...(snapshot === true ? { snapshot } : {}),
    ...(readonly === true ? { readonly } : {}),
  };
}
