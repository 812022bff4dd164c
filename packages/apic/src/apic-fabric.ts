import type { FabricServices, InterruptFabric, Plain } from '@vm/core';
import type { ApicBus } from './apic-bus.ts';
import { LocalApic } from './local-apic.ts';
import type { ApicProcessor } from './local-apic-ports.ts';
import { readLocalApic } from './local-apic-state.ts';
import { sendMsi } from './msi.ts';

export interface ApicFabricOptions {
  readonly processors: number;
  readonly bus: ApicBus; // shared with the I/O APIC
  readonly timerHz?: number; // default 1 GHz
  readonly tscHz?: number; // default 1 GHz
  /** Start as firmware leaves it: the boot processor gets the 8259 through LINT0 (default true). */
  readonly virtualWire?: boolean;
  /** What messages other than fixed ones do to processor `index`; default: they reach it. */
  processor?(index: number): Omit<ApicProcessor, 'signal'>;
}

export interface ApicFabric extends InterruptFabric {
  readonly apics: readonly LocalApic[];
  save(): Plain;
  /** Throws TypeError for what `save` did not give, and for another number of processors. */
  load(state: Plain): void;
}

/** The local APICs of a machine: one for each processor slot, its id equal to the slot. */
export function createApicFabric(services: FabricServices, options: ApicFabricOptions): ApicFabric {
  const { bus, processors, virtualWire = true, timerHz, tscHz, processor } = options;
  const apics: LocalApic[] = [];
  bus.listen({ endOfInterrupt: (vector) => services.endOfInterrupt(vector), accepting: () => {} });
  for (let index = 0; index < processors; index++) {
    apics.push(new LocalApic({
      id: index,
      bus,
      clock: services.clock,
      processor: {
        nmi: () => services.notify(index, 'nmi', 0),
        init: () => services.notify(index, 'init', 0),
        startup: (page) => services.notify(index, 'startup', page),
        ...processor?.(index),
        signal: () => services.signal(index),
      },
      external: { acknowledge: () => services.acknowledge() },
      ...(timerHz === undefined ? {} : { timerHz }),
      ...(tscHz === undefined ? {} : { tscHz }),
    }));
  }
  return {
    apics,
    port: (index) => apics[index]!,
    message: (address, data) => void sendMsi(bus, address, data),
    // The wire goes to all of them; the vector tables decide who listens.
    external: (high) => {
      for (const apic of apics) apic.setLint(0, high);
    },
    reset: () => {
      for (const apic of apics) apic.reset();
      if (virtualWire) apics[0]!.setVirtualWire();
    },
    *counts() {
      const sum = (of: (apic: LocalApic) => number): number => apics.reduce((all, apic) => all + of(apic), 0);
      yield ['local-apic.registers.reads', sum((apic) => apic.reads)];
      yield ['local-apic.registers.writes', sum((apic) => apic.writes)];
      yield ['local-apic.model-registers.reads', sum((apic) => apic.modelReads)];
      yield ['local-apic.model-registers.writes', sum((apic) => apic.modelWrites)];
    },
    save: () => ({ turn: bus.turn, apics: apics.map((apic) => ({ ...apic.save(), timer: { ...apic.save().timer } })) }),
    load: (state) => {
      const { turn, apics: saved } = (state ?? {}) as Readonly<Record<string, Plain>>;
      if (typeof turn !== 'number' || !Number.isInteger(turn) || turn < 0) throw new TypeError('apic: turn expected a number');
      if (!Array.isArray(saved) || saved.length !== apics.length) throw new TypeError(`apic: expected the states of ${apics.length} local APICs`);
      const checked = (saved as readonly Plain[]).map(readLocalApic);
      apics.forEach((apic, index) => apic.load(checked[index]!));
      bus.turn = turn;
    },
  };
}
