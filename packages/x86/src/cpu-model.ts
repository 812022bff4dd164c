/**
 * Processors by name: which features each has. CPUID claims these and no others, instructions outside are undefined, and
 * the control registers have the bits that belong to them.
 */
import {
  CR4_DE, CR4_FSGSBASE, CR4_MCE, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, CR4_PAE, CR4_PCE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_PVI, CR4_SMAP, CR4_SMEP, CR4_TSD,
  CR4_UMIP, CR4_VME, EFER_LMA, EFER_LME, EFER_NXE, EFER_SCE,
} from './control-registers.ts';
import type { CpuFeature } from './cpu-feature.ts';

export type CpuModelName = '486' | 'pentium3' | 'x86-64-v1' | 'x86-64-v2' | 'x86-64-v3';

export interface CpuModel {
  readonly name: CpuModelName;
  readonly vendor: 'GenuineIntel' | 'AuthenticAMD';
  /** Family, model and stepping as CPUID shows them. */
  readonly signature: number;
  readonly features: ReadonlySet<CpuFeature>;
  /** Bits of CR4 and EFER that exist. */
  readonly cr4: number;
  readonly efer: number;
}

const I486: readonly CpuFeature[] = ['fpu', 'vme', 'pse'];
const PENTIUM_3: readonly CpuFeature[] = [
  ...I486, 'de', 'tsc', 'msr', 'pae', 'mce', 'cx8', 'apic', 'sep', 'mtrr', 'pge', 'mca', 'cmov', 'pat', 'pse36', 'mmx', 'fxsr', 'sse',
];
/** The levels of the x86-64 psABI, section 3.1.1, with what the system needs beside. */
const X86_64_V1: readonly CpuFeature[] = [
  ...PENTIUM_3, 'clfsh', 'sse2', 'tsc-deadline', 'hypervisor', 'cr8-legacy', 'syscall', 'nx', 'page-1-gib', 'rdtscp', 'long-mode',
];
const X86_64_V2: readonly CpuFeature[] = [...X86_64_V1, 'sse3', 'ssse3', 'cx16', 'sse4.1', 'sse4.2', 'popcnt', 'lahf'];
const X86_64_V3: readonly CpuFeature[] = [...X86_64_V2, 'avx', 'avx2', 'bmi1', 'bmi2', 'f16c', 'fma', 'lzcnt', 'movbe', 'xsave'];
/** What belongs to no level comes with the second. */
const BESIDE_V2: readonly CpuFeature[] = [
  'aes', 'pclmulqdq', 'adx', 'rdrand', 'rdseed', 'rdpid', 'fsgsbase', 'clflushopt', 'clwb', 'smep', 'smap', 'umip', 'pcid', 'invpcid', 'tsc-adjust', 'invariant-tsc', 'x2apic',
];

/** The control bits that a feature brings. */
const CR4_BITS: Readonly<Partial<Record<CpuFeature, number>>> = {
  vme: CR4_VME | CR4_PVI, tsc: CR4_TSD, de: CR4_DE, pse: CR4_PSE, pae: CR4_PAE, mce: CR4_MCE, pge: CR4_PGE, cmov: CR4_PCE, fxsr: CR4_OSFXSR, sse: CR4_OSXMMEXCPT,
  xsave: CR4_OSXSAVE, umip: CR4_UMIP, fsgsbase: CR4_FSGSBASE, pcid: CR4_PCIDE, smep: CR4_SMEP, smap: CR4_SMAP,
};
const EFER_BITS: Readonly<Partial<Record<CpuFeature, number>>> = { syscall: EFER_SCE, nx: EFER_NXE, 'long-mode': EFER_LME | EFER_LMA };

function model(name: CpuModelName, vendor: CpuModel['vendor'], signature: number, features: readonly CpuFeature[]): CpuModel {
  const bits = (of: Readonly<Partial<Record<CpuFeature, number>>>): number => features.reduce((sum, feature) => sum | (of[feature] ?? 0), 0);
  return { name, vendor, signature, features: new Set(features), cr4: bits(CR4_BITS), efer: bits(EFER_BITS) };
}

const MODELS: readonly CpuModel[] = [
  model('486', 'GenuineIntel', 0x480, I486),
  model('pentium3', 'GenuineIntel', 0x68a, PENTIUM_3),
  // AMD: no Meltdown work-arounds in guests.
  model('x86-64-v1', 'AuthenticAMD', 0x0002_0ff2, X86_64_V1),
  model('x86-64-v2', 'AuthenticAMD', 0x0002_0ff2, [...X86_64_V2, ...BESIDE_V2]),
  model('x86-64-v3', 'AuthenticAMD', 0x0002_0ff2, [...X86_64_V3, ...BESIDE_V2, 'xsaveopt']),
];

/** All that a model may have. */
export const AVAILABLE_FEATURES: ReadonlySet<CpuFeature> = new Set<CpuFeature>([...X86_64_V3, ...BESIDE_V2, 'xsaveopt', 'extapic']);

export const CPU_MODEL_NAMES: readonly CpuModelName[] = MODELS.map(({ name }) => name);
export const DEFAULT_CPU_MODEL: CpuModelName = 'x86-64-v2';

/** A model by name, with features beside its own, or without some of them. */
export function cpuModel(name: CpuModelName = DEFAULT_CPU_MODEL, beside: readonly CpuFeature[] = [], without: readonly CpuFeature[] = []): CpuModel {
  const found = MODELS.find((one) => one.name === name);
  if (found === undefined) throw new RangeError(`cpuModel: no processor ${JSON.stringify(name)}; there are ${CPU_MODEL_NAMES.join(', ')}`);
  const absent = beside.find((feature) => !AVAILABLE_FEATURES.has(feature));
  if (absent !== undefined) throw new RangeError(`cpuModel: this engine does not have ${JSON.stringify(absent)}`);
  return beside.length === 0 && without.length === 0 ? found : model(name, found.vendor, found.signature, [...new Set([...found.features, ...beside])].filter((feature) => !without.includes(feature)));
}

/** A model by its name, what it has beside it and what it lacks. */
export function modelText({ name, features }: CpuModel): string {
  const own = MODELS.find((one) => one.name === name)!.features;
  const full = [name, ...[...features].filter((feature) => !own.has(feature)).sort()].join(' with ');
  return [full, ...[...own].filter((feature) => !features.has(feature)).sort()].join(' without ');
}
