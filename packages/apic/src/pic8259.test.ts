import { describe, expect, it } from 'vitest';
import { Pic8259 } from './pic8259.ts';

function setup(autoEoi = false) {
  const levels: boolean[] = [];
  const pic = new Pic8259((high) => levels.push(high));
  const master = { in: (register: number) => pic.read('master', register), out: (register: number, value: number) => pic.write('master', register, value) };
  const slave = { in: (register: number) => pic.read('slave', register), out: (register: number, value: number) => pic.write('slave', register, value) };
  const icw4 = autoEoi ? 3 : 1;
  for (const [register, value] of [[0, 0x11], [1, 0x30], [1, 4], [1, icw4]] as const) master.out(register, value);
  for (const [register, value] of [[0, 0x11], [1, 0x38], [1, 2], [1, icw4]] as const) slave.out(register, value);
  const isHigh = (): boolean => levels.at(-1) ?? false;
  const pulse = (line: number): void => {
    pic.setLine(line, false);
    pic.setLine(line, true);
  };
  return { pic, master, slave, isHigh, pulse };
}

it('reads back its mask, as Linux probes it (IRQ-65)', () => {
  const { master, slave } = setup();
  slave.out(1, 0xff);
  master.out(1, 0xfb);
  expect([master.in(1), slave.in(1)]).toEqual([0xfb, 0xff]);
});

describe('requests', () => {
  it('answers with the base of the second initialisation word and the line', () => {
    const { pic, pulse, isHigh } = setup();
    pulse(0);
    expect(isHigh()).toBe(true);
    expect(pic.acknowledge()).toBe(0x30);
    expect(isHigh()).toBe(false);
    pulse(12);
    expect(isHigh()).toBe(false); // line 0 is in service
  });

  it('latches an edge while masked', () => {
    const { pic, master, pulse, isHigh } = setup();
    master.out(1, 0xff);
    pulse(4);
    expect(isHigh()).toBe(false);
    expect(master.in(0)).toBe(0x10);
    master.out(1, 0xef);
    expect(pic.acknowledge()).toBe(0x34);
  });

  it('takes a request back when the line falls, and answers the lost one with a spurious vector (IRQ-73)', () => {
    const { pic, master, pulse, isHigh } = setup();
    pulse(4);
    pic.setLine(4, false);
    expect(isHigh()).toBe(false);
    expect(pic.acknowledge()).toBe(0x37);
    master.out(0, 0x0b);
    expect(master.in(0)).toBe(0);
  });

  it('asks again for a level that stays high, and not for an edge (IRQ-74)', () => {
    const { pic, master, pulse, isHigh } = setup();
    pic.level = 0xffff;
    expect(pic.level).toBe(0xdef8);
    pulse(5);
    pic.acknowledge();
    master.out(0, 0x65);
    expect(isHigh()).toBe(true);
    pic.setLine(5, false);
    expect(isHigh()).toBe(false);
    pulse(1);
    pic.acknowledge();
    master.out(0, 0x61);
    expect(isHigh()).toBe(false);
  });
});

describe('the pair', () => {
  it('acknowledges through the cascade and needs an end at both (IRQ-66)', () => {
    const { pic, master, slave, pulse } = setup();
    pulse(12);
    expect(pic.acknowledge()).toBe(0x3c);
    master.out(0, 0x0b);
    slave.out(0, 0x0b);
    expect([master.in(0), slave.in(0)]).toEqual([0x04, 0x10]);
    pulse(14);
    slave.out(0, 0x64);
    master.out(0, 0x62);
    expect(pic.acknowledge()).toBe(0x3e);
  });

  it('asks again for what the slave still holds after an acknowledge', () => {
    const { pic, master, slave, pulse, isHigh } = setup();
    pulse(15);
    pulse(8);
    expect(pic.acknowledge()).toBe(0x38);
    expect(isHigh()).toBe(false);
    slave.out(0, 0x60);
    master.out(0, 0x62);
    expect(isHigh()).toBe(true);
    expect(pic.acknowledge()).toBe(0x3f);
  });

  it('takes the request at the master back when the slave has nothing left', () => {
    const { pic, master, slave, pulse } = setup();
    slave.out(0, 0x0c); // poll the slave: it acknowledges on its own, and the request at the master falls
    pulse(10);
    expect(slave.in(0)).toBe(0x82);
    expect(pic.acknowledge()).toBe(0x37);
    master.out(0, 0x0b);
    expect(master.in(0)).toBe(0);
  });

  it('nests a higher line of the slave in special fully nested mode only (IRQ-71)', () => {
    const { pic, master, pulse, isHigh } = setup();
    pulse(12);
    pic.acknowledge();
    pulse(8);
    expect(isHigh()).toBe(false);
    master.out(0, 0x11);
    for (const value of [0x30, 4, 0x11]) master.out(1, value);
    pic.setLine(8, false);
    pic.setLine(12, false);
    pulse(12); // still in service at the slave
    pulse(8);
    expect(pic.acknowledge()).toBe(0x38);
    pulse(9);
    expect(isHigh()).toBe(false);
  });
});

