import { readFileSync } from 'node:fs';
import { type CachedGuest, defaultCacheFolder, fetchGuest, GuestCache, hasApt } from '@vm/cli';
import { it } from 'vitest';

const SILENT = { step: () => {}, percent: () => {}, done: () => {} };

export interface GuestImage extends CachedGuest {
  readonly kernelBytes: Uint8Array;
  readonly initrdBytes: Uint8Array;
}

/**
 * A test with a guest by the name of its Debian package, from the cache or fetched. Where it is in no cache and there is no
 * apt-get the test is left out, and counted; with VM_REQUIRE_ORACLES=1 it fails.
 */
export function itWithGuest(name: string, title: string, body: (image: GuestImage) => Promise<void>, timeoutMs?: number): void {
  const cache = new GuestCache(defaultCacheFolder());
  const architecture = /686/.test(name) ? 'i386' : 'amd64';
  const there = hasApt() || cache.find(name, architecture) !== null;
  const run = async (): Promise<void> => {
    const guest = await fetchGuest(cache, name, SILENT);
    await body({ ...guest, kernelBytes: readFileSync(guest.kernel), initrdBytes: readFileSync(guest.initrd) });
  };
  const full = `${title} [needs apt-get]`;
  if (there || process.env['VM_REQUIRE_ORACLES'] === '1') it(full, run, timeoutMs);
  else it.skip(full, run);
}
