import { openSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { copySecret, type KeyRequest } from '@vm/vhd-crypt';
import { UsageError } from './usage-error.ts';

/** The part of a terminal that is used here. */
export interface PromptTerminal {
  setRawMode(raw: boolean): unknown;
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  off(event: 'data', listener: (bytes: Buffer) => void): unknown;
  off(event: 'end', listener: () => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

const MOST_BYTES = 512;
const [CTRL_C, CTRL_D, BACKSPACE, LINE_FEED, RETURN, CTRL_U, DELETE] = [3, 4, 8, 10, 13, 21, 127];

/** Asks the terminal of the process, also when standard input is something else; null where there is none. */
export async function askPassphrase(request: KeyRequest): Promise<Uint8Array | null> {
  const opened = process.stdin.isTTY ? null : openTerminal();
  const terminal = opened ?? (process.stdin.isTTY ? process.stdin : null);
  if (terminal === null) return null;
  try {
    return await promptSecret(terminal, (text) => process.stderr.write(text), request);
  } finally {
    opened?.destroy();
  }
}

function openTerminal(): ReadStream | null {
  try {
    return new ReadStream(openSync('/dev/tty', 'r'));
  } catch {
    return null;
  }
}

/** A line that is not shown. A new secret is asked for twice. */
export async function promptSecret(terminal: PromptTerminal, tell: (text: string) => void, request: KeyRequest): Promise<Uint8Array | null> {
  for (;;) {
    if (request.attempt > 0) tell('That is not it. ');
    const what = request.purpose === 'open' ? 'Passphrase' : 'New passphrase';
    const first = await readHidden(terminal, tell, `${what} for ${request.disk.replaceAll(/\p{Cc}/gu, '?')}: `);
    if (first === null || request.purpose === 'open') return first;
    const second = await readHidden(terminal, tell, 'Once more: ');
    const same = second !== null && second.length === first.length && second.every((byte, i) => byte === first[i]);
    second?.fill(0);
    if (same && first.length > 0) return first;
    const empty = first.length === 0;
    first.fill(0);
    if (second === null) return null;
    tell(empty ? 'An empty passphrase protects nothing.\n' : 'The two differ.\n');
  }
}

function readHidden(terminal: PromptTerminal, tell: (text: string) => void, question: string): Promise<Uint8Array | null> {
  const line = Buffer.allocUnsafeSlow(MOST_BYTES).fill(0); // bytes that nothing else shares, and no strings, which cannot be wiped
  let length = 0;
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      terminal.off('data', onData);
      terminal.off('end', onEnd);
      terminal.setRawMode(false);
      terminal.pause();
      tell('\n');
    };
    const done = (secret: Uint8Array | null): void => {
      finish();
      line.fill(0);
      resolve(secret);
    };
    const onEnd = (): void => done(null);
    const onData = (bytes: Buffer): void => {
      for (const byte of bytes) {
        if (byte === RETURN || byte === LINE_FEED) {
          bytes.fill(0);
          return done(copySecret(line.subarray(0, length)));
        }
        if (byte === CTRL_C) {
          finish();
          line.fill(0);
          reject(new UsageError('stopped at the passphrase'));
          return;
        }
        if (byte === CTRL_D && length === 0) return done(null);
        if (byte === CTRL_U) length = 0;
        else if (byte === BACKSPACE || byte === DELETE) {
          // One character: its last byte, and with UTF-8 those that go on from its first.
          while (length > 0 && (line[--length]! & 0xc0) === 0x80);
        } else if (byte >= 0x20 && length < MOST_BYTES) line[length++] = byte;
      }
      bytes.fill(0);
    };
    // Before the question: who answers at once must not see what they type.
    terminal.setRawMode(true);
    tell(question);
    terminal.on('data', onData);
    terminal.on('end', onEnd);
    terminal.resume();
  });
}
