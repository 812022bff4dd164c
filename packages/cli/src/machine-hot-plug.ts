import { randomFillSync } from 'node:crypto';
import { type Guest, type HotDeviceState, placeDisks } from '@vm/pc';
import type { ControlRequest } from './control-socket.ts';
import { describeDisk, type DiskDescriptor, isUnattended, resolveDisk } from './disk-descriptor.ts';
import type { LaterDevices } from './later-devices.ts';
import type { LiveDisk } from './live-disk.ts';
import { noPassphrase, openLiveDisk, serialOf } from './machine-disks.ts';
import type { MachineVcpu } from './machine-vcpu.ts';
import type { SnapshotOrigin } from './snapshot-origin.ts';
import { UsageError } from './usage-error.ts';

export interface MachineHotPlugServices {
  readonly guest: Guest<MachineVcpu>;
  readonly origin: SnapshotOrigin;
  readonly seed: number;
  /** In the order of `origin`. */
  readonly disks: readonly LiveDisk[];
  readonly plugIns: LaterDevices | null; // null: the machine has no directories
  /** Why no device may come or go; null: they may. */
  readonly refusal: string | null;
}

const RANDOM_DEVICE = 'virtio-rng';
const MOST_WAIT_MS = 600_000;

/** Devices that come to a running machine and leave it, at the command of its owner. */
export class MachineHotPlug {
  #disks: readonly DiskDescriptor[];
  #rng: boolean;
  readonly #open = new Set<() => Promise<void>>(); // disks that came later
  readonly #live = new Map<string, LiveDisk>(); // by name, those that were there at the beginning too
  readonly #services: MachineHotPlugServices;

  constructor(services: MachineHotPlugServices) {
    this.#services = services;
    this.#disks = placeDisks(services.origin.disks);
    this.#rng = services.origin.rng;
    for (const [i, { name }] of this.#disks.entries()) {
      const disk = services.disks[i];
      if (name !== undefined && disk !== undefined) this.#live.set(name, disk);
    }
  }

