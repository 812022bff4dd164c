import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { isListening } from './live-socket.ts';
import { UsageError } from './usage-error.ts';

/** A line of JSON to a running machine: a command by name, and what it needs. */
export interface ControlRequest {
  readonly command: string;
  readonly [argument: string]: unknown;
}
export type ControlAnswer = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly error: string };
export type ControlHandler = (request: ControlRequest) => unknown;

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const OWNER_ONLY = 0o700;
const MOST_LINE = 1 << 16; // characters of a request

/** Where the sockets of this user's machines are. */
export function controlFolder(): string {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  return runtime !== undefined && runtime !== '' ? join(runtime, 'vm') : join(tmpdir(), `vm-${userInfo().uid}`);
}

/** Throws RangeError for what is no name of a machine. */
export function parseMachineName(given: string): string {
  if (!NAME.test(given)) throw new RangeError(`expected lower-case letters, digits and dashes, got ${JSON.stringify(given)}`);
  return given;
}

/** Listens for commands to the machine `name`, from its owner only. Throws UsageError when there is one of that name. Returns what ends it. */
export async function openControl(name: string, handle: ControlHandler): Promise<() => Promise<void>> {
  const folder = controlFolder();
  mkdirSync(folder, { recursive: true, mode: OWNER_ONLY });
  const { uid, mode } = statSync(folder);
  if (uid !== userInfo().uid || (mode & 0o077) !== 0) throw new UsageError(`--name ${name}: ${folder} is open to others`);
  const path = join(folder, `${name}.sock`);
  if (await isListening(path)) throw new UsageError(`--name ${name}: a machine of that name is running`);
  rmSync(path, { force: true }); // of one that did not come to take it away
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    serve(socket, handle);
  });
  await listen(server, path);
  chmodSync(path, 0o600);
  return async () => {
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of open) socket.end();
      setTimeout(() => open.forEach((socket) => socket.destroy()), 100).unref();
    });
    rmSync(path, { force: true });
  };
}

/** Throws UsageError when there is no such machine, or when it refuses. */
export async function askMachine(name: string, request: ControlRequest): Promise<unknown> {
  const socket = createConnection(join(controlFolder(), `${name}.sock`));
  const line = await new Promise<string>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    readLines(socket, resolve);
    socket.on('close', () => reject(new UsageError(`${name}: it went away without an answer`)));
  }).catch((error: unknown) => {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`no machine named ${name} is running${otherNames()}`, { cause: error });
  }).finally(() => socket.end());
  const answer = JSON.parse(line) as ControlAnswer;
  if (!answer.ok) throw new UsageError(`${name}: ${answer.error}`);
  return answer.result;
}

function otherNames(): string {
  try {
    const names = readdirSync(controlFolder()).filter((file) => file.endsWith('.sock')).map((file) => file.slice(0, -5));
    return names.length === 0 ? '' : `; there may be ${names.sort().join(', ')}`;
  } catch {
    return '';
  }
}

function serve(socket: Socket, handle: ControlHandler): void {
  let before: Promise<void> = Promise.resolve(); // one after the other
  socket.on('error', () => {}); // it is gone, and nobody waits
  readLines(socket, (line) => {
    before = before.then(async () => {
      const answer = await answerTo(line, handle);
      if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
    });
  });
}

async function answerTo(line: string, handle: ControlHandler): Promise<ControlAnswer> {
  try {
    const request: unknown = JSON.parse(line);
    if (typeof request !== 'object' || request === null || typeof (request as ControlRequest).command !== 'string') throw new UsageError('a request is a line of JSON with a command');
    return { ok: true, result: (await handle(request as ControlRequest)) ?? null };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}

function readLines(socket: Socket, take: (line: string) => void): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (more: string) => {
    text += more;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const line = text.slice(0, end);
      text = text.slice(end + 1);
      take(line);
    }
    if (text.length > MOST_LINE) socket.destroy();
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
}
