import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { APIC_BASE, DFR, enabledProcessors, ICR, ICR_HIGH, ID, LDR, LINT0, LVTT, modelProcessors, OFF, SVR, TMICT, TPR, VERSION, X2APIC, XAPIC } from './model-processors.ts';

const setup = (count = 1) => modelProcessors(createVirtualClock(), count);
const enabled = (count = 1) => enabledProcessors(createVirtualClock(), count);
const INIT = 0xc500;

describe('the registers of x2APIC mode', () => {
  /** What each register allows: what is not named faults on both. SDM vol. 3, table 12-6. */
  const READS = [2, 3, 8, 0xa, 0xd, 0xf, ...Array.from({ length: 25 }, (_, i) => 0x10 + i), 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3e];
  const WRITES = [8, 0xb, 0xf, 0x28, 0x30, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x3e, 0x3f];

  it('are those of the table, and each other one faults on reads and stores (IRQ-06)', () => {
    const { set, get } = enabled();
    set(APIC_BASE, X2APIC);
    for (let index = 0; index < 0x100; index++) {
      expect(get(0x800 + index) !== null, `read ${index}`).toBe(READS.includes(index));
      const value = index === 0x3f ? 0x40 : index === 0x0f ? 0x1ff : 0;
      expect(set(0x800 + index, value), `store ${index}`).toBe(WRITES.includes(index));
    }
  });

  it('do not exist in xAPIC mode and while the local APIC is off (IRQ-06)', () => {
    for (const base of [XAPIC, OFF]) {
      const { set, get } = setup();
      set(APIC_BASE, base);
      for (let index = 0x800; index < 0x900; index++) expect([get(index), set(index, 0)]).toEqual([null, false]);
    }
  });

  it('fault on bits 63 to 32, but for the command register, and on reserved bits below (IRQ-07)', () => {
    const { set, get, vectors } = enabled(2);
    set(APIC_BASE, X2APIC);
    for (const index of WRITES) {
      expect(set(0x800 + index, 0, 1), `high of ${index}`).toBe(index === 0x30);
      if (index !== 0x30 && index !== 0x38) expect(set(0x800 + index, 0xffff_ffff), `low of ${index}`).toBe(false);
    }
    const before = get(0x838);
    expect([set(0x838, 0xffff_ffff, 0xffff_ffff), get(0x838)]).toEqual([false, before]);
    expect([set(0x83f, 0x100), set(0x80b, 1), set(0x828, 1)]).toEqual([false, false, false]);
    expect(vectors(0x100)).toEqual([]);
  });

  it('have in the vector table the bits that each entry has, status bits among them (IRQ-07)', () => {
    const { set } = enabled();
    set(APIC_BASE, X2APIC);
    const writable = { 0x32: 0x7_10ff, 0x33: 0x1_17ff, 0x34: 0x1_17ff, 0x35: 0x1_f7ff, 0x36: 0x1_f7ff, 0x37: 0x1_10ff };
    for (const [index, bits] of Object.entries(writable)) for (let bit = 8; bit < 32; bit++) expect(set(0x800 + Number(index), (0x41 | (1 << bit)) >>> 0), `${index}, bit ${bit}`).toBe(((bits >>> bit) & 1) !== 0);
  });

  it('take back what was read of them (IRQ-07)', () => {
    const { set, get, apic } = enabled();
    set(APIC_BASE, X2APIC);
    set(0x835, 0x8030); // a level pin that is in service shows its remote IRR
    apic.setLint(0, true);
    expect(get(0x835)).toEqual([0xc030, 0]);
    for (const index of WRITES) {
      const value = READS.includes(index) ? get(0x800 + index)! : null;
      if (value !== null) expect([set(0x800 + index, ...value), get(0x800 + index)], `${index}`).toEqual([true, value]);
    }
  });

  it('are the same ones that the page showed, but for identifier, destination and the high half of commands (IRQ-04)', () => {
    const { set, get, w, bus, apics } = enabled(3);
    const third = apics[2]!;
    w(TPR, 0x20);
    w(LVTT, 0x3_0055);
    w(TMICT, 1000);
    w(LINT0, 0x700);
    w(LDR, 0x0400_0000);
    w(ICR_HIGH, 0x0200_0000);
    bus.send(0, 0x4061);
    set(APIC_BASE, X2APIC);
    expect([get(0x808), get(0x832), get(0x838), get(0x835), get(0x823), get(0x80f)]).toEqual([[0x20, 0], [0x3_0055, 0], [1000, 0], [0x700, 0], [2, 0], [0x1ff, 0]]);
    expect([get(0x802), get(0x80d), get(0x830)]).toEqual([[0, 0], [1, 0], [0, 0]]);
    third.writeModelRegister(APIC_BASE, 0xfee0_0c00, 0);
    expect([third.readModelRegister(0x802), third.low, third.readModelRegister(0x80d), third.low]).toEqual([true, 2, true, 4]);
  });
});

