import { buildMonitor, type MonitorOptions } from '@vm/longmode-switch';
import { bootGuest, testDevices } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';

export interface MonitorRun {
  readonly output: string;
  /** What the guest ended with. */
  readonly code: number;
}

/** A monitor and its guest on a PC of 32 MiB, to their end. */
export async function runMonitor(guest: Uint8Array, options: Omit<MonitorOptions, 'guest'>): Promise<MonitorRun> {
  return runImage(buildMonitor({ guest: { kind: 'flat', bytes: guest }, rounds: 1000, ...options }).bytes);
}

/** An image of a monitor, however long it takes. */
export async function runImage(kernel: Uint8Array): Promise<MonitorRun> {
  let ended: (code: number) => void = () => {};
  const code = new Promise<number>((resolve) => (ended = resolve));
  await using pc = await bootGuest<WasmVcpu>({
    engine: wasmEngine(), ramBytes: 32 * 2 ** 20, clock: { kind: 'virtual', nanosPerInstruction: 1 }, kernel, entry: 'multiboot', onReset: 'end',
    devices: [testDevices({ exit: ended, shutdown: () => ended(-1), echoBytes: true })],
  });
  return { code: await code, output: pc.output };
}
