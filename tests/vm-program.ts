import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The `vm` program, from its sources. */
export const VM: readonly string[] = [process.execPath, '--conditions=vm-source', '--disable-warning=ExperimentalWarning', fileURLToPath(new URL('../packages/cli/src/main.ts', import.meta.url))];

export interface Result {
  readonly code: number | null;
  readonly output: string; // a character a byte
  readonly errors: string;
}
export interface Started {
  readonly child: ChildProcess;
  readonly done: Promise<Result>;
}

/** `input` is written and ended at once; null: it stays open. */
export function start(program: readonly string[], input: string | null, env: NodeJS.ProcessEnv = {}): Started {
  const child = spawn(program[0]!, program.slice(1), { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.on('error', () => {}); // it need not read what it gets
  if (input !== null) child.stdin.end(input, 'latin1');
  return { child, done: new Promise((resolve) => child.on('close', (code) => resolve({ code, output, errors }))) };
}

/** Resolves when the program has printed `wanted`. */
export function printed(child: ChildProcess, wanted: string): Promise<void> {
  let seen = '';
  return new Promise((resolve) => {
    child.stdout!.on('data', (chunk: Buffer) => {
      seen += chunk.toString('latin1');
      if (seen.includes(wanted)) resolve();
    });
  });
}

/** Keeps so many processors of the host busy while `work` runs. */
export async function underLoad<T>(processors: number, work: () => Promise<T>): Promise<T> {
  const busy = Array.from({ length: processors }, () => spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
  try {
    return await work();
  } finally {
    for (const child of busy) child.kill('SIGKILL');
  }
}
