import { beforeEach, describe, expect, it } from 'vitest';
import { LineHub } from './lines.ts';

let outputs: boolean[];
let hub: LineHub;
let heard: string[];
beforeEach(() => {
  outputs = [];
  heard = [];
  hub = new LineHub((high) => outputs.push(high));
});

function listen(owner: string, first: number, pins: number): void {
  hub.controllerFor(owner).attach(first, pins, { setLine: (pin, high) => heard.push(`${owner} ${pin} ${high ? 'high' : 'low'}`) });
}

describe('lines', () => {
  it('holds a pin high while any of its outputs is', () => {
    listen('pic', 0, 16);
    hub.setLive(true);
    const a = hub.connect(5);
    const b = hub.connect(5);
    a.set(true);
    b.set(true);
    a.set(false);
    a.set(false);
    expect(heard).toEqual(['pic 5 high']);
    b.set(false);
    expect(heard).toEqual(['pic 5 high', 'pic 5 low']);
  });

  it('tells every controller that listens to the pin, and no other', () => {
    listen('pic', 0, 16);
    listen('io-apic', 0, 24);
    hub.setLive(true);
    hub.connect(3).set(true);
    hub.connect(20).set(true);
    hub.connect(24).set(true);
    expect(heard).toEqual(['pic 3 high', 'io-apic 3 high', 'io-apic 20 high']);
  });

  it('records levels before the machine runs and tells them when it does, once', () => {
    listen('pic', 0, 16);
    const line = hub.connect(1);
    const brief = hub.connect(2);
    line.set(true);
    brief.set(true);
    brief.set(false);
    expect(heard).toEqual([]);
    hub.setLive(true);
    hub.setLive(true);
    expect(heard).toEqual(['pic 1 high']);
  });

  it('ORs the outputs of the controllers and asks the one that is high for the vector', () => {
    const first = hub.controllerFor('first');
    const second = hub.controllerFor('second');
    first.attach(0, 8, { setLine: () => undefined, acknowledge: () => 0x20 });
    second.attach(8, 8, { setLine: () => undefined, acknowledge: () => 0x70 });
    expect(hub.acknowledge()).toBe(-1);
    second.intr.set(true);
    expect(hub.acknowledge()).toBe(0x70);
    first.intr.set(true);
    second.intr.set(false);
    expect(hub.acknowledge()).toBe(0x20);
    first.intr.set(false);
    expect(outputs).toEqual([true, false]);
  });

  it('tells all controllers the end of an interrupt', () => {
    const ends: number[] = [];
    hub.controllerFor('io-apic').attach(0, 24, { setLine: () => undefined, endOfInterrupt: (vector) => ends.push(vector) });
    listen('pic', 0, 16);
    hub.endOfInterrupt(0x31);
    expect(ends).toEqual([0x31]);
  });

  it('refuses a pin that is no number', () => {
    expect(() => hub.connect(-1)).toThrow(RangeError);
  });
});
