import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EngineProcessor } from './native/engine-program.ts';
import { compareProgram } from './native/found-case.ts';
import type { FoundCase } from './native/found-case.ts';
import { RECORD_BYTES } from './native/program-record.ts';
import { parseRecord } from './native/record-text.ts';

const cases = JSON.parse(readFileSync(new URL('fuzz-cases.json', import.meta.url), 'utf8')) as FoundCase[];
const engines = new Map<string, EngineProcessor>();

/** The engine for hosts with or without the low pages and bases of FS and GS. */
function engineFor(lowPages: boolean, hasBases: boolean): EngineProcessor {
  const engine = engines.get(`${lowPages} ${hasBases}`) ?? new EngineProcessor(lowPages, hasBases);
  engines.set(`${lowPages} ${hasBases}`, engine);
  return engine;
}

describe('programs that a processor once ran differently', () => {
  it.each(cases.map((one) => [one.program.map((line) => line.replace(/^\w+: \w+ +/, '')).join('; '), one] as const))('%s', (_name, { before, after, lowPages, hasBases = false }) => {
    const start = parseRecord(before);
    const native = parseRecord({ ...after, code: before['code'] ?? '' });
    const ours = new DataView(start.buffer.slice(0, RECORD_BYTES));
    engineFor(lowPages, hasBases).run(start, 0, ours);
    expect(compareProgram(start, ours, native, 0)).toEqual([]);
  });
});
