import type { DeviceModule } from '@vm/core';

export interface CoprocessorErrorConfig {
  /** Gives the board's end of the processor's error output. */
  readonly connect: (raise: (asserted: boolean) => void) => void;
  /** The guest has seen the error. */
  readonly acknowledge: () => void;
}

const PORT = 0xf0;
const PIN = 13;

/** The error of the numeric coprocessor as the PC/AT has it: interrupt 13, and a write to port 0xf0 that takes it away. */
export const coprocessorError: DeviceModule<CoprocessorErrorConfig, 'pio' | 'lines'> = {
  manifest: { abi: 1, id: 'vm.coprocessor-error', version: '0.0.0', state: 1, needs: ['pio', 'lines'] },
  create: (ctx, { connect, acknowledge }) => {
    const line = ctx.lines.connect(PIN);
    ctx.pio.claim('busy', 1, { read: () => 0xff, write: () => acknowledge() }, [1]).map(PORT);
    let level = false;
    const set = (high: boolean): void => {
      level = high;
      line.set(high);
    };
    connect(set);
    return {
      powerUp: () => set(false),
      save: () => level,
      load: (state) => {
        if (typeof state !== 'boolean') throw new TypeError('coprocessor-error: expected a level');
        set(state);
      },
    };
  },
};
