import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { enabledProcessors, EOI, SVR, TMR, TPR, withIoApic } from './model-processors.ts';

const LEVEL = 0x8000, MASKED = 0x1_0000, REMOTE_IRR = 0x4000;
function setup({ count = 1, version = 0x11, suppresses = false } = {}) {
  const t = withIoApic(enabledProcessors(createVirtualClock(), count, { suppressesBroadcasts: suppresses }), version);
  return { ...t, end: () => t.w(EOI, 0) };
}

describe('a level', () => {
  it('is remembered from its acceptance to the end of its vector, and of no other (IRQ-54)', () => {
    const { chip, redirect, entry, apic, bus, end } = setup();
    redirect(9, LEVEL | 0x41);
    expect(entry(9)).toBe(LEVEL | 0x41);
    chip.setLine(9, true);
    expect([entry(9), apic.acknowledge()]).toEqual([LEVEL | REMOTE_IRR | 0x41, 0x41]);
    bus.send(0, 0x4051);
    expect(apic.acknowledge()).toBe(0x51);
    end(); // 0x51
    expect(entry(9) & REMOTE_IRR).toBe(REMOTE_IRR);
    chip.setLine(9, false);
    expect(entry(9) & REMOTE_IRR).toBe(REMOTE_IRR);
    end();
    expect([entry(9), apic.isPending()]).toEqual([LEVEL | 0x41, false]);
  });

  it('that is still there asks again in the middle of its end (IRQ-55, INT-16)', () => {
    const { chip, redirect, apic, end } = setup();
    redirect(9, LEVEL | 0x41);
    chip.setLine(9, true);
    for (let i = 0; i < 5; i++) {
      expect(apic.acknowledge()).toBe(0x41);
      expect(apic.isPending()).toBe(false);
      if (i === 4) chip.setLine(9, false);
      end();
    }
    expect(apic.isPending()).toBe(false);
  });

  it('that is raised twice before its end comes once, and one raised after it comes again (IRQ-56)', () => {
    const { chip, redirect, apic, end } = setup();
    redirect(9, LEVEL | 0x41);
    const raise = (): void => {
      chip.setLine(9, false);
      chip.setLine(9, true);
    };
    raise();
    apic.acknowledge();
    raise();
    expect(apic.isPending()).toBe(false);
    chip.setLine(9, false);
    end();
    expect(apic.isPending()).toBe(false);
    raise();
    expect(apic.acknowledge()).toBe(0x41);
  });

  it('that is masked while it is served is ended, and comes when it is unmasked (IRQ-53)', () => {
    const { chip, redirect, entry, apic, end } = setup();
    redirect(9, LEVEL | 0x41);
    chip.setLine(9, true);
    apic.acknowledge();
    redirect(9, MASKED | LEVEL | 0x41);
    expect(entry(9)).toBe(MASKED | LEVEL | REMOTE_IRR | 0x41);
    end();
    expect([entry(9), apic.isPending()]).toEqual([MASKED | LEVEL | 0x41, false]);
    redirect(9, LEVEL | 0x41);
    expect(apic.acknowledge()).toBe(0x41);
  });

  it('of one vector at two pins asks at both after one end (IRQ-57)', () => {
    const { chip, redirect, entry, apic, end } = setup();
    for (const pin of [9, 10]) redirect(pin, LEVEL | 0x41);
    chip.setLine(9, true);
    chip.setLine(10, true);
    expect(apic.acknowledge()).toBe(0x41);
    chip.setLine(9, false);
    end();
    expect([entry(9) & REMOTE_IRR, entry(10) & REMOTE_IRR]).toEqual([0, REMOTE_IRR]);
    apic.acknowledge();
    chip.setLine(10, false);
    end();
    expect([entry(10) & REMOTE_IRR, apic.isPending()]).toEqual([0, false]);
  });

  it('ends at its pin though the pin names another processor by then (IRQ-60)', () => {
    const { chip, redirect, entry, apics, end } = setup({ count: 2 });
    redirect(9, LEVEL | 0x41, 0);
    chip.setLine(9, true);
    apics[0]!.acknowledge();
    redirect(9, LEVEL | 0x41, 1);
    expect([entry(9) & REMOTE_IRR, apics[1]!.isPending()]).toEqual([REMOTE_IRR, false]);
    end();
    expect([entry(9) & REMOTE_IRR, apics[0]!.isPending(), apics[1]!.acknowledge()]).toEqual([REMOTE_IRR, false, 0x41]);
  });

  it('whose end software keeps from the I/O APIC ends by its register there (IRQ-61)', () => {
    const { chip, redirect, entry, apic, w, end } = setup({ version: 0x20, suppresses: true });
    w(SVR, 0x11ff);
    redirect(9, LEVEL | 0x41);
    chip.setLine(9, true);
    apic.acknowledge();
    end();
    expect([entry(9) & REMOTE_IRR, apic.isPending()]).toEqual([REMOTE_IRR, false]);
    chip.write(0x40, 0x40);
    expect(entry(9) & REMOTE_IRR).toBe(REMOTE_IRR);
    chip.write(0x40, 0x41);
    expect(apic.acknowledge()).toBe(0x41);
  });

  it('has no such register where the version says so, and software cannot keep its end back (IRQ-61)', () => {
    const { chip, redirect, entry, apic, w, r, end } = setup();
    w(SVR, 0x11ff);
    redirect(9, LEVEL | 0x41);
    chip.setLine(9, true);
    apic.acknowledge();
    chip.write(0x40, 0x41);
    expect([entry(9) & REMOTE_IRR, r(SVR)]).toEqual([REMOTE_IRR, 0x1ff]);
    chip.setLine(9, false);
    end();
    expect(entry(9) & REMOTE_IRR).toBe(0);
  });

  it('that nobody takes waits at its pin until somebody does (IRQ-62)', () => {
    const { chip, redirect, entry, apic, w } = setup();
    w(SVR, 0xff);
    redirect(9, LEVEL | 0x41);
    chip.setLine(9, true);
    expect(entry(9) & REMOTE_IRR).toBe(0);
    w(SVR, 0x1ff);
    expect([entry(9) & REMOTE_IRR, apic.acknowledge()]).toEqual([REMOTE_IRR, 0x41]);
    redirect(10, LEVEL | 0x51, 7); // there is no processor 7
    chip.setLine(10, true);
    expect(entry(10) & REMOTE_IRR).toBe(0);
    redirect(10, LEVEL | 0x51, 0);
    expect(apic.acknowledge()).toBe(0x51);
  });

  it('is none where the mode of the pin knows edges only (82093AA data sheet, 3.2.4)', () => {
    const { chip, redirect, entry, events } = setup();
    redirect(9, LEVEL | 0x400);
    for (let i = 0; i < 3; i++) {
      chip.setLine(9, true);
      chip.setLine(9, false);
    }
    expect([entry(9), events.filter((event) => event === 'nmi 0').length]).toEqual([LEVEL | 0x400, 3]);
  });
});

