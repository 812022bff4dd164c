import type { IoRegion, IoSpace, Line, Lines, Msi, Plain, Size } from '@vm/core';
import type { PciDeviceDescription, PciRegion } from '@vm/core/pci';
import { MSIX_PENDING_OFFSET, MSIX_REGION_BYTES, MsixTable } from './msix-table.ts';
import type { PciSlot } from './pci-bus.ts';
import * as spec from './spec.ts';

/** A window of ports or memory that the guest places. */
export interface PciBar extends Omit<PciRegion, 'bar'> {
  readonly index: number; // 0 to 5
}
/** Bytes behind the identifier and the link of a capability. */
export interface PciCapability {
  readonly id: number;
  readonly body: readonly number[];
}
export interface PciDescription extends Omit<PciDeviceDescription, 'regions'> {
  readonly bars?: readonly PciBar[];
  readonly capabilities?: readonly PciCapability[];
  /** Registers of its own behind the header: their value after reset, and which bits of it can be written. */
  readonly registers?: readonly { readonly offset: number; readonly value: number; readonly writable: number }[]; // a byte each
  /** Of the registers behind the header; answers instead of the stored bytes when it is not undefined. */
  readonly readConfig?: (offset: number, size: Size) => number | undefined;
  /** After the bytes have been stored. */
  readonly wroteConfig?: (offset: number, size: Size, value: number) => void;
}
/** What a function needs of its device's context. */
export interface PciServices {
  readonly pio?: IoSpace;
  readonly mmio?: IoSpace;
  readonly lines?: Lines;
  readonly msi?: Msi;
}
interface Window extends PciBar {
  readonly region: IoRegion;
}

const NO_MSI: Msi = { send: () => {} };

/** One function of a PCI device: its configuration space, its windows and its interrupts. Every access of the guest is defined. */
export class PciFunction {
  /** Where the capabilities begin, in the order of the description; those of MSI and MSI-X last. */
  readonly capabilityOffsets: readonly number[];
  readonly msix: MsixTable | null;
  #intx = false;
  #msi = 0; // offset of the capability, 0: none
  #msixAt = 0;
  readonly #config: DataView = new DataView(new ArrayBuffer(spec.CONFIG_BYTES));
  readonly #initial: Uint8Array;
  readonly #writable: Uint8Array = new Uint8Array(spec.CONFIG_BYTES);
  readonly #windows: Window[] = [];
  readonly #wires: readonly Line[];
  readonly #messages: Msi;
  readonly #description: PciDescription;

