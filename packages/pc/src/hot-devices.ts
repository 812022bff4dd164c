import { type BlockBackend, type DeviceSpec, type Machine, VmError } from '@vm/core';
import type { PciBus, PciHotplugEnd, PciSlot } from '@vm/pci';

/** A device that is to come to a running machine. */
export interface HotDevice {
  readonly name: string;
  /** With a slot of the PCI bus, which the guest is told of. A device that asks for none has to be found by whoever uses it. */
  readonly make: ((slot: PciSlot) => DeviceSpec) | (() => DeviceSpec);
  /** The slot that it has, or `free` for the first one that nobody has; absent: it is no PCI device. */
  readonly slot?: number | 'free';
  /** Back ends that come and go with it. */
  readonly blocks?: Readonly<Record<string, BlockBackend>>;
  /** It has gone, or could not come: its back ends may be closed. */
  readonly gone?: () => void | Promise<void>;
}
/** A device that can go. `asked`: the guest was told to let go of it, and has not yet. */
export interface HotDeviceState {
  readonly name: string;
  readonly slot: number | null;
  readonly state: 'there' | 'asked';
}
export interface HotDeviceServices {
  readonly bus: PciBus;
  readonly firstSlot: number; // of those that are given away
  machine(): Pick<Machine, 'add' | 'remove'>;
  /** Absent: nobody tells the guest. */
  end(): PciHotplugEnd | null;
  /** What went wrong when nobody waited for it. */
  failed(name: string, error: unknown): void;
}
interface Present {
  readonly name: string;
  readonly slot: number | null;
  readonly gone: () => void | Promise<void>;
  readonly waiting: (() => void)[];
}

/** Devices of a PC that come and go while it runs. */
export class HotDevices {
  readonly #present: Present[] = [];
  readonly #lost = new Set<number>(); // slots whose devices were taken away from a guest that still thinks of them
  readonly #services: HotDeviceServices;

  constructor(services: HotDeviceServices) {
    this.#services = services;
  }

  /** A device that was there from the beginning, and can go. */
  note(name: string, slot: number): void {
    this.#present.push({ name, slot, gone: () => {}, waiting: [] });
  }

  list(): readonly HotDeviceState[] {
    const end = this.#services.end();
    return this.#present.map(({ name, slot }) => ({ name, slot, state: slot !== null && end?.isAsked(slot) === true ? 'asked' : 'there' }));
  }

  /** Resolves when it is there; what the guest does with it is another matter. Rejects with AggregateError or VmError, and leaves nothing of it. */
  async add({ name, make, slot: wanted, blocks = {}, gone = () => {} }: HotDevice): Promise<HotDeviceState> {
    const { bus, firstSlot, machine, end } = this.#services;
    if (this.#present.some((one) => one.name === name)) throw new VmError('E_NAME', `there is a device named ${name}`, { device: name });
    const slot = wanted === 'free' ? bus.findFree(firstSlot) : (wanted ?? null);
    if (wanted !== undefined && slot === null) throw new VmError('E_OVERLAP', `${name}: all slots are taken`, { device: name });
    const place = slot === null ? null : bus.slot(slot);
    try {
      await machine().add(place === null ? (make as () => DeviceSpec)() : make(place), blocks);
    } catch (error) {
      if (slot !== null) bus.unplug(slot, true);
      await gone();
      throw error;
    }
    this.#present.push({ name, slot, gone, waiting: [] });
    if (slot !== null) end()?.arrived(slot);
    return { name, slot, state: 'there' };
  }

  /**
   * Asks the guest to let go of a device, which then leaves; one that it was not told of leaves at once. With `force` nobody is asked: the
   * device is gone, and its slot is not used again until the machine is reset.
   */
  async remove(name: string, force: boolean = false): Promise<'asked' | 'gone'> {
    const one = this.#find(name);
    const end = this.#services.end();
    if (!force && one.slot !== null && end !== null) {
      end.ask(one.slot);
      return 'asked';
    }
    await this.#take(one, one.slot === null || !force);
    return 'gone';
  }

  /** Resolves when a device is no longer there; at once when it is not. */
  left(name: string): Promise<void> {
    const one = this.#present.find((other) => other.name === name);
    return one === undefined ? Promise.resolve() : new Promise((resolve) => one.waiting.push(resolve));
  }

  /** The guest has let go of a slot. Slots of devices that stay are none of its business. */
  ejected(slot: number): void {
    const one = this.#present.find((other) => other.slot === slot);
    if (one !== undefined) this.#take(one, true).catch((error: unknown) => this.#services.failed(one.name, error));
  }

  /** The guest begins anew and thinks of nothing. */
  forget(): void {
    for (const slot of this.#lost) this.#services.bus.unplug(slot, true);
    this.#lost.clear();
  }

  #find(name: string): Present {
    const one = this.#present.find((other) => other.name === name);
    if (one === undefined) throw new VmError('E_NAME', `there is no device named ${name} that can go; there ${this.#present.length === 0 ? 'is none' : `are ${this.#present.map((other) => other.name).join(', ')}`}`, { device: name });
    return one;
  }

  async #take(one: Present, reuse: boolean): Promise<void> {
    const { bus, machine, end } = this.#services;
    this.#present.splice(this.#present.indexOf(one), 1);
    if (one.slot !== null) {
      bus.unplug(one.slot, false);
      end()?.left(one.slot);
    }
    try {
      await machine().remove(one.name);
    } finally {
      if (one.slot !== null && reuse) bus.unplug(one.slot, true);
      if (one.slot !== null && !reuse) this.#lost.add(one.slot);
      await one.gone();
      for (const resolve of one.waiting) resolve();
    }
  }
}
