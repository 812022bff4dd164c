import type { DeviceModule } from '@vm/core';

export const WORKER_PORT = 0x1000;

/** Eight ports that remember all that was done to them and when, four that interrupt nobody, and a timer. */
export const DIGEST: DeviceModule<void, 'pio' | 'clock'> = {
  manifest: { abi: 1, id: 'test.digest', version: '0.0.0', state: 0, needs: ['pio', 'clock'] },
  create: (ctx) => {
    let sum = 1;
    const timer = ctx.clock.timer((due) => (sum = Math.imul(sum ^ due, 0x0100_0193) >>> 0));
    const add = (...values: readonly number[]): number => values.reduce((_all, value) => (sum = (Math.imul(sum ^ value, 0x0100_0193) + 0x9e37) >>> 0), sum);
    ctx.pio.claim('ports', 8, {
      read: (offset) => add(0, offset, ctx.clock.now()) & 0xff,
      write: (offset, _size, value) => {
        add(1, offset, value, ctx.clock.now());
        if (offset === 7) timer.arm(ctx.clock.now() + 3000 + value);
      },
    }, [1]).map(WORKER_PORT);
    return {};
  },
};

export const SLOW_PORT = 0x1010;

/** Ready some time of the host after it was written to. */
export const SLOW: DeviceModule<void, 'pio'> = {
  manifest: { abi: 1, id: 'test.slow', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx) => {
    let ready = 0;
    ctx.pio.claim('port', 1, { read: () => ready, isSteady: () => true, write: () => void setTimeout(() => (ready = 1), 150) }, [1]).map(SLOW_PORT);
    return {};
  },
};
