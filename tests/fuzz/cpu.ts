// The software processor against the one that this runs on. What differs goes into fuzz-cases.json, which the tests run again.
import { readFileSync, writeFileSync } from 'node:fs';
import { findOracle, noteCases } from '@vm/testkit/oracle';
import type { FoundCase } from '../../packages/vcpu-wasm/src/native/found-case.ts';
import { ProcessorFuzz } from '../../packages/vcpu-wasm/src/native/fuzz-processor.ts';
import type { TranslatorMode } from '@vm/vcpu-wasm';
import type { Fuzzer } from './registry.ts';

const CASES = new URL('../../packages/vcpu-wasm/src/fuzz-cases.json', import.meta.url);
/** More of them would be the same faults again. */
const MOST_FOUND = 20;
/** From so many minutes on every form is expected to have had its thousand cases; shorter runs only say how many each has had. */
const LONG_MINUTES = 60;
const LEAST = 1000;
const REPORT_SECONDS = 30;

export const cpu: Fuzzer = {
  summary: "random instructions and programs, against the host's processor",
  run: ({ minutes, seed, only, least, translators }) => {
    const compiler = findOracle('gcc');
    if (compiler === null || process.arch !== 'x64' || process.platform !== 'linux') {
      console.error('this needs gcc and an x86-64 host with Linux');
      return Promise.resolve(false);
    }
    console.log(`seed ${seed}, ${minutes} minutes, translator ${describeTurns(translators)}`);
    using fuzz = new ProcessorFuzz({ compiler, seed, only, translators });
    const found: FoundCase[] = [];
    const end = Date.now() + minutes * 60_000;
    let nextReport = Date.now() + REPORT_SECONDS * 1000;
    while (Date.now() < end && found.length < MOST_FOUND) {
      for (const one of fuzz.runBatch()) {
        if (found.some((other) => isSame(other, one))) continue;
        found.push(one);
        keep(one);
        console.log(`\ndifferent (${found.length}):\n  ${one.program.join('\n  ')}\n    ${one.found.join('\n    ')}`);
      }
      if (Date.now() < nextReport) continue;
      nextReport += REPORT_SECONDS * 1000;
      console.log(`${fuzz.cases} cases, ${fuzz.instructions} instructions (${fuzz.translated} translated), ${found.length} different`);
    }
    return Promise.resolve(report(fuzz, found, least ?? (minutes >= LONG_MINUTES ? LEAST : 0)));
  },
};

function describeTurns(translators: readonly TranslatorMode[]): string {
  return [...new Set(translators)].map((mode) => `${mode} on ${translators.filter((one) => one === mode).length} of ${translators.length}`).join(', ');
}

/** The same instruction names with the same parts that differ. */
function isSame(a: FoundCase, b: FoundCase): boolean {
  const shape = ({ program, found }: FoundCase): string => [...program.map((line) => line.replace(/^\w+: \w+ +/, '').replace(/ .*/, '')), ...found.map((line) => line.replace(/:.*/, '').replace(/\d+$/, ''))].join();
  return shape(a) === shape(b);
}

function keep(one: FoundCase): void {
  const known = JSON.parse(readFileSync(CASES, 'utf8')) as FoundCase[];
  if (!known.some((other) => isSame(other, one))) writeFileSync(CASES, `${JSON.stringify([...known, one], null, 1)}\n`);
}

function report(fuzz: ProcessorFuzz, found: readonly FoundCase[], least: number): boolean {
  const counts = [...fuzz.coverage].toSorted((a, b) => a[1] - b[1]);
  noteCases({ suite: 'fuzz', run: fuzz.cases, passed: fuzz.cases - found.length });
  const few = counts.filter(([, count]) => count < least);
  console.log(`\n${fuzz.cases} cases, ${fuzz.instructions} instructions, ${counts.length} forms, ${found.length} different`);
  console.log(`by translator: ${[...fuzz.casesByTranslator].map(([mode, count]) => `${mode} ${count} cases`).join(', ')}; ${fuzz.translated} instructions translated`);
  console.log(`ended by: ${[...fuzz.vectors].toSorted((a, b) => a[0] - b[0]).map(([vector, count]) => `#${vector} ${count}`).join(', ')}`);
  console.log(`forms that ended so alone: ${[...fuzz.formsByVector].toSorted((a, b) => a[0] - b[0]).map(([vector, forms]) => `#${vector} ${forms.size}`).join(', ')}`);
  console.log(`cases a form: least ${counts[0]?.[1] ?? 0}, median ${counts[counts.length >> 1]?.[1] ?? 0}; fewest: ${counts.slice(0, 8).map(([form, count]) => `${form} (${count})`).join(', ')}`);
  if (few.length > 0) console.log(`${few.length} forms have under ${least} cases: ${few.slice(0, 50).map(([form]) => form).join(', ')}`);
  return found.length === 0 && few.length === 0;
}
