import type { IoHandler, IoSpace, Lines, Msi, Plain, Size } from './abi.ts';

/** Types of the capability `pci`: a device on the PCI bus, from a plain description of it. */

/** A window of ports or memory that the guest places. */
export interface PciRegion {
  readonly bar: number; // 0 to 5
  readonly space: 'ports' | 'memory';
  readonly bytes: number; // a power of two: ports 4 to 256, memory from 16
  readonly handler: IoHandler;
  readonly sizes?: readonly Size[];
}
export interface PciDeviceDescription {
  readonly vendor: number;
  readonly device: number;
  readonly classCode: number; // 24 bits: class, subclass, programming interface
  readonly revision?: number;
  readonly subsystemVendor?: number;
  readonly subsystem?: number;
  readonly regions: readonly PciRegion[];
  readonly interruptPin?: 1 | 2 | 3 | 4; // INTA to INTD; absent: `setInterrupt` is heard by nobody without MSI
  readonly msi?: boolean; // one message, at each rise of `setInterrupt`
  readonly msix?: { readonly bar: number; readonly vectors: number }; // messages by number; a memory window of its own
}
/** The function that it has become. What the guest did to its configuration space is the device's to reset, save and load. */
export interface PciDevice {
  /** The guest lets it use RAM, and send messages. */
  readonly isMaster: boolean;
  readonly usesMsix: boolean;
  /** The level of its pin. */
  setInterrupt(high: boolean): void;
  /** A message, if the guest has turned MSI-X on; noted while it is masked. */
  interrupt(vector: number): void;
  reset(): void;
  save(): Plain;
  load(state: Plain): void;
}
export interface Pci {
  /** Once, while the device is made. */
  create(description: PciDeviceDescription): PciDevice;
}

/** What a composer makes the capability of: it knows the bus, and the machine lends the rest in the name of the device. */
export type PciMaker = (device: string, services: { readonly pio: IoSpace; readonly mmio: IoSpace; readonly lines: Lines; readonly msi: Msi }) => Pci;
