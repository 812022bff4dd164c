import type { Plain } from '@vm/core';
import { bench } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { i8042 } from './i8042.ts';

const DATA = 0x60, COMMAND = 0x64, SYSTEM = 0x92;

function setup() {
  const events: string[] = [];
  const t = bench(i8042, { reset: () => events.push('reset'), setA20: (open) => events.push(open ? 'a20 open' : 'a20 closed') });
  const ask = (command: number): number => {
    t.out(COMMAND, command);
    expect(t.in(COMMAND) & 0x01).toBe(0x01);
    return t.in(DATA);
  };
  /** Everything that comes, by port 1 or 2. */
  const drain = (): number[] => {
    const bytes: number[] = [];
    while ((t.in(COMMAND) & 1) !== 0) bytes.push((t.in(COMMAND) & 0x20) !== 0 ? t.in(DATA) | 0x200 : t.in(DATA));
    return bytes;
  };
  const toKeyboard = (...bytes: number[]): number[] => bytes.flatMap((byte) => (t.out(DATA, byte), drain()));
  const toMouse = (...bytes: number[]): number[] => bytes.flatMap((byte) => (t.out(COMMAND, 0xd4), t.out(DATA, byte), drain())).map((byte) => byte - 0x200);
  return { t, events, ask, drain, toKeyboard, toMouse };
}

describe('the controller', () => {
  it('passes its tests', () => {
    const { t, ask } = setup();
    expect(t.in(COMMAND)).toBe(0x14);
    expect([ask(0xaa), ask(0xa9), ask(0xab)]).toEqual([0x55, 0, 0]);
    expect(t.in(COMMAND)).toBe(0x1c);
  });

  it('keeps its configuration and the rest of its memory', () => {
    const { t, ask } = setup();
    expect(ask(0x20)).toBe(0x47);
    t.out(COMMAND, 0x60);
    t.out(DATA, 0xff);
    t.out(COMMAND, 0x7f);
    t.out(DATA, 0xa5);
    expect([ask(0x20), ask(0x3f), ask(0x21)]).toEqual([0x77, 0xa5, 0]);
  });

  it('turns its ports off and on', () => {
    const { t, ask } = setup();
    for (const command of [0xa7, 0xad]) t.out(COMMAND, command);
    expect(ask(0x20) & 0x30).toBe(0x30);
    t.out(COMMAND, 0xa8);
    expect(ask(0x20) & 0x30).toBe(0x10);
    t.out(COMMAND, 0xae);
    expect(ask(0x20) & 0x30).toBe(0x00);
  });

  it('holds what a port sends while the port is off', () => {
    const { t, drain } = setup();
    t.out(DATA, 0xee);
    t.out(COMMAND, 0xad);
    expect(drain()).toEqual([0xee]); // was in the buffer already
    t.out(DATA, 0xf2); // opens the port again
    expect(t.in(DATA)).toBe(0xfa);
    t.out(COMMAND, 0xad);
    expect(t.in(DATA)).toBe(0xab); // was there before
    expect(drain()).toEqual([]);
    t.out(COMMAND, 0xae);
    expect(drain()).toEqual([0x41]);
  });

  it('loops bytes back as if they came from either port, with their interrupts', () => {
    const { t } = setup();
    t.out(COMMAND, 0xd2);
    t.out(DATA, 0x1e);
    expect([t.line(1), t.line(12), t.in(COMMAND) & 0x21, t.in(DATA), t.line(1)]).toEqual([true, false, 0x01, 0x1e, false]);
    t.out(COMMAND, 0xd3);
    t.out(DATA, 0xa5);
    expect([t.line(1), t.line(12), t.in(COMMAND) & 0x21, t.in(DATA), t.line(12)]).toEqual([false, true, 0x21, 0xa5, false]);
  });

  it('interrupts for none of its own answers, and for no port whose interrupt is off', () => {
    const { t, ask, drain } = setup();
    ask(0xaa);
    expect([t.rises(1), t.rises(12)]).toEqual([0, 0]);
    t.out(COMMAND, 0x60);
    t.out(DATA, 0x44);
    t.out(DATA, 0xee);
    expect(drain()).toEqual([0xee]);
    expect([t.rises(1), t.rises(12)]).toEqual([0, 0]);
  });

  it('makes one edge for each byte', () => {
    const { t, drain } = setup();
    t.out(DATA, 0xff);
    expect(drain()).toEqual([0xfa, 0xaa]);
    expect([t.rises(1), t.line(1)]).toEqual([2, false]);
  });
});

describe('reset', () => {
  it('comes by a pulse of bit 0 of the output port', () => {
    const { t, events } = setup();
    t.out(COMMAND, 0xff);
    t.out(COMMAND, 0xf1);
    expect(events).toEqual([]);
    t.out(COMMAND, 0xfe);
    expect(events).toEqual(['reset']);
  });

  it('comes by writing a 0 there', () => {
    const { t, events } = setup();
    t.out(COMMAND, 0xd1);
    t.out(DATA, 0xfe);
    expect(events).toEqual(['a20 open', 'reset']);
  });

  it('comes by a rise of bit 0 of port 0x92', () => {
    const { t, events } = setup();
    t.out(SYSTEM, 0x01);
    t.out(SYSTEM, 0x01);
    expect(events.filter((event) => event === 'reset')).toEqual(['reset']);
    expect(t.in(SYSTEM)).toBe(0x01);
  });
});

