/** Processors that run at the same time, each in its thread. What they ask for is answered here, in the machine's thread, for whoever asks first. */
import type { ExitCode } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_HALT, EXIT_REQUEST } from '@vm/core/exit';
import type { Libc } from './libc.ts';
import { ProcessorThread } from './processor-thread.ts';
import { waitWhile } from './thread-words.ts';

/** One of them, as it is served. */
export interface ServedProcessor {
  /** While the guest is out: answers what it came with and lets it go on, if it does not wait. -1: nothing that the machine must know. */
  attend(): ExitCode | -1;
}

/** Newer than the types that we compile with. */
const { waitAsync } = Atomics as unknown as { waitAsync(words: Int32Array, index: number, value: number): { readonly async: true; readonly value: Promise<string> } | { readonly async: false } };

const SPINS = 2000; // a few microseconds
const QUIET_MS = 2; // without an exit, after which the next one may come to the event loop

export class ProcessorThreads {
  readonly #bell: Int32Array = new Int32Array(new SharedArrayBuffer(4));
  readonly #threads: ProcessorThread[] = [];
  readonly #served: ServedProcessor[] = [];
  readonly #wakes: (() => void)[] = [];
  readonly #spins: number;
  readonly #looks: boolean;
  #end = 0;
  #leaving = false;
  #lastExit = 0;
  #resting = false; // nobody runs them: the bell is heard by the event loop
  #listening = false;

  /** `processors` that are to run beside this thread: where there are fewer of the host, nobody waits awake. `looks`: guests that halt do not come out, and are looked at now and then. */
  constructor(processors: number, looks: boolean = false) {
    this.#looks = looks;
    this.#spins = process.getBuiltinModule('node:os').availableParallelism() > processors ? SPINS : 0;
  }

  /** A device has asked for an end of the run. */
  get isLeaving(): boolean { return this.#leaving; }

  create(c: Libc, fd: number): ProcessorThread {
    const thread = new ProcessorThread(c, { fd, bell: this.#bell, spins: this.#spins, looks: this.#looks });
    this.#threads.push(thread);
    return thread;
  }
  /** `wake` has it run again; null: nobody could, and so it is run all the time. */
  add(one: ServedProcessor, wake: (() => void) | null): void {
    this.#served.push(one);
    if (wake !== null) this.#wakes.push(wake);
  }

  /** For so long, as seen from one of them: serves all. The others, and it, run on behind it. HOT. */
  run(thread: ProcessorThread, milliseconds: number): ExitCode {
    this.#leaving = false;
    this.#setResting(false);
    this.#end = performance.now() + milliseconds;
    for (;;) {
      const seen = Atomics.load(this.#bell, 0);
      for (let i = 0; i < this.#served.length; i++) {
        const one = this.#threads[i]!;
        if (!one.isOut && !one.ended) continue;
        this.#lastExit = this.#end;
        const end = this.#served[i]!.attend();
        if (end >= 0) return end as ExitCode;
        if (this.#leaving) return EXIT_REQUEST;
      }
      if (thread.isOut && !thread.hasExit) return EXIT_HALT;
      const left = this.#end - performance.now();
      if (left <= 0) return this.#looks && this.#end - this.#lastExit >= QUIET_MS && this.#listen(seen) ? EXIT_HALT : EXIT_BUDGET;
      if (!thread.hasExit) waitWhile(this.#bell, 0, seen, this.#spins, left);
    }
  }
  /** Guests that halt do not come out, so that a quiet machine would look at its bell a thousand times a second: it sleeps. False: somebody has rung. */
  #listen(seen: number): boolean {
    if (this.#wakes.length < this.#served.length) return false;
    if (!this.#listening) {
      const rung = waitAsync(this.#bell, 0, seen);
      if (!rung.async) return false;
      this.#listening = true;
      void rung.value.then(() => {
        this.#listening = false;
        this.rouse();
      });
    }
    this.#setResting(true);
    return true;
  }
  /** Who runs processors is to run them again, if it has been told that they wait. */
  rouse(): void {
    if (!this.#resting) return;
    this.#setResting(false);
    for (const wake of this.#wakes) wake();
  }
  #setResting(resting: boolean): void {
    if (resting === this.#resting) return;
    this.#resting = resting;
    this.#threads[0]?.keepAlive(resting); // nothing else may: waiting for the bell does not
  }

  stopAfter(milliseconds: number): void {
    if (milliseconds === 0) this.#leaving = true;
    else this.#end = Math.min(this.#end, performance.now() + milliseconds);
  }

  /** Before memory is taken away under guests that run. */
  stopAll(): void { for (const thread of this.#threads) if (!thread.ended) thread.stop(); }
  close(): void {
    this.#setResting(false);
    for (const thread of this.#threads) thread.close();
  }
}
