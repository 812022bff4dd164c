import type { Size } from '@vm/core';
import type { Engine, IoBus, Vcpu } from '@vm/core/engine';
import type { Exit } from './trace.ts';

/** The engine with its exits told to `note`. For one processor. */
export function recordingEngine<V extends Vcpu>(engine: Engine<V>, note: (exit: Exit) => void): Engine<V> {
  return {
    ...engine,
    createVcpu: (index, surroundings) => {
      let last = 0;
      const watched = (bus: IoBus, isPort: boolean): IoBus => {
        const told = (isWrite: boolean, address: number, bytes: Size): void => {
          const { retired } = vcpu;
          note({ distance: retired - last, isWrite, isPort, address, bytes });
          last = retired;
        };
        return {
          read: (address, size) => (told(false, address, size), bus.read(address, size)),
          write: (address, size, value) => (told(true, address, size), bus.write(address, size, value)),
          readWide: (address, bytes, into) => (told(false, address, 4), bus.readWide(address, bytes, into)),
          writeWide: (address, bytes, from) => (told(true, address, 4), bus.writeWide(address, bytes, from)),
        };
      };
      const vcpu = engine.createVcpu(index, { ...surroundings, pio: watched(surroundings.pio, true), mmio: watched(surroundings.mmio, false), now: () => surroundings.now(), log: (level, text) => surroundings.log(level, text) });
      return vcpu;
    },
  };
}
