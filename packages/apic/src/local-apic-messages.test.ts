import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { APIC_BASE, DFR, enabledProcessors, ESR, ICR, ICR_HIGH, LDR, LINT1, LVTERR, LVTT, modelProcessors, SVR, TDCR, TMICT, TPR, withIoApic, X2APIC } from './model-processors.ts';

const enabled = (count = 1) => enabledProcessors(createVirtualClock(), count);
const loud = (events: readonly string[]): string[] => events.filter((event) => !event.startsWith('signal'));
const SELF = 0x4_0000, ALL = 0x8_0000, OTHERS = 0xc_0000;

describe('errors', () => {
  it('are hidden until a store to their register, and interrupt when a new one comes (IRQ-26)', () => {
    const { apic, r, w } = enabled();
    w(LVTERR, 0xfe);
    w(0x40, 1); // no such register
    expect([apic.acknowledge(), r(ESR)]).toEqual([0xfe, 0]);
    w(0xb0, 0);
    r(0x40);
    expect(apic.isPending()).toBe(false); // the same one, unseen
    w(ICR, SELF | 5);
    expect(apic.acknowledge()).toBe(0xfe);
    w(0xb0, 0);
    w(ESR, 0x1234);
    expect(r(ESR)).toBe(0xa0);
    r(0x40);
    expect(apic.acknowledge()).toBe(0xfe);
    w(ESR, 0);
    expect(r(ESR)).toBe(0x80);
    w(ESR, 0);
    expect(r(ESR)).toBe(0);
  });

  it('tell of illegal vectors that are sent, received, or named by the vector table (IRQ-27)', () => {
    const causes: readonly (readonly [(t: ReturnType<typeof enabled>) => void, number])[] = [
      [({ w }) => w(ICR, SELF | 0x0f), 0x20],
      [({ w }) => w(ICR, ALL | 0x4001), 0x20],
      [({ bus }) => bus.send(0, 0x400f), 0x40],
      [({ w, clock }) => { w(TDCR, 0xb); w(LVTT, 8); w(TMICT, 10); clock.advance(10); }, 0x40],
      [({ w, set }) => { w(SVR, 0x1ff); set(APIC_BASE, X2APIC); expect(set(0x83f, 3)).toBe(true); set(0x828, 0); }, 0x20],
    ];
    for (const [cause, bit] of causes) {
      const t = enabled();
      cause(t);
      const inPage = t.apic.window() >= 0;
      if (inPage) t.w(ESR, 0);
      expect([inPage ? t.r(ESR) : t.get(0x828)![0], t.apic.isPending()]).toEqual([bit, false]);
    }
    const own = enabled();
    own.w(LVTERR, 0x05);
    own.bus.send(0, 0x4003);
    own.w(ESR, 0);
    expect([own.r(ESR), own.apic.isPending()]).toEqual([0x40, false]);
  });

  it('keep a level with an illegal vector at its pin: nobody will ever end it (IRQ-27, IRQ-62)', () => {
    const { chip, entry, redirect, apic, r, w } = withIoApic(enabled());
    redirect(9, 0x8005);
    chip.setLine(9, true);
    w(ESR, 0);
    expect([entry(9), r(ESR), apic.isPending()]).toEqual([0x8005, 0x40, false]);
    redirect(9, 0x8045);
    expect([entry(9), apic.acknowledge()]).toEqual([0xc045, 0x45]);
  });

  it('tell of registers that there are not, in x2APIC mode by a fault (IRQ-28)', () => {
    const { r, w, set, get } = enabled();
    for (const offset of [0x00, 0x40, 0x2f0, 0x3f0, 0x400, 0xff0]) {
      expect(r(offset)).toBe(0);
      w(ESR, 0);
      expect(r(ESR), `read ${offset}`).toBe(0x80);
      w(offset, 0);
      w(ESR, 0);
      expect(r(ESR), `store ${offset}`).toBe(0x80);
      w(ESR, 0);
    }
    set(APIC_BASE, X2APIC);
    expect([get(0x804), set(0x804, 0), get(0x828)]).toEqual([null, false, [0, 0]]);
  });
});

