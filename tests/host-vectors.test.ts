import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

/** A machine of each kind of engine that has generated code, and what keeps it from being made. */
const SCRIPT = `
  import { ApicBus, createApicFabric } from '@vm/apic';
  import { createMachine, VmError } from '@vm/core';
  import { lentEngine, wasmEngine } from '@vm/vcpu-wasm';
  const software = wasmEngine();
  const lent = lentEngine({ compound: { policy: 'fixed' } });
  const lending = { ...software, reserveBytes: (count) => lent.reserveBytes(count), createVcpu: (index, surroundings) => lent.createProcessor(index, surroundings, { handoff: 1, block: 1, trap: 1, between: 1 }) };
  for (const engine of [software, lending]) {
    const made = createMachine({ engine, ramBytes: 2 << 20, devices: [], interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }) });
    console.log(await made.then(() => 'made', (error) => [VmError.is(error), error.code, error.message].join(': ')));
  }
`;

/** What V8 does on a processor without the instructions that it makes vectors of, it can be told to do on any. */
it.each([
  ['with vectors', [], 'made'],
  ['without them', ['--no-enable-sse4-1'], expect.stringMatching(/^true: E_HOST: this host's WebAssembly has no vectors, .* SSE4\.1/)],
])('engines on a host %s', (_name, flags, answer) => {
  const { stdout, stderr } = spawnSync(process.execPath, [...flags, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', SCRIPT], { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8', timeout: 120_000 });
  expect([...stdout.trim().split('\n'), stderr]).toEqual([answer, answer, '']);
}, 150_000);
