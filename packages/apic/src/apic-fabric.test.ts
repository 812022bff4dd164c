import { createVirtualClock } from '@vm/testkit';
import { expect, it } from 'vitest';
import { ApicBus } from './apic-bus.ts';
import { createApicFabric } from './apic-fabric.ts';

const SVR = 0xf0, ICR = 0x300, ICR_HIGH = 0x310, LDR = 0xd0, LVT0 = 0x350;

function setup(processors: number) {
  const events: string[] = [];
  const vectors: number[] = [];
  const fabric = createApicFabric({
    clock: createVirtualClock(),
    signal: (index) => void events.push(`signal ${index}`),
    notify: (index, event, page) => void events.push(event === 'startup' ? `startup ${index} ${page}` : `${event} ${index}`),
    acknowledge: () => vectors.shift() ?? -1,
    endOfInterrupt: () => {},
    log: () => {},
  }, { processors, bus: new ApicBus() });
  fabric.reset();
  events.length = 0;
  const write = (index: number, offset: number, value: number): void => fabric.port(index).writeRegister(offset, 4, value);
  return { fabric, events, vectors, write };
}

it('starts all other processors with one INIT and one start-up message to all but the sender', () => {
  const { events, write } = setup(4);
  write(0, ICR, 0xc_0608); // nobody waits for it before INIT but those that have never run
  expect(events).toEqual(['startup 1 8', 'startup 2 8', 'startup 3 8']);
  events.length = 0;
  write(0, ICR, 0xc_4500);
  write(0, ICR, 0xc_4609);
  write(0, ICR, 0xc_460a); // the second one finds nobody waiting
  expect(events).toEqual(['init 1', 'init 2', 'init 3', 'startup 1 9', 'startup 2 9', 'startup 3 9']);
});

it('starts one processor by its id, and takes no notice of the de-assertion of INIT', () => {
  const { events, write } = setup(4);
  write(0, ICR_HIGH, 2 << 24);
  write(0, ICR, 0xc500); // INIT, asserted, level
  write(0, ICR, 0x8500); // de-asserted
  write(0, ICR, 0x4680);
  write(0, ICR, 0x4680);
  expect(events).toEqual(['init 2', 'startup 2 128']);
});

it('delivers to each processor that a logical destination names, whether or not two have the same logical id', () => {
  const { fabric, write } = setup(4);
  for (let index = 0; index < 4; index++) {
    write(index, SVR, 0x1ff);
    write(index, LDR, (index === 3 ? 1 : 1 << index) << 24);
  }
  write(1, ICR_HIGH, 0x05 << 24);
  write(1, ICR, 0x4831);
  expect([0, 1, 2, 3].map((index) => fabric.port(index).isPending())).toEqual([true, false, true, true]);
  expect([0, 2, 3].map((index) => fabric.port(index).acknowledge())).toEqual([0x31, 0x31, 0x31]);
});

it('wires the 8259 to every processor, and firmware leaves it open at the first', () => {
  const { fabric, events, vectors, write } = setup(2);
  vectors.push(0x20, 0x21);
  fabric.external(true);
  expect([events, fabric.port(0).isPending(), fabric.port(1).isPending()]).toEqual([['signal 0'], true, false]);
  expect(fabric.port(0).acknowledge()).toBe(0x20);
  write(1, SVR, 0x1ff);
  write(0, LVT0, 0x1_0700);
  write(1, LVT0, 0x700);
  expect([fabric.port(0).isPending(), fabric.port(1).isPending()]).toEqual([false, true]);
  expect(fabric.port(1).acknowledge()).toBe(0x21);
});

it('initializes all processors at once, and their local APICs with them', () => {
  const { fabric, events, vectors, write } = setup(3);
  for (let index = 0; index < 3; index++) write(index, SVR, 0x1ff);
  write(0, ICR, 0x8_4055); // to all
  events.length = 0;
  fabric.initialize();
  expect(events).toEqual(['init 0', 'init 1', 'init 2']);
  expect([0, 1, 2].map((index) => [fabric.port(index).isPending(), fabric.port(index).readRegister(SVR, 4)])).toEqual([[false, 0x1ff], [false, 0xff], [false, 0xff]]);
  events.length = 0;
  write(0, ICR, 0xc_4607);
  vectors.push(0x20);
  fabric.external(true);
  expect(events).toEqual(['startup 1 7', 'startup 2 7', 'signal 0']); // and the 8259 reaches the first, as firmware leaves it
});

it('saves and loads all local APICs, and refuses those of another number of processors', () => {
  const { fabric, write } = setup(3);
  write(2, SVR, 0x1ff);
  write(0, ICR_HIGH, 2 << 24);
  write(0, ICR, 0x4055);
  const other = setup(3);
  other.fabric.load(fabric.save());
  expect([0, 1, 2].map((index) => other.fabric.port(index).isPending())).toEqual([false, false, true]);
  expect(other.fabric.save()).toEqual(fabric.save());
  expect(() => setup(2).fabric.load(fabric.save())).toThrow(TypeError);
});