describe('the base register', () => {
  it('refuses bits that mean nothing (IRQ-03)', () => {
    const { set, get } = setup();
    for (const bit of [0, 1, 2, 3, 4, 5, 6, 7, 9]) expect(set(APIC_BASE, XAPIC | (1 << bit)), `bit ${bit}`).toBe(false);
    for (const bit of [52, 60, 63]) expect(set(APIC_BASE, XAPIC, 2 ** (bit - 32)), `bit ${bit}`).toBe(false);
    expect(get(APIC_BASE)).toEqual([XAPIC, 0]);
  });

  const MODES = { off: OFF, xapic: XAPIC, x2apic: X2APIC, nothing: 0xfee0_0500 } as const;
  const WAYS = { off: ['off', 'xapic'], xapic: ['off', 'xapic', 'x2apic'], x2apic: ['off', 'x2apic'] } as const;
  it.each(['off', 'xapic', 'x2apic'] as const)('goes from %s where the manual allows it, and nowhere else (IRQ-04)', (from) => {
    for (const [to, value] of Object.entries(MODES)) {
      const { set, get } = setup();
      expect(set(APIC_BASE, MODES[from])).toBe(true);
      const allowed = (WAYS[from] as readonly string[]).includes(to);
      expect([set(APIC_BASE, value), get(APIC_BASE)![0]], to).toEqual([allowed, allowed ? value : MODES[from]]);
    }
  });

  it('takes the page away, its registers with it, and leaves CR8 (IRQ-05)', () => {
    const { apic, set, w, r, bus } = enabled();
    w(LINT0, 0x700);
    w(LDR, 0x0700_0000);
    w(DFR, 0x0fff_ffff);
    bus.send(0, 0x4055);
    for (const modes of [[OFF], [X2APIC, OFF]]) {
      for (const mode of modes) expect([set(APIC_BASE, mode), apic.window()]).toEqual([true, -1]);
      apic.priority = 9;
      expect(apic.priority).toBe(9);
      expect(apic.isPending()).toBe(false);
      set(APIC_BASE, XAPIC);
      expect([SVR, LINT0, LDR, DFR, TPR, 0x220].map(r)).toEqual([0xff, 0x1_0000, 0, 0xffff_ffff, 0, 0]);
      w(SVR, 0x1ff);
      bus.send(0, 0x4055);
    }
  });

  it('keeps what is sent away from those that are off (IRQ-05)', () => {
    const { apics, events, w } = enabled(3);
    apics[2]!.writeModelRegister(APIC_BASE, 0xfee0_0000, 0);
    for (const command of [0xc_4400, 0xc_4500, 0xc_4604]) w(ICR, command);
    expect(events.filter((event) => !event.startsWith('signal'))).toEqual(['nmi 1', 'init 1', 'startup 1 4']);
  });

  it('moves the page with all registers (IRQ-09)', () => {
    const { apic, set, r } = setup();
    expect([set(APIC_BASE, 0xfed4_0900), apic.window(), r(VERSION)]).toEqual([true, 0xfed4_0000, 0x5_0014]);
    expect([set(APIC_BASE, 0x1000_0900, 0x12), apic.window()]).toEqual([true, 0x12_1000_0000]);
  });
});

it('has a version with the number of vector-table entries, and says what else there is (IRQ-02)', () => {
  const versionOf = (options: Parameters<typeof modelProcessors>[2]): number => modelProcessors(createVirtualClock(), 1, options).r(VERSION);
  expect([versionOf({}), versionOf({ suppressesBroadcasts: true }), versionOf({ extendedSpace: true })]).toEqual([0x0005_0014, 0x0105_0014, 0x8005_0014]);
});

it('computes the logical identifier of x2APIC mode (IRQ-08)', () => {
  for (const [id, logical] of [[0, 1], [15, 0x8000], [16, 0x1_0001], [255, 0xf_8000], [256, 0x10_0001]] as const) {
    const { set, get } = modelProcessors(createVirtualClock(), 1, { id });
    set(APIC_BASE, id === 0 ? X2APIC : 0xfee0_0c00);
    expect([get(0x802), get(0x80d), set(0x80d, 0)]).toEqual([[id, 0], [logical, 0], false]);
  }
});

it('stays in x2APIC mode with its identifier after INIT, and leaves it at a reset (IRQ-10, IRQ-11)', () => {
  const { apics } = enabled(2);
  const apic = apics[1]!;
  apic.writeModelRegister(APIC_BASE, 0xfee0_0c00, 0);
  apic.writeModelRegister(0x80f, 0x1ff, 0);
  apic.writeModelRegister(0x808, 0x30, 0);
  apics[0]!.writeRegister(ICR_HIGH, 4, 0x0100_0000);
  apics[0]!.writeRegister(ICR, 4, INIT);
  const read = (index: number): number => (apic.readModelRegister(index) ? apic.low : -1);
  expect([read(APIC_BASE), read(0x802), read(0x80d), read(0x80f), read(0x808)]).toEqual([0xfee0_0c00, 1, 2, 0xff, 0]);
  apic.reset();
  expect([read(APIC_BASE), apic.window(), apic.readRegister(ID, 4)]).toEqual([0xfee0_0800, 0xfee0_0000, 0x0100_0000]);
});
