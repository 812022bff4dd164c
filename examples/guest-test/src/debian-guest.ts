import { readFileSync } from 'node:fs';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, hasApt } from '@vm/cli';

/** What `bootGuest` boots. */
export interface DebianGuest {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
}

const NAME = 'linux-image-cloud-amd64';
const cache: GuestCache = new GuestCache(defaultCacheFolder());

/** A stock Debian kernel with busybox, from the cache; the first time it is fetched with apt-get. */
export async function fetchDebian(): Promise<DebianGuest> {
  const { kernel, initrd } = await fetchGuest(cache, NAME, createProgress(process.stderr));
  return { kernel: readFileSync(kernel), initrd: readFileSync(initrd), commandLine: 'console=ttyS0 quiet' };
}

/** It is in the cache, or can be fetched here. */
export function hasDebian(): boolean {
  return hasApt() || cache.find(NAME, 'amd64') !== null;
}
