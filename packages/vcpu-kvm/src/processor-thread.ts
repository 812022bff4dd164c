/** The machine's end of a processor's thread. */
import type { Worker } from 'node:worker_threads';
import { KICK_SIGNAL } from './kick.ts';
import { KvmError } from './kvm-error.ts';
import type { Libc } from './libc.ts';
import { END, GUEST, OWNER, RESULT, type ThreadData, THREAD, WANTED, WORDS } from './thread-words.ts';

/** KVM_RUN comes back at least so often, so that a thread whose machine is gone can be ended. */
const PERIOD_NANOS = 100e6;
const START_MS = 60_000; // inside machines of QEMU's translator
const STOP_MS = 10_000;

export class ProcessorThread {
  readonly #libc: Libc;
  readonly #words: Int32Array = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #bell: Int32Array;
  readonly #worker: Worker;
  #timer = -1; // of the kernel; -1: the thread has not been waited for
  #given = false; // KVM_RUN has been entered, and what came of it not been taken
  #ended = false;

  /** `bell` is rung when the thread gives the processor back. */
  constructor(c: Libc, options: Omit<ThreadData, 'words'>) {
    this.#libc = c;
    this.#bell = options.bell;
    const threads = process.getBuiltinModule('node:worker_threads');
    const workerData: ThreadData = { ...options, words: this.#words };
    const isSource = import.meta.url.endsWith('.ts');
    this.#worker = new threads.Worker(new URL(isSource ? './thread-main.ts' : './kvm-thread.js', import.meta.url), { workerData, name: 'vm processor', env: {}, execArgv: isSource ? ['--conditions=vm-source'] : [] });
    this.#worker.unref(); // what runs a machine keeps the process alive
    this.#worker.on('error', () => (this.#ended = true));
    this.#worker.on('exit', () => (this.#ended = true));
  }

  /** The guest does not run. */
  get isOut(): boolean { return Atomics.load(this.#words, OWNER) !== GUEST; }
  /** It has run, and what came of it has not been taken. */
  get hasExit(): boolean { return this.#given && this.isOut; }
  /** The thread is gone: by itself, or because somebody has ended it. */
  get ended(): boolean { return this.#ended; }

  /** The process does not end while it is there. */
  keepAlive(wanted: boolean): void { this.#worker[wanted ? 'ref' : 'unref'](); }

  /** The guest runs from now on, in its thread. HOT. */
  go(): void {
    if (this.#timer < 0) this.#begin();
    this.#given = true;
    Atomics.store(this.#words, WANTED, 0);
    Atomics.store(this.#words, OWNER, GUEST);
    Atomics.notify(this.#words, OWNER);
  }
  /** What KVM_RUN has given. */
  take(): number {
    this.#given = false;
    return this.#words[RESULT] as number;
  }
  /** The guest comes out soon. A signal that comes before KVM_RUN ends it at once, one that comes too late is nobody's. */
  kick(): void {
    if (this.isOut || this.#ended || Atomics.exchange(this.#words, WANTED, 1) === 1) return;
    this.#libc.sendSignal(this.#words[THREAD] as number, KICK_SIGNAL);
  }
  /** Waits until the guest is out. Throws KvmError when the thread does not answer. */
  stop(): void {
    this.kick();
    this.#await(() => this.isOut, STOP_MS);
  }

  close(): void {
    if (!this.isOut && !this.#ended) this.stop();
    Atomics.store(this.#words, OWNER, END);
    Atomics.notify(this.#words, OWNER);
    if (this.#timer >= 0) this.#libc.deleteTimer(this.#timer);
    this.#timer = -1;
    void this.#worker.terminate();
  }

  #begin(): void {
    this.#await(() => Atomics.load(this.#words, THREAD) !== 0, START_MS);
    this.#timer = this.#libc.createTimer(this.#words[THREAD] as number, KICK_SIGNAL);
    this.#libc.repeatTimer(this.#timer, PERIOD_NANOS);
  }
  #await(isSo: () => boolean, milliseconds: number): void {
    const end = performance.now() + milliseconds;
    for (;;) {
      const seen = Atomics.load(this.#bell, 0);
      if (isSo()) return;
      if (this.#ended) throw new KvmError('the thread of a processor has ended');
      if (performance.now() >= end) {
        this.#ended = true;
        throw new KvmError(`the thread of a processor did not answer within ${milliseconds / 1000} s`);
      }
      Atomics.wait(this.#bell, 0, seen, 100);
    }
  }
}