describe('priority', () => {
  it('lets a higher line nest and holds a lower one until the end (IRQ-66)', () => {
    const { pic, master, pulse, isHigh } = setup();
    pulse(4);
    pic.acknowledge();
    pulse(6);
    expect(isHigh()).toBe(false);
    pulse(1);
    expect(pic.acknowledge()).toBe(0x31);
    master.out(0, 0x20); // ends line 1
    expect(isHigh()).toBe(false);
    master.out(0, 0x20);
    expect(pic.acknowledge()).toBe(0x36);
  });

  it('ends a line that is not the highest in service (IRQ-67)', () => {
    const { pic, master, pulse } = setup();
    pulse(4);
    pic.acknowledge();
    pulse(1);
    pic.acknowledge();
    master.out(0, 0x64);
    master.out(0, 0x0b);
    expect(master.in(0)).toBe(0x02);
  });

  it('rotates on request and on an end (IRQ-68)', () => {
    const { pic, master, pulse } = setup();
    master.out(0, 0xc4); // line 4 lowest, so 5 highest
    pulse(3);
    pulse(6);
    expect(pic.acknowledge()).toBe(0x36);
    master.out(0, 0xa0); // ends 6 and makes it the lowest
    expect(pic.acknowledge()).toBe(0x33);
  });

  it('lets lower lines through in special mask mode (IRQ-70)', () => {
    const { pic, master, pulse, isHigh } = setup();
    pulse(3);
    pic.acknowledge();
    pulse(6);
    expect(isHigh()).toBe(false);
    master.out(1, 0x08);
    master.out(0, 0x68);
    expect(isHigh()).toBe(true);
    master.out(0, 0x48);
    expect(isHigh()).toBe(false);
  });
});

it('keeps nothing in service with automatic end of interrupt, at either chip (IRQ-69)', () => {
  const { pic, master, slave, pulse } = setup(true);
  pulse(9);
  expect(pic.acknowledge()).toBe(0x39);
  master.out(0, 0x0b);
  slave.out(0, 0x0b);
  expect([master.in(0), slave.in(0)]).toEqual([0, 0]);
});

it('answers a poll with the line and acknowledges it (IRQ-72)', () => {
  const { master, pulse, isHigh } = setup();
  master.out(0, 0x0c);
  expect(master.in(0)).toBe(0);
  pulse(5);
  master.out(0, 0x0c);
  expect(master.in(0)).toBe(0x85);
  expect(isHigh()).toBe(false);
  master.out(0, 0x0b);
  expect(master.in(0)).toBe(0x20);
});

it('answers a poll at its other register too, and goes back to its mask (IRQ-72)', () => {
  const { master, pulse } = setup();
  master.out(1, 0x40);
  pulse(5);
  master.out(0, 0x0c);
  expect([master.in(1), master.in(1)]).toEqual([0x85, 0x40]);
});

it('begins anew with its first initialisation word (IRQ-65)', () => {
  const { pic, master, pulse, isHigh } = setup(true);
  for (const value of [0x80, 0xc3, 0x68, 0x0b]) master.out(0, value); // rotation in automatic mode, 3 lowest, special mask, service is read
  master.out(1, 0xf0);
  pulse(1);
  pulse(6); // masked
  master.out(0, 0x11);
  expect([master.in(0), master.in(1), isHigh()]).toEqual([0, 0, false]); // requests are read, and edges forgotten
  for (const value of [0x40, 4, 1]) master.out(1, value);
  pulse(6);
  pulse(3);
  expect(pic.acknowledge()).toBe(0x43);
  master.out(0, 0x0b);
  expect([master.in(0), isHigh()]).toEqual([0x08, false]); // no automatic end, and lines rank as they are numbered
});

it('skips the words of the sequence that the first one excludes (IRQ-65)', () => {
  const { pic, master, pulse } = setup();
  master.out(0, 0x12); // alone, no fourth word
  master.out(1, 0x57);
  master.out(1, 0xfe);
  expect(master.in(1)).toBe(0xfe);
  pulse(0);
  expect(pic.acknowledge()).toBe(0x50);
});

it('rotates with each end that is automatic when told to (IRQ-68, IRQ-69)', () => {
  const { pic, master, pulse } = setup(true);
  master.out(0, 0x80);
  for (const line of [3, 4, 3]) {
    pulse(3);
    pulse(4);
    expect(pic.acknowledge()).toBe(0x30 | line);
  }
  master.out(0, 0x00);
  expect(pic.acknowledge()).toBe(0x34);
  pulse(4);
  pulse(3);
  expect(pic.acknowledge()).toBe(0x34); // 3 stayed the lowest
});

it('comes back from its saved state', () => {
  const { pic, master, pulse, isHigh } = setup();
  pulse(4);
  pic.acknowledge();
  pulse(12);
  pulse(6);
  const saved = structuredClone(pic.save());
  pic.reset();
  expect(isHigh()).toBe(false);
  pic.load(saved);
  expect(isHigh()).toBe(true);
  expect(pic.acknowledge()).toBe(0x3c);
  expect(master.in(1)).toBe(0);
  expect(pic.save()).not.toEqual(saved);
});
