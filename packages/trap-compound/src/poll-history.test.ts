import { describe, expect, it } from 'vitest';
import { PollHistory } from './poll-history.ts';

/** Reads until a turn of a loop is worth trying; the loop has the registers `keys`. */
function readsUntilTry(history: PollHistory, keys: readonly number[], value = 0x60): number {
  for (let reads = 1; reads <= 10_000; reads++) if (history.read(keys[reads % keys.length]!, value)) return reads;
  return Infinity;
}

describe('a history of reads', () => {
  it('wants a turn tried after four reads that gave the same as the one before', () => {
    expect(readsUntilTry(new PollHistory(), [5])).toBeLessThanOrEqual(9);
  });

  it('knows a loop that looks at other registers in between, up to three', () => {
    expect(readsUntilTry(new PollHistory(), [5, 6, 7])).toBeLessThan(40);
    expect(readsUntilTry(new PollHistory(), [5, 6, 7, 8, 9])).toBe(Infinity);
  });

  it('begins anew with another value and after a write', () => {
    const history = new PollHistory();
    readsUntilTry(history, [5]);
    expect(history.read(5, 0x61)).toBe(false);
    readsUntilTry(history, [5], 0x61);
    history.write();
    expect(history.read(5, 0x61)).toBe(false);
  });

  it('wants the next try after twice as many reads when it was no loop, and counts', () => {
    const history = new PollHistory();
    readsUntilTry(history, [5]);
    const distances: number[] = [];
    for (let i = 0; i < 4; i++) {
      history.miss();
      distances.push(readsUntilTry(history, [5]));
    }
    expect(distances).toEqual([8, 16, 32, 64]);
    history.found(900);
    expect([history.waits, history.instructions, history.missed]).toEqual([1, 900, 4]);
  });
});
