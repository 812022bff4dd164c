import { randomUUID } from 'node:crypto';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plain } from '@vm/core';
import { type ConsoleKind, ENLIGHTENMENTS, type Enlightenment, EOI_POLICIES, type EoiPolicy } from '@vm/pc';
import { CPU_MODEL_NAMES, type CpuModelName } from '@vm/vcpu-wasm';
import { AVAILABLE_FEATURES } from '@vm/x86';
import type { CpuFeature } from '@vm/x86';
import { APIC_KINDS, type ApicKind } from './boot-board.ts';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { explainFileError } from './host-file.ts';
import type { PlugInChanges } from './later-devices.ts';
import { UsageError } from './usage-error.ts';

/** What a machine was made of, beside what core saves of it. */
export interface SnapshotOrigin {
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly apic?: ApicKind; // absent: x2apic
  readonly enlighten?: Enlightenment; // absent: none
  readonly eoi?: EoiPolicy; // absent: lazy
  readonly clock: 'host' | 'virtual';
  readonly cpuModel: CpuModelName | null;
  readonly cpuWithout?: readonly CpuFeature[]; // features of it that the guest goes without
  readonly multiboot: boolean;
  readonly rng: boolean;
  readonly hpet: boolean;
  readonly console: ConsoleKind;
  readonly disks: readonly DiskDescriptor[];
  /** Disks that devices have by their properties. */
  readonly lent?: readonly DiskDescriptor[];
  /** What came and went since it was made of its vm.json. */
  readonly plugIns?: PlugInChanges;
}
/** The same as a saved machine has it. */
export interface SavedOrigin extends SnapshotOrigin {
  /** Of the saved machine; who forks it gets another one. */
  readonly instance: string;
  readonly savedAtMs: number;
  readonly identities: readonly DiskIdentity[];
}
/** A file of a disk as it was when the machine was saved. */
export interface DiskIdentity {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** Throws UsageError where a disk would not be the same after a restore. */
export function describeOrigin(origin: SnapshotOrigin, instance: string | null): Plain {
  const all = [...origin.disks, ...(origin.lent ?? [])];
  const lost = all.find(({ snapshot }) => snapshot === true);
  if (lost !== undefined) throw new UsageError(`${lost.file}: the stores of a disk with "snapshot" are in memory only and would be lost; overlay=FILE keeps them`);
  return {
    program: 'vm',
    instance: instance ?? randomUUID(),
    savedAtMs: Date.now(),
    memoryBytes: origin.memoryBytes,
    cpus: origin.cpus,
    apic: origin.apic ?? null,
    enlighten: origin.enlighten ?? null,
    eoi: origin.eoi ?? null,
    clock: origin.clock,
    cpuModel: origin.cpuModel,
    cpuWithout: origin.cpuWithout ?? null,
    multiboot: origin.multiboot,
    rng: origin.rng,
    hpet: origin.hpet,
    console: origin.console,
    disks: origin.disks.map((disk) => JSON.stringify({ ...disk, file: resolve(disk.file), ...(disk.overlay === undefined ? {} : { overlay: resolve(disk.overlay) }), ...(isKept(disk.key) ? {} : { key: { kind: 'prompt' } }), ...(isKept(disk.parentKey) ? {} : { parentKey: { kind: 'prompt' } }) })),
    plugIns: origin.plugIns === undefined ? null : JSON.stringify(origin.plugIns),
    identities: all.flatMap(filesOf).map((path): Plain => ({ ...identify(path) })),
  };
}

/** Throws UsageError for a machine that somebody else saved. */
export function readOrigin(about: Plain): SavedOrigin {
  const { program, instance, savedAtMs, memoryBytes, cpus, apic, enlighten, eoi, clock, cpuModel, cpuWithout, multiboot, rng, hpet, console, disks, plugIns, identities } = (about ?? {}) as Readonly<Record<string, Plain>>;
  const known = CPU_MODEL_NAMES.find((name) => name === cpuModel) ?? null;
  if (program !== 'vm' || typeof instance !== 'string' || typeof savedAtMs !== 'number' || typeof memoryBytes !== 'number' || (clock !== 'host' && clock !== 'virtual')
    || typeof multiboot !== 'boolean' || !Array.isArray(disks) || !Array.isArray(identities)) throw new UsageError('it was not saved by vm boot, and only who saved it knows what it is made of');
  const controllers = APIC_KINDS.find((name) => name === apic);
  const face = ENLIGHTENMENTS.find((name) => name === enlighten);
  const policy = EOI_POLICIES.find((name) => name === eoi);
  const lacks = Array.isArray(cpuWithout) ? [...AVAILABLE_FEATURES].filter((feature) => cpuWithout.includes(feature)) : [];
  return { ...(lacks.length === 0 ? {} : { cpuWithout: lacks }), ...(controllers === undefined ? {} : { apic: controllers }), ...(face === undefined ? {} : { enlighten: face }), ...(policy === undefined ? {} : { eoi: policy }), instance, savedAtMs, memoryBytes, cpus: typeof cpus === 'number' ? cpus : 1, clock, multiboot, rng: rng === true, hpet: hpet === true, console: console === 'virtio' ? 'virtio' : 'serial', cpuModel: known, disks: (disks as readonly Plain[]).map(readDisk), ...(typeof plugIns === 'string' ? { plugIns: readChanges(plugIns) } : {}), identities: (identities as readonly Plain[]).map(readIdentity) };
}

/** Refuses disks that are not as the saved machine left them. Throws UsageError. */
export function checkDisks({ identities, savedAtMs }: SavedOrigin): void {
  for (const saved of identities) {
    const now = identify(saved.path);
    if (now.bytes !== saved.bytes) throw new UsageError(`${saved.path} has ${now.bytes} bytes, and had ${saved.bytes} when the machine was saved: its memory and this disk would not agree`);
    if (now.modifiedMs !== saved.modifiedMs) throw new UsageError(`${saved.path} was changed at ${new Date(now.modifiedMs).toISOString()}, after the machine was saved at ${new Date(savedAtMs).toISOString()}: its memory and this disk would not agree`);
  }
}

function filesOf({ file, overlay }: DiskDescriptor): string[] {
  return overlay === undefined ? [resolve(file)] : [resolve(overlay), resolve(file)];
}

function identify(path: string): DiskIdentity {
  try {
    const { size, mtimeMs } = statSync(path);
    return { path, bytes: size, modifiedMs: mtimeMs };
  } catch (error) {
    throw new UsageError(`${path}: ${explainFileError(error)}`, { cause: error });
  }
}

/** Whoever made the file must not choose which library is loaded here, or which service gets the token of its user. */
function isKept(key: DiskDescriptor['key']): boolean {
  return key === undefined || ['prompt', 'file', 'env'].includes(key.kind);
}

function readDisk(plain: Plain): DiskDescriptor {
  try {
    const disk = JSON.parse(plain as string) as DiskDescriptor;
    return { ...disk, ...(isKept(disk.key) ? {} : { key: { kind: 'prompt' } }), ...(isKept(disk.parentKey) ? {} : { parentKey: { kind: 'prompt' } }) };
  } catch (cause) {
    throw new UsageError('a disk of the saved machine is malformed', { cause });
  }
}

function readChanges(text: string): PlugInChanges {
  try {
    const { added, removed, slots } = JSON.parse(text) as Partial<PlugInChanges>;
    if (Array.isArray(added) && Array.isArray(removed) && typeof slots === 'object' && slots !== null) return { added, removed, slots };
  } catch {
    // told below
  }
  throw new UsageError('the devices of the saved machine are malformed');
}

function readIdentity(plain: Plain): DiskIdentity {
  const { path, bytes, modifiedMs } = (plain ?? {}) as Readonly<Record<string, Plain>>;
  if (typeof path !== 'string' || typeof bytes !== 'number' || typeof modifiedMs !== 'number') throw new UsageError('a disk of the saved machine is malformed');
  return { path, bytes, modifiedMs };
}
