import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Plain, Size } from '../abi.ts';
import type { AccessQueue } from '../engine.ts';
import { VmError } from '../errors.ts';
import { allOnes } from '../slot-table.ts';
import { decodePlain, encodePlain } from '../snapshot/plain-code.ts';
import {
  ACCESS_LIST, ACCESS_NUMBERS, ACCESSES, ANSWERED, ARGUMENTS, ASKED, ASLEEP, CALLING, COUNT, createMailbox, DONE, DRAIN, EFFECT_LIST, EFFECT_NUMBERS, EFFECTS, FAILED, FIRE, GONE, KIND, MACHINE_BELL, type Mailbox, MESSAGE,
  MOST_ACCESSES, MOST_EFFECTS, NOW, READ, ring, TIMED, waitFor, WORKER_BELL, WRITE,
} from './mailbox.ts';
import { receiveError, type SentError } from './sent-error.ts';
import type { IsolatedData, WorkerRequest } from './worker-main.ts';
import { queueOf } from './worker-queue.ts';

export interface WorkerLimits {
  readonly answerMs: number; // for an access, a timer, a hook that is no promise; also between two steps of a longer one
  readonly startMs: number; // for importing and creating
  readonly hookMs: number; // for hooks that are promises
  readonly heapMiB: number; // of JavaScript objects; array buffers are not counted by the host
}
/** What the machine does for the worker. All that arrives is hostile: these throw, and the device is cut off. */
export interface WorkerClient {
  now(): number;
  effect(what: number, first: number, second: number): void;
  message(message: unknown): void;
  /** In the middle of a request; arguments and results are in the mailbox. */
  call(calls: MessagePort): void;
}

/** The machine's end of the mailbox, and the worker behind it. */
export class DeviceWorker {
  readonly box: Mailbox = createMailbox();
  readonly #name: string;
  readonly #spins: number;
  readonly #limits: WorkerLimits;
  readonly #fail: (where: string, error: unknown) => void;
  readonly #worker: Worker;
  readonly #requests: MessagePort;
  readonly #calls: MessagePort;
  #client: WorkerClient | null = null;
  #asked = 0;
  #waiting = false;
  #end: Promise<unknown> | null = null;
  #dead: Error | null = null;
  #pending: { resolve(): void; reject(error: Error): void } | null = null;

  constructor(data: Omit<IsolatedData, 'mailbox' | 'requests' | 'calls'>, limits: WorkerLimits, fail: (where: string, error: unknown) => void) {
    this.#name = data.name;
    this.#spins = data.spins;
    this.#limits = limits;
    this.queue = queueOf(this, data.manifest.needs.some((need) => need === 'dma' || need === 'pci'));
    this.#fail = fail;
    const [requests, calls] = [new MessageChannel(), new MessageChannel()];
    this.#requests = requests.port1;
    this.#calls = calls.port1;
    const workerData: IsolatedData = { ...data, mailbox: this.box.buffer, requests: requests.port2, calls: calls.port2 };
    try {
      this.#worker = new Worker(workerFile(), { workerData, transferList: [requests.port2, calls.port2], name: `vm device ${data.name}`, env: {}, execArgv: workerArguments(), resourceLimits: { maxOldGenerationSizeMb: limits.heapMiB } });
    } catch (cause) {
      throw new VmError('E_DEVICE', `${data.name}: its worker cannot be started: ${(cause as Error).message}`, { cause, device: data.name });
    }
    // Nobody waits for the worker while the machine is blocked: what it says of its end comes later.
    this.#worker.on('message', () => this.#attend());
    this.#worker.on('error', (error) => this.#cut('worker', error));
    this.#worker.on('exit', (code) => this.#cut('worker', new Error(`its worker has ended with code ${code}`)));
  }

