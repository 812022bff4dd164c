import type { DeviceSpec } from '@vm/core';
import type { BoardParts } from '@vm/pc';
import type { DiskDescriptor } from './disk-descriptor.ts';
import { readLock } from './device-lock.ts';
import { checkConflicts, checkLocked, loadDevices, planDevices, type PlannedBlock, type PlannedDevice, scanFor } from './machine-devices.ts';
import type { ManifestDevice, ManifestFile } from './machine-manifest.ts';
import { checkManifestShape } from './manifest-schema.ts';
import { UsageError } from './usage-error.ts';

/** What of plug-ins has changed since the machine was made of its vm.json. */
export interface PlugInChanges {
  readonly added: readonly ManifestDevice[];
  readonly removed: readonly string[];
  readonly slots: Readonly<Record<string, number>>; // of those on the PCI bus
}

export const NO_CHANGES: PlugInChanges = { added: [], removed: [], slots: {} };

/** Plug-ins from the directories of a vm.json, for a machine of it that runs. */
export class LaterDevices {
  #present: readonly PlannedDevice[];
  #added: readonly ManifestDevice[];
  #removed: readonly string[];
  readonly #file: ManifestFile;
  readonly #machine: string;
  readonly #board: BoardParts;

  constructor(file: ManifestFile, machine: string, board: BoardParts, present: readonly PlannedDevice[], { added, removed }: PlugInChanges) {
    this.#file = file;
    this.#machine = machine;
    this.#board = board;
    this.#present = present;
    this.#added = added;
    this.#removed = removed;
  }

  /** The disks of all that are there. */
  get disks(): readonly DiskDescriptor[] {
    return this.#present.flatMap(({ blocks }) => blocks.map(({ disk }) => disk));
  }

  get changes(): Pick<PlugInChanges, 'added' | 'removed'> {
    return { added: this.#added, removed: this.#removed };
  }

  /** Throws UsageError and VmError, with nothing changed: the entry, its plug-in, its digest or what it needs is refused. */
  async load(given: unknown): Promise<{ readonly spec: DeviceSpec; readonly blocks: readonly PlannedBlock[]; arrived(): void }> {
    const file = this.#file;
    const { manifest } = file;
    await checkManifestShape('the device', { abi: manifest.abi, machines: { [this.#machine]: { devices: [given] } } });
    const entry = given as ManifestDevice;
    const lock = readLock(file);
    const [planned] = planDevices(file, this.#machine, { devices: [entry] }, await scanFor(file), lock);
    const { plugin } = planned!;
    if (plugin.description.hotPluggable !== true) throw new UsageError(`${entry.name}: ${plugin.description.id} does not come while a machine runs; vm devices add puts it into ${file.file}`);
    checkLocked(file, [planned!], lock);
    checkConflicts(file, this.#machine, [...this.#present, planned!], this.#board);
    const [spec] = await loadDevices([planned!]);
    const arrived = (): void => {
      this.#present = [...this.#present, planned!];
      this.#added = [...this.#added, entry];
      this.#removed = this.#removed.filter((name) => name !== entry.name);
    };
    return { spec: spec!, blocks: planned!.blocks, arrived };
  }

  left(name: string): void {
    this.#present = this.#present.filter((one) => one.name !== name);
    if (this.#added.some((one) => one.name === name)) this.#added = this.#added.filter((one) => one.name !== name);
    else this.#removed = [...this.#removed, name];
  }

  has(name: string): boolean {
    return this.#present.some((one) => one.name === name);
  }
}
