/** CPUID as KVM wants it: every answer in a table beforehand (KVM API documentation, section 4.20). The bits that follow from control registers KVM adds itself. */
import { AVX_OFFSET, CPU_FEATURES, cpuid } from '@vm/x86';
import type { CpuFeature, CpuidLeaf, CpuModel } from '@vm/x86';
import { CPUID2, CPUID_ENTRY2 } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

/** The model's addresses have as many bits under every engine. */
export const PHYSICAL_BITS = 40;
/** Leaves with subleaves, and how many of them are said. */
const SUBLEAVES: Readonly<Record<number, number>> = { 7: 1, 0xb: 3, 0xd: 3 };
/** What is answered here and not in KVM, whatever it says of itself. */
const OWN: ReadonlySet<CpuFeature> = new Set<CpuFeature>(['apic', 'x2apic', 'extapic', 'tsc-deadline', 'hypervisor', 'invariant-tsc', 'mca', 'mce', 'cr8-legacy']);

export interface CpuidTableOptions {
  readonly model: CpuModel;
  readonly index: number;
  readonly processors: number;
}

/** `struct kvm_cpuid2` with all that the model answers. */
export function cpuidTable({ model, index, processors }: CpuidTableOptions): Uint8Array {
  const ask = (leaf: number, subleaf: number): CpuidLeaf => cpuid(leaf, subleaf, { model, apicId: index, processors, apicEnabled: true, physicalBits: PHYSICAL_BITS, osxsave: false, extendedControl: 1 });
  const entries: (readonly [leaf: number, subleaf: number, flags: number, answer: CpuidLeaf])[] = [];
  for (const first of [0, 0x4000_0000, 0x8000_0000]) {
    const most = ask(first, 0)[0];
    for (let leaf = first; leaf <= Math.max(first, most); leaf++) {
      const count = SUBLEAVES[leaf] ?? 0;
      for (let subleaf = 0; subleaf < Math.max(1, count); subleaf++) entries.push([leaf, subleaf, count > 0 ? NUMBERS.KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0, ask(leaf, subleaf)]);
    }
  }
  const view = new DataView(new ArrayBuffer(CPUID2.bytes + entries.length * CPUID_ENTRY2.bytes));
  view.setUint32(0, entries.length, true);
  entries.forEach(([leaf, subleaf, flags, [eax, ebx, ecx, edx]], i) => {
    const at = CPUID2.bytes + i * CPUID_ENTRY2.bytes;
    [leaf, subleaf, flags, eax, ebx, ecx, edx].forEach((value, word) => view.setUint32(at + word * 4, value >>> 0, true));
  });
  return new Uint8Array(view.buffer);
}

/** Features of the model that the host's processor, or its KVM, has not. `supported` is what KVM_GET_SUPPORTED_CPUID gave. */
export function missingFeatures(model: CpuModel, supported: Uint8Array): CpuFeature[] {
  const view = new DataView(supported.buffer, supported.byteOffset, supported.length);
  const words = new Map<string, number>();
  for (let at = 0; at + CPUID_ENTRY2.bytes <= supported.length; at += CPUID_ENTRY2.bytes) {
    const key = `${view.getUint32(at, true).toString(16)}.${view.getUint32(at + 4, true)}`;
    (['eax', 'ebx', 'ecx', 'edx'] as const).forEach((register) => words.set(`${key}.${register}`, view.getUint32(at + CPUID_ENTRY2.fields[register][0], true)));
  }
  const has = (feature: CpuFeature): boolean => {
    const [leaf, register, bit] = CPU_FEATURES[feature];
    return (((words.get(`${leaf.toString(16)}.${leaf === 0xd ? 1 : 0}.${register}`) ?? 0) >>> bit) & 1) !== 0;
  };
  const missing = [...model.features].filter((feature) => !OWN.has(feature) && !has(feature));
  // The area of XSAVE has to be where the model says: AVX right behind the header.
  if (model.features.has('avx') && !missing.includes('avx') && words.get('d.2.ebx') !== AVX_OFFSET) missing.push('avx');
  return missing;
}
