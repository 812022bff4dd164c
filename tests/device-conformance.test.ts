import { readFileSync } from 'node:fs';
import { ApicBus } from '@vm/apic';
import { ioApic, pic8259 } from '@vm/apic/device';
import { memoryDisk } from '@vm/block';
import { device, type DeviceManifest } from '@vm/core';
import { isolatedDevice } from '@vm/core/isolated';
import { acpiPm } from '@vm/device-acpi-pm';
import { piixIde } from '@vm/device-ata';
import { debugcon } from '@vm/device-debugcon';
import { fwCfg } from '@vm/device-fw-cfg';
import { hpet } from '@vm/device-hpet';
import { i8042 } from '@vm/device-i8042';
import { pit8254 } from '@vm/device-pit8254';
import { rtcMc146818 } from '@vm/device-rtc-mc146818';
import { postPort, testdev } from '@vm/device-testdev';
import { uart16550 } from '@vm/device-uart16550';
import { hostBridge, PciBus, pciHotplug } from '@vm/pci';
import { deviceConformance, type DeviceUnderTest } from '@vm/testkit';
import { virtioBlk, virtioConsole, virtioRng } from '@vm/virtio';
import { describe, it } from 'vitest';
import * as inWorkers from './isolated-modules.ts';

const nothing = (): void => {};
const RANGES = { ports: 0xc000, portsEnd: 0x1_0000, memory: 0xe000_0000, memoryEnd: 0xfec0_0000 };

/** A bus with its bridge, whose windows are open as soon as the devices are up. */
function onBus(make: (bus: PciBus) => ReturnType<DeviceUnderTest['devices']>): ReturnType<DeviceUnderTest['devices']> {
  const bus = new PciBus();
  const bridge = device('host-bridge', hostBridge, { bus, reset: nothing });
  const firmware = { name: 'firmware', manifest: { abi: 1, id: 'test.firmware', version: '0.0.0', state: 0, needs: [] }, create: () => ({ powerUp: (why: string) => (why === 'restore' ? undefined : bus.configure(RANGES)) }) } as const;
  return [bridge, ...make(bus), firmware];
}

const DEVICES: readonly DeviceUnderTest[] = [
  { name: 'pic8259', devices: () => [device('pic', pic8259, { levelLines: 1 << 9 })] },
  { name: 'io-apic', devices: () => [device('io-apic', ioApic, { bus: new ApicBus() })] },
  { name: 'pit8254', devices: () => [device('pit', pit8254, {})] },
  { name: 'rtc-mc146818', devices: () => [device('rtc', rtcMc146818, { startMs: 1.7e12 })] },
  { name: 'acpi-pm', devices: () => [device('acpi-pm', acpiPm, { powerOff: nothing })] },
  { name: 'i8042', devices: () => [device('i8042', i8042, { reset: nothing })] },
  { name: 'uart16550', devices: () => [device('com1', uart16550, { base: 0x3f8, pin: 4, output: nothing, ready: nothing, connect: nothing })] },
  { name: 'fw-cfg', devices: () => [device('fw-cfg', fwCfg, { items: { 5: Uint8Array.of(1, 2, 3) } })] },
  { name: 'debugcon', devices: () => [device('debug', debugcon, { output: nothing })] },
  { name: 'testdev', devices: () => [device('testdev', testdev, { exit: nothing, shutdown: nothing })] },
  { name: 'post-port', devices: () => [device('post', postPort, { progress: nothing })] },
  { name: 'host-bridge', devices: () => onBus(() => []) },
  { name: 'pci-hotplug', devices: () => [device('pci-hotplug', pciHotplug, { base: 0x620, raise: nothing, ejected: nothing, connect: (end) => (end.arrived(3), end.ask(4)) })] },
  { name: 'virtio-blk', devices: () => onBus((bus) => [device('disk', virtioBlk, { slot: bus.slot(3), block: 'disk0' })]), blocks: () => ({ disk0: memoryDisk(1 << 20) }) },
  { name: 'virtio-rng', devices: () => onBus((bus) => [device('rng', virtioRng, { slot: bus.slot(3), source: { seed: 5 } })]) },
  { name: 'virtio-console', devices: () => onBus((bus) => [device('console', virtioConsole, { slot: bus.slot(3), output: nothing })]) },
  { name: 'hpet', devices: () => [device('hpet', hpet, {})] },
  { name: 'piix-ide', devices: () => onBus((bus) => [device('ide', piixIde, { isaSlot: bus.slot(1), slot: bus.slot(1, 1), drives: [{ block: 'disk0', serial: 'one' }] })]), blocks: () => ({ disk0: memoryDisk(1 << 20) }) },
];

describe('every device of ours', () => {
  for (const one of DEVICES) for (const { name, run } of deviceConformance(one, { seed: Number(process.env['VM_SEED'] ?? 1), lives: 200 })) it(name, run);
});

const crcFolder = new URL('../examples/plug-ins/crc-unit/', import.meta.url);
const crcUnit = JSON.parse(readFileSync(new URL('device.json', crcFolder), 'utf8')) as DeviceManifest;
const alarmFolder = new URL('../examples/plug-ins/alarm-card/', import.meta.url);
const alarmCard = JSON.parse(readFileSync(new URL('device.json', alarmFolder), 'utf8')) as DeviceManifest;
const here = new URL('./isolated-modules.ts', import.meta.url);
const ISOLATED: readonly DeviceUnderTest[] = [
  { name: 'uart16550', devices: () => [isolatedDevice('uart', inWorkers.uart.manifest, { url: here, export: 'uart' })] },
  { name: 'crc-unit', devices: () => [isolatedDevice('crc', crcUnit, { url: new URL('crc-unit.js', crcFolder), export: 'crcUnit', config: { base: 0xd000_0000, polynomial: 'crc32' } })] },
  { name: 'alarm-card', devices: () => [isolatedDevice('alarm', alarmCard, { url: new URL('alarm-card.js', alarmFolder), export: 'alarmCard', config: { subsystem: 7 } })] },
  { name: 'virtio-rng', devices: () => [isolatedDevice('rng', inWorkers.rng.manifest, { url: here, export: 'rng' })] },
  { name: 'virtio-blk', devices: () => [isolatedDevice('disk', inWorkers.blk.manifest, { url: here, export: 'blk' })], blocks: () => ({ disk0: memoryDisk(1 << 20) }) },
];

describe('a device in a worker', () => {
  for (const one of ISOLATED) for (const { name, run } of deviceConformance(one, { seed: Number(process.env['VM_SEED'] ?? 1), accesses: 150, lives: 2, states: 6 })) it(name, run);
});
