/** Local APICs of processors that tests stand for. */
import { ApicBus } from './apic-bus.ts';
import { IoApic } from './io-apic.ts';
import { LocalApic } from './local-apic.ts';
import type { LocalApicOptions } from './local-apic-ports.ts';
import type { ApicClock } from './local-apic-timer.ts';

/** Offsets in the page of registers, as the tests of this package name them. */
export const ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, ESR = 0x280;
export const ICR = 0x300, ICR_HIGH = 0x310, LVTT = 0x320, LINT0 = 0x350, LINT1 = 0x360, LVTERR = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0;
export const APIC_BASE = 0x1b, DEADLINE = 0x6e0;
export const XAPIC = 0xfee0_0900, X2APIC = 0xfee0_0d00, OFF = 0xfee0_0100;

export interface ModelProcessors<C extends ApicClock> {
  readonly bus: ApicBus;
  readonly clock: C;
  readonly events: string[];
  readonly external: { vectors: number[]; acknowledge(): number };
  readonly apics: readonly LocalApic[];
  readonly apic: LocalApic; // the first
  r(offset: number): number;
  w(offset: number, value: number): void;
  /** What a model-specific register of the first one reads, null for a fault. */
  get(index: number): readonly [low: number, high: number] | null;
  set(index: number, low: number, high?: number): boolean;
  /** Vectors whose bits are set in eight registers from `offset` on. */
  vectors(offset: number, of?: LocalApic): number[];
}

/** One local APIC for each of `count` processors, as they come up. */
export function modelProcessors<C extends ApicClock>(clock: C, count: number = 1, options: Partial<LocalApicOptions> = {}): ModelProcessors<C> {
  const bus = new ApicBus();
  const events: string[] = [];
  const external = { vectors: [] as number[], acknowledge: () => external.vectors.shift() ?? -1 };
  const apics = Array.from({ length: count }, (_, id) => new LocalApic({
    id, bus, clock, external,
    processor: {
      signal: () => events.push(`signal ${id}`), nmi: () => events.push(`nmi ${id}`),
      init: () => events.push(`init ${id}`), startup: (page) => events.push(`startup ${id} ${page}`),
    },
    ...options,
  }));
  const apic = apics[0]!;
  return {
    bus, clock, events, external, apics, apic,
    r: (offset) => apic.readRegister(offset, 4),
    w: (offset, value) => apic.writeRegister(offset, 4, value),
    get: (index) => (apic.readModelRegister(index) ? [apic.low, apic.high] : null),
    set: (index, low, high = 0) => apic.writeModelRegister(index, low, high),
    vectors: (offset, of = apic) => Array.from({ length: 256 }, (_, v) => v).filter((v) => (of.readRegister(offset + (v >>> 5) * 16, 4) & (1 << (v & 31))) !== 0),
  };
}

/** The same with all of them switched on by software. */
export function enabledProcessors<C extends ApicClock>(clock: C, count: number = 1, options: Partial<LocalApicOptions> = {}): ModelProcessors<C> {
  const processors = modelProcessors(clock, count, options);
  for (const apic of processors.apics) apic.writeRegister(SVR, 4, 0x1ff);
  return processors;
}

/** An I/O APIC beside them, and its registers by number. */
export function withIoApic<C extends ApicClock>(processors: ModelProcessors<C>, version: number = 0x11): ModelProcessors<C> & { readonly chip: IoApic; entry(pin: number): number; redirect(pin: number, low: number, destination?: number): void } {
  const chip = new IoApic(processors.bus, version);
  processors.bus.listen({ endOfInterrupt: (vector) => chip.endOfInterrupt(vector), accepting: () => chip.retry() });
  const select = (register: number): void => chip.write(0x00, register);
  return {
    ...processors,
    chip,
    entry: (pin) => (select(0x10 + pin * 2), chip.read(0x10)),
    redirect: (pin, low, destination = 0) => {
      select(0x11 + pin * 2);
      chip.write(0x10, (destination << 24) >>> 0);
      select(0x10 + pin * 2);
      chip.write(0x10, low);
    },
  };
}
