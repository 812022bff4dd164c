/** Random programs on several processors: translated code and shadow tables, against the interpreter without any. */
import { itWithOracle } from '@vm/testkit/oracle';
import type { ShadowMode, TranslatorMode } from '@vm/vcpu-wasm';
import { expect, it } from 'vitest';
import { build } from './bare-build.ts';
import { type ProgramEnd, runProgram } from './bare-guest.ts';

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
type RandomEnd = Pick<ProgramEnd, 'code' | 'output' | 'instructions' | 'shares'>;

async function run({ width, processors, steps, seed }: RandomRun, { translator, shadow }: RandomEngine): Promise<RandomEnd> {
  const path = build('random', width, ['start.S', 'processors.S', 'random.c']);
  const { code, output, instructions, shares } = await runProgram(path, `NR_CPUS=${processors}\nSTEPS=${steps}\nSEED=${seed}\n`, { processors }, { translator, shadow, auditShadow: shadow !== 'off' });
  return { code, output, instructions, shares };
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
