import { bootGuest, testDevices, postPorts, type GuestOptions } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';

/** How a program without an operating system ended. */
export interface BareEnd {
  readonly how: 'exit' | 'shutdown' | 'halt' | 'crash' | 'said' | 'timeout';
  readonly code: number; // of the exit port, -1 without
  readonly progress: readonly number[];
  readonly output: string;
}

const LONGEST_MS = 120_000;

/** One engine for all runs, one after the other: its interpreter is written once. */
let onHalt = (): void => {};
const engine = wasmEngine({ haltedForGood: () => onHalt() });

/**
 * Runs one on a board with the devices of test programs, as `vm boot --rom` and `--multiboot` do, until it ends or says `last`. Under
 * the virtual clock: what a program finds out about time does not depend on how busy the host is.
 */
export async function runBare(program: Pick<GuestOptions<WasmVcpu>, 'kernel' | 'rom' | 'romShadow' | 'modules' | 'commandLine' | 'consolePort' | 'processors'>, last: RegExp | null = null): Promise<BareEnd> {
  let finish: (end: Pick<BareEnd, 'how' | 'code'>) => void = () => {};
  const ended = new Promise<Pick<BareEnd, 'how' | 'code'>>((resolve) => (finish = resolve));
  const progress: number[] = [];
  onHalt = () => finish({ how: 'halt', code: -1 });
  await using guest = await bootGuest<WasmVcpu>({
    engine,
    clock: { kind: 'virtual', nanosPerInstruction: 1 },
    ramBytes: 128 * 2 ** 20,
    ...program,
    ...(program.kernel === undefined ? {} : { entry: 'multiboot' }),
    firmwareConfig: true,
    onReset: 'end',
    devices: [
      testDevices({ exit: (code) => finish({ how: 'exit', code }), shutdown: () => finish({ how: 'shutdown', code: -1 }), echoBytes: program.consolePort === undefined }),
      ...postPorts([0x80, 0x190], (byte) => progress.push(byte)),
    ],
  });
  void guest.ended().then(() => finish({ how: 'crash', code: -1 }));
  if (last !== null) void guest.waitFor(last, { timeoutMs: LONGEST_MS }).then(() => finish({ how: 'said', code: -1 }), () => {});
  const timer = setTimeout(() => finish({ how: 'timeout', code: -1 }), LONGEST_MS);
  const end = await ended;
  clearTimeout(timer);
  return { ...end, progress, output: guest.output };
}
