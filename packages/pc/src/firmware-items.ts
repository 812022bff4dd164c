import type { FwCfgConfig } from '@vm/device-fw-cfg';

// Numbers of items: QEMU, docs/specs/fw_cfg and hw/nvram.
const RAM_BYTES = 0x03;
const PROCESSORS = 0x05;
const MOST_PROCESSORS = 0x0f;

/** What firmware and test programs may ask of the machine. The highest address of RAM is not among it, and so reads as zeros. */
export function firmwareItems(ramBytes: number, processors: number): Pick<FwCfgConfig, 'items'> {
  return { items: { [RAM_BYTES]: number(ramBytes, 8), [PROCESSORS]: number(processors, 2), [MOST_PROCESSORS]: number(processors, 2) } };
}

/** Little endian. */
function number(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 0x100);
}