  serve(client: WorkerClient): void { this.#client = client; }

  /** Blocks until the device is made: names of its hooks. */
  create(): readonly string[] {
    const { hooks } = this.#request({ kind: 'create' }, this.#limits.startMs) as { readonly hooks?: unknown };
    if (!Array.isArray(hooks) || hooks.length > 16 || !hooks.every((hook) => typeof hook === 'string')) throw this.#broken('it named no hooks');
    return hooks as readonly string[];
  }

  /** HOT. */
  read(region: number, offset: number, size: Size): number {
    this.put(0, READ, region, offset, size, 0);
    this.run(1);
    return this.result(0, size);
  }

  /** HOT. */
  write(region: number, offset: number, size: Size, value: number): void {
    this.put(0, WRITE, region, offset, size, value);
    this.run(1);
  }

  /** Puts an access into the list. `bytes`: its size. */
  put(index: number, what: number, region: number, offset: number, bytes: number, value: number, now = 0): void {
    if (index >= MOST_ACCESSES) throw new RangeError(`a list has at most ${MOST_ACCESSES} accesses`);
    const { numbers } = this.box;
    const at = ACCESS_LIST + index * ACCESS_NUMBERS;
    numbers[at] = what;
    numbers[at + 1] = region;
    numbers[at + 2] = offset;
    numbers[at + 3] = bytes;
    numbers[at + 4] = value;
    numbers[at + 5] = now;
  }

  /** Hands over so many accesses at once: how many are done. It stops behind one that did more than answer. `until`: each has a time of its own, and the processor has reached that one. */
  run(count: number, until = -1): number {
    const { words, numbers } = this.box;
    [words[COUNT], words[TIMED], numbers[ARGUMENTS]] = [count, until < 0 ? 0 : 1, until];
    this.#ask(ACCESSES, this.#limits.answerMs);
    if (words[DONE]! < 1 || words[DONE]! > count) throw this.#cut('access', this.#broken(`of ${count} accesses it did ${words[DONE]!}`));
    return words[DONE]!;
  }

  /** What an access of the list has read. */
  result(index: number, size: Size): number {
    return (this.box.numbers[ACCESS_LIST + index * ACCESS_NUMBERS + 4]! & allOnes(size)) >>> 0;
  }

  readonly queue: AccessQueue;

  fire(timer: number, due: number): void {
    this.box.numbers[ARGUMENTS] = timer;
    this.box.numbers[ARGUMENTS + 1] = due;
    this.#ask(FIRE, this.#limits.answerMs);
  }

  hook(request: Extract<WorkerRequest, { kind: 'hook' }>): void | Promise<void> {
    if (this.#dead !== null) return undefined; // it went down before
    const { pending } = this.#request(request, this.#limits.answerMs) as { readonly pending?: unknown };
    if (pending !== true) return undefined;
    return new Promise((resolve, reject) => {
      const { hookMs } = this.#limits;
      const late = setTimeout(() => this.#cut(request.hook, new Error(`it was not done within ${hookMs / 1000} s`)), hookMs);
      this.#pending = { resolve: () => (clearTimeout(late), resolve()), reject: (error) => (clearTimeout(late), reject(error)) };
    });
  }

  load(state: Plain, version: number): void {
    if (this.#dead !== null) throw this.#dead;
    this.#request({ kind: 'hook', hook: 'load', state: encodePlain(state), version }, this.#limits.answerMs);
  }

  save(): Plain {
    if (this.#dead !== null) throw this.#dead;
    const { state } = this.#request({ kind: 'hook', hook: 'save' }, this.#limits.answerMs) as { readonly state?: unknown };
    if (!(state instanceof Uint8Array)) throw this.#broken('it saved nothing');
    return decodePlain(state);
  }

  /** A request to a disk is done. */
  settle(request: number, data: Uint8Array | null, error: SentError | null): void {
    if (this.#dead === null) this.#guarded('host', () => this.#request({ kind: 'settle', request, data, error }, this.#limits.answerMs, false));
  }

  /** A hook that was a promise is done. */
  settled(error: unknown): void {
    const pending = this.#pending;
    this.#pending = null;
    if (error === null) pending?.resolve();
    else pending?.reject(receiveError(error));
  }

  end(): Promise<unknown> {
    this.#dead ??= new VmError('E_PHASE', `${this.#name}: the device is torn down`, { device: this.#name });
    this.#requests.close();
    this.#calls.close();
    this.#end ??= this.#worker.terminate();
    return this.#end;
  }

  #attend(): void {
    if (this.#dead === null) this.#guarded('worker', () => this.#ask(DRAIN, this.#limits.answerMs));
  }

  #guarded(where: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#cut(where, error as Error);
    }
  }

  #request(request: WorkerRequest, milliseconds: number, hasReply = true): object {
    if (this.#dead !== null) throw this.#dead;
    this.#requests.postMessage(request);
    this.#ask(MESSAGE, milliseconds);
    if (!hasReply) return {};
    const reply: unknown = receiveMessageOnPort(this.#requests)?.message;
    if (typeof reply !== 'object' || reply === null) throw this.#cut('worker', this.#broken('it did not reply'));
    return reply;
  }

  /** Blocks until the worker has answered, and serves its calls meanwhile. Throws when it is cut off, or what the device threw. HOT. */
  #ask(kind: number, milliseconds: number): void {
    if (this.#dead !== null) throw this.#dead;
    if (this.#waiting) throw this.#cut('worker', new Error('it was asked in the middle of an answer'));
    const { words, numbers } = this.box;
    const client = this.#client!;
    this.#waiting = true;
    words[KIND] = kind;
    numbers[NOW] = client.now();
    this.#asked = (this.#asked + 1) | 0;
    Atomics.store(words, ASKED, this.#asked);
    ring(words, WORKER_BELL);
    if (Atomics.exchange(words, ASLEEP, 0) === 1) this.#worker.postMessage(0);
    const end = performance.now() + milliseconds;
    for (let left = milliseconds; ; left = end - performance.now()) {
      const seen = Atomics.load(words, MACHINE_BELL);
      const calls = Atomics.load(words, CALLING) === 1;
      if (!calls && Atomics.load(words, ANSWERED) === this.#asked) break;
      if (Atomics.load(words, GONE) !== 0) throw this.#cut('worker', new Error('its worker has ended'));
      if (left <= 0) throw this.#cut('worker', new Error(`it did not answer within ${milliseconds / 1000} s`));
      if (calls) this.#serveCall();
      else waitFor(words, MACHINE_BELL, seen, this.#spins, left);
    }
    this.#waiting = false;
    if (words[EFFECTS] !== 0) this.#guardedEffects();
    if (words[FAILED] !== 0) {
      const sent = receiveMessageOnPort(this.#requests)?.message as { readonly error?: unknown } | undefined;
      const error = receiveError(sent?.error);
      if (kind === ACCESSES || kind === FIRE) throw this.#cut('device', error);
      throw error;
    }
  }

  #serveCall(): void {
    try {
      this.#effects();
      this.#client!.call(this.#calls);
    } catch (error) {
      throw this.#cut('worker', error as Error);
    }
    Atomics.store(this.box.words, CALLING, 2);
    ring(this.box.words, WORKER_BELL);
  }

  #guardedEffects(): void {
    try {
      this.#effects();
    } catch (error) {
      throw this.#cut('worker', error as Error);
    }
  }

  /** They are copied first: one of them may lead to another request. */
  #effects(): void {
    const { words, numbers } = this.box;
    const count = words[EFFECTS]!;
    words[EFFECTS] = 0;
    if (count < 0 || count > MOST_EFFECTS) throw this.#broken(`it names ${count} effects`);
    const list = numbers.slice(EFFECT_LIST, EFFECT_LIST + count * EFFECT_NUMBERS);
    for (let i = 0; i < list.length; i += EFFECT_NUMBERS) this.#client!.effect(list[i]!, list[i + 1]!, list[i + 2]!);
  }

  /** A message that an effect stands for. */
  takeMessage(): void { this.#client!.message(receiveMessageOnPort(this.#requests)?.message); }

  #broken(text: string): Error { return new VmError('E_DEVICE', `${this.#name}: its worker breaks the rules: ${text}`, { device: this.#name }); }

  /** For good. Whoever is in an access throws what this returns, and the machine hears of the rest from here. */
  #cut(where: string, error: Error): Error {
    if (this.#dead !== null) return this.#dead;
    this.#dead = error;
    this.#waiting = false;
    void this.end();
    this.#pending?.reject(error);
    this.#pending = null;
    this.#fail(where, error);
    return error;
  }
}

/** The worker's file, as source or built. */
function workerFile(): URL {
  return import.meta.url.endsWith('.ts') ? new URL('./worker-main.ts', import.meta.url) : new URL('./isolated-worker.js', import.meta.url);
}

/** From sources, packages find each other's sources in the worker too. */
function workerArguments(): string[] {
  return import.meta.url.endsWith('.ts') ? ['--conditions=vm-source'] : [];
}
