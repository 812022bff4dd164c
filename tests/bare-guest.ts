import { readFileSync } from 'node:fs';
import { bootGuest, type GuestOptions, testDevices } from '@vm/pc';
import { wasmEngine, type WasmEngineOptions, type WasmVcpu } from '@vm/vcpu-wasm';

export interface ProgramEnd {
  readonly code: number; // of the exit port; -1: it ended in another way
  readonly output: string;
  readonly counters: Readonly<Record<string, number>>;
  readonly instructions: number;
  readonly shares: readonly number[]; // of them, of each processor
}

/** A program without an operating system by the path of its image, told the lines of `environment`, under the virtual clock until it ends. */
export async function runProgram(path: string, environment: string, board: Partial<GuestOptions<WasmVcpu>> = {}, engine: WasmEngineOptions = {}): Promise<ProgramEnd> {
  let finish: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (finish = resolve));
  await using guest = await bootGuest<WasmVcpu>({
    engine: wasmEngine(engine), ramBytes: 64 * 2 ** 20, clock: { kind: 'virtual', nanosPerInstruction: 1 }, kernel: readFileSync(path), entry: 'multiboot', onReset: 'end',
    modules: [{ bytes: new TextEncoder().encode(environment), text: 'env' }], ...board,
    devices: [testDevices({ exit: (code) => { finish(code); stop(); }, shutdown: () => {}, echoBytes: true })],
  });
  const stop = (): void => guest.machine.requestStop('power-off'); // so that it runs no further than that
  void guest.ended().then(() => finish(-1));
  const code = await ended;
  await guest.ended();
  const { counters, retired, vcpus } = guest.machine;
  return { code, output: guest.output.replaceAll('\r', ''), counters: counters.read(), instructions: retired, shares: vcpus.map((vcpu) => vcpu.retired) };
}