  constructor(slot: PciSlot, services: PciServices, description: PciDescription) {
    this.#description = description;
    this.#messages = services.msi ?? NO_MSI;
    const { msix, bars = [] } = description;
    this.msix = msix === undefined ? null : new MsixTable(msix.vectors, this.#messages);
    this.#writeHeader();
    this.capabilityOffsets = this.#writeCapabilities();
    const all: PciBar[] = [...bars, ...(msix === undefined ? [] : [{ index: msix.bar, space: 'memory', bytes: MSIX_REGION_BYTES, handler: this.msix! } as const])];
    for (const bar of all) this.#addWindow(bar, services);
    for (const { offset, value, writable } of description.registers ?? []) {
      this.#config.setUint8(offset, value);
      this.#writable[offset] = writable;
    }
    const { interruptPin } = description;
    this.#wires = interruptPin === undefined || services.lines === undefined ? [] : slot.wiresOf(interruptPin).map((pin) => services.lines!.connect(pin));
    this.#initial = new Uint8Array(this.#config.buffer.slice(0));
    slot.plug(this);
  }

  /** May this function use memory of the guest, and send messages? */
  get isMaster(): boolean {
    return (this.#command & spec.COMMAND_MASTER) !== 0;
  }

  get windows(): readonly { readonly index: number; readonly space: 'ports' | 'memory'; readonly bytes: number }[] {
    return this.#windows;
  }

  get interruptPin(): number {
    return this.#config.getUint8(spec.INTERRUPT_PIN);
  }

  /** Messages instead of a level: MSI-X if the guest has turned it on, else MSI. */
  get usesMsix(): boolean {
    return this.#msixAt > 0 && (this.#config.getUint16(this.#msixAt + spec.MSIX_CONTROL, true) & spec.MSIX_ENABLE) !== 0;
  }

  get usesMsi(): boolean {
    return this.#msi > 0 && (this.#config.getUint16(this.#msi + spec.MSI_CONTROL, true) & spec.MSI_ENABLE) !== 0;
  }

  get #command(): number {
    return this.#config.getUint16(spec.COMMAND, true);
  }

  /** To the state after power-up: windows closed, interrupts low. */
  reset(): void {
    new Uint8Array(this.#config.buffer).set(this.#initial);
    this.#intx = false;
    this.msix?.reset();
    this.#settle();
  }

  /** The level of INTx; a rise is a message when the guest has turned MSI on. */
  setInterrupt(high: boolean): void {
    const rises = high && !this.#intx;
    this.#intx = high;
    if (rises && this.usesMsi && this.isMaster) {
      const at = this.#msi;
      this.#messages.send(this.#config.getUint32(at + spec.MSI_ADDRESS, true) + this.#config.getUint32(at + spec.MSI_ADDRESS + 4, true) * 2 ** 32, this.#config.getUint16(at + spec.MSI_DATA, true));
    }
    this.#driveWires();
  }

  /** A vector of MSI-X. */
  notify(vector: number): void {
    if (this.isMaster) this.msix?.notify(vector);
  }

  readConfig(offset: number, size: Size): number {
    const own = offset >= spec.HEADER_END ? this.#description.readConfig?.(offset, size) : undefined;
    if (own !== undefined) return own;
    return size === 4 ? this.#config.getUint32(offset, true) : size === 2 ? this.#config.getUint16(offset, true) : this.#config.getUint8(offset);
  }

  writeConfig(offset: number, size: Size, value: number): void {
    for (let i = 0; i < size; i++) {
      const mask = this.#writable[offset + i]!;
      const byte = (value >>> (8 * i)) & 0xff;
      this.#config.setUint8(offset + i, (this.#config.getUint8(offset + i) & ~mask) | (byte & mask));
    }
    this.#settle();
    if (offset >= spec.HEADER_END) this.#description.wroteConfig?.(offset, size, value);
  }

  /** Reads a window by its number, as the guest would at its place. */
  readWindow(index: number, offset: number, size: Size): number {
    const window = this.#windows.find((one) => one.index === index);
    if (window === undefined || offset + size > window.bytes) return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
    return window.handler.read(offset, size);
  }

  writeWindow(index: number, offset: number, size: Size, value: number): void {
    const window = this.#windows.find((one) => one.index === index);
    if (window !== undefined && offset + size <= window.bytes) window.handler.write(offset, size, value);
  }

  save(): Plain {
    return { config: new Uint8Array(this.#config.buffer.slice(0)), intx: this.#intx, msix: this.msix === null ? null : this.msix.save() };
  }

  /** The state is hostile: what cannot be written stays what it is. */
  load(state: Plain): void {
    const { config, intx, msix } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (!(config instanceof Uint8Array) || config.length !== spec.CONFIG_BYTES || typeof intx !== 'boolean') throw new TypeError('pci: config expected 256 bytes, intx expected a boolean');
    if (this.msix !== null) {
      const { entries, pending } = (msix ?? {}) as Readonly<Record<string, Plain>>;
      if (!(entries instanceof Uint8Array) || !(pending instanceof Uint8Array)) throw new TypeError('pci: msix expected entries and pending');
      this.msix.load(entries, pending);
    }
    for (let i = 0; i < spec.CONFIG_BYTES; i++) this.#config.setUint8(i, (this.#initial[i]! & ~this.#writable[i]!) | (config[i]! & this.#writable[i]!));
    this.#intx = intx;
    this.#settle();
  }

  #writeHeader(): void {
    const { vendor, device, classCode, revision = 0, subsystemVendor = 0, subsystem = 0, interruptPin = 0 } = this.#description;
    const config = this.#config;
    config.setUint16(spec.VENDOR, vendor, true);
    config.setUint16(spec.DEVICE, device, true);
    config.setUint32(spec.REVISION, ((classCode << 8) | revision) >>> 0, true);
    config.setUint16(spec.SUBSYSTEM_VENDOR, subsystemVendor, true);
    config.setUint16(spec.SUBSYSTEM, subsystem, true);
    config.setUint8(spec.INTERRUPT_PIN, interruptPin);
    this.#writable[spec.COMMAND] = spec.COMMAND_MASTER;
    this.#writable[spec.COMMAND + 1] = spec.COMMAND_NO_INTX >>> 8;
    if (interruptPin > 0) this.#writable[spec.INTERRUPT_LINE] = 0xff;
  }

  #writeCapabilities(): readonly number[] {
    const { capabilities = [], msi = false, msix } = this.#description;
    const offsets: number[] = [];
    let link = spec.CAPABILITIES;
    let next = spec.HEADER_END;
    const place = (id: number, bytes: number): number => {
      const at = next;
      this.#config.setUint8(link, at);
      this.#config.setUint8(at, id);
      link = at + 1;
      next = (at + bytes + 3) & ~3;
      if (next > spec.CONFIG_BYTES) throw new RangeError('pci: too many capabilities');
      return at;
    };
    for (const { id, body } of capabilities) {
      const at = place(id, body.length + 2);
      body.forEach((byte, i) => this.#config.setUint8(at + 2 + i, byte));
      offsets.push(at);
    }
    if (msi) {
      this.#msi = place(spec.CAPABILITY_MSI, spec.MSI_BYTES);
      this.#config.setUint16(this.#msi + spec.MSI_CONTROL, spec.MSI_WIDE, true);
      this.#writable[this.#msi + spec.MSI_CONTROL] = spec.MSI_ENABLE;
      this.#writable[this.#msi + spec.MSI_ADDRESS] = 0xfc;
      this.#writable.fill(0xff, this.#msi + spec.MSI_ADDRESS + 1, this.#msi + spec.MSI_BYTES);
    }
    if (msix !== undefined) {
      this.#msixAt = place(spec.CAPABILITY_MSIX, spec.MSIX_BYTES);
      this.#config.setUint16(this.#msixAt + spec.MSIX_CONTROL, msix.vectors - 1, true);
      this.#config.setUint32(this.#msixAt + spec.MSIX_TABLE, msix.bar, true);
      this.#config.setUint32(this.#msixAt + spec.MSIX_PENDING, MSIX_PENDING_OFFSET | msix.bar, true);
      this.#writable[this.#msixAt + spec.MSIX_CONTROL + 1] = (spec.MSIX_ENABLE | spec.MSIX_MASK_ALL) >>> 8;
    }
    if (next > spec.HEADER_END) this.#config.setUint16(spec.STATUS, spec.STATUS_CAPABILITIES, true);
    return offsets;
  }

  #addWindow(bar: PciBar, services: PciServices): void {
    const { index, space, bytes, handler, sizes } = bar;
    const ports = space === 'ports';
    const io = ports ? services.pio : services.mmio;
    if (io === undefined) throw new TypeError(`pci: a window of ${space} needs the capability ${ports ? 'pio' : 'mmio'}`);
    if (index < 0 || index >= spec.BAR_COUNT || (bytes & (bytes - 1)) !== 0 || bytes < (ports ? 4 : 16) || (ports && bytes > 256)) throw new RangeError(`pci: window ${index} cannot have ${bytes} bytes of ${space}`);
    const at = spec.BARS + 4 * index;
    this.#config.setUint32(at, ports ? spec.BAR_PORTS : 0, true);
    const mask = (-bytes >>> 0);
    for (let i = 0; i < 4; i++) this.#writable[at + i] = (mask >>> (8 * i)) & 0xff;
    this.#writable[spec.COMMAND]! |= ports ? spec.COMMAND_PORTS : spec.COMMAND_MEMORY;
    this.#windows.push({ ...bar, region: io.claim(`bar${index}`, bytes, handler, sizes) });
  }

  /** Everything that follows from configuration space. */
  #settle(): void {
    const command = this.#command;
    for (const window of this.#windows) {
      const ports = window.space === 'ports';
      const open = (command & (ports ? spec.COMMAND_PORTS : spec.COMMAND_MEMORY)) !== 0;
      const base = (this.#config.getUint32(spec.BARS + 4 * window.index, true) & (ports ? ~3 : ~15)) >>> 0;
      place(window.region, open && base > 0 && (!ports || base + window.bytes <= 0x1_0000) ? base : -1);
    }
    if (this.#msixAt > 0) {
      const control = this.#config.getUint16(this.#msixAt + spec.MSIX_CONTROL, true);
      this.msix!.control((control & spec.MSIX_ENABLE) !== 0 && this.isMaster, (control & spec.MSIX_MASK_ALL) !== 0);
    }
    this.#driveWires();
  }

  #driveWires(): void {
    const status = this.#config.getUint16(spec.STATUS, true) & ~spec.STATUS_INTX;
    this.#config.setUint16(spec.STATUS, status | (this.#intx ? spec.STATUS_INTX : 0), true);
    const high = this.#intx && (this.#command & spec.COMMAND_NO_INTX) === 0 && !this.usesMsix && !this.usesMsi;
    for (const wire of this.#wires) wire.set(high);
  }
}

/** A guest may put a window over somebody else's: then nobody sees it there. */
function place(region: IoRegion, base: number): void {
  if (region.base === base) return;
  if (base >= 0) {
    try {
      return region.map(base);
    } catch {
      // taken, or beyond the end
    }
  }
  region.unmap();
}
