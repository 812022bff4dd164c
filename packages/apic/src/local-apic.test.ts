import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { ApicBus } from './apic-bus.ts';
import { LocalApic } from './local-apic.ts';

const ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280;
const ICR = 0x300, ICR_HIGH = 0x310, LVTT = 0x320, LINT0 = 0x350, LINT1 = 0x360, LVTERR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0;
const APIC_BASE = 0x1b, DEADLINE = 0x6e0;

function setup(count = 1) {
  const bus = new ApicBus();
  const clock = createVirtualClock();
  const events: string[] = [];
  const external = { vectors: [] as number[], acknowledge: () => external.vectors.shift() ?? -1 };
  const apics = Array.from({ length: count }, (_, id) => new LocalApic({
    id, bus, clock, external,
    processor: {
      signal: () => events.push(`signal ${id}`), nmi: () => events.push(`nmi ${id}`),
      init: () => events.push(`init ${id}`), startup: (page) => events.push(`startup ${id} ${page}`),
    },
  }));
  const apic = apics[0]!;
  const r = (offset: number): number => apic.readRegister(offset, 4);
  const w = (offset: number, value: number): void => apic.writeRegister(offset, 4, value);
  return { bus, clock, events, external, apics, apic, r, w };
}

function enabled(count = 1) {
  const t = setup(count);
  for (const apic of t.apics) apic.writeRegister(SVR, 4, 0x1ff);
  return t;
}

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

  it('shows errors only after a write to the error register (IRQ-26)', () => {
    const { r, w } = enabled();
    r(0x40);
    expect(r(ESR)).toBe(0);
    w(ESR, 0);
    expect(r(ESR)).toBe(0x80);
    w(ESR, 0);
    expect(r(ESR)).toBe(0);
  });

  it('reports an illegal vector of a message it sends and one it receives (IRQ-27)', () => {
    const { bus, apic, r, w } = enabled();
    w(LVTERR, 0xfe);
    w(ICR, 0x4_0005);
    w(ESR, 0);
    expect(r(ESR)).toBe(0x20);
    expect(apic.acknowledge()).toBe(0xfe);
    bus.send(0, 0x4005);
    w(ESR, 0);
    expect(r(ESR)).toBe(0x40);
  });
});

