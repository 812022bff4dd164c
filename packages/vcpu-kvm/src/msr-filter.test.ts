import { CPU_MODEL_NAMES, cpuModel, MSR_APIC_BASE, MSR_EFER, MSR_LSTAR, MSR_TSC, MSR_TSC_DEADLINE } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { MSR_FILTER_RANGE } from './kvm-layout-table.ts';
import { kernelRegisters } from './model-register-table.ts';
import { msrFilter } from './msr-filter.ts';

/** The registers that a filter leaves to KVM. */
function allowedBy(indices: readonly number[]): number[] {
  const places = new Map<bigint, Uint8Array>();
  let next = 1n;
  const { filter } = msrFilter(indices, (bytes) => (places.set(next, bytes), next++));
  const view = new DataView(filter.buffer);
  expect(view.getUint32(0, true)).toBe(1); // everything else is refused
  const found: number[] = [];
  for (let i = 0; i < 16; i++) {
    const at = 8 + i * MSR_FILTER_RANGE.bytes;
    const [flags, count, base, bitmap] = [view.getUint32(at, true), view.getUint32(at + 4, true), view.getUint32(at + 8, true), view.getBigUint64(at + 16, true)];
    if (count === 0) continue;
    expect(flags).toBe(3); // for reading and for writing
    const bits = places.get(bitmap)!;
    expect([count % 8, bits.length]).toEqual([0, count / 8]);
    for (let index = 0; index < count; index++) if (((bits[index >>> 3]! >>> (index & 7)) & 1) !== 0) found.push(base + index);
  }
  return found;
}

describe('the filter of model-specific registers', () => {
  it('leaves to KVM just what it is told, wherever the registers lie', () => {
    for (const indices of [[0x10], [0, 7, 8, 0x7ff, 0x800], [0xffff_ffff], [0x10, 0x277, 0xc000_0080, 0xc000_0103, 0xc001_0117]]) expect(allowedBy(indices)).toEqual(indices);
    expect(allowedBy([0xc000_0080, 0x10])).toEqual([0x10, 0xc000_0080]);
  });
  it.each(CPU_MODEL_NAMES)('of %s keeps the interrupt controller and the deadline outside', (name) => {
    const model = cpuModel(name);
    const allowed = allowedBy(kernelRegisters(model));
    expect([allowed.includes(MSR_APIC_BASE), allowed.includes(MSR_TSC_DEADLINE), allowed.some((index) => index >= 0x800 && index < 0x900)]).toEqual([false, false, false]);
    expect([allowed.includes(MSR_TSC), allowed.includes(MSR_EFER), allowed.includes(MSR_LSTAR)]).toEqual([model.features.has('tsc'), model.features.has('syscall'), model.features.has('long-mode')]);
  });
});
