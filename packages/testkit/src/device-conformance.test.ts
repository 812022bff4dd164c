import { device, type DeviceModule, type DeviceSpec, type Plain } from '@vm/core';
import { describe, expect, it } from 'vitest';
import { deviceConformance } from './device-conformance.ts';

type Fault = 'none' | 'forgets a register' | 'forgets its line' | 'takes anything' | 'throws at an access' | 'shares what it knows' | 'changes when it is saved' | 'loses its timer' | 'is not as steady as it says';

let shared = 0;

/** A counter with a line and a timer, and something wrong with it. */
function counter(fault: Fault): DeviceSpec {
  const module: DeviceModule<void, 'pio' | 'lines' | 'clock'> = {
    manifest: { abi: 1, id: 'test.counter', version: '0.0.0', state: 1, needs: ['pio', 'lines', 'clock'] },
    create: (ctx) => {
      let [count, scratch] = [0, 0];
      const line = ctx.lines.connect(3);
      const tick = (): void => {
        count = (count + 1) & 0xff;
        line.set((count & 1) !== 0);
        timer.arm(ctx.clock.now() + 5e4);
      };
      const timer = ctx.clock.timer(tick);
      const read = (offset: number): number => {
        if (fault === 'throws at an access' && offset === 1 && count > 3) throw new Error('oh');
        if (fault === 'shares what it knows') shared = (shared + 1) & 0xff;
        if (fault === 'is not as steady as it says' && offset === 2) return (scratch = (scratch + 1) & 0xff);
        return offset === 0 ? count : offset === 1 ? scratch : fault === 'shares what it knows' ? shared : 0;
      };
      ctx.pio.claim('registers', 4, { read, isSteady: (offset) => offset > 0 && fault !== 'shares what it knows', write: (offset, _size, value) => void (offset === 1 ? (scratch = value & 0xff) : tick()) }, [1]).map(0x100);
      return {
        powerUp: () => {
          [count, scratch] = [0, 0];
          line.set(false);
          timer.arm(ctx.clock.now() + 5e4);
        },
        save: (): Plain => {
          if (fault === 'changes when it is saved') count = (count + 2) & 0xff;
          return { count, scratch: fault === 'forgets a register' ? 0 : scratch, due: timer.due };
        },
        load: (state) => {
          const saved = (state ?? {}) as { count?: Plain; scratch?: Plain; due?: Plain };
          if (fault !== 'takes anything') for (const one of [saved.count, saved.scratch, saved.due]) if (typeof one !== 'number' || !Number.isFinite(one)) throw new TypeError('counter: expected numbers');
          count = fault === 'takes anything' ? (saved.count as number) : (saved.count as number) & 0xff;
          scratch = (saved.scratch as number) & 0xff;
          if (fault !== 'forgets its line') line.set((count & 1) !== 0);
          if (fault === 'loses its timer') timer.disarm();
          else timer.arm(Number(saved.due));
        },
      };
    },
  };
  return device('counter', module);
}

async function failuresOf(fault: Fault): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of deviceConformance({ name: 'counter', devices: () => [counter(fault)] }, { lives: 20 })) await run().catch((error: unknown) => failed.push(`${name}: ${String(error)}`));
  return failed;
}

describe('conformance of devices', () => {
  it('a good device passes', async () => expect(await failuresOf('none')).toEqual([]));

  it.each([
    ['forgets a register', /what the registers of the restored machine hold: expected/],
    ['forgets its line', /the levels of the lines after the restore/],
    ['takes anything', /refuses hostile states/],
    ['throws at an access', /takes random accesses.*counter\.registers threw/],
    ['shares what it knows', /the second run: expected/],
    ['changes when it is saved', /what is saved again: expected/],
    ['is not as steady as it says', /what pio 102, which is said to be steady, gives again: expected/],
    ['loses its timer', /is saved without being changed.*what is saved after the restore/],
  ] as const)('one that %s does not', async (fault, told) => {
    expect((await failuresOf(fault)).join('\n')).toMatch(told);
  });
});
