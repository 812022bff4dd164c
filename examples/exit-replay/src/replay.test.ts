import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { replay } from './replay.ts';
import { exitText, parseTrace } from './trace.ts';

const text = gunzipSync(readFileSync(new URL('../boot.trace.gz', import.meta.url))).toString('latin1');
const trace = parseTrace(text);

describe('the exits of a boot', () => {
  it('are real: ports and memory, read and written, and the same text again', () => {
    expect(new Set(trace.map(({ isPort, isWrite }) => `${isPort} ${isWrite}`)).size).toBe(4);
    expect(trace.map(exitText).join('\n')).toBe(text.trimEnd());
  });

  it('all happen without blocks, and each with blocks is an exit or spared', () => {
    expect(replay(trace, { policy: 'off' })).toMatchObject({ exits: trace.length, spared: 0, blocks: 0 });
    for (const window of [16, 64, 256]) {
      const { exits, spared } = replay(trace, { policy: 'fixed', window });
      expect(exits + spared).toBe(trace.length);
    }
  });

  it('are fewer the wider the window', () => {
    const [narrow, wide] = [replay(trace, { policy: 'fixed', window: 16, gap: 4 }), replay(trace, { policy: 'fixed', window: 256, gap: 32 })];
    expect(wide.exits).toBeLessThan(narrow.exits);
    expect(wide.handoffs).toBeLessThan(narrow.handoffs);
  });

  it('go one by one where lists are off', () => {
    const { accesses, handoffs } = replay(trace, { policy: 'fixed', handoff: 'each' });
    expect(handoffs).toBe(accesses);
  });

  it('of a text that is wrong are refused with its line', () => {
    expect(() => parseTrace('1 o 3f8 1\n2 o 3f8 3\n')).toThrow('line 2');
  });
});