describe('base register and modes', () => {
  const XAPIC = 0xfee0_0900, X2APIC = 0xfee0_0d00, OFF = 0xfee0_0100;

  it.each([
    [XAPIC, OFF, true], [XAPIC, X2APIC, true], [X2APIC, OFF, true], [OFF, XAPIC, true],
    [OFF, X2APIC, false], [X2APIC, XAPIC, false], [XAPIC, 0xfee0_0500, false], [OFF, 0xfee0_0500, false], [XAPIC, 0xfee0_0901, false],
  ])('from %i to %i is allowed: %s', (from, to, allowed) => {
    const { apic } = setup();
    expect(apic.writeModelRegister(APIC_BASE, from, 0)).toBe(true);
    expect(apic.writeModelRegister(APIC_BASE, to, 0)).toBe(allowed);
    apic.readModelRegister(APIC_BASE);
    expect(apic.low).toBe(allowed ? to : from);
  });

  it('has a window only in xAPIC mode, and at the base', () => {
    const { apic } = setup();
    expect(apic.window()).toBe(0xfee0_0000);
    apic.writeModelRegister(APIC_BASE, 0xfed4_0900, 0);
    expect(apic.window()).toBe(0xfed4_0000);
    apic.writeModelRegister(APIC_BASE, X2APIC, 0);
    expect(apic.window()).toBe(-1);
    apic.writeModelRegister(APIC_BASE, OFF, 0);
    expect(apic.window()).toBe(-1);
  });

  it('loses its registers when it is switched off, and keeps CR8 working', () => {
    const { apic, r, w } = enabled();
    w(LINT0, 0x700);
    apic.writeModelRegister(APIC_BASE, OFF, 0);
    apic.priority = 5;
    expect(apic.priority).toBe(5);
    apic.writeModelRegister(APIC_BASE, XAPIC, 0);
    expect([r(SVR), r(LINT0), r(TPR)]).toEqual([0xff, 0x10000, 0]);
  });

  it('faults on every x2APIC register outside x2APIC mode', () => {
    const { apic } = setup();
    for (let index = 0x800; index <= 0x8ff; index++) {
      expect(apic.readModelRegister(index)).toBe(false);
      expect(apic.writeModelRegister(index, 0, 0)).toBe(false);
    }
  });

  it('has the registers of x2APIC mode, and faults on reserved bits', () => {
    const { apic } = enabled(18);
    apic.writeModelRegister(APIC_BASE, X2APIC, 0);
    const readable = [];
    for (let index = 0x800; index <= 0x8ff; index++) if (apic.readModelRegister(index)) readable.push(index - 0x800);
    const range = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);
    expect(readable).toEqual([2, 3, 8, 0xa, 0xd, 0xf, ...range(0x10, 0x28), 0x30, ...range(0x32, 0x39), 0x3e]);
    expect(apic.writeModelRegister(0x80b, 1, 0)).toBe(false);
    expect(apic.writeModelRegister(0x80b, 0, 0)).toBe(true);
    expect(apic.writeModelRegister(0x808, 0x100, 0)).toBe(false);
    expect(apic.writeModelRegister(0x808, 0x10, 1)).toBe(false);
    expect(apic.writeModelRegister(0x802, 0, 0)).toBe(false);
    expect(apic.writeModelRegister(0x83f, 0x131, 0)).toBe(false);
    expect(apic.writeModelRegister(0x83f, 0x31, 0)).toBe(true);
    expect(apic.acknowledge()).toBe(0x31);
  });

  it.each([[0, 1], [15, 0x8000], [16, 0x1_0001], [255, 0xf_8000], [256, 0x10_0001]])('computes the logical id of %i in x2APIC mode', (id, ldr) => {
    const apic = new LocalApic({ id, bus: new ApicBus(), clock: createVirtualClock(), processor: { signal: () => {} } });
    apic.readModelRegister(APIC_BASE);
    apic.writeModelRegister(APIC_BASE, apic.low | 0x400, 0);
    apic.readModelRegister(0x80d);
    expect(apic.low).toBe(ldr);
    apic.readModelRegister(0x802);
    expect(apic.low).toBe(id);
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

  it.each([[0x00, 0x00, 0x00], [0x2f, 0x00, 0x2f], [0x2f, 0x31, 0x30], [0x35, 0x31, 0x35], [0x25, 0x21, 0x25]])('with task priority %i and %i in service the processor priority is %i', (tpr, vector, ppr) => {
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

  it('keeps the trigger mode after the end of the interrupt, and tells the bus only of levels', () => {
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

describe('messages', () => {
  it('sends on the low half of the command register, never on the high half, and is never busy (IRQ-29, IRQ-30)', () => {
    const { apics, apic, r, w } = enabled(2);
    w(ICR_HIGH, 0x0100_0000);
    expect(apics[1]!.isPending()).toBe(false);
    w(ICR, 0x4033);
    expect(r(ICR)).toBe(0x4033);
    expect(apics[1]!.acknowledge()).toBe(0x33);
    expect(apic.isPending()).toBe(false);
  });

  it.each([[0x4_4033, [true, false, false]], [0x8_4033, [true, true, true]], [0xc_4033, [false, true, true]], [0x4_0033, [true, false, false]]])('shorthand of %i reaches %j', (command, expected) => {
    const { apics, w } = enabled(3);
    w(ICR, command);
    expect(apics.map((apic) => apic.isPending())).toEqual(expected);
  });

  it('matches flat and cluster destinations with the mode of the target', () => {
    const { apics, bus } = enabled(3);
    apics[0]!.writeRegister(LDR, 4, 0x0100_0000);
    apics[1]!.writeRegister(LDR, 4, 0x0300_0000);
    apics[2]!.writeRegister(LDR, 4, 0x1200_0000);
    apics[2]!.writeRegister(DFR, 4, 0x0fff_ffff);
    expect(bus.send(0x01, 0x4833)).toBe(2);
    expect(bus.send(0x02, 0x4834)).toBe(1);
    expect(bus.send(0x12, 0x4835)).toBe(2);
    expect(bus.send(0x22, 0x4836)).toBe(1);
    expect(bus.send(0xffff_ffff, 0x4037)).toBe(3);
  });

  it('gives a lowest-priority message to one local APIC, that with the lowest priority', () => {
    const { apics, bus } = enabled(3);
    apics[0]!.priority = 4;
    apics[1]!.priority = 2;
    apics[2]!.priority = 4;
    expect(bus.send(0xffff_ffff, 0x4155)).toBe(1);
    expect(apics.map((apic) => apic.isPending())).toEqual([false, true, false]);
  });

  it('resets on INIT, ignores its de-assert, and starts only a processor that waits', () => {
    const { apics, events, w } = enabled(2);
    w(ICR_HIGH, 0x0100_0000);
    w(ICR, 0x8500); // level de-assert
    expect(events).toEqual([]);
    w(ICR, 0xc500);
    w(ICR, 0x4609);
    w(ICR, 0x460a);
    expect(events).toEqual(['init 1', 'startup 1 9']);
    expect(apics[1]!.readRegister(SVR, 4)).toBe(0xff);
  });

  it('delivers NMI and INIT while software-disabled', () => {
    const { events, bus } = setup(2);
    bus.send(1, 0x4400);
    bus.send(1, 0x4500);
    expect(events).toEqual(['nmi 1', 'init 1']);
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

  it('turns a rising edge into the vector of a fixed entry, and one at LINT1 into an NMI', () => {
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

describe('timer', () => {
  it.each([[0x0, 2], [0x1, 4], [0x2, 8], [0x3, 16], [0x8, 32], [0x9, 64], [0xa, 128], [0xb, 1]])('divides by the code %i', (code, divisor) => {
    const { apic, clock, w } = enabled();
    w(TDCR, code);
    w(LVTT, 0x40);
    w(TMICT, 1000);
    clock.advance(1000 * divisor - 1);
    expect(apic.isPending()).toBe(false);
    clock.advance(1);
    expect(apic.acknowledge()).toBe(0x40);
  });

  it('counts down once and stays at zero, even in periodic mode afterwards (IRQ-40, IRQ-43)', () => {
    const { clock, r, w } = enabled();
    w(TDCR, 0xb);
    w(LVTT, 0x1_0040);
    w(TMICT, 1000);
    clock.advance(400);
    expect(r(TMCCT)).toBe(600);
    clock.advance(1000);
    expect(r(TMCCT)).toBe(0);
    w(LVTT, 0x3_0040);
    expect(r(TMCCT)).toBe(0);
    expect(r(TMICT)).toBe(1000);
  });

  it('repeats without drift', () => {
    const { apic, clock, w } = enabled();
    w(TDCR, 0xb);
    w(LVTT, 0x2_0040);
    w(TMICT, 100_003);
    let ticks = 0;
    for (let i = 0; i < 100; i++) {
      clock.advance(100_003 - (i === 0 ? 1 : 0));
      if (apic.isPending()) {
        apic.acknowledge();
        w(EOI, 0);
        ticks++;
      }
    }
    expect(ticks).toBe(99);
    clock.advance(1);
    expect(apic.isPending()).toBe(true);
  });

  it('keeps the count when the mode or the divider changes', () => {
    const { clock, r, w } = enabled();
    w(TDCR, 0xb);
    w(TMICT, 1000);
    clock.advance(300);
    w(LVTT, 0x3_0040);
    expect(r(TMCCT)).toBe(700);
    w(TDCR, 0x0);
    expect(r(TMCCT)).toBe(700);
    clock.advance(200);
    expect(r(TMCCT)).toBe(600);
  });

  it('loses an expiry while masked (IRQ-45)', () => {
    const { apic, clock, w } = enabled();
    w(TDCR, 0xb);
    w(LVTT, 0x1_0040);
    w(TMICT, 100);
    clock.advance(200);
    w(LVTT, 0x40);
    expect(apic.isPending()).toBe(false);
  });

  it('fires at a TSC deadline, at once when that is past, and clears it', () => {
    const { apic, clock, w } = enabled();
    expect(apic.writeModelRegister(DEADLINE, 5000, 0)).toBe(true);
    apic.readModelRegister(DEADLINE);
    expect(apic.low).toBe(0); // ignored outside the mode
    w(LVTT, 0x4_0041);
    w(TMICT, 1000);
    apic.writeModelRegister(DEADLINE, 5000, 0);
    apic.readModelRegister(DEADLINE);
    expect(apic.low).toBe(5000);
    clock.advance(4999);
    expect(apic.isPending()).toBe(false);
    clock.advance(1);
    expect(apic.acknowledge()).toBe(0x41);
    apic.readModelRegister(DEADLINE);
    expect(apic.low).toBe(0);
    w(EOI, 0);
    apic.writeModelRegister(DEADLINE, 1, 0);
    expect(apic.acknowledge()).toBe(0x41);
    w(EOI, 0);
    apic.writeModelRegister(DEADLINE, 9000, 0);
    w(LVTT, 0x41);
    clock.advance(10_000);
    expect(apic.isPending()).toBe(false);
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
