import type { IoHandler, Size } from '../abi.ts';
import type { PciDevice, PciDeviceDescription, PciRegion } from '../pci.ts';
import { count, membersOf, sizesOf } from './sent-values.ts';

const BARS = 6;
const MOST_BYTES = 2 ** 31; // of a window
const MOST_VECTORS = 2048;
const MOST_VECTOR = 0xffff;

/** A description as a worker sent it, which may be anything. `handlerOf` makes the machine's end of a window. Throws TypeError and RangeError. */
export function readPciDescription(sent: unknown, handlerOf: (readsWide: unknown, writesWide: unknown) => IoHandler): PciDeviceDescription {
  const { vendor, device, classCode, revision, subsystemVendor, subsystem, regions, interruptPin, msi, msix } = membersOf(sent);
  if (!Array.isArray(regions) || regions.length > BARS) throw new TypeError(`expected up to ${BARS} windows`);
  const pin = count(interruptPin ?? 0, 4) as 0 | NonNullable<PciDeviceDescription['interruptPin']>;
  return {
    vendor: count(vendor, 0xffff), device: count(device, 0xffff), classCode: count(classCode, 0xff_ffff), revision: count(revision ?? 0, 0xff),
    subsystemVendor: count(subsystemVendor ?? 0, 0xffff), subsystem: count(subsystem ?? 0, 0xffff), msi: msi === true,
    regions: (regions as readonly unknown[]).map((one) => readRegion(membersOf(one), handlerOf)),
    ...(pin === 0 ? {} : { interruptPin: pin }),
    ...(msix === undefined || msix === null ? {} : { msix: { bar: count(membersOf(msix)['bar'], BARS - 1), vectors: count(membersOf(msix)['vectors'], MOST_VECTORS) } }),
  };
}

function readRegion({ bar, space, bytes, sizes, readsWide, writesWide }: Readonly<Record<string, unknown>>, handlerOf: (readsWide: unknown, writesWide: unknown) => IoHandler): PciRegion {
  if (space !== 'ports' && space !== 'memory') throw new TypeError('a window of ports or memory expected');
  const accepted: readonly Size[] | null = sizesOf(sizes ?? null);
  return { bar: count(bar, BARS - 1), space, bytes: count(bytes, MOST_BYTES), handler: handlerOf(readsWide, writesWide), ...(accepted === null ? {} : { sizes: accepted }) };
}

/** What the device asks of its function by name. */
export function askPci(device: PciDevice, question: unknown, state: unknown): unknown {
  switch (question) {
    case 'isMaster': return device.isMaster;
    case 'usesMsix': return device.usesMsix;
    case 'reset': return device.reset();
    case 'save': return device.save();
    case 'load': return device.load(state as Parameters<PciDevice['load']>[0]); // checks it, as it does for a device of its own thread
    default: throw new TypeError('a question that is none');
  }
}

export function vectorOf(value: number): number { return count(value, MOST_VECTOR); }
