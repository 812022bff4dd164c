import type { FabricServices, InterruptFabric, Plain } from '@vm/core';
import type { Ram } from '@vm/core/engine';
import type { ApicBus } from './apic-bus.ts';
import { type EoiPolicy, type EndCounts, offersOf } from './interrupt-ends.ts';
import { LocalApic } from './local-apic.ts';
import type { ApicProcessor } from './local-apic-ports.ts';
import { readLocalApic } from './local-apic-state.ts';
import { sendMsi } from './msi.ts';
import * as spec from './spec.ts';
import type { GuestFace } from './synthetic/guest-face.ts';
import { createGuestFaces } from './synthetic/guest-faces.ts';
import type { Partition } from './synthetic/partition.ts';
import type { Enlightenment } from './synthetic/profile.ts';
import { VmbusResponder } from './synthetic/vmbus-responder.ts';

export interface ApicFabricOptions {
  readonly processors: number;
  readonly bus: ApicBus; // shared with the I/O APIC
  readonly timerHz?: number; // default 1 GHz
  readonly tscHz?: number; // default 1 GHz
  /** Start as firmware leaves it: the boot processor gets the 8259 through LINT0 (default true). */
  readonly virtualWire?: boolean;
  /** What a guest is offered for ends of interrupts: default `lazy`, which only counts with an enlightenment. */
  readonly eoi?: EoiPolicy;
  /** Software may keep ends of levels from the I/O APIC, which then has to have an EOI register. Default: false. */
  readonly suppressesBroadcasts?: boolean;
  /** The local APICs stand over controllers that can end the highest vector in service and nothing else, as a host's may be. Default: false. */
  readonly plainControllers?: boolean;
  /** Whom the machine presents itself as to guests that ask for a hypervisor. Default: `none`. */
  readonly enlighten?: Enlightenment;
  /** The guest's memory, which enlightenments need. Asked for when the guest runs. */
  readonly ram?: () => Pick<Ram, 'memory' | 'offsetOf' | 'written'>;
  /** Milliseconds since 1970 at machine time 0, for guests that ask KVM. Default: 0. */
  readonly startMs?: number;
  /** Channels that a guest is offered which looks for VMBus, 16 at most; with `hyperv-full`. Default: it is not answered. */
  readonly vmbusOffers?: number;
  /** The guest resets its machine by a register of its hypervisor. */
  readonly resetMachine?: () => void;
  /** What messages other than fixed ones do to processor `index`; default: they reach it. */
  processor?(index: number): Omit<ApicProcessor, 'signal'>;
}

export interface ApicFabric extends InterruptFabric {
  readonly apics: readonly LocalApic[];
  /** What the processors of a Hyper-V partition share, connections to others among it; null with other enlightenments. */
  readonly partition: Partition | null;
  /** INIT at every processor's own line: local APICs begin anew, all but the boot processor wait to be started. */
  initialize(): void;
  save(): Plain;
  /** Throws TypeError for what `save` did not give, and for another number of processors. */
  load(state: Plain): void;
}

/** As many messages as wait for one source, with the one behind them. */
const MOST_OFFERS = 16;

const ENDS: readonly (readonly [name: string, field: keyof EndCounts])[] = [
  ['interrupts', 'delivered'], ['ends.memory', 'memory'], ['ends.model', 'model'], ['ends.synthetic', 'synthetic'], ['ends.selective', 'selective'],
  ['ends.automatic', 'automatic'], ['ends.lazy', 'lazy'], ['ends.level', 'level'], ['ends.spurious', 'spurious'], ['lazy.offered', 'offered'], ['lazy.withdrawn', 'withdrawn'],
];

