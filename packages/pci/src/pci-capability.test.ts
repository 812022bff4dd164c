import type { Pci } from '@vm/core/pci';
import { expect, it } from 'vitest';
import { PciBus } from './pci-bus.ts';
import { pciCapability } from './pci-capability.ts';

function setup() {
  const bus = new PciBus();
  const told: string[] = [];
  const mapped = new Map<string, number>();
  const claim = (name: string, bytes: number) => ({ get base() { return mapped.get(name) ?? -1; }, bytes, map: (base: number) => void mapped.set(name, base), unmap: () => void mapped.delete(name) });
  const pci: Pci = pciCapability((device) => (told.push(device), bus.slot(20)))('card', {
    pio: { claim }, mmio: { claim },
    lines: { connect: (pin) => ({ set: (high) => told.push(`${pin} ${high ? 'high' : 'low'}`) }) },
    msi: { send: (address, data) => told.push(`message ${address.toString(16)} ${data}`) },
  });
  const config = (offset: number, value: number): void => bus.writeConfig((20 << 11) | offset, 4, value);
  return { bus, told, mapped, pci, config, at: (offset: number) => bus.readConfig((20 << 11) | offset, 4) };
}
const handler = { read: () => 0, write: () => {} };

it('makes a function of a plain description, once', () => {
  const { told, mapped, pci, config, at } = setup();
  const description = { vendor: 0x1234, device: 0x5678, classCode: 0xff_0000, interruptPin: 1, regions: [{ bar: 0, space: 'memory', bytes: 4096, handler }, { bar: 2, space: 'ports', bytes: 16, handler }], msi: true } as const;
  const device = pci.create(description);
  expect(() => pci.create(description)).toThrow(TypeError);
  device.reset();
  expect([at(0), at(8) >>> 8, device.isMaster, device.usesMsix]).toEqual([0x5678_1234, 0xff_0000, false, false]);
  config(0x10, 0xe100_0000);
  config(0x18, 0xc040);
  config(0x04, 0x3);
  expect([...mapped]).toEqual([['bar0', 0xe100_0000], ['bar2', 0xc040]]);
  told.length = 0;
  device.setInterrupt(true);
  device.interrupt(0); // it has no MSI-X
  expect(told).toEqual(['16 high', '10 high']);
  const saved = device.save();
  device.reset();
  expect([told.splice(0).slice(-2), mapped.size]).toEqual([['16 low', '10 low'], 0]);
  device.load(saved);
  expect([told.splice(0).slice(-2), mapped.get('bar0')]).toEqual([['16 high', '10 high'], 0xe100_0000]);
  // The guest turns MSI on: a message at each rise, if it lets the device be master.
  device.setInterrupt(false);
  const msi = at(0x34) & 0xff;
  config(msi + 4, 0xfee0_0000);
  config(msi + 12, 0x31);
  config(msi, 0x1_0000);
  device.setInterrupt(true);
  expect(told.filter((one) => one.startsWith('message'))).toEqual([]);
  device.setInterrupt(false);
  config(0x04, 0x7);
  device.setInterrupt(true);
  expect([device.isMaster, told.filter((one) => one.startsWith('message'))]).toEqual([true, [`message fee00000 ${0x31}`]]);
});

it('sends messages of MSI-X by number where the guest has turned it on', () => {
  const { told, pci, config, bus, at } = setup();
  const device = pci.create({ vendor: 1, device: 2, classCode: 0, regions: [], msix: { bar: 1, vectors: 2 } });
  device.reset();
  device.interrupt(1);
  const msix = at(0x34) & 0xff;
  config(0x04, 0x6);
  config(msix, 0x8000_0000);
  device.interrupt(1); // masked from the beginning
  expect([device.usesMsix, told, bus.readConfig((20 << 11) | 0x3d, 1)]).toEqual([true, ['card'], 0]);
});
