import { describe, expect, it } from 'vitest';
import { Counters } from './counters.ts';

describe('counters', () => {
  it('read what their owners counted, by name', () => {
    const counters = new Counters();
    const exits = counters.create('cpu.exits');
    let level = 3;
    counters.gauge('cpu.level', () => level);
    exits.value += 2;
    level = 4;
    expect(counters.read()).toEqual({ 'cpu.exits': 2, 'cpu.level': 4 });
  });

  it('include families whose names come and go', () => {
    const counters = new Counters();
    const counts = new Map([['com1.reads', 1]]);
    counters.family('device', () => counts);
    counters.create('cpu.exits');
    counts.set('com1.writes', 2);
    expect(counters.read()).toEqual({ 'cpu.exits': 0, 'device.com1.reads': 1, 'device.com1.writes': 2 });
  });

  it('have a name for themselves', () => {
    const counters = new Counters();
    counters.create('cpu.exits');
    expect(() => counters.gauge('cpu.exits', () => 0)).toThrow(RangeError);
  });
});
