/** Loops that ask a device whose status somebody else changes: the host in real time, a device in a worker. */
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type DeviceSpec } from '@vm/core';
import { isolatedDevice } from '@vm/core/isolated';
import { prepareEntry } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONDITION_E, createAssembler, r16, r32, r8, RAX, RDX } from '@vm/x86';
import { expect, it } from 'vitest';
import { SLOW_PORT, SLOW } from './worker-device.ts';

const ENTRY = 0x10_0000;

/** Asks until the low bit is set, and halts. */
async function waitFor(spec: DeviceSpec): Promise<{ readonly counts: ReadonlyMap<string, number>; readonly reads: number }> {
  const code = createAssembler(32, { origin: ENTRY }).mov(r32(RDX), SLOW_PORT).out(r16(RDX), r8(RAX)).label('wait').in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, 'wait').cli().hlt();
  await using machine = await createMachine<WasmVcpu>({
    engine: wasmEngine({ compound: {} }), ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [spec],
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code.bytes());
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    },
  });
  await machine.powerUp();
  while ((machine.counters.read()['cpu.halts'] ?? 0) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await machine.pause();
  return { counts: new Map(machine.vcpu.counts()), reads: machine.counters.read()['device.slow.port.reads']! };
}

const IN_PLACE = SLOW as DeviceModule<void>;

it.each([
  ['with the machine', () => device('slow', IN_PLACE)],
  ['in a worker', () => isolatedDevice('slow', IN_PLACE.manifest, { url: new URL('./worker-device.ts', import.meta.url), export: 'SLOW' })],
] as const)('a device %s is waited for while the host has its turns, and is asked a thousandth of the times', async (_place, spec) => {
  const { counts, reads } = await waitFor(spec());
  expect(counts.get('compound.polls.waits')).toBeGreaterThan(0);
  // A hundred looks at once and one each millisecond from then on, of some reads each: a spinning processor asks a million times.
  expect(reads).toBeLessThan(20_000);
});
