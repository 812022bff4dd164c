import { readFileSync } from 'node:fs';
import { bench, deviceConformance, PCI_MEMORY, PCI_MESSAGE } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { alarmCard } from './alarm-card.js';

const create = () => bench(alarmCard, { subsystem: 7 });
const spec = { name: 'alarm', manifest: alarmCard.manifest, create: (ctx) => alarmCard.create(ctx, { subsystem: 7 }) };
const DELAY = PCI_MEMORY, STATUS = PCI_MEMORY + 4, COUNT = PCI_MEMORY + 8;

describe('alarmCard', () => {
  for (const { name, run } of deviceConformance({ name: 'alarm-card', devices: () => [spec] }, { lives: 100 })) it(name, run);

  it('rings after its delay, once, with a message, and is silent when it is told to be', () => {
    const t = create();
    t.writeMmio(DELAY, 250);
    expect([t.readMmio(DELAY), t.readMmio(STATUS), t.messages.length]).toEqual([250, 2, 0]);
    t.advance(249_999);
    expect(t.readMmio(STATUS)).toBe(2);
    t.advance(1);
    expect([t.readMmio(STATUS), t.readMmio(COUNT), t.messages]).toEqual([1, 1, [{ address: PCI_MESSAGE, data: 0 }]]);
    t.writeMmio(STATUS, 1);
    t.advance(1e9);
    expect([t.readMmio(STATUS), t.readMmio(COUNT), t.readMmio(PCI_MEMORY + 12)]).toEqual([0, 1, 0x4d52_4c41]);
  });

  it('does not ring when it is set to nothing, or reset', () => {
    const t = create();
    t.writeMmio(DELAY, 10);
    t.writeMmio(DELAY, 0);
    t.advance(1e6);
    t.writeMmio(DELAY, 10);
    t.reset();
    t.advance(1e6);
    expect([t.readMmio(STATUS), t.readMmio(COUNT), t.messages]).toEqual([0, 0, []]);
  });

  it('rings after a restore when it would have', () => {
    const t = create();
    t.writeMmio(DELAY, 100);
    t.advance(40_000);
    const u = t.restore(t.save());
    u.advance(59_999);
    expect(u.readMmio(STATUS)).toBe(2);
    u.advance(1);
    expect([u.readMmio(STATUS), u.messages.length]).toEqual([1, 1]);
    for (const state of [null, {}, { delay: 1, rings: true, count: 1, due: '5' }]) expect(() => t.device.load(state, 1)).toThrow(TypeError);
  });

  it('says the same of itself in its code and in its description', () => {
    const description = JSON.parse(readFileSync(new URL('./device.json', import.meta.url), 'utf8'));
    for (const member of ['abi', 'id', 'version', 'state', 'needs']) expect(description[member]).toEqual(alarmCard.manifest[member]);
  });
});
