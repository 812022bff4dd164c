import { homedir } from 'node:os';
import { join } from 'node:path';

/** VM_CACHE, or `vm` in the user's folder for caches. */
export function defaultCacheFolder(env: Readonly<Record<string, string | undefined>> = process.env): string {
  return env['VM_CACHE'] || join(env['XDG_CACHE_HOME'] || join(env['HOME'] || homedir(), '.cache'), 'vm');
}
