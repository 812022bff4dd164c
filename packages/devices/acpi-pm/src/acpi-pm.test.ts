import { expect, it } from 'vitest';
import { bench } from '@vm/testkit';
import { type AcpiButtons, acpiPm } from './acpi-pm.ts';

const STATUS = 0x600, ENABLE = 0x602, CONTROL = 0x604, TIMER = 0x608;

function setup() {
  const events: string[] = [];
  let buttons!: AcpiButtons;
  const t = bench(acpiPm, { powerOff: () => events.push('off'), connect: (end) => (buttons = end) });
  return { t, events, press: () => buttons.press() };
}

it('counts 24 bits at 3.579545 MHz', () => {
  const { t } = setup();
  t.advance(1e9);
  expect(t.in(TIMER, 4)).toBe(3_579_545);
  t.advance(4e9);
  expect(t.in(TIMER, 4)).toBe((5 * 3_579_545) % 0x100_0000);
  expect(t.in(TIMER + 1, 1)).toBe((((5 * 3_579_545) % 0x100_0000) >>> 8) & 0xff);
});

it('is in ACPI mode, and stays there', () => {
  const { t } = setup();
  expect(t.in(CONTROL, 2)).toBe(1);
  t.out(CONTROL, 0, 2);
  expect(t.in(CONTROL, 2)).toBe(1);
});

it('turns off only for the sleep type of S5 with the enable bit', () => {
  const { t, events } = setup();
  t.out(CONTROL, 5 << 10, 2);
  t.out(CONTROL, 0x2000 | (1 << 10), 2);
  expect(events).toEqual([]);
  t.out(CONTROL, 0x2000 | (5 << 10), 2);
  expect(events).toEqual(['off']);
});

it('takes the sleep command one byte at a time', () => {
  const { t, events } = setup();
  t.out(CONTROL + 1, 0x34, 1);
  expect(events).toEqual(['off']);
});

it('reports the power button and drops the interrupt when a one is written to its bit', () => {
  const { t, press } = setup();
  press();
  expect(t.line(9)).toBe(false);
  t.out(ENABLE, 0x100, 2);
  expect([t.line(9), t.in(STATUS, 2)]).toEqual([true, 0x100]);
  t.out(STATUS, 0x01, 2);
  expect(t.line(9)).toBe(true);
  t.out(STATUS, 0x100, 2);
  expect([t.line(9), t.in(STATUS, 4)]).toEqual([false, 0x100_0000]);
});

it('tells of general-purpose events, and drops the interrupt when a one is written to the bit', () => {
  let raise = (_event: number): void => {};
  const t = bench(acpiPm, { powerOff: () => {}, connect: (end) => (raise = end.raise) });
  raise(1);
  raise(15);
  expect([t.line(9), t.in(0x60c, 2)]).toEqual([false, 0x8002]);
  t.out(0x60e, 0x02, 1);
  expect([t.line(9), t.in(0x60e, 2)]).toEqual([true, 2]);
  const u = t.restore(t.save());
  expect([u.line(9), u.in(0x60c, 4)]).toEqual([true, 0x0002_8002]);
  t.out(0x60c, 0x02, 1);
  expect([t.line(9), t.in(0x60c, 4)]).toEqual([false, 0x0002_8000]);
  t.reset();
  expect(t.in(0x60c, 4)).toBe(0);
  const { events, wanted, ...first } = t.save() as Record<string, number>;
  t.device.load!(first, 1); // before there were such events
  expect([events, wanted, t.in(0x60c, 4)]).toEqual([0, 0, 0]);
});

it('interrupts whenever bit 23 of the timer changes', () => {
  const { t } = setup();
  t.out(ENABLE, 0x01, 2);
  t.advance((0x80_0000 / 3_579_545) * 1e9 - 10);
  expect(t.line(9)).toBe(false);
  t.advance(20);
  expect([t.line(9), t.in(STATUS, 2)]).toEqual([true, 1]);
  t.out(STATUS, 0x01, 2);
  expect(t.line(9)).toBe(false);
  t.advance((0x80_0000 / 3_579_545) * 1e9);
  expect(t.rises(9)).toBe(2);
});

it('comes back from its saved state', () => {
  const { t, press } = setup();
  t.out(ENABLE, 0x120, 2);
  press();
  t.advance(3e9);
  const saved = t.save();
  const u = t.restore(saved);
  expect(u.line(9)).toBe(true);
  expect(u.in(STATUS, 4)).toBe(0x0120_0101);
  expect(() => t.restore({ status: 0 })).toThrow(TypeError);
  expect(() => t.restore(null)).toThrow(TypeError);
});
