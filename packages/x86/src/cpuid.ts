/** What CPUID answers: the features of the processor's model, and nothing that does not work (SDM vol. 2, CPUID; AMD APM vol. 3, appendix E). */
import { CPU_FEATURES } from './cpu-feature.ts';
import type { CpuFeature, CpuidRegister } from './cpu-feature.ts';
import type { CpuModel } from './cpu-model.ts';
import { AVX_BYTES, AVX_OFFSET, stateComponents, XSTATE_AVX, xsaveBytes } from './xsave-area.ts';

const OSXSAVE = 1 << 27;
/** Leaf 1, edx: the count of processors of the package there is valid. Leaf 0x80000001, ecx, of AMD: they are cores, not threads. */
const HTT = 1 << 28, CMP_LEGACY = 1 << 1;

/** One answer: eax, ebx, ecx, edx. */
export type CpuidLeaf = readonly [number, number, number, number];

const BRAND = '@vm software processor';
/** ebx, ecx, edx of leaf 0. */
const VENDORS = {
  GenuineIntel: [0x756e_6547, 0x6c65_746e, 0x4965_6e69],
  AuthenticAMD: [0x6874_7541, 0x444d_4163, 0x6974_6e65],
} as const;

/** Leaf 1 bits that AMD repeats in leaf 0x80000001. */
const REPEATED: readonly CpuFeature[] = [
  'fpu', 'vme', 'de', 'pse', 'tsc', 'msr', 'pae', 'mce', 'cx8', 'apic', 'mtrr', 'pge', 'mca', 'cmov', 'pat', 'pse36', 'mmx', 'fxsr',
];

export interface CpuidContext {
  readonly model: CpuModel;
  readonly apicId: number;
  readonly processors?: number; // default 1
  readonly apicEnabled: boolean;
  readonly physicalBits: number;
  /** CR4.OSXSAVE, which leaf 1 repeats, and XCR0. */
  readonly osxsave: boolean;
  readonly extendedControl: number;
}

export function cpuid(leaf: number, subleaf: number, context: CpuidContext): CpuidLeaf {
  const { model } = context;
  const { features } = model;
  const vendor = VENDORS[model.vendor];
  const last = features.has('xsave') ? 0xd : features.has('x2apic') ? 0xb : features.has('sse3') ? 7 : 1;
  const lastExtended = features.has('long-mode') ? 0x8000_0008 : 0x8000_0004;
  const hypervised = features.has('hypervisor') && leaf >= 0x4000_0000 && leaf < 0x4001_0000;
  if (!hypervised && (leaf > (leaf >= 0x8000_0000 ? lastExtended : last) || (leaf >= 0x8000_0000 && model.name === '486'))) return [0, 0, 0, 0];
  const bits = (register: CpuidRegister): number => bitsOf(context, leaf, register);
  switch (leaf) {
    case 0: return [last, ...vendor];
    case 1: {
      const cores = coresOf(context);
      return [model.signature, ((context.apicId << 24) | (cores << 16) | (features.has('clfsh') ? 8 << 8 : 0)) >>> 0, (bits('ecx') | (context.osxsave ? OSXSAVE : 0)) >>> 0, (bits('edx') | (cores > 1 ? HTT : 0)) >>> 0];
    }
    case 7: return subleaf === 0 ? [0, bits('ebx'), bits('ecx'), bits('edx')] : [0, 0, 0, 0];
    case 0xb: return features.has('x2apic') ? topology(context, subleaf) : [0, 0, 0, 0];
    case 0xd: return extendedState(context, subleaf);
    case 0x4000_0000: return [0x4000_0000, 0x206d_7640, 0x6d6f_6e6f, 0x726f_7469]; // a signature of our own: "@vm monitor"
    case 0x8000_0000: return [lastExtended, ...vendor];
    case 0x8000_0001: {
      const repeated = model.vendor === 'AuthenticAMD' ? bitsOf(context, 1, 'edx', REPEATED) : 0;
      return [model.signature, 0, bits('ecx') | (coresOf(context) > 1 ? CMP_LEGACY : 0), bits('edx') | repeated];
    }
    case 0x8000_0002: case 0x8000_0003: case 0x8000_0004: return brand((leaf & 7) - 2);
    case 0x8000_0005: return [0x01ff_01ff, 0x01ff_01ff, 0x2002_0140, 0x2002_0140];
    case 0x8000_0006: return [0, 0x4200_4200, 0x0200_8140, 0];
    case 0x8000_0007: return [0, 0, 0, bits('edx')];
    case 0x8000_0008: return [context.physicalBits | (48 << 8), 0, coresOf(context) === 1 ? 0 : (idBits(coresOf(context)) << 12) | (coresOf(context) - 1), 0];
    default: return [0, 0, 0, 0];
  }
}

/** Of one package. Before AMD64 every processor had its own. */
function coresOf({ model, processors = 1 }: CpuidContext): number { return model.vendor === 'AuthenticAMD' ? processors : 1; }
/** Of an APIC id that tell the processors of the package apart. */
function idBits(processors: number): number { return 32 - Math.clz32(processors - 1); }

/** Processors that are cores of one package, each with one thread (SDM vol. 2, CPUID leaf 0xb). */
function topology({ apicId, processors = 1 }: CpuidContext, subleaf: number): CpuidLeaf {
  switch (subleaf) {
    case 0: return [0, 1, 0x100, apicId];
    case 1: return [idBits(processors), processors, 0x201, apicId];
    default: return [0, 0, subleaf & 0xff, apicId];
  }
}

/** Sizes and places of the XSAVE area (SDM vol. 1, section 13.2). */
function extendedState(context: CpuidContext, subleaf: number): CpuidLeaf {
  const components = stateComponents(context.model.features);
  switch (subleaf) {
    case 0: return [components, xsaveBytes(context.extendedControl), xsaveBytes(components), 0];
    case 1: return [bitsOf(context, 0xd, 'eax'), 0, 0, 0];
    case 2: return (components & XSTATE_AVX) !== 0 ? [AVX_BYTES, AVX_OFFSET, 0, 0] : [0, 0, 0, 0];
    default: return [0, 0, 0, 0];
  }
}

/** The bits of one register that the model claims, of all features or of some. */
function bitsOf({ model, apicEnabled }: CpuidContext, leaf: number, register: CpuidRegister, only?: readonly CpuFeature[]): number {
  let bits = 0;
  for (const feature of model.features) {
    const [at, where, bit] = CPU_FEATURES[feature];
    if (at !== leaf || where !== register || (feature === 'apic' && !apicEnabled) || (only !== undefined && !only.includes(feature))) continue;
    bits |= 1 << bit;
  }
  return bits >>> 0;
}

function brand(part: number): CpuidLeaf {
  const word = (at: number): number => {
    let value = 0;
    for (let i = 3; i >= 0; i--) value = (value << 8) | (at + i < BRAND.length ? BRAND.charCodeAt(at + i) : 0);
    return value;
  };
  return [word(part * 16), word(part * 16 + 4), word(part * 16 + 8), word(part * 16 + 12)];
}
