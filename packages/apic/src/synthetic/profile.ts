import type { EoiOffers } from '../interrupt-ends.ts';
import * as spec from './spec.ts';

/** What a machine tells guests of itself: nothing, what KVM does, or what Hyper-V does in part or in all that is here. */
export type Enlightenment = 'none' | 'kvm' | 'hyperv' | 'hyperv-full';
export const ENLIGHTENMENTS: readonly Enlightenment[] = ['none', 'kvm', 'hyperv', 'hyperv-full'];

/** What a Hyper-V partition may do, as its CPUID leaves say it. */
export interface SyntheticProfile {
  readonly privileges: readonly [low: number, high: number]; // leaf 0x40000003, EAX and EBX
  readonly features: number; // EDX
  readonly hints: number; // leaf 0x40000004, EAX
}

const CLOCKS = spec.MAY_READ_COUNTER | spec.MAY_CALL | spec.MAY_READ_INDEX | spec.MAY_USE_TSC_PAGE | spec.MAY_READ_FREQUENCIES | spec.MAY_MAKE_TSC_INVARIANT;

export function syntheticProfile(name: 'hyperv' | 'hyperv-full', offers: EoiOffers): SyntheticProfile {
  const apic = offers.lazy ? spec.MAY_USE_APIC : 0; // the page that lazy ends need comes with these registers
  const partial = CLOCKS | spec.MAY_USE_TIMERS | apic;
  const hints = spec.HINT_RELAXED_TIMING | (offers.lazy ? spec.HINT_APIC_REGISTERS : 0) | (offers.automatic ? 0 : spec.HINT_NO_AUTO_EOI);
  const features = spec.HAS_FREQUENCIES | spec.HAS_DIRECT_TIMERS;
  if (name === 'hyperv') return { privileges: [partial, 0], features, hints };
  return {
    // Without the invariant counter: Linux then takes the reference page as its clock and not the counter itself.
    privileges: [(partial & ~spec.MAY_MAKE_TSC_INVARIANT) | spec.MAY_USE_SYNIC | spec.MAY_READ_RUNTIME | spec.MAY_RESET, spec.MAY_POST | spec.MAY_SIGNAL],
    features: features | spec.HAS_CRASH_REGISTERS,
    hints: hints | spec.HINT_CLUSTER_IPI | spec.HINT_WIDE_MASKS | spec.HINT_REMOTE_FLUSH,
  };
}

export type CpuidAnswer = readonly [eax: number, ebx: number, ecx: number, edx: number];

const NOTHING: CpuidAnswer = [0, 0, 0, 0];
const LAST_LEAF = 0x4000_0006;
const MOST_PROCESSORS = 64;

/** Leaves from 0x40000000 on (TLFS, 2.4). Those that are not listed are zeros: guests read some without asking whether they exist. */
export function syntheticLeaf(leaf: number, { privileges, features, hints }: SyntheticProfile): CpuidAnswer {
  switch (leaf) {
    case 0x4000_0000: return [LAST_LEAF, 0x7263_694d, 0x666f_736f, 0x7648_2074]; // "Microsoft Hv"
    case 0x4000_0001: return [0x3123_7648, 0, 0, 0]; // "Hv#1"
    case 0x4000_0002: return [0, 10 << 16, 0, 0];
    case 0x4000_0003: return [privileges[0], privileges[1], 0, features];
    case 0x4000_0004: return [hints, 0xffff_ffff, 0, 0]; // spinning is never to be told of
    case 0x4000_0005: return [MOST_PROCESSORS, MOST_PROCESSORS, 0, 0];
    default: return NOTHING;
  }
}
