import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** A running program through which bytes go, as many out as in. */
export interface Filter {
  pass(bytes: Uint8Array): Promise<Uint8Array>;
  stop(): void;
}

/** What the program reads at once. It may keep the last half of one back until more comes, so every request is followed by one for nothing. */
const UNIT = 8192;

/**
 * `openssl enc` as a filter for blocks of AES-256 (ECB: what makes that safe is done by the caller). The key reaches it through a
 * pipe: the list of processes shows arguments.
 */
export function startFilter(program: string, direction: '-e' | '-d', key: Uint8Array): Filter {
  const child = spawn(program, ['enc', direction, '-aes-256-ecb', '-nopad', '-nosalt', '-md', 'sha256', '-pass', 'fd:3', '-bufsize', String(UNIT)], { stdio: ['pipe', 'pipe', 'ignore', 'pipe'] });
  (child.stdio[3] as Writable).end(`${Buffer.from(key).toString('hex')}\n`);
  const waiting: { readonly begin: number; readonly bytes: number; readonly resolve: (bytes: Uint8Array) => void; readonly reject: (error: Error) => void }[] = [];
  const chunks: Buffer[] = [];
  let buffered = 0;
  let [sent, taken] = [0, 0]; // places in what goes in and what comes out, which are the same
  let failure: Error | null = null;
  const fail = (why: string): void => {
    failure ??= new Error(`the helper ${program} ${why}`);
    for (const { reject } of waiting.splice(0)) reject(failure);
  };
  (child.stdout as Readable).on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    buffered += chunk.length;
    // Answers come in the order of the questions.
    for (let next = waiting[0]; next !== undefined && taken + buffered >= next.begin + next.bytes; next = waiting[0]) {
      const all = Buffer.concat(chunks.splice(0));
      const [begin, end] = [next.begin - taken, next.begin + next.bytes - taken];
      waiting.shift();
      next.resolve(Uint8Array.from(all.subarray(begin, end)));
      chunks.push(all.subarray(end));
      taken += end;
      buffered -= end;
    }
  });
  child.on('error', (error) => fail(`cannot be run: ${error.message}`));
  child.on('exit', () => fail('has ended'));
  for (const pipe of child.stdio) pipe?.on('error', () => fail('has ended'));
  return {
    pass(bytes) {
      if (failure !== null) return Promise.reject(failure);
      return new Promise((resolve, reject) => {
        waiting.push({ begin: sent, bytes: bytes.length, resolve, reject });
        const whole = new Uint8Array(padded(bytes.length) + UNIT);
        sent += whole.length;
        whole.set(bytes);
        (child.stdin as Writable).write(whole);
      });
    },
    stop() {
      fail('was stopped: the cipher is closed');
      child.kill();
    },
  };
}

function padded(bytes: number): number {
  return Math.ceil(bytes / UNIT) * UNIT;
}
