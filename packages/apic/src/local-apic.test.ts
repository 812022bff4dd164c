import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import {
  APIC_BASE, DEADLINE, DFR, enabledProcessors, EOI, ESR, ICR, ID, IRR, ISR, LDR, LINT0, LINT1, LVTERR, LVTT, modelProcessors, PPR, SVR, TDCR, TMCCT, TMICT, TMR, TPR, VERSION,
} from './model-processors.ts';

const setup = (count = 1) => modelProcessors(createVirtualClock(), count);
const enabled = (count = 1) => enabledProcessors(createVirtualClock(), count);

describe('registers', () => {
  it('has the reset values of the manual (IRQ-01)', () => {
    const { r } = setup();
    expect([ID, VERSION, TPR, PPR, LDR, DFR, SVR, ESR, ICR, TMICT, TMCCT, TDCR].map(r)).toEqual([0, 0x50014, 0, 0, 0, 0xffff_ffff, 0xff, 0, 0, 0, 0, 0]);
    expect([LVTT, 0x330, 0x340, LINT0, LINT1, LVTERR].map(r)).toEqual(Array(6).fill(0x10000));
  });

  it('keeps the masks of the vector table while it is software-disabled (IRQ-12)', () => {
    const { r, w } = setup();
    w(LVTT, 0x30);
    expect(r(LVTT)).toBe(0x10030);
    w(SVR, 0x1ff);
    w(LVTT, 0x30);
    expect(r(LVTT)).toBe(0x30);
    w(SVR, 0xff);
    expect(r(LVTT)).toBe(0x10030);
    w(SVR, 0x1ff);
    expect(r(LVTT)).toBe(0x10030);
  });

  it('reads parts of a register and ignores writes that are not aligned double words', () => {
    const { apic, r, w } = enabled();
    w(LDR, 0x1200_0000);
    expect(apic.readRegister(LDR + 3, 1)).toBe(0x12);
    expect(apic.readRegister(LDR + 2, 2)).toBe(0x1200);
    expect(apic.readRegister(LDR + 4, 4)).toBe(0);
    apic.writeRegister(LDR, 1, 0xff);
    expect(r(LDR)).toBe(0x1200_0000);
  });

  it('counts accesses to its page and to its model-specific registers, but for the base', () => {
    const { apic, r, w } = setup();
    r(ID);
    r(VERSION);
    w(SVR, 0x1ff);
    apic.readModelRegister(APIC_BASE);
    apic.writeModelRegister(DEADLINE, 0, 0);
    apic.writeModelRegister(DEADLINE, 0, 0);
    apic.readModelRegister(DEADLINE);
    expect([apic.reads, apic.writes, apic.modelReads, apic.modelWrites]).toEqual([2, 1, 1, 2]);
  });
});

describe('priority', () => {
  it('never lets an equal class nest, and always a higher one (IRQ-19, IRQ-20)', () => {
    const { apic, bus, w } = enabled();
    bus.send(0, 0x4041);
    expect(apic.acknowledge()).toBe(0x41);
    bus.send(0, 0x404f);
    expect(apic.isPending()).toBe(false);
    bus.send(0, 0x4050);
    expect(apic.acknowledge()).toBe(0x50);
    w(EOI, 0);
    expect(apic.isPending()).toBe(false);
    w(EOI, 0);
    expect(apic.acknowledge()).toBe(0x4f);
  });

  it.each([[0x00, 0x00, 0x00], [0x2f, 0x00, 0x2f], [0x2f, 0x31, 0x30], [0x35, 0x31, 0x35], [0x25, 0x21, 0x25]])('with task priority %i and %i in service the processor priority is %i (IRQ-18)', (tpr, vector, ppr) => {
    const { apic, bus, r, w } = enabled();
    if (vector > 0) {
      bus.send(0, 0x4000 | vector);
      apic.acknowledge();
    }
    w(TPR, tpr);
    expect(r(PPR)).toBe(ppr);
  });

  it('delivers and signals when CR8 falls (IRQ-21)', () => {
    const { apic, bus, events } = enabled();
    apic.priority = 3;
    bus.send(0, 0x403f);
    expect(apic.isPending()).toBe(false);
    expect(events).toEqual([]);
    apic.priority = 2;
    expect(events).toEqual(['signal 0']);
    expect(apic.acknowledge()).toBe(0x3f);
  });

  it('holds requests while software-disabled and delivers them after (IRQ-13)', () => {
    const { apic, bus, r, w } = enabled();
    bus.send(0, 0x4041);
    w(SVR, 0xff);
    expect(apic.isPending()).toBe(false);
    expect(bus.send(0, 0x4042)).toBe(0);
    expect(r(IRR + 0x20)).toBe(2);
    w(SVR, 0x1ff);
    expect(apic.acknowledge()).toBe(0x41);
  });

  it('keeps the trigger mode after the end of the interrupt, and tells the bus only of levels (IRQ-63)', () => {
    const { apic, bus, r, w } = enabled();
    const ended: number[] = [];
    bus.listen({ endOfInterrupt: (vector) => ended.push(vector), accepting: () => {} });
    for (const command of [0x4041, 0xc042]) {
      bus.send(0, command);
      apic.acknowledge();
      w(EOI, 0);
    }
    expect(ended).toEqual([0x42]);
    expect(r(TMR + 0x20)).toBe(4);
    expect([r(ISR + 0x20), r(IRR + 0x20)]).toEqual([0, 0]);
    w(EOI, 0); // spurious
    expect(ended).toEqual([0x42]);
  });
});

