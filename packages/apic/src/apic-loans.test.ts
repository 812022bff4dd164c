import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { APIC_BASE, DEADLINE, enabledProcessors, ICR, LVTT, modelProcessors, TDCR, TMCCT, TMICT, TPR, withIoApic, X2APIC } from './model-processors.ts';

const sendNobody = { send: () => 0, waits: false };

describe('a local APIC that is lent', () => {
  it('comes back as it went, in both modes, with what is requested, served, and under way', () => {
    for (const mode of ['x', 'x2'] as const) {
      const clock = createVirtualClock();
      const { apic, w, set } = enabledProcessors(clock, 2);
      w(TPR, 0x20);
      w(TDCR, 0xb);
      w(LVTT, 0x2_0051);
      w(TMICT, 5000);
      apic.accept(0, 0x61, true);
      expect(apic.acknowledge()).toBe(0x61);
      apic.accept(0, 0x31, false);
      w(ICR, 0x4_4071);
      if (mode === 'x2') expect(set(APIC_BASE, X2APIC)).toBe(true);
      clock.advance(1234);
      const before = apic.save();
      const loan = apic.loans.lend(sendNobody);
      expect(loan.registers.length).toBe(1024);
      apic.loans.takeBack(loan);
      expect(apic.save()).toEqual(before);
    }
  });

  it('has its deadline in machine time, and no timer of its own meanwhile', () => {
    const clock = createVirtualClock();
    const { apic, w, set, events } = enabledProcessors(clock);
    w(LVTT, 0x4_0051);
    set(DEADLINE, 9000);
    const loan = apic.loans.lend(sendNobody);
    expect(loan.deadline).toBe(9000);
    clock.advance(20_000);
    expect(events.filter((event) => event !== 'signal 0')).toEqual([]);
    expect(apic.isPending()).toBe(false);
    apic.loans.takeBack({ ...loan, deadline: 30_000 });
    expect(apic.save().timer).toMatchObject({ due: 30_000, deadlineLow: 30_000 });
  });

  it('gives a timer that has expired as one that never began: who has both counts at 0 would let it expire again', () => {
    const clock = createVirtualClock();
    const { apic, w } = enabledProcessors(clock);
    w(LVTT, 0x51);
    w(TMICT, 100);
    clock.advance(1_000_000);
    const page = new DataView(apic.loans.lend(sendNobody).registers.buffer);
    expect([page.getUint32(TMICT, true), page.getUint32(TMCCT, true), page.getUint32(0x220, true)]).toEqual([0, 0, 1 << 17]);
  });

  it('passes messages to the borrower, and the wire of the 8259 to the processor', () => {
    const clock = createVirtualClock();
    const { apic, bus, external, events } = enabledProcessors(clock);
    const sent: unknown[] = [];
    const loan = apic.loans.lend({ send: (destination, command) => (sent.push([destination, command]), 1), waits: true });
    events.length = 0;
    expect(bus.send(3, 0x4051)).toBe(1);
    expect([sent, events, apic.isPending()]).toEqual([[[3, 0x4051]], ['signal 0'], false]);
    external.vectors.push(0x08);
    apic.setLint(0, true); // masked in the vector table, which is the borrower's now
    expect([apic.isPending(), apic.acknowledge()]).toEqual([true, 8]);
    apic.loans.takeBack(loan);
    expect([apic.isPending(), apic.save().lint]).toEqual([false, [true, false]]);
    expect([bus.send(0, 0x4051), sent.length]).toEqual([1, 1]);
  });

  it('is told of ends, and offers a level again that nobody took', () => {
    const clock = createVirtualClock();
    const processors = withIoApic(enabledProcessors(clock));
    const { apic, chip } = processors;
    let takes = 0;
    const tried: number[] = [];
    apic.loans.lend({ send: (_destination, command) => (tried.push(command & 0xff), takes), waits: false });
    processors.redirect(5, 0x8061);
    chip.setLine(5, true);
    expect([tried, processors.entry(5) & 0x4000]).toEqual([[0x61], 0]);
    takes = 1;
    clock.advance(20_000_000);
    expect([tried, processors.entry(5) & 0x4000]).toEqual([[0x61, 0x61], 0x4000]);
    apic.loans.ended(0x61); // and it is high still
    expect(tried).toEqual([0x61, 0x61, 0x61]);
  });

  it('says what keeps it from being lent', () => {
    const obstacle = (options: object): string | null => modelProcessors(createVirtualClock(), 1, options).apic.loans.obstacle;
    expect(obstacle({})).toBe(null);
    expect(obstacle({ extendedSpace: true })).toMatch('chosen vector');
    expect(obstacle({ suppressesBroadcasts: true })).toMatch('ends of levels');
    expect(obstacle({ plainController: true })).toMatch('plain controller');
    expect(obstacle({ timerHz: 25e6 })).toMatch('rate');
    expect(obstacle({ assist: { endsItself: () => false, offer: () => false, withdraw: () => false, ended: () => undefined } })).toBe('enlightenments');
  });
});
