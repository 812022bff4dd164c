import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const SOURCES: string = fileURLToPath(new URL('bare/', import.meta.url));
const OPTIONS = ['-O2', '-ffreestanding', '-fno-pic', '-fno-stack-protector', '-mno-red-zone', '-mgeneral-regs-only', '-nostdlib', '-static', '-Wl,--build-id=none', '-Wl,-z,max-page-size=4096'];
const LINKED = ['-Wl,--section-start=.start=0x400000', '-Wl,-Ttext=0x401000'];
const KINDS = {
  32: ['-m32', ...LINKED],
  64: ['-m64', '-DLONG', '-mcmodel=large', ...LINKED],
  real: ['-m32', '-Wl,--section-start=.start=0x8000'],
} as const;

export type BareKind = keyof typeof KINDS;

/** What of a program in tests/bare goes wrong; empty when it is at `path`. */
export function compileBare(path: string, kind: BareKind, sources: readonly string[]): string {
  const { status, stderr, error } = spawnSync('gcc', [...OPTIONS, ...KINDS[kind], '-o', path, ...sources.map((source) => join(SOURCES, source))], { encoding: 'utf8' });
  return status === 0 ? stderr : (error?.message ?? `${stderr}\ngcc ended with ${status}`);
}
