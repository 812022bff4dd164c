/** @import { DeviceContext, DeviceModule, IoHandler, Plain, Timer } from '@vm/core' */
/** @import { PciDevice } from '@vm/core/pci' */

const DELAY = 0x0; // write: ring after so many microseconds, 0: not at all; read: the last one
const STATUS = 0x4; // read: 1 when it rings, 2 while it is set; write: 1 makes it silent
const COUNT = 0x8; // read: how often it has rung
const IDENTITY = 0xc; // read: "ALRM"
const IDENTITY_VALUE = 0x4d52_4c41;

const RINGS = 1;
const IS_SET = 2;

/** A card with an alarm: one window of memory, INTA, or MSI-X with one vector. @implements {IoHandler} */
class AlarmCard {
  #delay = 0;
  #rings = false;
  #count = 0;
  /** @type {Timer} */
  #timer;
  /** @type {PciDevice} */
  #pci;
  #clock;

  /** @param {DeviceContext<'clock' | 'pci'>} ctx @param {Readonly<Record<string, boolean | number | string>>} properties */
  constructor({ clock, pci }, { subsystem }) {
    this.#clock = clock;
    this.#timer = clock.timer(() => this.#ring());
    // The class says that nobody knows what it is: no driver of a stock guest takes it.
    this.#pci = pci.create({
      vendor: 0x1234, device: 0xa1a2, subsystemVendor: 0x1234, subsystem: Number(subsystem), classCode: 0xff_0000, interruptPin: 1,
      regions: [{ bar: 0, space: 'memory', bytes: 16, handler: this, sizes: [4] }], msix: { bar: 1, vectors: 1 },
    });
  }

  /** @param {number} offset */
  read(offset) {
    switch (offset) {
      case DELAY: return this.#delay;
      case STATUS: return (this.#rings ? RINGS : 0) | (this.#timer.due === Infinity ? 0 : IS_SET);
      case COUNT: return this.#count;
      default: return offset === IDENTITY ? IDENTITY_VALUE : 0;
    }
  }

  /** @param {number} offset @param {number} _size @param {number} value */
  write(offset, _size, value) {
    if (offset === DELAY) {
      this.#delay = value;
      if (value === 0) this.#timer.disarm();
      else this.#timer.arm(this.#clock.now() + value * 1000);
    } else if (offset === STATUS && (value & RINGS) !== 0) {
      this.#rings = false;
      this.#pci.setInterrupt(false);
    }
  }

  powerUp() {
    this.#pci.reset();
    this.#delay = 0;
    this.#rings = false;
    this.#count = 0;
    this.#timer.disarm();
  }

  /** @returns {Plain} */
  save() {
    return { delay: this.#delay, rings: this.#rings, count: this.#count, due: this.#timer.due === Infinity ? null : this.#timer.due, pci: this.#pci.save() };
  }

  /** @param {Plain} state */
  load(state) {
    const { delay, rings, count, due = null, pci = null } = /** @type {Readonly<Record<string, Plain>>} */ (state ?? {});
    if (typeof delay !== 'number' || typeof rings !== 'boolean' || typeof count !== 'number' || (due !== null && (typeof due !== 'number' || Number.isNaN(due)))) throw new TypeError('alarm-card: delay, rings, count and due expected');
    this.#pci.load(pci);
    this.#delay = delay >>> 0;
    this.#rings = rings;
    this.#count = count >>> 0;
    if (due === null) this.#timer.disarm();
    else this.#timer.arm(due);
    this.#pci.setInterrupt(rings);
  }

  #ring() {
    this.#rings = true;
    this.#count = (this.#count + 1) >>> 0;
    if (this.#pci.usesMsix) this.#pci.interrupt(0);
    this.#pci.setInterrupt(true);
  }
}

/** @type {DeviceModule<Readonly<Record<string, boolean | number | string>>, 'clock' | 'pci'>} */
export const alarmCard = {
  manifest: { abi: 1, id: 'example.alarm-card', version: '1.0.0', state: 1, needs: ['clock', 'pci'], wants: ['hot-remove'] },
  create: (ctx, properties) => new AlarmCard(ctx, properties),
};