describe('requests', () => {
  it('end while the local APIC is switched off by software (IRQ-15)', () => {
    const { apic, bus, r, w } = enabled();
    bus.send(0, 0x4041);
    apic.acknowledge();
    w(SVR, 0xff);
    w(EOI, 0);
    expect([r(ISR + 0x20), r(PPR), apic.isPending()]).toEqual([0, 0, false]);
  });

  it('that went away before they were taken leave nothing in service (IRQ-17)', () => {
    const { apic, bus, w, vectors } = enabled();
    bus.send(0, 0x4041);
    expect(apic.isPending()).toBe(true);
    w(TPR, 0x40); // between the signal and the acknowledgement
    expect([apic.acknowledge(), vectors(ISR), vectors(IRR)]).toEqual([-1, [], [0x41]]);
    w(EOI, 0);
    w(TPR, 0);
    expect([apic.acknowledge(), apic.ends.spurious]).toEqual([0x41, 1]);
    w(EOI, 0);
    bus.send(0, 0x4041);
    w(SVR, 0xff);
    expect([apic.acknowledge(), vectors(ISR)]).toEqual([-1, []]);
  });

  it('below the class of the task priority wait, those of class 1 for 0 alone (IRQ-22)', () => {
    for (const vector of [0x10, 0x1f]) {
      const { apic, bus, w } = enabled();
      w(TPR, 0x10);
      bus.send(0, 0x4000 | vector);
      bus.send(0, 0x4020);
      expect(apic.acknowledge()).toBe(0x20);
      w(EOI, 0);
      expect(apic.isPending()).toBe(false);
      w(TPR, 0x0f); // the low half compares nothing
      expect(apic.acknowledge()).toBe(vector);
    }
  });

  it('are one and one in service for each vector: the third is lost (SDM vol. 3, 12.8.4)', () => {
    const { apic, bus, w } = enabled();
    bus.send(0, 0x4041);
    apic.acknowledge();
    bus.send(0, 0x4041);
    bus.send(0, 0x4041);
    w(EOI, 0);
    expect(apic.acknowledge()).toBe(0x41);
    w(EOI, 0);
    expect(apic.acknowledge()).toBe(-1);
  });
});

describe('pins', () => {
  it('passes the 8259 through LINT0 only unmasked in ExtINT mode, whatever the priority (IRQ-75, IRQ-78)', () => {
    const { apic, external, w } = enabled();
    apic.setLint(0, true);
    expect(apic.isPending()).toBe(false);
    w(LINT0, 0x700);
    w(TPR, 0xf0);
    external.vectors = [0x31];
    expect(apic.isPending()).toBe(true);
    expect(apic.acknowledge()).toBe(0x31);
    expect(apic.readRegister(ISR + 0x10, 4)).toBe(0);
    w(LINT0, 0x1_0700);
    expect(apic.isPending()).toBe(false);
  });

  it('passes the 8259 straight on while the local APIC is off (IRQ-77)', () => {
    const { apic, external, events } = enabled();
    apic.writeModelRegister(APIC_BASE, 0xfee0_0100, 0);
    apic.setLint(0, true);
    external.vectors = [0x20];
    expect(events).toEqual(['signal 0']);
    expect(apic.acknowledge()).toBe(0x20);
    apic.setLint(0, false);
    expect(apic.isPending()).toBe(false);
  });

  it('turns a rising edge into the vector of a fixed entry, and one at LINT1 into an NMI (IRQ-76)', () => {
    const { apic, events, w } = enabled();
    w(LINT0, 0x30);
    w(LINT1, 0x400);
    apic.setLint(0, true);
    expect(apic.acknowledge()).toBe(0x30);
    w(EOI, 0);
    expect(apic.isPending()).toBe(false);
    apic.setLint(1, true);
    expect(events.at(-1)).toBe('nmi 0');
  });

  it('asks again after the end of a level-triggered pin that is still high', () => {
    const { apic, r, w } = enabled();
    w(LINT0, 0x8030);
    apic.setLint(0, true);
    expect(r(LINT0)).toBe(0xc030);
    expect(apic.acknowledge()).toBe(0x30);
    w(EOI, 0);
    expect(apic.acknowledge()).toBe(0x30);
    apic.setLint(0, false);
    w(EOI, 0);
    expect([apic.isPending(), r(LINT0)]).toEqual([false, 0x8030]);
  });
});

it('comes back from its saved state with requests, services and a running timer', () => {
  const { apic, bus, clock, w, r } = enabled();
  w(TDCR, 0xb);
  w(LVTT, 0x2_0040);
  w(TMICT, 100_000);
  w(LDR, 0x0100_0000);
  bus.send(0, 0xc051);
  apic.acknowledge();
  bus.send(0, 0x4033);
  clock.advance(30_000);
  const saved = structuredClone(apic.save());
  w(EOI, 0);
  w(SVR, 0xff);
  w(TMICT, 0);
  apic.load(saved);
  expect([r(LDR), r(SVR), r(TMCCT), r(PPR), r(IRR + 0x10), r(TMR + 0x20)]).toEqual([0x0100_0000, 0x1ff, 70_000, 0x50, 1 << 0x13, 1 << 0x11]);
  w(EOI, 0);
  expect(apic.acknowledge()).toBe(0x33);
  expect(apic.save()).not.toEqual(saved);
  clock.advance(70_000);
  expect(apic.acknowledge()).toBe(0x40);
});
