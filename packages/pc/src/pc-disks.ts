import { type BlockBackend, device, type DeviceSpec } from '@vm/core';
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

/** The devices of a machine's disks, whose back ends have the names disk0 and following. */
export function diskDevices(disks: readonly PcDisk[], pci: PciBus): DeviceSpec[] {
  return disks.flatMap(({ bus = 'virtio', serial, packed = false }, i) => {
    const block = `disk${i}`;
    if (bus !== 'virtio') return [];
    return [device(`virtio-${block}`, virtioBlk, { slot: pci.slot(FIRST_SLOT + i), block, packed, serial: serial ?? block })];
  });
}