it('opens the gate of A20 by either port, and closes it when both do', () => {
  const { t, events, ask } = setup();
  t.out(SYSTEM, 0x02);
  t.out(COMMAND, 0xd1);
  t.out(DATA, 0xdd);
  t.out(SYSTEM, 0x00);
  expect(events).toEqual(['a20 open', 'a20 open', 'a20 closed']);
  expect(ask(0xd0)).toBe(0xcd);
  t.out(COMMAND, 0xd1);
  t.out(DATA, 0xdf);
  expect(events.at(-1)).toBe('a20 open');
  expect(ask(0xd0)).toBe(0xcf);
});

describe('the keyboard', () => {
  it('answers what a driver asks at its start', () => {
    const { toKeyboard } = setup();
    expect(toKeyboard(0xff)).toEqual([0xfa, 0xaa]);
    expect(toKeyboard(0xf2)).toEqual([0xfa, 0xab, 0x41]);
    expect(toKeyboard(0xed, 0x07, 0xf3, 0x20, 0xf4, 0xf5, 0xf6)).toEqual(Array(7).fill(0xfa));
    expect(toKeyboard(0xee)).toEqual([0xee]);
  });

  it('tells its scan code set', () => {
    const { toKeyboard } = setup();
    expect(toKeyboard(0xf0, 0x00)).toEqual([0xfa, 0xfa, 0x02]);
    expect(toKeyboard(0xf0, 0x03, 0xf0, 0x00)).toEqual([0xfa, 0xfa, 0xfa, 0xfa, 0x03]);
    expect(toKeyboard(0xf0, 0x04)).toEqual([0xfa, 0xfe]);
  });

  it('asks again for what it does not know, and sends again', () => {
    const { toKeyboard } = setup();
    expect(toKeyboard(0x12, 0xef, 0xf1)).toEqual([0xfe, 0xfe, 0xfe]);
    expect(toKeyboard(0xee, 0xfe)).toEqual([0xee, 0xee]);
  });

  it('takes a command in the place of a parameter', () => {
    const { toKeyboard } = setup();
    expect(toKeyboard(0xed, 0xf4)).toEqual([0xfa, 0xfa]);
    expect(toKeyboard(0x02)).toEqual([0xfe]); // and no longer as a parameter
  });

  it('is not translated when the configuration says so', () => {
    const { t, toKeyboard } = setup();
    t.out(COMMAND, 0x60);
    t.out(DATA, 0x05);
    expect(toKeyboard(0xf2)).toEqual([0xfa, 0xab, 0x83]);
  });
});

describe('the mouse', () => {
  it('answers what a driver asks at its start, on the second port', () => {
    const { t, toMouse } = setup();
    expect(toMouse(0xff)).toEqual([0xfa, 0xaa, 0x00]);
    expect(toMouse(0xf2)).toEqual([0xfa, 0x00]);
    expect(toMouse(0xf3, 200, 0xe8, 3, 0xe7, 0xf4)).toEqual(Array(6).fill(0xfa));
    expect(toMouse(0xe9)).toEqual([0xfa, 0x30, 3, 200]);
    expect(toMouse(0xeb)).toEqual([0xfa, 0x08, 0, 0]);
    expect(toMouse(0xf6, 0xe9)).toEqual([0xfa, 0xfa, 0, 2, 100]);
    expect([t.rises(1), t.rises(12)]).toEqual([0, 24]);
  });

  it('echoes in wrap mode', () => {
    const { toMouse } = setup();
    expect(toMouse(0xee, 0xf4, 0x55, 0xec, 0xf4)).toEqual([0xfa, 0xf4, 0x55, 0xfa, 0xfa]);
  });

  it('asks again for what it does not know', () => {
    const { toMouse } = setup();
    expect(toMouse(0x55, 0xe8, 4)).toEqual([0xfe, 0xfa, 0xfe]);
  });
});

it('comes back from its saved state', () => {
  const { t } = setup();
  t.out(COMMAND, 0x60);
  t.out(DATA, 0x43);
  t.out(COMMAND, 0xd4);
  t.out(DATA, 0xff); // three bytes from the mouse
  t.out(DATA, 0xf0); // the keyboard waits for a parameter
  t.out(COMMAND, 0xd1); // and the controller for another
  const u = t.restore(t.save());
  expect([u.line(12), u.in(COMMAND)]).toEqual([true, 0x39]);
  u.out(DATA, 0xdd);
  u.out(DATA, 0x00);
  const bytes: number[] = [];
  while ((u.in(COMMAND) & 1) !== 0) bytes.push(u.in(DATA));
  expect(bytes).toEqual([0xfa, 0xfa, 0x02, 0xaa, 0x00]); // one of the mouse, two of the keyboard, the rest of the mouse
  u.out(COMMAND, 0xd0);
  expect(u.in(DATA) & 0x02).toBe(0);
});

it('refuses a saved state that is none', () => {
  const { t } = setup();
  const saved = t.save() as { readonly [key: string]: Plain };
  for (const broken of [null, [], { ...saved, memory: new Uint8Array(3) }, { ...saved, keyboard: null }, { ...saved, mouse: { ...(saved['mouse'] as { readonly [key: string]: Plain }), queue: 'x' } }, { ...saved, buffer: 'x' }]) {
    expect(() => t.restore(broken)).toThrow(TypeError);
  }
});
