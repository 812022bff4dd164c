import type { FabricServices } from '@vm/core';
import type { ApicFabricOptions } from '../apic-fabric.ts';
import type { EoiOffers } from '../interrupt-ends.ts';
import type { LocalApic } from '../local-apic.ts';
import { COMMAND_ASSERT, MODE_FIXED } from '../spec.ts';
import type { GuestFace } from './guest-face.ts';
import { GuestWords } from './guest-words.ts';
import { isSentByKvm, KvmFace } from './kvm-face.ts';
import { Partition } from './partition.ts';
import type { Enlightenment } from './profile.ts';
import { SyntheticFace } from './synthetic-face.ts';

interface GuestFaceOptions extends Pick<ApicFabricOptions, 'ram' | 'startMs' | 'resetMachine' | 'timerHz' | 'tscHz' | 'bus'> {
  readonly enlighten: Enlightenment;
  readonly offers: EoiOffers;
  readonly apics: readonly LocalApic[]; // complete when a guest runs
}

const DEFAULT_HZ = 1e9;

/** One face at most for a machine: guests take the first hypervisor that they find, and a mark in memory has one owner. */
export function createGuestFaces(services: FabricServices, options: GuestFaceOptions): { readonly partition: Partition | null; make(index: number): GuestFace | null } {
  const { enlighten, offers, apics, bus, ram, startMs = 0, resetMachine, timerHz = DEFAULT_HZ, tscHz = DEFAULT_HZ } = options;
  if (enlighten === 'none') return { partition: null, make: () => null };
  if (ram === undefined) throw new TypeError(`createApicFabric: the enlightenment ${enlighten} needs the guest's RAM`);
  // Faces tell guests factors between their counter and time, which are those of nanoseconds.
  if (tscHz !== DEFAULT_HZ) throw new TypeError(`createApicFabric: the enlightenment ${enlighten} needs a time-stamp counter of 1 GHz, got ${tscHz} Hz`);
  let made: GuestWords | null = null;
  const words = (): GuestWords => (made ??= new GuestWords(ram()));
  if (enlighten === 'kvm') {
    const command = (identifier: number, word: number): boolean => isSentByKvm(word) && identifier < apics.length && bus.send(identifier, (word & 0x7ff) | COMMAND_ASSERT) > 0;
    return { partition: null, make: (index) => new KvmFace({ offers, words, startMs, apic: () => apics[index]!, command }) };
  }
  const partition = new Partition({ name: enlighten, offers, words, log: (text) => services.log('warn', text), ...(resetMachine === undefined ? {} : { reset: resetMachine }) });
  return {
    partition,
    make: (index) => new SyntheticFace({
      index, clock: services.clock, partition, tscHz, apicHz: timerHz, words,
      apic: () => apics[index]!,
      interrupt: (target, vector) => void apics[target]?.accept(MODE_FIXED, vector, false),
      flush: (target) => {
        if (target < apics.length) services.notify(target, 'flush', 0);
      },
    }),
  };
}