describe('the command register', () => {
  it('reads back without its busy bit, and takes no reserved one (IRQ-29)', () => {
    const page = enabled();
    page.w(ICR, 0xffff_3000 | SELF | 0x41);
    expect(page.r(ICR) & 0x1000).toBe(0);
    const { set, get } = enabled();
    set(APIC_BASE, X2APIC);
    for (const bit of [13, 16, 17, ...Array.from({ length: 12 }, (_, i) => 20 + i)]) expect(set(0x830, (SELF | 0x4041 | (1 << bit)) >>> 0), `bit ${bit}`).toBe(false);
    expect([set(0x830, SELF | 0x5041, 0x1234), get(0x830)]).toEqual([true, [SELF | 0x4041, 0x1234]]); // busy is ignored, as processors do
  });

  it('sends nothing by its high half (IRQ-30)', () => {
    const { apics, w } = enabled(2);
    w(ICR, OTHERS | 0x41);
    expect(apics[1]!.acknowledge()).toBe(0x41);
    w(ICR_HIGH, 0x0100_0000);
    expect(apics[1]!.isPending()).toBe(false);
  });

  /** SDM vol. 3, table 12-3: to itself and to all with itself only fixed interrupts can be sent. */
  const MODES = { fixed: 0x41, lowest: 0x141, smi: 0x200, nmi: 0x400, init: 0x500, startup: 0x604, external: 0x700 } as const;
  it.each([['itself', SELF], ['all', ALL], ['all others', OTHERS]] as const)('sends to %s what may be sent there (IRQ-31)', (_name, shorthand) => {
    for (const [mode, command] of Object.entries(MODES)) {
      const { apics, events, w } = enabled(3);
      events.length = 0;
      w(ICR, shorthand | 0x4000 | command);
      const got = apics.map((apic) => apic.isPending());
      const expected = { [SELF]: [true, false, false], [ALL]: [true, true, true], [OTHERS]: [false, true, true] }[shorthand]!;
      if (mode === 'fixed') expect(got).toEqual(expected);
      else if (mode === 'lowest' && shorthand === OTHERS) expect([got[0], got.filter(Boolean).length]).toEqual([false, 1]);
      else expect(got, mode).toEqual([false, false, false]);
      const heard = shorthand === OTHERS && ['nmi', 'init'].includes(mode) ? [`${mode} 1`, `${mode} 2`] : shorthand === OTHERS && mode === 'startup' ? ['startup 1 4', 'startup 2 4'] : [];
      expect(loud(events), mode).toEqual(heard);
    }
  });

  it('makes edges of all that it sends, with the level bit and without an assertion (IRQ-31)', () => {
    for (const command of [0x41, 0x4041, 0x8041, 0xc041]) {
      const { apic, w, vectors } = enabled();
      w(ICR, SELF | command);
      expect([vectors(0x200), vectors(0x180)]).toEqual([[0x41], []]);
      expect(apic.acknowledge()).toBe(0x41);
    }
  });

  it('sends while the local APIC is switched off by software (IRQ-16)', () => {
    const { apics, w } = enabled(2);
    w(SVR, 0xff);
    w(ICR, OTHERS | 0x4041);
    expect(apics[1]!.acknowledge()).toBe(0x41);
  });

  it('signals its own processor in the middle of the store, by the self-interrupt register too (IRQ-32)', () => {
    const { set, events, apic, w } = enabled();
    w(ICR, SELF | 0x4041);
    expect([events, apic.acknowledge()]).toEqual([['signal 0'], 0x41]);
    w(0xb0, 0);
    set(APIC_BASE, X2APIC);
    events.length = 0;
    expect([set(0x83f, 0x42), events, apic.acknowledge()]).toEqual([true, ['signal 0'], 0x42]);
  });
});

