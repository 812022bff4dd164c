import { parentPort, type MessagePort, workerData } from 'node:worker_threads';
import type { Capability, Device, DeviceContext, DeviceManifest, DeviceModule, Plain, Size } from '../abi.ts';
import { decodePlain, encodePlain } from '../snapshot/plain-code.ts';
import {
  ACCESS_LIST, ACCESS_NUMBERS, ACCESSES, ARGUMENTS, ASLEEP, COUNT, createMailbox, FIRE, GONE, KIND, MACHINE_BELL, MESSAGE, NOW, READ, READ_WIDE, ring, STEADY, TIMED, TOLD, waitFor, WORKER_BELL, WRITE,
} from './mailbox.ts';
import type { SentError } from './sent-error.ts';
import { WorkerServices } from './worker-context.ts';
import { WorkerLink } from './worker-link.ts';

/** What a worker is started with. */
export interface IsolatedData {
  readonly name: string;
  readonly manifest: DeviceManifest;
  readonly url: string;
  readonly export: string;
  readonly config: unknown;
  readonly mailbox: SharedArrayBuffer;
  readonly spins: number;
  readonly requests: MessagePort;
  readonly calls: MessagePort;
}
type Hook = 'powerUp' | 'load' | 'start' | 'stop' | 'save' | 'powerDown' | 'tearDown';
/** What the machine asks by message. */
export type WorkerRequest =
  | { readonly kind: 'create' }
  | { readonly kind: 'hook'; readonly hook: Hook; readonly why?: string; readonly state?: Uint8Array; readonly version?: number }
  | { readonly kind: 'settle'; readonly request: number; readonly data: Uint8Array | null; readonly error: SentError | null };

const AWAKE_MS = 0.5; // after a request: the next one often comes at once
const TURN_MS = 4; // of requests without a pause, until the worker's own events are served
const WIDEST = 64;

const data = workerData as IsolatedData;
const box = createMailbox(data.mailbox);
const { words, numbers } = box;
const link = new WorkerLink(box, data, data.spins, () => parentPort!.postMessage(0));
const services = new WorkerServices(link);
const abort = new AbortController();
const wide = new DataView(new ArrayBuffer(WIDEST));
let device: Device = {};
let wake = (): void => {};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function loadModule(): Promise<DeviceModule<unknown, Capability>> {
  const found = ((await import(data.url)) as Readonly<Record<string, unknown>>)[data.export] as DeviceModule<unknown, Capability> | undefined;
  if (typeof found?.create !== 'function' || typeof found.manifest !== 'object') throw new TypeError(`it exports no device module named ${data.export}`);
  const describe = ({ abi, id, version, state, oldestState, needs }: DeviceManifest): string => JSON.stringify({ abi, id, version, state, oldestState, needs: [...needs].sort() });
  if (describe(found.manifest) !== describe(data.manifest)) throw new TypeError(`its manifest is ${describe(found.manifest)}, and ${describe(data.manifest)} was agreed to`);
  return found;
}

/** HOT. One list: until something was told that the processor may have to hear of first. */
function serveAccesses(): number {
  const count = words[COUNT]!;
  const timed = words[TIMED] !== 0;
  link.beginList(timed ? numbers[ARGUMENTS]! : numbers[NOW]!);
  for (let i = 0; i < count; i++) {
    const at = ACCESS_LIST + i * ACCESS_NUMBERS;
    if (timed) numbers[NOW] = numbers[at + 5]!;
    const what = numbers[at]!;
    const handler = services.handlers[numbers[at + 1]!]!;
    const offset = numbers[at + 2]!;
    const size = numbers[at + 3]!;
    words[STEADY] = 0;
    if (what === READ) {
      numbers[at + 4] = handler.read(offset, size as Size);
      if (handler.isSteady?.(offset, size as Size) === true) words[STEADY] = 1;
    } else if (what === WRITE) handler.write(offset, size as Size, numbers[at + 4]!);
    else if (what === READ_WIDE) {
      handler.readWide!(offset, size, wide);
      box.bytes.set(new Uint8Array(wide.buffer, 0, size));
    } else {
      new Uint8Array(wide.buffer, 0, size).set(box.bytes.subarray(0, size));
      handler.writeWide!(offset, size, wide);
    }
    if (!link.endsList) continue;
    words[TOLD] = 1;
    return i + 1;
  }
  words[TOLD] = 0;
  return count;
}

/** Answers a request by message. What devices do in promises that are settled already belongs to it. */
async function serveMessage(module: DeviceModule<unknown, Capability> | null, failure: unknown): Promise<void> {
  const request = link.request() as WorkerRequest;
  if (request.kind === 'settle') {
    services.settle(request.request, request.data, request.error);
    await turn();
    return link.answer(0, null);
  }
  if (request.kind === 'create') {
    if (module === null) return link.answer(0, null, failure);
    device = module.create(services.context(data.name, data.manifest.needs, abort.signal) as DeviceContext<Capability>, data.config);
    const hooks = (['powerUp', 'load', 'start', 'stop', 'save', 'powerDown', 'tearDown'] as const).filter((hook) => device[hook] !== undefined);
    return link.answer(0, { hooks });
  }
  const result = runHook(request);
  if (!(result instanceof Promise)) return link.answer(0, { state: request.hook === 'save' ? encodePlain(result as Plain) : null });
  void result.then(() => link.tell({ settled: true, error: null }), (error: unknown) => link.tell({ settled: true, error: { name: 'Error', message: error instanceof Error ? error.message : String(error), code: null } }));
  return link.answer(0, { pending: true });
}

function runHook({ hook, why, state, version }: Extract<WorkerRequest, { kind: 'hook' }>): unknown {
  if (hook === 'powerUp') return device.powerUp?.(why as 'cold');
  if (hook === 'load') return device.load?.(decodePlain(state!), version!);
  if (hook === 'tearDown') abort.abort();
  return device[hook]?.();
}

async function serve(): Promise<never> {
  let failure: unknown = null;
  const module = await loadModule().catch((error: unknown) => ((failure = error), null));
  let lastTurn = performance.now();
  for (;;) {
    const seen = Atomics.load(words, WORKER_BELL);
    if (!link.isAsked) waitFor(words, WORKER_BELL, seen, data.spins, AWAKE_MS);
    if (!link.isAsked) {
      const woken = new Promise<void>((resolve) => (wake = resolve));
      Atomics.store(words, ASLEEP, 1);
      if (!link.isAsked) await woken;
      Atomics.store(words, ASLEEP, 0);
      lastTurn = performance.now();
      continue;
    }
    link.open();
    try {
      const kind = words[KIND]!;
      if (kind === ACCESSES) link.answer(serveAccesses(), null);
      else if (kind === FIRE) {
        services.fire(numbers[ARGUMENTS]!, numbers[ARGUMENTS + 1]!);
        link.answer(0, null);
      } else if (kind === MESSAGE) await serveMessage(module, failure);
      else link.answer(0, null);
    } catch (error) {
      link.answer(0, null, error ?? new Error('it threw nothing'));
    }
    await Promise.resolve(); // promises that the handlers have settled
    if (performance.now() - lastTurn < TURN_MS) continue;
    await turn();
    lastTurn = performance.now();
  }
}

process.on('exit', () => {
  Atomics.store(words, GONE, 1);
  ring(words, MACHINE_BELL);
});
parentPort!.on('message', () => wake());
void serve();
