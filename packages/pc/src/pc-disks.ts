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

export const FIRST_DISK_SLOT = 3;

const IDE_SLOT = 1;

export function nameDisks(disks: readonly PcDisk[]): readonly NamedDisk[] {
  let slot = FIRST_DISK_SLOT;
  return disks.map((disk, i) => {
    const { name = `disk${i}`, serial = name } = disk;
    return { ...disk, name, serial, ...(disk.bus === 'ata' ? {} : { slot: disk.slot ?? slot++ }) };
  });
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
