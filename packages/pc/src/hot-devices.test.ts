import { type DeviceSpec, VmError } from '@vm/core';
import { PciBus, type PciSlot } from '@vm/pci';
import { expect, it } from 'vitest';
import { type HotDevice, HotDevices } from './hot-devices.ts';

function setup() {
  const told: string[] = [];
  const asked = new Set<number>();
  const bus = new PciBus();
  const machine = {
    fails: false,
    add: (spec: DeviceSpec) => (machine.fails ? Promise.reject(new VmError('E_OVERLAP', 'no room')) : Promise.resolve(void told.push(`add ${spec.name}`))),
    remove: (name: string) => Promise.resolve(void told.push(`remove ${name}`)),
  };
  const hot = new HotDevices({
    bus, firstSlot: 29, machine: () => machine, failed: (name) => told.push(`failed ${name}`),
    end: () => ({ arrived: (slot) => told.push(`arrived ${slot}`), ask: (slot) => void asked.add(slot), isAsked: (slot) => asked.has(slot), left: (slot) => void asked.delete(slot) }),
  });
  const card = (name: string): HotDevice => ({ name, slot: 'free', make: (_slot: PciSlot) => ({ name }) as DeviceSpec, gone: () => void told.push(`${name} is gone`) });
  return { told, bus, machine, hot, card };
}

it('gives slots while there are some, and again when the guest has let go of them', async () => {
  const { told, hot, card } = setup();
  for (const name of ['a', 'b', 'c']) await hot.add(card(name));
  expect(hot.list().map(({ slot }) => slot)).toEqual([29, 30, 31]);
  await expect(hot.add(card('d'))).rejects.toMatchObject({ code: 'E_OVERLAP', device: 'd' });
  await expect(hot.add(card('a'))).rejects.toMatchObject({ code: 'E_NAME', device: 'a' });
  expect(await hot.remove('b')).toBe('asked');
  expect(hot.list()[1]).toEqual({ name: 'b', slot: 30, state: 'asked' });
  const left = hot.left('b');
  told.length = 0;
  hot.ejected(5); // nobody is there
  hot.ejected(30);
  await left;
  expect(told).toEqual(['remove b', 'b is gone']);
  expect(await hot.add(card('d'))).toEqual({ name: 'd', slot: 30, state: 'there' });
  await hot.left('b'); // it is not there
});

it('keeps the slot of what was taken by force until the guest begins anew', async () => {
  const { told, hot, card, bus } = setup();
  await hot.add(card('a'));
  expect(await hot.remove('a', true)).toBe('gone');
  expect(told).toEqual(['add a', 'arrived 29', 'remove a', 'a is gone']);
  expect([bus.findFree(29), hot.list()]).toEqual([30, []]);
  hot.forget();
  expect(bus.findFree(29)).toBe(29);
  await expect(hot.remove('a', true)).rejects.toMatchObject({ code: 'E_NAME' });
});

it('gives back the slot of a device that could not come, and says so to whoever opened something for it', async () => {
  const { told, hot, card, machine, bus } = setup();
  machine.fails = true;
  await expect(hot.add(card('a'))).rejects.toMatchObject({ code: 'E_OVERLAP' });
  expect([told, bus.findFree(29), hot.list()]).toEqual([['a is gone'], 29, []]);
});

it('lets a device that is not on the bus go at once', async () => {
  const { told, hot } = setup();
  expect(await hot.add({ name: 'port', make: () => ({ name: 'port' }) as DeviceSpec })).toEqual({ name: 'port', slot: null, state: 'there' });
  expect(await hot.remove('port')).toBe('gone');
  expect(told).toEqual(['add port', 'remove port']);
});
