/** Random programs on several processors: translated code and shadow tables, against the interpreter without any. */
import { readFileSync } from 'node:fs';
import { itWithOracle } from '@vm/testkit/oracle';
import { bootGuest, testDevices } from '@vm/pc';
import { type ShadowMode, type TranslatorMode, wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { build } from './bare-build.ts';

export interface RandomRun {
  readonly width: 32 | 64;
  readonly processors: number;
  readonly steps: number; // of each
  readonly seed: number;
}
export interface RandomEngine {
  readonly translator: TranslatorMode;
  readonly shadow: ShadowMode; // audited
}
interface RandomEnd {
  readonly code: number;
  readonly output: string;
  readonly instructions: number;
}

async function run({ width, processors, steps, seed }: RandomRun, { translator, shadow }: RandomEngine): Promise<RandomEnd> {
  let finish: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => (finish = resolve));
  await using guest = await bootGuest<WasmVcpu>({
    engine: wasmEngine({ translator, shadow, auditShadow: shadow !== 'off' }), processors, ramBytes: 64 * 2 ** 20, clock: { kind: 'virtual', nanosPerInstruction: 1 },
    kernel: readFileSync(build('random', width, ['start.S', 'processors.S', 'random.c'])), entry: 'multiboot', onReset: 'end',
    modules: [{ bytes: new TextEncoder().encode(`NR_CPUS=${processors}\nSTEPS=${steps}\nSEED=${seed}\n`), text: 'env' }],
    devices: [testDevices({ exit: (code) => { finish(code); stop(); }, shutdown: () => {}, echoBytes: true })],
  });
  const stop = (): void => guest.machine.requestStop('power-off');
  void guest.ended().then(() => finish(-1));
  const code = await ended;
  await guest.ended();
  return { code, output: guest.output.replaceAll('\r', ''), instructions: guest.machine.retired };
}

export function itRunsTheSame(given: RandomRun, engines: readonly RandomEngine[]): void {
  const one = { ...given, seed: process.env['VM_SEED'] === undefined ? given.seed : Number(process.env['VM_SEED']) };
  const names = engines.map(({ translator, shadow }) => `${translator}/${shadow}`).join(', ');
  itWithOracle(it, 'gcc', `random programs of ${one.width} bits on ${one.processors} processors, seed ${one.seed}, end the same with ${names}`, async () => {
    const expected = await run(one, { translator: 'off', shadow: 'off' });
    expect(expected.output).toMatch(new RegExp(`^(processor \\d+ [0-9a-f]{8} poked \\d+\\n){${one.processors}}memory [0-9a-f]{8}\\n$`));
    expect(expected.code).toBe(0);
    for (const engine of engines) expect({ engine, ...(await run(one, engine)) }).toEqual({ engine, ...expected });
  });
}
