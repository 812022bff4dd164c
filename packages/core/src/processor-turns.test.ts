import { describe, expect, it } from 'vitest';
import type { Plain } from './abi.ts';
import type { ExitCode, ProcessorEvent, Vcpu } from './engine.ts';
import { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_PAUSE, EXIT_REQUEST, EXIT_SHUTDOWN } from './exit.ts';
import { processorCount, Processors, SHORT_TURN, TURN } from './processor-turns.ts';

describe('processors in turn', () => {
  it('have turns of so many instructions, wherever the runs end', () => {
    for (const runs of [[5 * TURN], [1, TURN - 1, 3, TURN, 3 * TURN - 3], Array.from({ length: 500 }, () => TURN / 100)]) {
      const { processors, log } = board([work, work, work]);
      for (const run of runs) expect(processors.runner.run(run)).toBe(EXIT_BUDGET);
      expect(turnsOf(log)).toEqual([[0, TURN], [1, TURN], [2, TURN], [0, TURN], [1, TURN]]);
      expect(processors.runner.retired).toBe(5 * TURN);
    }
  });

  it('leave their turn when they wait, and have none until they are sent something', () => {
    let wakes = false;
    const { processors, log, cpus } = board([work, (cpu) => (wakes ? work(cpu) : EXIT_HALT)]);
    processors.runner.run(2.5 * TURN);
    expect(turnsOf(log)).toEqual([[0, 2.5 * TURN]]);
    expect(cpus[1]!.entered).toBe(1);
    wakes = true;
    processors.signal(1);
    processors.runner.run(SHORT_TURN + TURN + TURN);
    expect(turnsOf(log)).toEqual([[0, 2.5 * TURN + SHORT_TURN], [1, TURN], [0, TURN]]);
  });

  it('all wait when there is nothing to do, and go on with the one that was sent something', () => {
    const awake = new Set<number>();
    const { processors, log } = board([0, 1, 2].map((index) => (cpu: Cpu) => (awake.has(index) ? work(cpu) : EXIT_HALT)));
    expect(processors.runner.run(100)).toBe(EXIT_HALT);
    expect(processors.runner.run(100)).toBe(EXIT_HALT);
    awake.add(2);
    processors.notify(2, 'nmi', 0);
    expect(processors.runner.run(100)).toBe(EXIT_BUDGET);
    expect(turnsOf(log)).toEqual([[2, 100]]);
  });

  it('pass the turn on where they wait for another in a loop', () => {
    const { processors, log } = board([(cpu) => (cpu.retired % 10 === 9 ? (work(cpu), EXIT_PAUSE) : work(cpu)), work]);
    processors.runner.run(2 * TURN + 30);
    expect(turnsOf(log)).toEqual([[0, 10], [1, TURN], [0, 10], [1, TURN], [0, 10]]);
  });

  it('wait at most short turns of all others for what they were sent in the middle of one', () => {
    const { processors, log } = board([(cpu) => (cpu.retired === 1000 ? (processors.signal(3), work(cpu)) : work(cpu)), work, work, work]);
    processors.runner.run(1000 + 3 * SHORT_TURN + TURN + TURN);
    expect(turnsOf(log)).toEqual([[0, 1000 + SHORT_TURN], [1, SHORT_TURN], [2, SHORT_TURN], [3, TURN], [0, TURN]]);
  });

  it('are not shut out by two that send to each other for ever', () => {
    const toggle = (to: number) => (cpu: Cpu) => (processors.signal(to), work(cpu));
    const { processors, log } = board([toggle(1), toggle(0), work]);
    processors.runner.run(20 * SHORT_TURN);
    expect(new Set(turnsOf(log).map(([index]) => index))).toEqual(new Set([0, 1, 2]));
  });

  it('stop together where one of them is told to', () => {
    const { processors, log } = board([work, (cpu) => (cpu.retired === 4 ? (processors.runner.stopAfter(3), work(cpu)) : work(cpu))]);
    expect(processors.runner.run(9 * TURN)).toBe(EXIT_BUDGET);
    expect(turnsOf(log)).toEqual([[0, TURN], [1, 7]]);
  });

  it.each([EXIT_SHUTDOWN, EXIT_FAIL] as const)('end with the one that ends: %i', (exit) => {
    const { processors } = board([work, (cpu) => (cpu.retired === 5 ? exit : work(cpu))]);
    expect(processors.runner.run(9 * TURN)).toBe(exit);
    expect(processors.runner.retired).toBe(TURN + 5);
  });

  it('go on after a restore as if nothing had been', () => {
    const program = (): Program[] => [(cpu) => (cpu.retired % 700 === 0 ? (signalled(1), work(cpu)) : work(cpu)), (cpu) => (cpu.retired % 300 === 299 && !cpu.signals ? EXIT_HALT : (cpu.signals = 0, work(cpu))), work];
    let signalled: (index: number) => void = () => undefined;
    const whole = board(program());
    signalled = (index) => whole.processors.signal(index);
    whole.processors.runner.run(12_345);
    const saved = whole.processors.save();
    const behind = whole.log.length;
    whole.processors.runner.run(50_000);
    const again = board(program());
    signalled = (index) => again.processors.signal(index);
    again.processors.load(saved, false);
    again.processors.runner.run(50_000);
    expect(turnsOf(again.log)).toEqual(turnsOf(whole.log.slice(behind)));
    expect(again.processors.save()).toEqual(whole.processors.save());
  });

  it('go on after a restore where one has run beyond the end of its turn', () => {
    const coarse = (cpu: Cpu): undefined => { for (let i = 0; i < 3 * TURN; i++) cpu.retire(); };
    const whole = board([coarse, coarse]);
    whole.processors.runner.run(TURN / 2);
    const again = board([work, work]);
    again.processors.load(whole.processors.save(), false);
    again.processors.runner.run(2 * TURN);
    expect(turnsOf(again.log)).toEqual([[1, TURN], [0, TURN]]);
  });

  it('refuse turns that no processors could have saved', () => {
    const { processors } = board([work, work]);
    const { turns, processors: states } = processors.save() as { turns: Record<string, Plain>; processors: Plain[] };
    for (const bad of [{ current: 2 }, { current: -1 }, { left: -1 }, { left: 1e9 }, { left: 0.5 }, { waits: [true] }, { awaited: [0, 1] }]) {
      expect(() => processors.load({ turns: { ...turns, ...bad }, processors: states }, false), JSON.stringify(bad)).toThrow(TypeError);
    }
    expect(() => processors.load({ turns, processors: states.slice(1) }, false)).toThrow('expected the states of 2 processors');
    expect(() => processors.load(null, false)).toThrow(TypeError);
  });

  it('are 1 to 64', () => {
    expect([processorCount({}), processorCount({ processors: 64 })]).toEqual([1, 64]);
    for (const processors of [0, 65, 1.5, NaN, -1]) expect(() => processorCount({ processors })).toThrow('expected 1 to 64');
  });
});

