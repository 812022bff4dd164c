import { itWithOracle, noteCases } from '@vm/testkit/oracle';
import type { TestApi } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { AVAILABLE } from './cpu-model.ts';
import { FlatMachine } from './flat-machine.ts';
import { CASE_BYTES, CASE_VECTOR, runNatively } from './native-oracle.ts';
import { definedFlags, describePackedCase, generator, hostHasEncoding, isExcused, listPackedEncodings, listVexEncodings, makePackedCase, packedDifferences, runPackedCase } from './native/packed-case.ts';
import type { Encoding } from './native/packed-case.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const CASES = process.env['VM_CASES'];

const isSameArchitecture = process.arch === 'x64' && process.platform === 'linux';
const leftOut: TestApi = Object.assign((name: string): void => { it.skip(name, () => undefined); }, { skip: (name: string): void => { it.skip(name, () => undefined); } });

/** Compares every encoding of a list with the host's processor, by `cases` each, and notes the cases under the name of the suite. At least `expected` of them have to be there. */
function describePackedInstructions(suite: string, title: string, list: () => readonly Encoding[], expected: number, cases: number): void {
  const casesAForm = Number(CASES ?? cases);
  describe(title, () => {
    itWithOracle(isSameArchitecture ? it : leftOut, 'gcc', `do what the host's processor does, ${casesAForm} cases a form (seed ${SEED})`, (gcc) => {
      const all = list();
      const forms = all.filter((encoding) => hostHasEncoding(encoding)).filter((encoding) => process.env['VM_ONLY'] === undefined || new RegExp(process.env['VM_ONLY']).test(encoding.name));
      const next = generator(SEED);
      const before = new Uint8Array(forms.length * casesAForm * CASE_BYTES);
      const view = new DataView(before.buffer);
      forms.forEach((encoding, f) => {
        for (let i = 0; i < casesAForm; i++) makePackedCase(view, (f * casesAForm + i) * CASE_BYTES, encoding, next);
      });
      const out = runNatively(gcc, before);
      const native = new DataView(out.buffer, out.byteOffset, out.length);
      const failures: string[] = [];
      const failed = new Map<string, number>();
      let run = 0;
      const after = before.slice();
      const afterView = new DataView(after.buffer);
      for (const mode of ['long', 'protected'] as const) {
        const machine = new FlatMachine(mode, { processor: { cpuFeatures: [...AVAILABLE] } });
        forms.forEach((encoding, f) => {
          // Without REX the code is the same outside 64-bit mode.
          if (mode !== 'long' && encoding.rex) return;
          for (let i = 0; i < casesAForm; i++) {
            const at = (f * casesAForm + i) * CASE_BYTES;
            run++;
            runPackedCase(machine, view, at, afterView);
            const different = packedDifferences(afterView, native, at, definedFlags(encoding.name), (part) => isExcused(part, encoding, native.getUint32(at + CASE_VECTOR, true)));
            if (different.length === 0) continue;
            const name = `${mode} ${encoding.key}`;
            const count = (failed.get(name) ?? 0) + 1;
            failed.set(name, count);
            if (count <= 2) failures.push(`${name}: ${describePackedCase(view, at)}\n    ${different.join('\n    ')}`);
          }
        });
      }
      noteCases({ suite, run, passed: run - [...failed.values()].reduce((sum, count) => sum + count, 0) });
      expect(all.length).toBeGreaterThan(expected);
      expect(failures, `${[...failed].map(([key, count]) => `${key} ${count}`).join('\n')}\n${failures.join('\n')}`).toEqual([]);
    });
  });
}

describePackedInstructions('sse', 'MMX and SSE instructions', listPackedEncodings, 300, 16);
describePackedInstructions('avx', 'instructions with a VEX prefix', listVexEncodings, 800, 8);