describe('destinations', () => {
  it('of lowest priority are one processor that takes interrupts, that with the lowest priority, equal ones by turns (IRQ-33)', () => {
    const { apics, bus, w } = enabled(4);
    apics[3]!.writeRegister(SVR, 4, 0xff);
    const found: number[] = [];
    const who = (): number => apics.findIndex((apic) => apic.acknowledge() >= 0 && (apic.writeRegister(0xb0, 4, 0), true));
    for (let i = 0; i < 6; i++) {
      expect(bus.send(0xffff_ffff, 0x4155)).toBe(1);
      found.push(who());
    }
    expect([...found].sort()).toEqual([0, 0, 1, 1, 2, 2]);
    w(TPR, 0x40);
    apics[2]!.writeRegister(TPR, 4, 0x30);
    bus.send(0xffff_ffff, 0x4155);
    expect(who()).toBe(1);
    expect(bus.send(3, 0x4155)).toBe(0);
  });

  it('are matched by each target with its own model and logical identifier: flat (IRQ-34)', () => {
    for (let mask = 1; mask < 256; mask++) {
      const { apics, bus } = enabled(4);
      [0x01, 0x02, 0x03, 0x80].forEach((ldr, i) => apics[i]!.writeRegister(LDR, 4, (ldr << 24) >>> 0));
      bus.send(mask, 0x4841);
      expect(apics.map((apic) => apic.isPending())).toEqual([0x01, 0x02, 0x03, 0x80].map((ldr) => (ldr & mask) !== 0));
    }
  });

  it('are matched by each target with its own model and logical identifier: clusters (IRQ-34)', () => {
    for (let mda = 0; mda < 255; mda++) {
      const { apics, bus } = enabled(4);
      const ids = [0x01, 0x12, 0x13, 0xe8];
      ids.forEach((ldr, i) => {
        apics[i]!.writeRegister(DFR, 4, 0x0fff_ffff);
        apics[i]!.writeRegister(LDR, 4, (ldr << 24) >>> 0);
      });
      bus.send(mda, 0x4841);
      expect(apics.map((apic) => apic.isPending())).toEqual(ids.map((ldr) => ldr >>> 4 === mda >>> 4 && (ldr & mda & 15) !== 0));
    }
  });

  it('are matched by each target with its own model and logical identifier: x2APIC, from sources of 8 bits too (IRQ-34)', () => {
    const { apics, bus } = enabled(18);
    for (const [id, apic] of apics.entries()) apic.writeModelRegister(APIC_BASE, id === 0 ? X2APIC : 0xfee0_0c00, 0);
    const reached = (destination: number, command: number): number[] => {
      bus.send(destination, command);
      return apics.flatMap((apic, id) => (apic.acknowledge() >= 0 ? [(apic.writeModelRegister(0x80b, 0, 0), id)] : []));
    };
    expect(reached(0x0d, 0x4841)).toEqual([0, 2, 3]);
    expect(reached(0x1_0003, 0x4841)).toEqual([16, 17]);
    expect(reached(0x2_0001, 0x4841)).toEqual([]);
    expect(reached(17, 0x4041)).toEqual([17]);
    expect(reached(0xffff_ffff, 0x4841).length).toBe(18);
    expect(reached(0xffff_ffff, 0x4041).length).toBe(18);
  });

  it('are everybody for all ones, whatever the models, with and without a logical identifier (IRQ-35)', () => {
    const { apics, w } = enabled(4);
    apics[1]!.writeRegister(LDR, 4, 0x0200_0000);
    apics[2]!.writeRegister(DFR, 4, 0x0fff_ffff);
    w(ICR_HIGH, 0xff00_0000);
    for (const command of [0x41, 0x851]) {
      w(ICR, 0x4000 | command);
      expect(apics.map((apic) => apic.acknowledge() & 0xff)).toEqual(Array(4).fill(command & 0xff));
    }
    w(ICR_HIGH, 0x7700_0000);
    w(ICR, 0x4061); // nobody, and no fault
    expect(apics.some((apic) => apic.isPending())).toBe(false);
  });
});

describe('INIT and start-up', () => {
  it('take no notice of a de-assertion (IRQ-36)', () => {
    const { events, w, apics } = enabled(2);
    events.length = 0;
    for (const command of [0x8500, OTHERS | 0x8500, ALL | 0x8500]) w(ICR, command);
    expect([loud(events), apics[1]!.readRegister(SVR, 4)]).toEqual([[], 0x1ff]);
  });

  it('start only a processor that waits, and once (IRQ-37)', () => {
    const { events, w } = enabled(2);
    w(ICR, OTHERS | 0x4604);
    w(ICR, OTHERS | 0x4605);
    w(ICR, OTHERS | 0x4500);
    w(ICR, OTHERS | 0x4606);
    w(ICR, OTHERS | 0x4607);
    w(ICR_HIGH, 0);
    w(ICR, 0x4608); // the boot processor never waits
    expect(loud(events)).toEqual(['startup 1 4', 'init 1', 'startup 1 6']);
  });

  it('come to the processor in the order in which they were sent (IRQ-38)', () => {
    const { events, w } = enabled(2);
    for (let page = 1; page <= 3; page++) {
      w(ICR, OTHERS | 0x4500);
      w(ICR, OTHERS | 0x4600 | page);
    }
    expect(loud(events)).toEqual(['init 1', 'startup 1 1', 'init 1', 'startup 1 2', 'init 1', 'startup 1 3']);
  });

  it('reach a processor whose local APIC is switched off by software, and so does NMI (IRQ-14)', () => {
    const { bus, events, r } = modelProcessors(createVirtualClock(), 2);
    for (const command of [0x4400, 0x4500, 0x4607]) expect(bus.send(1, command)).toBe(1);
    expect(bus.send(1, 0x4041)).toBe(0);
    expect([loud(events), r(0x210)]).toEqual([['nmi 1', 'init 1', 'startup 1 7'], 0]);
  });
});

it('takes fixed interrupts of LINT1 as edges, which are all that it has (SDM vol. 3, 12.5.1)', () => {
  const { apic, w, r } = enabled();
  w(LINT1, 0x8041);
  apic.setLint(1, true);
  expect([apic.acknowledge(), r(LINT1)]).toEqual([0x41, 0x8041]);
  w(0xb0, 0);
  expect(apic.isPending()).toBe(false);
});