describe('one processor', () => {
  it('is run as it is', () => {
    const { processors, cpus } = board([work]);
    expect(processors.runner).toBe(cpus[0]);
    expect(processors.save()).toEqual(cpus[0]!.save());
  });
});

type Program = (cpu: Cpu) => ExitCode | undefined;
function work(cpu: Cpu): undefined { cpu.retire(); }

class Cpu implements Vcpu {
  retired = 0;
  entered = 0;
  signals = 0;
  #left = 0;
  readonly #index: number;
  readonly #program: Program;
  readonly #log: number[];

  constructor(index: number, program: Program, log: number[]) {
    this.#index = index;
    this.#program = program;
    this.#log = log;
  }
  run(instructions: number): ExitCode {
    this.entered++;
    this.#left = instructions;
    while (this.#left > 0) {
      const exit = this.#program(this);
      if (exit !== undefined) return exit;
    }
    return EXIT_REQUEST;
  }
  retire(): void {
    this.retired++;
    this.#left--;
    this.#log.push(this.#index);
  }
  signal(): void { this.signals++; }
  notify(_event: ProcessorEvent): void { this.signals++; }
  stopAfter(instructions: number): void { this.#left = Math.min(this.#left, Math.max(1, instructions)); }
  reset(): void { this.signals = 0; }
  save(): Plain { return { retired: this.retired, signals: this.signals }; }
  load(state: Plain): void { ({ retired: this.retired, signals: this.signals } = state as { retired: number; signals: number }); }
}

function board(programs: readonly Program[]): { readonly processors: Processors<Cpu>; readonly log: number[]; readonly cpus: readonly Cpu[] } {
  const log: number[] = [];
  const cpus = programs.map((program, index) => new Cpu(index, program, log));
  return { processors: new Processors(cpus), log, cpus };
}

/** Who ran how many instructions, in order. */
function turnsOf(log: readonly number[]): [index: number, instructions: number][] {
  const turns: [number, number][] = [];
  for (const index of log) {
    const last = turns.at(-1);
    if (last?.[0] === index) last[1]++;
    else turns.push([index, 1]);
  }
  return turns;
}
