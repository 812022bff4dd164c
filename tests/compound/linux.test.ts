import { bootGuest } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect } from 'vitest';
import { itWithGuest } from '../guest-image.ts';

const IS_LONG = process.env['VM_LONG'] !== undefined;
const WAYS: readonly (CompoundOptions | undefined)[] = [undefined, { policy: 'fixed' }, ...(IS_LONG ? [{ policy: 'adaptive' } as const, { policy: 'fixed', window: 16, gap: 4, handoff: 'each' } as const] : [])];

for (const guestName of IS_LONG ? (['linux-image-cloud-amd64', 'linux-image-686'] as const) : (['linux-image-cloud-amd64'] as const)) {
  itWithGuest(guestName, 'CMP-01: a boot of Linux prints the same, reaches its prompt at the same instruction and asks its devices the same, with blocks and without', async ({ kernelBytes, initrdBytes }) => {
    const seen = [];
    for (const compound of WAYS) {
      await using guest = await bootGuest({
        engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 96 * 2 ** 20, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0',
        clock: { kind: 'virtual', nanosPerInstruction: 10 },
      });
      const output = await guest.waitFor('# ');
      guest.hold();
      await guest.standing();
      const { vcpu, counters } = guest.machine;
      const accesses = Object.entries(counters.read()).filter(([name]) => /^device\..*(reads|writes)$/i.test(name));
      seen.push({ output, retired: vcpu.retired, accesses });
      const spared = new Map(vcpu.counts()).get('compound.spared');
      if (compound?.policy === 'fixed') expect(spared).toBeGreaterThan(1000);
    }
    expect(seen[0]!.accesses.length).toBeGreaterThan(10);
    for (const one of seen) expect(one).toEqual(seen[0]);
  });
}
