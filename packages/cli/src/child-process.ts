import { spawn } from 'node:child_process';
import { VmError } from '@vm/core';

export interface ChildOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** Lines that the program writes to its file descriptor 3. */
  readonly onStatus?: (line: string) => void;
}

const MOST_ERROR_TEXT = 2000;

/** Runs a program to its end and returns what it printed. Throws VmError E_HOST with its last words when it fails. */
export function runChild(program: string, args: readonly string[], options: ChildOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env, LC_ALL: 'C.UTF-8' },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    });
    let output = '';
    let errors = '';
    let status = '';
    child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr!.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-MOST_ERROR_TEXT)));
    child.stdio[3]!.on('data', (chunk: Buffer) => {
      const lines = (status + chunk.toString()).split('\n');
      status = lines.pop()!;
      for (const line of lines) options.onStatus?.(line);
    });
    child.on('error', (cause) => reject(new VmError('E_HOST', `cannot run ${program}: ${cause.message}`, { cause })));
    child.on('close', (code, signal) => {
      if (code === 0) resolve(output);
      else reject(new VmError('E_HOST', `${program} ${args[0] ?? ''} failed: ${lastWords(errors) || signal || `exit code ${code}`}`));
    });
  });
}

/** The errors among the lines, or else the last line. */
function lastWords(text: string): string {
  const lines = text.split('\n').map((line) => line.trim()).filter((line) => line !== '');
  const errors = lines.filter((line) => line.startsWith('E:')).map((line) => line.slice(2).trim());
  return errors.length > 0 ? errors.join('; ') : (lines.at(-1) ?? '');
}