it('ends a level by an edge of its entry, as software does that has no other register (IRQ-58)', () => {
  const { chip, redirect, entry, apic } = setup();
  redirect(9, LEVEL | 0x41);
  chip.setLine(9, true);
  apic.acknowledge();
  redirect(9, MASKED | 0x41);
  expect(entry(9)).toBe(MASKED | 0x41);
  redirect(9, LEVEL | 0x41);
  expect([entry(9) & REMOTE_IRR, apic.isPending()]).toEqual([REMOTE_IRR, false]); // requested, and in service
});

it('shows how each vector came last: edge, level, level, edge (IRQ-63)', () => {
  const { chip, redirect, apic, vectors, end } = setup();
  const seen: number[][] = [];
  for (const trigger of [0, LEVEL, LEVEL, 0]) {
    redirect(14, trigger | 0x78);
    chip.setLine(14, true);
    expect(apic.acknowledge()).toBe(0x78);
    seen.push(vectors(TMR));
    chip.setLine(14, false);
    end();
    seen.push(vectors(TMR));
  }
  expect(seen).toEqual([[], [], [0x78], [0x78], [0x78], [0x78], [], []]);
});

it('delivers what came together by class, whatever the pins (IRQ-20)', () => {
  const { chip, redirect, apic, end, w } = setup();
  redirect(14, 0x78);
  redirect(15, LEVEL | 0x66);
  w(TPR, 0xf0);
  chip.setLine(15, true);
  chip.setLine(14, true);
  w(TPR, 0);
  expect(apic.acknowledge()).toBe(0x78);
  end();
  expect(apic.acknowledge()).toBe(0x66);
});

it('keeps the bits of destinations of 15 bits, and does not use them: no guest is told of them (IRQ-64)', () => {
  const { chip, redirect, apics } = setup({ count: 2 });
  redirect(4, 0x41, 1);
  chip.write(0, 0x19);
  chip.write(0x10, 0x01ff_0000);
  expect(chip.read(0x10)).toBe(0x01ff_0000);
  chip.setLine(4, true);
  expect(apics.map((apic) => apic.acknowledge())).toEqual([-1, 0x41]);
});