  /** What the machine could be made of again as it is now. */
  get origin(): SnapshotOrigin {
    const { origin, plugIns } = this.#services;
    const slots = Object.fromEntries(this.list().flatMap(({ name, slot }) => (slot !== null && plugIns?.has(name) === true ? [[name, slot]] : [])));
    return { ...origin, disks: this.#disks.map((disk) => ({ ...disk, ...keyOf(this.#live.get(disk.name ?? '')) })), rng: this.#rng, ...(plugIns === null ? {} : { plugIns: { ...plugIns.changes, slots }, lent: plugIns.disks }) };
  }

  /** Disks whose images may be encrypted behind the guest. */
  get live(): ReadonlyMap<string, LiveDisk> {
    return this.#live;
  }

  list(): readonly HotDeviceState[] {
    return this.#services.guest.hot.list();
  }

  /** Throws UsageError, and VmError or AggregateError where the machine refuses. */
  async add({ device, spec = '', folder = '/', entry }: ControlRequest): Promise<HotDeviceState> {
    this.#check('add');
    if (typeof spec !== 'string' || typeof folder !== 'string') throw new UsageError('add: spec and folder expected texts');
    switch (device) {
      case 'disk': return this.#addDisk(spec, folder);
      case 'rng': return this.#addRandom();
      case 'plug-in': return this.#addPlugIn(entry);
      default: throw new UsageError(`add: expected disk, rng or plug-in, got ${JSON.stringify(device ?? null)}`);
    }
  }

  /** Without `force` the guest is asked; `asked` is the answer when it has not let go of the device after so many milliseconds. */
  async remove({ device, force = false, wait = 0 }: ControlRequest): Promise<{ readonly device: string; readonly state: 'asked' | 'gone' }> {
    this.#check('remove');
    if (typeof device !== 'string') throw new UsageError('remove: expected the name of a device');
    if (typeof wait !== 'number' || !(wait >= 0 && wait <= MOST_WAIT_MS)) throw new UsageError(`remove: wait expected 0 to ${MOST_WAIT_MS} milliseconds`);
    const { hot } = this.#services.guest;
    const name = hot.list().some((one) => one.name === device) ? device : `virtio-${device}`;
    const left = hot.list().some((one) => one.name === name) ? hot.left(name) : null;
    const state = await hot.remove(hot.list().some((one) => one.name === name) ? name : device, force === true);
    if (state === 'gone' || left === null) {
      this.#forget(name);
      return { device: name, state };
    }
    void left.then(() => this.#forget(name));
    return { device: name, state: await within(left, wait) ? 'gone' : 'asked' };
  }

  /** Closes what came later and is still there. */
  async close(): Promise<void> {
    for (const close of this.#open) await close();
  }

  async #addDisk(spec: string, folder: string): Promise<HotDeviceState> {
    const given = describeDisk(spec);
    if (given.bus === 'ata') throw new UsageError('add: disks with bus=ata are there from the beginning');
    if (given.key !== undefined && !isUnattended(given.key)) throw new UsageError('add: the terminal and the descriptors are those of the machine: key=file:FILE');
    const descriptor = resolveDisk(given, folder);
    const name = given.name ?? this.#freeName();
    const { disk, close } = await this.#openDisk(name, descriptor);
    const there = await this.#services.guest.addDisk({ disk, name, serial: serialOf(descriptor.file) }, close);
    this.#disks = [...this.#disks, { ...descriptor, name, slot: there.slot! }];
    return there;
  }

  async #openDisk(name: string, descriptor: DiskDescriptor): Promise<{ readonly disk: LiveDisk; readonly close: () => Promise<void> }> {
    const disk = await openLiveDisk(descriptor, noPassphrase);
    const close = async (): Promise<void> => {
      this.#live.delete(name);
      if (this.#open.delete(close)) await disk.close();
    };
    this.#open.add(close);
    this.#live.set(name, disk);
    return { disk, close };
  }

  async #addRandom(): Promise<HotDeviceState> {
    const { guest, origin, seed } = this.#services;
    const there = await guest.addRandom(origin.clock === 'virtual' ? { seed } : { fill: (into) => void randomFillSync(into) });
    this.#rng = true;
    return there;
  }

  async #addPlugIn(entry: unknown): Promise<HotDeviceState> {
    const { guest, plugIns } = this.#services;
    if (plugIns === null) throw new UsageError('add: this machine has no device directories; those of vm run have');
    const { spec, blocks, arrived } = await plugIns.load(entry);
    const opened: { readonly name: string; readonly disk: LiveDisk; readonly close: () => Promise<void> }[] = [];
    const close = async (): Promise<void> => {
      for (const one of opened) await one.close();
    };
    try {
      for (const { name, disk } of blocks) opened.push({ name, ...(await this.#openDisk(name, disk)) });
    } catch (error) {
      await close();
      throw error;
    }
    const there = await guest.addDevice(spec, Object.fromEntries(opened.map(({ name, disk }) => [name, disk])), close);
    arrived();
    return there;
  }

  #freeName(): string {
    const taken = new Set([...this.#disks.map(({ name }) => name), ...this.list().map(({ name }) => name.replace(/^virtio-/, ''))]);
    for (let i = 0; ; i++) if (!taken.has(`disk${i}`)) return `disk${i}`;
  }

  #forget(name: string): void {
    this.#disks = this.#disks.filter((disk) => disk.bus === 'ata' || `virtio-${disk.name!}` !== name);
    if (name === RANDOM_DEVICE) this.#rng = false;
    if (this.#services.plugIns?.has(name) === true) this.#services.plugIns.left(name);
  }

  #check(command: string): void {
    if (this.#services.refusal !== null) throw new UsageError(`${command}: ${this.#services.refusal}`);
  }
}

/** Encrypting a disk, or giving it another key, changes what opens it. */
function keyOf(disk: LiveDisk | undefined): Pick<DiskDescriptor, 'key'> {
  return disk?.descriptor.key === undefined ? {} : { key: disk.descriptor.key };
}

/** Whether it came before the time was over. */
async function within(event: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolved) => {
    timer = setTimeout(() => resolved(false), milliseconds);
  });
  try {
    return await Promise.race([event.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
