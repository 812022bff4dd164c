import type { Device, DeviceContext, DeviceModule, IoHandler, Plain, Size } from '@vm/core';

/** The composer's end: it puts devices into slots, and asks the guest to let go of them. */
export interface PciHotplugEnd {
  /** A device is in the slot now: the guest is to look. */
  arrived(slot: number): void;
  /** The guest is asked to let go of what is in the slot. Asked again, it is told again. */
  ask(slot: number): void;
  /** The guest has been asked, and has not answered. */
  isAsked(slot: number): boolean;
  /** What was in the slot has gone, whether the guest let go of it or not. */
  left(slot: number): void;
}
export interface PciHotplugConfig {
  readonly base: number;
  /** Raises the event whose method reads these registers. */
  readonly raise: () => void;
  /** The guest has let go of a slot. Called in the middle of a guest instruction. */
  readonly ejected: (slot: number) => void;
  /** Hands out the composer's end, once, when the device is made. */
  readonly connect: (end: PciHotplugEnd) => void;
}

/** Ports of the block: what the methods of the ACPI tables read and write, 4 bytes each with a bit for each slot. */
export const HOTPLUG_ARRIVED = 0x0; // read: slots with something new, each told once
export const HOTPLUG_ASKED = 0x4; // read: slots that are to be let go, each told once
export const HOTPLUG_EJECT = 0x8; // write: slots that were let go
export const HOTPLUG_BYTES = 0xc;

/** Slots whose devices come and go: the register block behind the hot-plug methods of the ACPI tables. */
class PciHotplug implements Device, IoHandler {
  #arrived = 0;
  #asking = 0; // not told yet
  #asked = 0; // told or not, and not answered
  readonly #config: PciHotplugConfig;

  constructor(ctx: DeviceContext<'pio'>, config: PciHotplugConfig) {
    this.#config = config;
    ctx.pio.claim('slots', HOTPLUG_BYTES, this, [4]).map(config.base);
    config.connect({
      arrived: (slot) => {
        this.#arrived |= 1 << slot;
        config.raise();
      },
      ask: (slot) => {
        this.#asking |= 1 << slot;
        this.#asked |= 1 << slot;
        config.raise();
      },
      isAsked: (slot) => (this.#asked & (1 << slot)) !== 0,
      left: (slot) => this.#forget(1 << slot),
    });
  }

  powerUp(): void {
    this.#forget(-1);
  }

  read(offset: number, _size: Size): number {
    if (offset === HOTPLUG_ARRIVED) {
      const arrived = this.#arrived;
      this.#arrived = 0;
      return arrived >>> 0;
    }
    if (offset !== HOTPLUG_ASKED) return 0;
    const asking = this.#asking;
    this.#asking = 0;
    return asking >>> 0;
  }

  write(offset: number, _size: Size, value: number): void {
    if (offset !== HOTPLUG_EJECT) return;
    for (let slot = 0; slot < 32; slot++) if ((value & (1 << slot)) !== 0) this.#config.ejected(slot);
  }

  save(): Plain {
    return { arrived: this.#arrived >>> 0, asking: this.#asking >>> 0, asked: this.#asked >>> 0 };
  }

  load(state: Plain): void {
    const { arrived, asking, asked } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof arrived !== 'number' || typeof asking !== 'number' || typeof asked !== 'number') throw new TypeError('pci-hotplug: arrived, asking and asked expected numbers');
    this.#arrived = arrived | 0;
    this.#asked = asked | 0;
    this.#asking = asking & asked;
  }

  #forget(slots: number): void {
    this.#arrived &= ~slots;
    this.#asking &= ~slots;
    this.#asked &= ~slots;
  }
}

/** Tells the guest which slots have something new and which it is to let go, and hears when it has. */
export const pciHotplug: DeviceModule<PciHotplugConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.pci-hotplug', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx, config) => new PciHotplug(ctx, config),
};
