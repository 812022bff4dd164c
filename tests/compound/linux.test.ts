import { bootGuest } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { itWithGuest } from '../guest-image.ts';

itWithGuest('linux-image-cloud-amd64', 'CMP-01: a boot of Linux prints the same, reaches its prompt at the same instruction and asks its devices the same, with blocks and without', async ({ kernelBytes, initrdBytes }) => {
  const seen = [];
  for (const compound of [undefined, { policy: 'fixed' }] as const) {
    await using guest = await bootGuest({
      engine: wasmEngine(compound === undefined ? {} : { compound: compound satisfies CompoundOptions }), ramBytes: 96 * 2 ** 20, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0',
      clock: { kind: 'virtual', nanosPerInstruction: 10 },
    });
    const output = await guest.waitFor('# ');
    guest.hold();
    await guest.standing();
    const { vcpu, counters } = guest.machine;
    const accesses = Object.entries(counters.read()).filter(([name]) => /^device\..*(reads|writes)$/i.test(name));
    seen.push({ output, retired: vcpu.retired, accesses });
    const spared = new Map(vcpu.counts()).get('compound.spared');
    if (compound !== undefined) expect(spared).toBeGreaterThan(1000);
  }
  expect(seen[0]!.accesses.length).toBeGreaterThan(10);
  expect(seen[1]).toEqual(seen[0]);
});
