import type { DeviceModule } from '@vm/core';

export const COUNTER_PORT = 0x1000;

/** The device that the benchmark of workers reads. */
export const COUNTER: DeviceModule<void, 'pio'> = {
  manifest: { abi: 1, id: 'bench.counter', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx) => {
    let count = 0;
    ctx.pio.claim('count', 1, { read: () => (count = (count + 1) & 0xff), write: (_offset, _size, value) => void (count = value) }, [1]).map(COUNTER_PORT);
    return {};
  },
};
