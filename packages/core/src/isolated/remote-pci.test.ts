import { describe, expect, it } from 'vitest';
import type { PciDevice } from '../pci.ts';
import { askPci, readPciDescription, vectorOf } from './remote-pci.ts';

const HANDLER = { read: () => 0, write: () => {} };
const CARD = { vendor: 0x1234, device: 0xa1a2, classCode: 0xff_0000, regions: [{ bar: 0, space: 'memory', bytes: 16, sizes: [4], readsWide: true, writesWide: false }], interruptPin: 1, msix: { bar: 1, vectors: 4 } };
const read = (description: unknown): unknown => readPciDescription(description, () => HANDLER);

describe('the function of a device in a worker', () => {
  it('is as the device describes it, with the handlers of the machine', () => {
    const asked: unknown[] = [];
    const description = readPciDescription(CARD, (...wide) => (asked.push(wide), HANDLER));
    expect(description).toMatchObject({ vendor: 0x1234, device: 0xa1a2, interruptPin: 1, msix: { bar: 1, vectors: 4 }, regions: [{ bar: 0, space: 'memory', bytes: 16, handler: HANDLER, sizes: [4] }] });
    expect(asked).toEqual([[true, false]]);
    expect(read({ ...CARD, interruptPin: undefined, msix: undefined })).not.toHaveProperty('interruptPin');
  });

  it.each([
    ['nothing', null], ['a text', 'card'], ['no windows', { ...CARD, regions: undefined }], ['seven windows', { ...CARD, regions: Array.from({ length: 7 }, () => CARD.regions[0]) }],
    ['a window that is none', { ...CARD, regions: [null] }], ['a seventh register', { ...CARD, regions: [{ ...CARD.regions[0], bar: 6 }] }], ['a space that is none', { ...CARD, regions: [{ ...CARD.regions[0], space: 'disk' }] }],
    ['a window of no number', { ...CARD, regions: [{ ...CARD.regions[0], bytes: NaN }] }], ['sizes that are none', { ...CARD, regions: [{ ...CARD.regions[0], sizes: [8] }] }],
    ['a vendor of 17 bits', { ...CARD, vendor: 0x1_0000 }], ['a fifth pin', { ...CARD, interruptPin: 5 }], ['vectors without end', { ...CARD, msix: { bar: 1, vectors: 1e9 } }],
  ])('refuses %s', (_what, description) => {
    expect(() => read(description)).toThrow(/expected|none/);
  });

  it('answers what there is to ask, and refuses other questions and vectors', () => {
    const states: unknown[] = [];
    const device: PciDevice = { isMaster: true, usesMsix: false, setInterrupt: () => {}, interrupt: () => {}, reset: () => void states.push('reset'), save: () => 'state', load: (state) => void states.push(state) };
    expect([askPci(device, 'isMaster', null), askPci(device, 'usesMsix', null), askPci(device, 'save', null)]).toEqual([true, false, 'state']);
    askPci(device, 'reset', null);
    askPci(device, 'load', 'state');
    expect(states).toEqual(['reset', 'state']);
    for (const question of ['toString', '__proto__', 7, null]) expect(() => askPci(device, question, null)).toThrow(TypeError);
    expect(vectorOf(3)).toBe(3);
    for (const vector of [-1, 0.5, NaN, 0x1_0000]) expect(() => vectorOf(vector)).toThrow(RangeError);
  });
});
