import type { BlockBackend, Capabilities, Capability, DeviceContext, Gpa, GuestMemory, LogLevel } from './abi.ts';
import type { MachineClock } from './clock.ts';
import type { DeviceSpec } from './device-spec.ts';
import { VmError } from './errors.ts';
import type { FaultFence } from './fault-fence.ts';
import type { Bus } from './io-bus.ts';
import type { LineHub } from './lines.ts';
import type { PciMaker } from './pci.ts';

export const CAPABILITIES: ReadonlySet<Capability> = new Set(['pio', 'mmio', 'lines', 'controller', 'msi', 'clock', 'dma', 'host', 'pci']);

/** What a machine lends to one of its devices. */
export interface ContextServices {
  readonly fence: FaultFence; // of this device
  readonly pio: Bus;
  readonly mmio: Bus;
  readonly lines: LineHub;
  readonly clock: MachineClock;
  readonly memory: GuestMemory;
  readonly blocks: Readonly<Record<string, BlockBackend>>;
  readonly pci: PciMaker | undefined; // undefined: there is no such bus
  message(address: Gpa, data: number): void;
  log(level: LogLevel, text: string): void;
}

/** Exactly what the manifest names, and what every device has. */
export function createContext({ name, manifest }: DeviceSpec, signal: AbortSignal, services: ContextServices): DeviceContext<Capability> {
  const { pio, mmio, lines, clock, fence, memory, blocks, pci, message, log } = services;
  const offered: { readonly [K in Capability]: () => Capabilities[K] } = {
    pio: () => pio.spaceFor(name),
    mmio: () => mmio.spaceFor(name),
    lines: () => fence.lines(lines),
    controller: () => fence.controller(lines.controllerFor(name)),
    msi: () => ({ send: message }),
    pci: () => pci!(name, { pio: pio.spaceFor(name), mmio: mmio.spaceFor(name), lines: fence.lines(lines), msi: { send: message } }),
    clock: () => fence.clock(clock),
    dma: () => memory,
    host: () => ({ block: (block) => (Object.hasOwn(blocks, block) ? blocks[block]! : refuse(name, block)) }),
  };
  const granted = Object.fromEntries(manifest.needs.map((need) => [need, offered[need]()]));
  return Object.freeze({ ...granted, name, signal, log }) as unknown as DeviceContext<Capability>;
}

function refuse(owner: string, block: string): never {
  throw new VmError('E_HOST', `${owner}: no block back end is named ${block}`, { device: owner });
}
