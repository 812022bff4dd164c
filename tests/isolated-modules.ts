import type { Capability, Device, DeviceContext, DeviceModule, Plain } from '@vm/core';
import { uart16550 } from '@vm/device-uart16550';
import { hostBridge, PciBus } from '@vm/pci';
import { virtioBlk, virtioRng } from '@vm/virtio';

/** Devices of ours as a worker makes them: with a configuration of plain data. */
export const uart: DeviceModule<void, 'pio' | 'lines' | 'clock'> = {
  manifest: { ...uart16550.manifest, id: 'test.uart' },
  create: (ctx) => uart16550.create(ctx, { base: 0x3f8, pin: 4, output: () => {}, ready: () => {}, connect: () => {} }),
};

const RANGES = { ports: 0xc000, portsEnd: 0x1_0000, memory: 0xe000_0000, memoryEnd: 0xfec0_0000 };

/** A whole bus with one device on it, whose windows are open as soon as it is up. */
function onBus(id: string, needs: readonly Capability[], make: (ctx: DeviceContext<Capability>, bus: PciBus) => Device): DeviceModule<void, Capability> {
  return {
    manifest: { abi: 1, id, version: '0.0.0', state: 1, needs: [...new Set([...hostBridge.manifest.needs, ...needs])] },
    create: (ctx) => {
      const bus = new PciBus();
      const parts = [hostBridge.create(ctx, { bus, reset: () => {} }), make(ctx, bus)];
      return {
        powerUp: async (why) => {
          for (const part of parts) await part.powerUp?.(why);
          if (why !== 'restore') bus.configure(RANGES);
        },
        start: () => parts.forEach((part) => part.start?.()),
        stop: async () => {
          for (const part of parts.toReversed()) await part.stop?.();
        },
        save: () => parts.map((part) => part.save?.() ?? null),
        load: (state: Plain) => {
          if (!Array.isArray(state) || state.length !== parts.length) throw new TypeError('expected a state for each part');
          parts.forEach((part, i) => part.load?.((state as readonly Plain[])[i]!, 1));
        },
        powerDown: async () => {
          for (const part of parts.toReversed()) await part.powerDown?.();
        },
      };
    },
  };
}

export const rng: DeviceModule<void, Capability> = onBus('test.rng', virtioRng.manifest.needs, (ctx, bus) => virtioRng.create(ctx, { slot: bus.slot(3), source: { seed: 5 } }));
export const blk: DeviceModule<void, Capability> = onBus('test.blk', virtioBlk.manifest.needs, (ctx, bus) => virtioBlk.create(ctx, { slot: bus.slot(3), block: 'disk0' }));
