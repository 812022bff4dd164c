import { expect, it } from 'vitest';
import { IoApic } from './io-apic.ts';

function setup() {
  const sent: [destination: number, command: number][] = [];
  const bus = { accepts: 1, send: (destination: number, command: number) => {
    sent.push([destination, command]);
    return bus.accepts;
  } };
  const chip = new IoApic(bus);
  const r = (register: number): number => {
    chip.write(0x00, register);
    return chip.read(0x10);
  };
  const w = (register: number, value: number): void => {
    chip.write(0x00, register);
    chip.write(0x10, value);
  };
  return { chip, sent, bus, r, w };
}

it('has identification, version and arbitration registers (IRQ-51)', () => {
  const { r, w } = setup();
  expect(r(1)).toBe(0x17_0011);
  w(0, 0xffff_ffff);
  expect([r(0), r(2)]).toEqual([0x0f00_0000, 0x0f00_0000]);
  expect([r(0x10), r(0x3e), r(0x3f), r(0x40)]).toEqual([0x1_0000, 0x1_0000, 0, 0]);
});

it('sends an edge once, and loses one that comes while masked (IRQ-52)', () => {
  const { chip, sent, w } = setup();
  chip.setLine(4, true);
  w(0x18, 0x34);
  expect(sent).toEqual([]);
  chip.setLine(4, false);
  chip.setLine(4, true);
  chip.setLine(4, true);
  expect(sent).toEqual([[0, 0x4034]]);
});

it('sends a level when it is unmasked, and again after its end while it is still high (IRQ-53, IRQ-55)', () => {
  const { chip, sent, r, w } = setup();
  chip.setLine(9, true);
  w(0x22, 0x8039);
  expect(sent).toEqual([[0, 0xc039]]);
  expect(r(0x22)).toBe(0xc039);
  chip.setLine(9, true); // coalesces
  chip.endOfInterrupt(0x38);
  expect(sent.length).toBe(1);
  chip.endOfInterrupt(0x39);
  expect(sent.length).toBe(2);
  chip.setLine(9, false);
  chip.endOfInterrupt(0x39);
  expect([sent.length, r(0x22)]).toEqual([2, 0x8039]);
});

it('keeps remote IRR while the destination is rewritten, and drops it when the pin becomes edge-triggered (IRQ-58, IRQ-59)', () => {
  const { chip, r, w } = setup();
  w(0x22, 0x8039);
  chip.setLine(9, true);
  w(0x23, 0x0300_0000);
  expect([r(0x22), r(0x23)]).toEqual([0xc039, 0x0300_0000]);
  w(0x22, 0x1_0039);
  expect(r(0x22)).toBe(0x1_0039);
});

it('clears every pin of the vector that ended (IRQ-57)', () => {
  const { chip, r, w } = setup();
  for (const pin of [9, 10]) {
    w(0x10 + pin * 2, 0x8039);
    chip.setLine(pin, true);
    chip.setLine(pin, false);
  }
  expect([r(0x22), r(0x24)]).toEqual([0xc039, 0xc039]);
  chip.endOfInterrupt(0x39);
  expect([r(0x22), r(0x24)]).toEqual([0x8039, 0x8039]);
});

it('keeps a level that nobody accepted, and offers it again (IRQ-62)', () => {
  const { chip, sent, bus, r, w } = setup();
  bus.accepts = 0;
  w(0x22, 0x8039);
  chip.setLine(9, true);
  expect(r(0x22)).toBe(0x8039);
  bus.accepts = 1;
  chip.retry();
  expect([sent.length, r(0x22)]).toEqual([2, 0xc039]);
});

it('names mode and destination of the entry, and everybody for 0xff', () => {
  const { chip, sent, w } = setup();
  w(0x15, 0xff00_0000);
  w(0x14, 0x0000_0040);
  w(0x17, 0x0300_0000);
  w(0x16, 0x0000_0941);
  chip.setLine(2, true);
  chip.setLine(3, true);
  expect(sent).toEqual([[0xffff_ffff, 0x4040], [3, 0x4941]]);
});

it('comes back from its saved state', () => {
  const { chip, r, w, sent } = setup();
  w(0x22, 0x8039);
  w(0x23, 0x0100_0000);
  chip.setLine(9, true);
  const saved = structuredClone(chip.save());
  chip.reset();
  chip.setLine(9, false);
  chip.load(saved);
  expect([r(0x22), r(0x23)]).toEqual([0xc039, 0x0100_0000]);
  chip.endOfInterrupt(0x39);
  expect(sent.at(-1)).toEqual([1, 0xc039]);
});
