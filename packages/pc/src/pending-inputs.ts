import type { DeviceModule, Plain } from '@vm/core';
import type { ConsoleInput } from './console-input.ts';
import type { GuestInput } from './input-gate.ts';

export interface PendingInputsConfig {
  readonly input: ConsoleInput;
  /** Inputs that the guest has not got yet. */
  readonly live: () => readonly GuestInput[];
  readonly send: (input: GuestInput) => void;
}

/** Keeps with a saved machine what somebody sent its guest and the guest has not seen. */
export const pendingInputs: DeviceModule<PendingInputsConfig, never> = {
  manifest: { abi: 1, id: 'vm.pending-inputs', version: '0.0.0', state: 1, needs: [] },
  create: (_ctx, { input, live, send }) => {
    let loaded: readonly GuestInput[] = [];
    return {
      start: () => {
        for (const one of loaded) {
          if (one.kind === 'type') input.announce(one.bytes.length);
          send(one);
        }
        loaded = [];
        input.pump();
      },
      save: () => ({ typed: input.save(), live: live().map((one): Plain => (one.kind === 'type' ? { kind: one.kind, bytes: one.bytes } : { kind: one.kind })) }),
      load: (state) => {
        const { typed, live: saved } = (state ?? {}) as Readonly<Record<string, Plain>>;
        if (!(typed instanceof Uint8Array) || !Array.isArray(saved)) throw new TypeError('pending-inputs: expected typed bytes and inputs');
        loaded = (saved as readonly Plain[]).map(readInput);
        input.load(typed);
      },
    };
  },
};

function readInput(plain: Plain): GuestInput {
  const { kind, bytes } = (plain ?? {}) as Readonly<Record<string, Plain>>;
  if (kind === 'power-button' || kind === 'reset-button') return { kind };
  if (kind === 'type' && bytes instanceof Uint8Array) return { kind, bytes };
  throw new TypeError('pending-inputs: an input expected a kind that there is');
}
