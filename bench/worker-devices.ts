/** Devices of the board as a worker makes them: without what only the machine's thread has. */
import type { DeviceModule } from '@vm/core';
import { pit8254 } from '@vm/device-pit8254';
import { rtcMc146818 } from '@vm/device-rtc-mc146818';
import { uart16550 } from '@vm/device-uart16550';

export const PIT: DeviceModule<void, 'pio' | 'lines' | 'clock'> = { manifest: pit8254.manifest, create: (ctx) => pit8254.create(ctx, {}) };
export const RTC: DeviceModule<void, 'pio' | 'lines' | 'clock'> = { manifest: rtcMc146818.manifest, create: (ctx) => rtcMc146818.create(ctx, { startMs: 0 }) };
export const UART: DeviceModule<void, 'pio' | 'lines'> = { manifest: uart16550.manifest, create: (ctx) => uart16550.create(ctx, { output: () => {} }) };
