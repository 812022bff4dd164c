import type { DeviceModule, Plain } from '@vm/core';
import { SYNTHETIC_BYTES, SYNTHETIC_PORT } from './spec.ts';

/** Connections of a guest to its own synthetic interrupt sources. `Partition` of @vm/apic fits. */
export interface SyntheticLoop {
  raise(processor: number, source: number): void;
  post(processor: number, source: number, message: LoopedMessage): number;
  signal(processor: number, source: number, flag: number): number;
  connectMessages(connection: number, target: (message: LoopedMessage) => number): void;
  connectEvents(connection: number, target: { readonly flags: number; signal(flag: number): number }): void;
  disconnect(connection: number): void;
}
interface LoopedMessage {
  readonly type: number;
  readonly payload: Uint8Array;
  readonly sender?: number;
}

export interface SyntheticTestConfig {
  /** Asked at power-up and when the guest uses the port. */
  readonly loop: () => SyntheticLoop;
}

const CREATE_ROUTE = 1;
const DESTROY_ROUTE = 2;
const RAISE = 3;
const CREATE_MESSAGES = 4;
const DESTROY_MESSAGES = 5;
const CREATE_EVENTS = 6;
const DESTROY_EVENTS = 7;

/**
 * Port 0x3000, as QEMU's hyperv-testdev has it: a double word of source, processor, operation and connection, low byte first.
 * A message of the guest by such a connection comes back to the source, and an event sets the flag with the connection's number.
 */
export const syntheticTest: DeviceModule<SyntheticTestConfig, 'pio'> = {
  manifest: { abi: 1, id: 'vm.synthetic-test', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx, { loop }) => {
    const made = new Map<number, number>(); // connection to the word that made it
    const apply = (word: number): void => {
      const [source, processor, operation, connection] = [word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24];
      const to = loop();
      switch (operation) {
        case CREATE_ROUTE: case DESTROY_ROUTE: break; // all sources can be raised
        case RAISE: to.raise(processor, source); break;
        case CREATE_MESSAGES:
          to.connectMessages(connection, (message) => to.post(processor, source, message));
          made.set(connection, word);
          break;
        case CREATE_EVENTS:
          to.connectEvents(connection, { flags: 1, signal: () => to.signal(processor, source, connection) });
          made.set(connection, word);
          break;
        case DESTROY_MESSAGES: case DESTROY_EVENTS:
          to.disconnect(connection);
          made.delete(connection);
          break;
        default: break;
      }
    };
    const clear = (): void => {
      for (const connection of made.keys()) loop().disconnect(connection);
      made.clear();
    };
    ctx.pio.claim('control', SYNTHETIC_BYTES, { read: () => 0, write: (_offset, size, value) => (size === 4 ? apply(value >>> 0) : undefined) }).map(SYNTHETIC_PORT);
    return {
      powerUp: clear,
      save: (): Plain => [...made.values()],
      load: (state) => {
        if (!Array.isArray(state) || state.length > 256 || state.some((word) => typeof word !== 'number' || word !== (word as number) >>> 0)) throw new TypeError('synthetic-test: expected the words that made connections');
        clear();
        for (const word of state as readonly number[]) apply(word);
      },
    };
  },
};
