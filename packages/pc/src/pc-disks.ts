import { type BlockBackend, device, type DeviceSpec } from '@vm/core';
import { piixIde } from '@vm/device-ata';
import type { PciBus } from '@vm/pci';
import { virtioBlk } from '@vm/virtio';

export interface PcDisk {
  readonly disk: BlockBackend;
  readonly bus?: 'virtio' | 'ata'; // default: virtio
  /** What the guest sees as serial number, up to 20 ASCII characters; default: the name, disk0 and following. */
  readonly serial?: string;
  /** Offer packed rings; virtio only. */
  readonly packed?: boolean;
}

const FIRST_SLOT = 3;

const IDE_SLOT = 1;

/** The devices of a machine's disks, whose back ends have the names disk0 and following. */
export function diskDevices(disks: readonly PcDisk[], pci: PciBus): DeviceSpec[] {
  const named = disks.map((disk, i) => ({ ...disk, block: `disk${i}` }));
  const drives = named.filter(({ bus }) => bus === 'ata').map(({ block, serial = block }) => ({ block, serial }));
  return [
    ...(drives.length === 0 ? [] : [device('ide', piixIde, { isaSlot: pci.slot(IDE_SLOT), slot: pci.slot(IDE_SLOT, 1), drives })]),
    ...named.filter(({ bus }) => bus !== 'ata').map(({ block, packed = false, serial = block }, i) => device(`virtio-${block}`, virtioBlk, { slot: pci.slot(FIRST_SLOT + i), block, packed, serial })),
  ];
}