/** The local APICs of a machine: one for each processor slot, its id equal to the slot. */
export function createApicFabric(services: FabricServices, options: ApicFabricOptions): ApicFabric {
  const { bus, processors, virtualWire = true, timerHz, tscHz, processor, enlighten = 'none' } = options;
  const offers = offersOf(options.eoi ?? 'lazy');
  const apics: LocalApic[] = [];
  const faces: readonly GuestFace[] = [];
  const { partition, make } = createGuestFaces(services, { enlighten, offers, apics, ...options });
  const vmbus = partition === null || options.vmbusOffers === undefined ? null : new VmbusResponder(partition, Math.min(options.vmbusOffers, MOST_OFFERS));
  bus.listen({ endOfInterrupt: (vector) => services.endOfInterrupt(vector), accepting: () => {} });
  for (let index = 0; index < processors; index++) {
    const face = make(index);
    if (face !== null) (faces as GuestFace[]).push(face);
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
      extendedSpace: offers.selective,
      suppressesBroadcasts: options.suppressesBroadcasts === true,
      plainController: options.plainControllers === true,
      ...(face === null ? {} : { face }),
      ...(timerHz === undefined ? {} : { timerHz }),
      ...(tscHz === undefined ? {} : { tscHz }),
    }));
  }
  return {
    apics,
    partition,
    port: (index) => apics[index]!,
    message: (address, data) => void sendMsi(bus, address, data),
    // The wire goes to all of them; the vector tables decide who listens.
    external: (high) => {
      for (const apic of apics) apic.setLint(0, high);
    },
    reset: () => {
      partition?.reset();
      for (const apic of apics) apic.reset();
      if (virtualWire) apics[0]!.setVirtualWire();
    },
    initialize: () => {
      if (bus.isLent) return void bus.send(spec.DESTINATION_ALL, spec.MODE_INIT | spec.COMMAND_ASSERT);
      for (const apic of apics) apic.accept(spec.MODE_INIT, 0, false);
      if (virtualWire) apics[0]!.setVirtualWire();
    },
    *counts() {
      const sum = (of: (apic: LocalApic) => number): number => apics.reduce((all, apic) => all + of(apic), 0);
      yield ['local-apic.registers.reads', sum((apic) => apic.reads)];
      yield ['local-apic.registers.writes', sum((apic) => apic.writes)];
      yield ['local-apic.model-registers.reads', sum((apic) => apic.modelReads)];
      yield ['local-apic.model-registers.writes', sum((apic) => apic.modelWrites)];
      for (const [name, field] of ENDS) yield [`local-apic.${name}`, sum(({ ends }) => ends[field])];
      if (options.plainControllers === true) yield ['local-apic.ends.plain', sum(({ plain }) => plain!.ends)];
      yield ['local-apic.nesting', Math.max(...apics.map(({ ends }) => ends.nesting))];
      const found = new Map<string, number>();
      for (const face of faces) for (const [name, count] of face.counts()) found.set(name, (found.get(name) ?? 0) + count);
      for (const [type, count] of vmbus?.heard ?? []) yield [`vmbus.message.${type}`, count];
      for (const [name, count] of found) yield [`synthetic.${name}`, count];
    },
    save: () => ({
      turn: bus.turn,
      apics: apics.map((apic) => ({ ...apic.save(), timer: { ...apic.save().timer } })),
      ...(faces.length === 0 ? {} : { faces: faces.map((face) => face.save()) }),
      ...(partition === null ? {} : { partition: { ...partition.save() }, vmbus: vmbus?.processor ?? 0 }),
    }),
    load: (state) => {
      const { turn, apics: saved, faces: savedFaces = [], partition: savedPartition = null, vmbus: savedVmbus = 0 } = (state ?? {}) as Readonly<Record<string, Plain>>;
      if (typeof turn !== 'number' || !Number.isInteger(turn) || turn < 0) throw new TypeError('apic: turn expected a number');
      if (!Array.isArray(saved) || saved.length !== apics.length) throw new TypeError(`apic: expected the states of ${apics.length} local APICs`);
      if (!Array.isArray(savedFaces) || savedFaces.length !== faces.length || (partition === null) !== (savedPartition === null)) throw new TypeError('apic: the state is of another enlightenment');
      const checked = (saved as readonly Plain[]).map(readLocalApic);
      if (vmbus !== null) vmbus.processor = typeof savedVmbus === 'number' ? savedVmbus : 0;
      partition?.load(savedPartition);
      faces.forEach((face, index) => face.load((savedFaces as readonly Plain[])[index]!));
      apics.forEach((apic, index) => apic.load(checked[index]!));
      bus.turn = turn;
    },
  };
}
