import { describe, expect, it } from 'vitest';
import type { AccessQueue, IoBus } from '@vm/core/engine';
import { adaptivePolicy } from './adaptive-policy.ts';
import { ENDED_BUDGET, ENDED_COUNT, ENDED_INSTRUCTION, ENDED_TRAP, type Ending, type Executor } from './executor.ts';
import { HandoffList } from './handoff-list.ts';
import { TrapCompound } from './trap-compound.ts';

const WEIGHTS = { handoff: 200, block: 8, trap: 2, between: 0.25 };

/** A program as letters behind the trap: t traps, a dot does not, x cannot be done in a block. */
class Script implements Executor {
  done = 0;
  trapped = false;
  at = 0;
  asked = 0;
  readonly #program: string;
  constructor(program: string) { this.#program = program; }
  begin(): void { this.at = 0; }
  run(most: number): Ending {
    this.asked += most;
    this.done = 0;
    this.trapped = false;
    while (this.done < most) {
      const one = this.#program[this.at];
      if (one === undefined) return ENDED_BUDGET;
      if (one === 'x') return ENDED_INSTRUCTION;
      this.at++;
      this.done++;
      if (one !== 't') continue;
      this.trapped = true;
      return ENDED_TRAP;
    }
    return ENDED_COUNT;
  }
  end(): boolean { return true; }
}

function blockOf(program: string, window: number, gap: number): { readonly at: number; readonly counts: ReadonlyMap<string, number> } {
  const compound = new TrapCompound({ policy: 'fixed', window, gap }, WEIGHTS);
  const script = new Script(program);
  compound.finish(1, compound.trapped(1)!, script);
  return { at: script.at, counts: new Map(compound.counts()) };
}

describe('a block', () => {
  it('CMP-01: takes trapping instructions in a row as one trap', () => {
    const { at, counts } = blockOf('ttttttttt', 64, 0);
    expect([at, counts.get('traps'), counts.get('spared'), counts.get('blocks.9-16')]).toEqual([9, 1, 9, 1]);
  });
  it('CMP-02: ends at its window, and what lies beyond is not looked at', () => {
    for (const window of [1, 2, 5, 16]) {
      const { at, counts } = blockOf('t'.repeat(40), window, 4);
      expect([at, counts.get('spared'), counts.get('ended.window')]).toEqual([window, window, 1]);
    }
  });
  it('CMP-03: executes what lies between two that trap, as far as the gap allows', () => {
    expect(blockOf('t...t...t', 64, 3).counts.get('spared')).toBe(3);
    expect(blockOf('t...t...t', 64, 3).counts.get('between')).toBe(6);
    const short = blockOf('t...t', 64, 2);
    expect([short.counts.get('spared'), short.counts.get('ended.gap')]).toEqual([1, 1]);
  });
  it('CMP-04: is one instruction where nothing near traps', () => {
    const { at, counts } = blockOf('x', 64, 4);
    expect([at, counts.get('spared'), counts.get('blocks.1'), counts.get('ended.instruction')]).toEqual([0, 0, 1, 1]);
  });
  it('CMP-15: ends before an instruction that the executor does not do', () => {
    const { at, counts } = blockOf('t.tx.t', 64, 4);
    expect([at, counts.get('spared'), counts.get('ended.instruction')]).toEqual([3, 2, 1]);
  });
  it('refuses limits out of range by name', () => {
    expect(() => new TrapCompound({ window: 0 }, WEIGHTS)).toThrow('window: expected an integer from 1 to 4096, got 0');
    expect(() => new TrapCompound({ gap: 1025 }, WEIGHTS)).toThrow('gap');
    expect(() => new TrapCompound({ accesses: 65 }, WEIGHTS)).toThrow('accesses: expected an integer from 1 to 64, got 65');
  });
});

describe('the adaptive policy', () => {
  const policy = (): ReturnType<typeof adaptivePolicy> => adaptivePolicy({ window: 64, gap: 16 }, WEIGHTS);
  const trapsUntilBlock = (one: ReturnType<typeof adaptivePolicy>, key: number): number => {
    for (let traps = 1; ; traps++) if (one.limits(key) !== null) return traps;
  };

  it('probes an instruction that traps often, and goes on where that spared hand-overs', () => {
    const one = policy();
    expect(trapsUntilBlock(one, 5)).toBe(16);
    one.learn(5, { traps: 8, widest: 2, instructions: 20, sparedHandoffs: 7 });
    expect([trapsUntilBlock(one, 5), one.limits(5)]).toEqual([1, { window: 64, gap: 3 }]);
  });
  it('probes at twice the distance where it did not', () => {
    const one = policy();
    const distances: number[] = [];
    for (let i = 0; i < 4; i++) {
      distances.push(trapsUntilBlock(one, 5));
      one.learn(5, { traps: 8, widest: 2, instructions: 20, sparedHandoffs: 0 });
    }
    expect(distances).toEqual([16, 16, 32, 64]);
  });
  it('gives up what was worth it after four blocks that were not', () => {
    const one = policy();
    trapsUntilBlock(one, 5);
    one.learn(5, { traps: 8, widest: 2, instructions: 20, sparedHandoffs: 7 });
    for (let i = 0; i < 4; i++) {
      expect(trapsUntilBlock(one, 5)).toBe(1);
      one.learn(5, { traps: 1, widest: 0, instructions: 16, sparedHandoffs: 0 });
    }
    expect(trapsUntilBlock(one, 5)).toBeGreaterThan(1);
  });
});

describe('a list of accesses', () => {
  const made = (most: number, stopsAt: number, sharesMemory = false): { readonly bus: IoBus; readonly queue: AccessQueue; readonly seen: string[] } => {
    const waiting: string[] = [];
    const seen: string[] = [];
    const queue: AccessQueue = {
      most, sharesMemory, told: stopsAt >= 0, result: (index) => 100 + index,
      run: (count) => {
        const done = stopsAt < 0 ? count : Math.min(count, stopsAt);
        seen.push(waiting.slice(0, done).join(' '));
        return done;
      },
    };
    const bus: IoBus = {
      read: () => 0, write: () => undefined, readWide: () => undefined, writeWide: () => undefined, queue: () => queue,
      enqueue: (index, address, _size, isWrite, value, now) => { waiting[index] = `${isWrite ? 'out' : 'in'} ${address}=${value}@${now}`; },
    };
    return { bus, queue, seen };
  };

  it('CMP-05 CMP-12: goes in one hand-over, in program order, each access with its time', () => {
    const list = new HandoffList();
    const { bus, queue, seen } = made(64, -1);
    for (let i = 0; i < 5; i++) list.put(bus, queue, true, 0x70 + i, 1, i, 10 * i);
    list.put(bus, queue, false, 0x71, 1, 0, 50);
    expect([list.flush(60), list.newest, list.spared, seen]).toEqual([true, 105, 5, ['out 112=0@0 out 113=1@10 out 114=2@20 out 115=3@30 out 116=4@40 in 113=0@50']]);
  });
  it('takes no more than it was told to', () => {
    const list = new HandoffList(3);
    const { bus, queue } = made(64, -1);
    for (let i = 0; i < 3; i++) {
      expect(list.takes(queue)).toBe(true);
      list.put(bus, queue, true, i, 1, i, 0);
    }
    expect([list.takes(queue), list.mostOf(queue)]).toEqual([false, 3]);
  });

  it('takes no more than the device does, and none of another device', () => {
    const list = new HandoffList();
    const { bus, queue } = made(2, -1);
    const other = made(64, -1).queue;
    list.put(bus, queue, true, 1, 1, 1, 0);
    expect([list.takes(queue), list.takes(other)]).toEqual([true, false]);
    list.put(bus, queue, true, 2, 1, 1, 0);
    expect(list.takes(queue)).toBe(false);
  });
  it('CMP-13: keeps what is done as answers when the device stops, and forgets the rest', () => {
    const list = new HandoffList();
    const { bus, queue } = made(64, 2);
    list.put(bus, queue, true, 1, 1, 7, 0); // its instruction lies before the checkpoint
    list.begin();
    list.put(bus, queue, true, 2, 1, 8, 0);
    list.put(bus, queue, true, 3, 1, 9, 0);
    expect([list.flush(0), list.told, list.answers]).toEqual([false, true, 1]);
    expect([list.answer(true, 2, 1, 8), list.answers]).toEqual([8, 0]);
  });
  it('says so when the processor asks for something else than before', () => {
    const list = new HandoffList();
    list.noteMade(false, 0x60, 1, 5);
    expect(() => list.answer(false, 0x61, 1, 0)).toThrow('an access of 1 at 61 in place of one of 1 at 60');
  });
});
