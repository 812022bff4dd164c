import { createVirtualClock } from '@vm/testkit';
import { describe, expect, it } from 'vitest';
import { enabledProcessors, EOI, ISR, PPR } from './model-processors.ts';
import { modelPartition } from './synthetic/model-partition.ts';
import * as spec from './synthetic/spec.ts';

/** Bits of eight registers. */
const vectorsOf = (set: Uint32Array): number[] => Array.from({ length: 256 }, (_, v) => v).filter((v) => (set[v >>> 5]! & (1 << (v & 31))) !== 0);

describe('over a controller that ends the highest vector in service and nothing else', () => {
  it('vectors end themselves all the same: it is told at once (INT-03, INT-01)', () => {
    const { processors: [one], fabric } = modelPartition(createVirtualClock(), { plainControllers: true });
    const { apic, inService, set } = one!;
    one!.enableSources();
    set(spec.MSR_SINT0 + 2, 0x51 | spec.SINT_AUTO_EOI);
    apic.writeRegister(0x300, 4, 0x4_4041);
    expect(apic.acknowledge()).toBe(0x41);
    for (let i = 1; i <= 5; i++) {
      fabric.partition!.raise(0, 2);
      expect([apic.acknowledge(), inService(), vectorsOf(apic.plain!.inService), apic.plain!.ends]).toEqual([0x51, [0x41], [0x41], i]);
    }
    expect(Object.fromEntries(fabric.counts!())).toMatchObject({ 'local-apic.ends.plain': 5, 'local-apic.ends.automatic': 5 });
  });

  it('a chosen vector below the highest is owed until the highest ends (INT-03, INT-15)', () => {
    const { apic, bus, w, r, vectors } = enabledProcessors(createVirtualClock(), 1, { plainController: true });
    for (const vector of [0x31, 0x41, 0x61]) {
      bus.send(0, 0x4000 | vector);
      apic.acknowledge();
    }
    apic.endVector(0x41);
    apic.endVector(0x31);
    expect([vectors(ISR), r(PPR), vectorsOf(apic.plain!.inService), vectorsOf(apic.plain!.owed), apic.plain!.ends]).toEqual([[0x61], 0x60, [0x31, 0x41, 0x61], [0x31, 0x41], 0]);
    bus.send(0, 0x4041); // once more, and it waits for the highest as it would anyhow
    expect(apic.isPending()).toBe(false);
    w(EOI, 0);
    expect([apic.plain!.ends, vectorsOf(apic.plain!.inService), apic.acknowledge(), vectors(ISR)]).toEqual([3, [], 0x41, [0x41]]);
    w(EOI, 0);
    expect([apic.plain!.ends, vectorsOf(apic.plain!.inService)]).toEqual([4, []]);
  });

  it('a restored machine has in service there what the guest has yet to end (INT-03, INT-18)', () => {
    const { apic, bus } = enabledProcessors(createVirtualClock(), 1, { plainController: true });
    for (const vector of [0x31, 0x61]) {
      bus.send(0, 0x4000 | vector);
      apic.acknowledge();
    }
    apic.endVector(0x31);
    const other = enabledProcessors(createVirtualClock(), 1, { plainController: true });
    other.apic.load(structuredClone(apic.save()));
    expect([vectorsOf(other.apic.plain!.inService), vectorsOf(other.apic.plain!.owed)]).toEqual([[0x61], []]);
    other.w(EOI, 0);
    expect(vectorsOf(other.apic.plain!.inService)).toEqual([]);
  });
});
