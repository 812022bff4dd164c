import type { DeviceModule } from '@vm/core';

export interface DebugconConfig {
  readonly port?: number; // default 0xe9; firmware of the OVMF family writes to 0x402
  /** A byte that the guest wrote. Called in the middle of a guest instruction. */
  readonly output: (byte: number) => void;
}

/** A port that guests write text to. It reads as 0xe9, by which they find it. */
export const debugcon: DeviceModule<DebugconConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.debugcon', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx, { port = 0xe9, output }) => {
    ctx.pio.claim('data', 1, { read: () => 0xe9, isSteady: () => true, write: (_offset, _size, value) => output(value) }, [1]).map(port);
    return {};
  },
};
