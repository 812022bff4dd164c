import { AVX_OFFSET, CPU_FEATURES, CPU_MODEL_NAMES, cpuid, cpuModel } from '@vm/x86';
import type { CpuFeature } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { cpuidTable, missingFeatures, PHYSICAL_BITS } from './cpuid-table.ts';

const words = (table: Uint8Array): number[][] => {
  const view = new DataView(table.buffer);
  return Array.from({ length: view.getUint32(0, true) }, (_, i) => Array.from({ length: 7 }, (_word, word) => view.getUint32(8 + i * 40 + word * 4, true)));
};

describe('the table of CPUID', () => {
  it.each(CPU_MODEL_NAMES)('of %s has an entry for every leaf, with what the model answers', (name) => {
    const model = cpuModel(name);
    const entries = words(cpuidTable({ model, index: 3, processors: 4 }));
    const found = new Map(entries.map(([leaf, subleaf, , ...answer]) => [`${leaf}.${subleaf}`, answer]));
    expect(found.size).toBe(entries.length); // none twice
    const context = { model, apicId: 3, processors: 4, apicEnabled: true, physicalBits: PHYSICAL_BITS, osxsave: false, extendedControl: 1 };
    for (const [leaf, subleaf] of [[0, 0], [1, 0], ...(model.features.has('xsave') ? [[0xd, 0], [0xd, 1], [0xd, 2]] : []), ...(model.features.has('x2apic') ? [[0xb, 0], [0xb, 1]] : []), [0x4000_0000, 0], [0x8000_0000, 0], ...(name === '486' ? [] : [[0x8000_0001, 0], [0x8000_0004, 0]])] as const) {
      expect([leaf, subleaf, found.get(`${leaf}.${subleaf}`)]).toEqual([leaf, subleaf, cpuid(leaf!, subleaf!, context).map((word) => word >>> 0)]);
    }
  });

  /** What a host would say that has just these. */
  const hostWith = (features: Iterable<CpuFeature>, avxOffset: number = AVX_OFFSET): Uint8Array => {
    const leaves = new Map<string, number[]>([['d.2', [0xd, 2, 1, 256, avxOffset, 0, 0]]]);
    for (const feature of features) {
      const [leaf, register, bit] = CPU_FEATURES[feature];
      const subleaf = leaf === 0xd ? 1 : 0;
      const key = `${leaf.toString(16)}.${subleaf}`;
      const entry = leaves.get(key) ?? [leaf, subleaf, 0, 0, 0, 0, 0];
      leaves.set(key, entry);
      const word = 3 + ['eax', 'ebx', 'ecx', 'edx'].indexOf(register);
      entry[word] = (entry[word]! | (1 << bit)) >>> 0;
    }
    const view = new DataView(new ArrayBuffer(leaves.size * 40));
    [...leaves.values()].forEach((entry, i) => entry.forEach((value, word) => view.setUint32(i * 40 + word * 4, value, true)));
    return new Uint8Array(view.buffer);
  };

  it('lacks what the host has not, and nothing that is answered outside of KVM', () => {
    const model = cpuModel('x86-64-v3');
    expect(missingFeatures(model, hostWith(model.features))).toEqual([]);
    const less = [...model.features].filter((feature) => !['aes', 'avx2', 'x2apic', 'tsc-deadline', 'hypervisor'].includes(feature));
    expect(missingFeatures(model, hostWith(less)).sort()).toEqual(['aes', 'avx2']);
    expect(missingFeatures(model, new Uint8Array(0))).toContain('long-mode');
  });
  it('lacks AVX where the host has it in another place of the XSAVE area', () => {
    const model = cpuModel('x86-64-v3');
    expect(missingFeatures(model, hostWith(model.features, AVX_OFFSET + 64))).toEqual(['avx']);
  });
});
