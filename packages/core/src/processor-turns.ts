import type { Plain } from './abi.ts';
import type { ExitCode, ProcessorEvent, Vcpu } from './engine.ts';
import { EXIT_BUDGET, EXIT_HALT, EXIT_PAUSE, EXIT_POLL, EXIT_REQUEST } from './exit.ts';

/** Instructions of one processor before the next one has its turn. */
export const TURN = 10_000;
/** The same while another one has been sent something that it has not had a turn for. */
export const SHORT_TURN = 500;

const MOST_PROCESSORS = 64;

/** How many are asked for. Throws RangeError. */
export function processorCount({ processors = 1 }: { readonly processors?: number }): number {
  if (!Number.isInteger(processors) || processors < 1 || processors > MOST_PROCESSORS) throw new RangeError(`processors: expected 1 to ${MOST_PROCESSORS}, got ${processors}`);
  return processors;
}

/** What a run loop runs. */
export type Runner = Pick<Vcpu, 'run' | 'retired' | 'stopAfter' | 'park'>;

/**
 * Several processors in turn on one thread, seen as one that retires the instructions of all. So there is one machine time, every
 * instruction is whole for all others, and where the turns end depends on nothing but instructions: not on where runs end.
 */
export class ProcessorTurns implements Runner {
  readonly #vcpus: readonly Vcpu[];
  #current = 0;
  #others = 0; // instructions of all but the present one
  #turnEnd = TURN; // in instructions of all, as the next one
  #runEnd = 0;
  #inRun = false;
  readonly #waits: boolean[]; // has nothing to do before it is sent something
  readonly #awaited: boolean[]; // was sent something, and has had no turn since

  constructor(vcpus: readonly Vcpu[]) {
    this.#vcpus = vcpus;
    this.#waits = vcpus.map(() => false);
    this.#awaited = vcpus.map(() => false);
  }

  get retired(): number { return this.#others + this.#vcpus[this.#current]!.retired; }

  /** HOT. */
  run(instructions: number): ExitCode {
    this.#runEnd = this.retired + instructions;
    let last: ExitCode = EXIT_BUDGET;
    for (;;) {
      const now = this.retired;
      if (now >= this.#runEnd) return last === EXIT_POLL && this.#isOnly() ? EXIT_POLL : EXIT_BUDGET;
      if ((this.#waits[this.#current]! || now >= this.#turnEnd) && !this.#pass()) return EXIT_HALT;
      this.#inRun = true;
      const exit = this.#vcpus[this.#current]!.run(Math.min(this.#runEnd, this.#turnEnd) - now);
      this.#inRun = false;
      last = exit;
      if (exit === EXIT_HALT) this.#waits[this.#current] = true;
      else if (exit === EXIT_PAUSE) this.#pass();
      else if (exit !== EXIT_BUDGET && exit !== EXIT_REQUEST && exit !== EXIT_POLL) return exit;
    }
  }

  stopAfter(instructions: number): void {
    this.#runEnd = Math.min(this.#runEnd, this.retired + Math.max(1, instructions)); // the present one is among them
    this.#vcpus[this.#current]!.stopAfter(instructions);
  }

  park(): void { for (const vcpu of this.#vcpus) vcpu.park?.(); }

  /** Processor `index` was sent something: it soon has its turn. */
  expect(index: number): void {
    this.#waits[index] = false;
    if (index === this.#current) return;
    this.#awaited[index] = true;
    const end = this.retired + SHORT_TURN;
    if (end >= this.#turnEnd) return;
    this.#turnEnd = end;
    if (this.#inRun) this.#vcpus[this.#current]!.stopAfter(SHORT_TURN);
  }

  /** All processors were reset. */
  reset(): void {
    this.#waits.fill(false);
    this.#awaited.fill(false);
    this.#begin(0);
  }

  save(): Plain {
    return { current: this.#current, left: Math.max(0, this.#turnEnd - this.retired), waits: this.#waits.slice(), awaited: this.#awaited.slice() };
  }

  /** After the processors, and as hostile as they are: throws TypeError. */
  load(state: Plain): void {
    const { current, left, waits, awaited } = state as Readonly<Record<string, Plain>>;
    const flags = (value: Plain | undefined): boolean[] => {
      if (!Array.isArray(value) || value.length !== this.#vcpus.length || value.some((one) => typeof one !== 'boolean')) throw new TypeError('turns: expected a boolean for each processor');
      return value as boolean[];
    };
    if (typeof current !== 'number' || this.#vcpus[current] === undefined || typeof left !== 'number' || !Number.isInteger(left) || left < 0 || left > TURN) throw new TypeError('turns: expected a processor and what is left of its turn');
    const [waiting, sent] = [flags(waits), flags(awaited)];
    this.#begin(current);
    this.#turnEnd = this.retired + left;
    waiting.forEach((one, i) => (this.#waits[i] = one));
    sent.forEach((one, i) => (this.#awaited[i] = one));
  }

  /** The next one that does not wait, the present one last. False: all do. */
  #pass(): boolean {
    const count = this.#vcpus.length;
    for (let i = 1; i <= count; i++) {
      const next = (this.#current + i) % count;
      if (this.#waits[next]!) continue;
      this.#begin(next);
      return true;
    }
    return false;
  }

  /** All but the present one wait. */
  #isOnly(): boolean { return this.#waits.every((waits, index) => waits || index === this.#current); }

  #begin(index: number): void {
    this.#current = index;
    this.#awaited[index] = false;
    this.#others = 0;
    for (let i = 0; i < this.#vcpus.length; i++) if (i !== index) this.#others += this.#vcpus[i]!.retired;
    this.#turnEnd = this.retired + (this.#awaited.includes(true) ? SHORT_TURN : TURN);
  }
}

/** The processors of a machine. One alone is run as it is, without anything around it. */
export class Processors<V extends Vcpu = Vcpu> {
  readonly all: readonly V[];
  readonly runner: Runner;
  readonly #turns: ProcessorTurns | null;

  constructor(all: readonly V[]) {
    this.all = all;
    this.#turns = all.length === 1 ? null : new ProcessorTurns(all);
    this.runner = this.#turns ?? all[0]!;
  }

  /** Interrupts of processor `index` may have become pending. */
  signal(index: number): void {
    this.all[index]!.signal();
    this.#turns?.expect(index);
  }

  notify(index: number, event: ProcessorEvent, page: number): void {
    this.all[index]!.notify?.(event, page);
    this.#turns?.expect(index);
  }

  reset(): void {
    for (const vcpu of this.all) vcpu.reset();
    this.#turns?.reset();
  }

  /** One processor as it saves itself; several as a list, with whose turn it is. */
  save(): Plain {
    return this.#turns === null ? this.all[0]!.save!() : { turns: this.#turns.save(), processors: this.all.map((vcpu) => vcpu.save!()) };
  }

  /** Throws TypeError or RangeError. */
  load(state: Plain, fresh: boolean): void {
    if (this.#turns === null) return this.all[0]!.load!(state, fresh);
    const { turns, processors } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (!Array.isArray(processors) || processors.length !== this.all.length) throw new TypeError(`expected the states of ${this.all.length} processors`);
    this.all.forEach((vcpu, i) => vcpu.load!(processors[i] as Plain, fresh));
    this.#turns.load(turns ?? {});
  }
}
