import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceSpec } from '@vm/core';
import { isolatedDevice } from '@vm/core/isolated';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONDITION_NE, createAssembler, r16, r32, r8, RAX, RCX, RDX, RBX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { DIGEST, WORKER_PORT } from './worker-device.ts';

const ENTRY = 0x10_0000;
const ROUNDS = 50;

interface Seen { readonly answer: number; readonly retired: number; readonly counts: ReadonlyMap<string, number> }

/** Nine writes, one of which arms a timer, and a read, again and again. */
async function run(spec: DeviceSpec, compound: CompoundOptions | undefined): Promise<Seen> {
  const code = createAssembler(32, { origin: ENTRY }).mov(r32(RCX), ROUNDS).label('round');
  for (let i = 0; i < 9; i++) code.mov(r32(RDX), WORKER_PORT + (i % 8)).mov(r32(RAX), 3 * i).out(r16(RDX), r8(RAX));
  code.mov(r32(RDX), WORKER_PORT + 2).in(r8(RAX), r16(RDX)).add(r32(RBX), r32(RAX)).op('rol', r32(RBX), 5).dec(r32(RCX)).jcc(CONDITION_NE, 'round').label('end').jmp('end');
  await using machine = await createMachine<WasmVcpu>({
    engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 << 20, clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [spec],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code.bytes());
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    },
  });
  const { vcpu } = machine;
  await machine.powerUp();
  while (vcpu.retired < ROUNDS * 40) await new Promise((resolve) => setTimeout(resolve, 5));
  await machine.pause();
  return { answer: vcpu.state.gpr(RBX), retired: vcpu.state.gpr(RCX), counts: new Map(vcpu.counts()) };
}

const isolated = (): DeviceSpec => isolatedDevice('digest', DIGEST.manifest, { url: new URL('./worker-device.ts', import.meta.url), export: 'DIGEST' });

describe('a device in a worker', () => {
  it('CMP-05: gets a block of accesses in one hand-over, and sees each at its own time as if they had come alone', async () => {
    const expected = await run(device('digest', DIGEST), undefined);
    const each = await run(isolated(), { policy: 'fixed', handoff: 'each' });
    const list = await run(isolated(), { policy: 'fixed', handoff: 'list' });
    const adaptive = await run(isolated(), { policy: 'adaptive' });
    for (const seen of [each, list, adaptive]) expect([seen.answer, seen.retired]).toEqual([expected.answer, expected.retired]);
    expect(each.counts.get('compound.lists')).toBe(0);
    expect(list.counts.get('compound.lists.accesses')! / list.counts.get('compound.lists')!).toBeGreaterThan(2);
    expect(adaptive.counts.get('compound.lists.accesses')!).toBeGreaterThan(ROUNDS);
  });
});
