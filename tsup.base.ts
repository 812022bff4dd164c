import type { Options } from 'tsup';

/** How every package is bundled. Declarations come from tsc, because tsup's own need a compiler API that TypeScript 7 has not. */
export function bundle(entry: Record<string, string>): Options {
  return { entry, format: ['esm'], dts: false, clean: true, sourcemap: true, target: 'node24', platform: 'neutral' };
}
