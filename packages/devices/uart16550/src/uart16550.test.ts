import { describe, expect, it } from 'vitest';
import { bench } from '@vm/testkit';
import { type SerialInput, uart16550 } from './uart16550.ts';

const COM1 = 0x3f8;

function setup() {
  const sent: number[] = [];
  let input!: SerialInput;
  let readies = 0;
  const t = bench(uart16550, { output: (byte) => sent.push(byte), connect: (end) => (input = end), ready: () => readies++ });
  const r = (offset: number): number => t.in(COM1 + offset);
  const w = (offset: number, value: number): void => t.out(COM1 + offset, value);
  const receive = (...bytes: number[]): number => input.receive(Uint8Array.from(bytes));
  return { t, sent, r, w, receive, readies: () => readies, listening: () => input.listening };
}

it('sends what is written and is always ready for more', () => {
  const { sent, r, w } = setup();
  w(0, 0x41);
  w(0, 0x42);
  expect(sent).toEqual([0x41, 0x42]);
  expect(r(5)).toBe(0x60);
});

it('keeps scratch, line control and divisor', () => {
  const { r, w, sent } = setup();
  w(7, 0x5a);
  w(3, 0x83);
  w(0, 0x0c);
  w(1, 0x01);
  expect([r(7), r(3), r(0), r(1)]).toEqual([0x5a, 0x83, 0x0c, 0x01]);
  w(3, 0x03);
  expect([r(1), sent.length]).toEqual([0, 0]);
});

describe('probe of Linux', () => {
  it('finds four bits in the interrupt enable register', () => {
    const { r, w } = setup();
    w(1, 0x00);
    expect(r(1)).toBe(0);
    w(1, 0xff);
    expect(r(1)).toBe(0x0f);
  });

  it('finds the modem lines looped back', () => {
    const { r, w } = setup();
    w(4, 0x1a);
    expect(r(6) & 0xf0).toBe(0x90);
    w(4, 0x15);
    expect(r(6) & 0xf0).toBe(0x60);
    w(4, 0);
    expect(r(6) & 0xf0).toBe(0xb0);
  });

  it('finds the FIFOs of a 16550A and no larger chip', () => {
    const { r, w } = setup();
    w(2, 0x01);
    expect(r(2)).toBe(0xc1);
    w(2, 0x21);
    expect(r(2)).toBe(0xc1);
    w(2, 0x00);
    expect(r(2)).toBe(0x01);
  });

  it('finds the transmitter interrupt whenever it is enabled anew', () => {
    const { r, w } = setup();
    w(1, 0x02);
    expect(r(2) & 0x0f).toBe(0x02);
    expect(r(2) & 0x0f).toBe(0x01);
    w(1, 0x00);
    w(1, 0x02);
    expect(r(2) & 0x0f).toBe(0x02);
  });
});

describe('interrupts', () => {
  it('reach the line only through OUT2', () => {
    const { t, w } = setup();
    w(1, 0x02);
    expect(t.line(4)).toBe(false);
    w(4, 0x08);
    expect(t.line(4)).toBe(true);
    w(4, 0x18);
    expect(t.line(4)).toBe(false);
  });

  it('fall when the cause is read and rise with the next byte sent', () => {
    const { t, r, w } = setup();
    w(4, 0x08);
    w(1, 0x02);
    expect(r(2)).toBe(0x02);
    expect(t.line(4)).toBe(false);
    w(0, 0x41);
    expect(t.line(4)).toBe(true);
    expect(t.rises(4)).toBe(2);
  });

  it('name the causes in their order', () => {
    const { r, w, receive, t } = setup();
    w(2, 0x01);
    w(4, 0x10);
    for (let i = 0; i < 17; i++) w(0, i); // looped back: the 17th overruns
    w(4, 0x08); // and the modem lines change
    w(1, 0x0f);
    expect(r(2)).toBe(0xc6);
    expect(r(5)).toBe(0x63);
    expect(r(2)).toBe(0xc4);
    for (let i = 0; i < 16; i++) expect(r(0)).toBe(i);
    expect(r(2)).toBe(0xc2);
    expect(r(2)).toBe(0xc0);
    r(6);
    expect(r(2)).toBe(0xc1);
    expect(t.line(4)).toBe(false);
    receive(1);
    expect(t.line(4)).toBe(true);
  });

  it('tell a time-out below the trigger level from data at it', () => {
    const { r, w, receive } = setup();
    w(1, 0x01);
    w(2, 0x81); // eight bytes
    receive(1, 2, 3, 4, 5, 6, 7);
    expect(r(2)).toBe(0xcc);
    receive(8);
    expect(r(2)).toBe(0xc4);
  });
});

describe('receiving', () => {
  it('takes one byte without FIFOs and sixteen with them, and says when there is room again', () => {
    const { r, w, receive, readies } = setup();
    expect(receive(1, 2)).toBe(1);
    expect(r(5) & 1).toBe(1);
    expect(r(0)).toBe(1);
    expect(readies()).toBe(1);
    w(2, 0x01);
    expect(receive(...Array(20).keys())).toBe(16);
    for (let i = 0; i < 15; i++) r(0);
    expect(readies()).toBe(1);
    r(0);
    expect(readies()).toBe(2);
    expect(r(5) & 1).toBe(0);
  });

  it('keeps the host waiting in loop-back', () => {
    const { w, receive, readies } = setup();
    w(4, 0x10);
    expect(receive(1)).toBe(0);
    w(4, 0x00);
    expect(readies()).toBe(1);
    expect(receive(1)).toBe(1);
  });

  it('listens when the guest has raised RTS and enabled the interrupt, and says so once', () => {
    const { w, listening, readies } = setup();
    w(1, 0x0f); // as a probe does
    expect(listening()).toBe(false);
    w(1, 0x00);
    w(1, 0x05);
    w(4, 0x0a);
    expect([listening(), readies()]).toEqual([true, 1]);
    w(4, 0x0b);
    expect(readies()).toBe(1);
    w(4, 0x1b);
    expect(listening()).toBe(false);
  });

  it('forgets what it holds when the FIFO is cleared', () => {
    const { r, w, receive } = setup();
    w(2, 0x01);
    receive(1, 2, 3);
    w(2, 0x03);
    expect(r(5)).toBe(0x60);
  });
});

it('comes back from its saved state, level of the line included', () => {
  const { t, w, receive } = setup();
  w(3, 0x13);
  w(4, 0x0b);
  w(1, 0x05);
  w(2, 0x41);
  receive(7, 8, 9);
  const saved = t.save();
  const u = t.restore(saved);
  expect(u.line(4)).toBe(true);
  expect(u.save()).toEqual(saved);
  expect([u.in(COM1), u.in(COM1), u.in(COM1)]).toEqual([7, 8, 9]);
  expect(u.line(4)).toBe(false);
});

it.each([null, 7, {}, { enable: 'x' }, { enable: 0, received: new Uint8Array(17) }])('refuses the saved state %j', (state) => {
  expect(() => setup().t.restore(state as never)).toThrow(TypeError);
});
