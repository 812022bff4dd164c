import type { DeviceModule } from '@vm/core';

export interface PostPortConfig {
  readonly port?: number; // default 0x80; others use 0x190
  /** A byte that says how far a program has come. Called in the middle of a guest instruction. */
  readonly progress: (byte: number) => void;
}

/** The port of a diagnostics card: it shows a byte of progress, and gives it back. */
export const postPort: DeviceModule<PostPortConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.post-port', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx, { port = 0x80, progress }) => {
    let shown = 0;
    const write = (_offset: number, _size: number, value: number): void => {
      shown = value;
      progress(value);
    };
    ctx.pio.claim('progress', 1, { read: () => shown, write }, [1]).map(port);
    return {
      powerUp: () => {
        shown = 0;
      },
      save: () => shown,
      load: (state) => {
        if (typeof state !== 'number') throw new TypeError('post-port: expected a number');
        shown = state & 0xff;
      },
    };
  },
};
