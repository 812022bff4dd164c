/** Devices of the board as a worker makes them: without what only the machine's thread has. */
import { Pic8259 } from '@vm/apic';
import type { BlockBackend, DeviceModule } from '@vm/core';
import { pit8254 } from '@vm/device-pit8254';
import { rtcMc146818 } from '@vm/device-rtc-mc146818';
import { uart16550 } from '@vm/device-uart16550';
import { hostBridge, PciBus, PciFunction } from '@vm/pci';
import { type VirtioModel, VirtioPci } from '@vm/virtio';
import { AtaChannel } from '../packages/devices/ata/src/ata-channel.ts';

export const VIRTIO_WINDOW = 0xd000_0000;
const VIRTIO_BYTES = 0x4000;
export const BUSY_PORT = 0x500;
const DISK_BYTES = 1 << 20;
const CARDS = 4;

export const PIT: DeviceModule<void, 'pio' | 'lines' | 'clock'> = { manifest: pit8254.manifest, create: (ctx) => pit8254.create(ctx, {}) };
export const RTC: DeviceModule<void, 'pio' | 'lines' | 'clock'> = { manifest: rtcMc146818.manifest, create: (ctx) => rtcMc146818.create(ctx, { startMs: 0 }) };
export const UART: DeviceModule<void, 'pio' | 'lines'> = { manifest: uart16550.manifest, create: (ctx) => uart16550.create(ctx, { output: () => {} }) };

/** The pair of 8259 without its wires. */
export const PIC: DeviceModule<void, 'pio'> = {
  manifest: { abi: 1, id: 'bench.pic8259', version: '0.0.0', state: 0, needs: ['pio'] },
  create: (ctx) => {
    const pair = new Pic8259(() => {});
    for (const [chip, port] of [['master', 0x20], ['slave', 0xa0]] as const) {
      ctx.pio.claim(chip, 2, { read: (offset) => pair.read(chip, offset), write: (offset, _size, value) => pair.write(chip, offset, value) }, [1]).map(port);
    }
    return { powerUp: () => pair.reset() };
  },
};

/** The way to configuration space, with some cards behind it. */
export const PCI: DeviceModule<void, 'pio'> = {
  manifest: { abi: 1, id: 'bench.pci', version: '0.0.0', state: 1, needs: ['pio'] },
  create: (ctx) => {
    const bus = new PciBus();
    for (let card = 1; card <= CARDS; card++) new PciFunction(bus.slot(card), {}, { vendor: 0x1af4, device: 0x1000 + card, classCode: 0xff_0000 });
    return hostBridge.create(ctx, { bus, reset: () => {} });
  },
};

/** Takes 100 microseconds for what is written to it, and is asked whether it has ended. */
export const BUSY: DeviceModule<void, 'pio' | 'clock'> = {
  manifest: { abi: 1, id: 'bench.busy', version: '0.0.0', state: 0, needs: ['pio', 'clock'] },
  create: (ctx) => {
    let status = 1;
    const timer = ctx.clock.timer(() => (status = 1));
    ctx.pio.claim('ports', 1, {
      read: () => status,
      isSteady: () => true,
      write: () => {
        status = 0;
        timer.arm(ctx.clock.now() + 100_000);
      },
    }, [1]).map(BUSY_PORT);
    return {};
  },
};

const memoryDisk = (): BlockBackend => {
  const bytes = new Uint8Array(DISK_BYTES);
  return {
    bytes: DISK_BYTES, writable: true,
    read: (at, into) => Promise.resolve(into.set(bytes.subarray(at, at + into.length))),
    write: (at, from) => Promise.resolve(bytes.set(from, at)),
    flush: () => Promise.resolve(), discard: () => Promise.resolve(), writeZeroes: () => Promise.resolve(),
  };
};

/** One channel of IDE with one disk. */
export const IDE: DeviceModule<void, 'pio' | 'lines' | 'dma'> = {
  manifest: { abi: 1, id: 'bench.ide', version: '0.0.0', state: 0, needs: ['pio', 'lines', 'dma'] },
  create: (ctx) => {
    const line = ctx.lines.connect(14);
    const channel = new AtaChannel([{ disk: memoryDisk(), serial: 'bench' }, null], { dma: ctx.dma, isMaster: () => false, interrupt: (high) => line.set(high), failed: () => {} });
    ctx.pio.claim('command', 8, channel).map(0x1f0);
    ctx.pio.claim('control', 1, { read: () => channel.readAlternateStatus(), isSteady: () => true, write: (_offset, _size, value) => channel.writeControl(value) }, [1]).map(0x3f6);
    return { powerUp: () => channel.powerUp(), start: () => channel.start() };
  },
};

/** The transport of virtio at a fixed place, with one queue behind it. */
export const VIRTIO: DeviceModule<void, 'mmio' | 'lines' | 'msi' | 'dma'> = {
  manifest: { abi: 1, id: 'bench.virtio', version: '0.0.0', state: 0, needs: ['mmio', 'lines', 'msi', 'dma'] },
  create: (ctx) => {
    const model: VirtioModel = { deviceId: 4, classCode: 0xff_0000, features: [], queues: 1, config: new Uint8Array(8), notified: () => {}, reset: () => {} };
    const transport = new VirtioPci(new PciBus().slot(1), ctx, model);
    ctx.mmio.claim('fixed', VIRTIO_BYTES, transport).map(VIRTIO_WINDOW);
    return { powerUp: () => transport.powerUp() };
  },
};
