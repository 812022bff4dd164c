import { type BlockBackend, device, type DeviceSpec } from '@vm/core';
import { piixIde } from '@vm/device-ata';
import type { PciBus, PciSlot } from '@vm/pci';
import { virtioBlk } from '@vm/virtio';

export interface PcDisk {
  readonly disk: BlockBackend;
  readonly bus?: 'virtio' | 'ata'; // default: virtio
  /** What the guest sees as serial number, up to 20 ASCII characters; default: the name, disk0 and following. */
  readonly serial?: string;
  /** Offer packed rings; virtio only. */
  readonly packed?: boolean;
  /** Of its back end; default: disk0 and following. A disk on virtio is the device virtio-NAME. */
  readonly name?: string;
  readonly slot?: number; // of the PCI bus; virtio only; default: 3 and following
}
/** A disk with all that is decided about it. */
export interface NamedDisk extends PcDisk {
  readonly name: string;
  readonly serial: string;
}

const FIRST_DISK_SLOT = 3;
const IDE_SLOT = 1;

/** Names and slots of disks in their order, where they have none of their own: what a saved machine is made of again depends on them. */
export function placeDisks<D extends Pick<PcDisk, 'name' | 'bus' | 'slot'>>(disks: readonly D[]): readonly (D & { readonly name: string })[] {
  let slot = FIRST_DISK_SLOT;
  return disks.map((disk, i) => ({ ...disk, name: disk.name ?? `disk${i}`, ...(disk.bus === 'ata' ? {} : { slot: disk.slot ?? slot++ }) }));
}

export function nameDisks(disks: readonly PcDisk[]): readonly NamedDisk[] {
  return placeDisks(disks).map((disk) => ({ ...disk, serial: disk.serial ?? disk.name }));
}

export function virtioDisk({ name, serial, packed = false }: NamedDisk, slot: PciSlot): DeviceSpec {
  return device(`virtio-${name}`, virtioBlk, { slot, block: name, packed, serial });
}

/** The devices of a machine's disks. */
export function diskDevices(disks: readonly NamedDisk[], pci: PciBus): DeviceSpec[] {
  const drives = disks.filter(({ bus }) => bus === 'ata').map(({ name, serial }) => ({ block: name, serial }));
  return [
    ...(drives.length === 0 ? [] : [device('ide', piixIde, { isaSlot: pci.slot(IDE_SLOT), slot: pci.slot(IDE_SLOT, 1), drives })]),
    ...disks.filter(({ bus }) => bus !== 'ata').map((disk) => virtioDisk(disk, pci.slot(disk.slot!))),
  ];
}
