import { PROMPT } from '@vm/cli';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { fetchDebian, hasDebian } from './debian-guest.ts';

const leftOut = !hasDebian() && process.env['VM_REQUIRE_ORACLES'] !== '1';

it.skipIf(leftOut)('a guest with 256 MiB multiplies [needs apt-get]', async () => {
  await using guest = await bootGuest({ engine: wasmEngine(), ramBytes: 256 * 2 ** 20, ...(await fetchDebian()) });
  await guest.waitFor(PROMPT);
  guest.type('echo $((6 * 7)) on $(uname -s)\n');
  expect(await guest.waitFor(PROMPT)).toContain('42 on Linux');
  guest.type('poweroff -f\n');
  await guest.poweredOff();
});
