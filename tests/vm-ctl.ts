import { runCli } from '@vm/cli';
import { vi } from 'vitest';
import type { Result } from './vm-program.ts';

/** `vm ctl`, in this process. */
export async function ctl(...args: readonly string[]): Promise<Result> {
  const lines = { output: '', errors: '' };
  const spies = [vi.spyOn(console, 'log').mockImplementation((line: string) => void (lines.output += `${line}\n`)), vi.spyOn(console, 'error').mockImplementation((line: string) => void (lines.errors += `${line}\n`))];
  try {
    return { code: await runCli(['ctl', ...args]), ...lines };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
