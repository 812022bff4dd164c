import { Excuses, itWithOracle, noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { EngineProcessor } from './native/engine-program.ts';
import { encodingsFor } from './native/host-encodings.ts';
import { NativeProcessor } from './native/native-program.ts';
import { RECORD_BYTES } from './native/program-record.ts';
import { Random } from './native/random.ts';
import { differences, formatProgram, formatRegisters, toleranceOf } from './native/record-difference.ts';
import { writeSingleInstruction } from './native/single-instruction.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const CASES = Number(process.env['VM_CASES'] ?? 4);
const ONLY = new RegExp(process.env['VM_ONLY'] ?? '');
const ATTEMPTS = 10;
/** Records that go to the host's processor at once. */
const BATCH = 8192;

describe('integer instructions', () => {
  const here = process.arch === 'x64' && process.platform === 'linux';
  itWithOracle(here ? it : { ...it, skip: it.skip } as typeof it, 'gcc', `do what the host's processor does, ${CASES} cases an encoding (seed ${SEED})`, (gcc) => {
    using native = new NativeProcessor(gcc);
    const host = native.run(new Uint8Array(0));
    const engine = new EngineProcessor(host.lowPages, host.hasBases);
    const encodings = encodingsFor(host).filter(({ kind, key }) => kind === 'integer' && ONLY.test(key));
    const random = new Random(SEED);
    const cases = encodings.flatMap((encoding) => Array.from({ length: CASES }, () => encoding));
    const failures: string[] = [];
    const excused = new Excuses();
    const failed = new Map<string, number>();
    for (let from = 0; from < cases.length; from += BATCH) {
      const batch = cases.slice(from, from + BATCH);
      const bytes = new Uint8Array(batch.length * RECORD_BYTES);
      const before = new DataView(bytes.buffer);
      batch.forEach((encoding, i) => {
        let attempts = 0;
        while (!writeSingleInstruction(encoding, before, i * RECORD_BYTES, random, host.hasBases)) if (++attempts === ATTEMPTS) throw new Error(`${encoding.key}: nothing valid comes of it`);
      });
      const after = new DataView(native.run(bytes).records.buffer);
      const ours = new DataView(bytes.slice().buffer);
      batch.forEach((encoding, i) => {
        const at = i * RECORD_BYTES;
        engine.run(before, at, ours);
        const tolerance = toleranceOf(before, after, at);
        if (tolerance === null) excused.add('a result that the manuals leave undefined', encoding.row.name);
        const different = tolerance === null ? [] : differences(ours, after, at, tolerance);
        if (different.length === 0) return;
        const count = (failed.get(encoding.key) ?? 0) + 1;
        failed.set(encoding.key, count);
        if (count === 1 && failures.length < 20) failures.push(`${encoding.key}\n  ${formatProgram(before, at).join('; ')}\n  ${formatRegisters(before, at)}\n    ${different.join('\n    ')}`);
      });
    }
    const run = cases.length - excused.count;
    noteCases({ suite: 'integer', run, excused: excused.list(), passed: run - [...failed.values()].reduce((sum, count) => sum + count, 0) });
    expect(encodings.length).toBeGreaterThan(process.env['VM_ONLY'] === undefined ? 2000 : 0);
    expect(failures, `${[...failed].map(([key, count]) => `${key}: ${count}`).join('\n')}\n${failures.join('\n')}`).toEqual([]);
  });
});
