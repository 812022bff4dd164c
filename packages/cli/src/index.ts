export type { KnownFile } from './busybox-initramfs.ts';
export { PROMPT } from './busybox-initramfs.ts';
export { runCli } from './cli.ts';
export { type CpioEntry, writeCpio } from './cpio.ts';
export { type CachedGuest, defaultCacheFolder, GuestCache, type GuestRecord } from './guest-cache.ts';
export { fetchGuest, type FetchOptions } from './guest-fetch.ts';
export { hasApt } from './private-apt.ts';
export { createProgress, type Progress } from './progress.ts';
