import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { LAYOUTS, RUN } from './kvm-layout-table.ts';
import { CALLS, EXIT_NAMES, NUMBERS } from './kvm-number-table.ts';

const HEADER = '/usr/include/linux/kvm.h';

/** A program that prints what the headers say, a line for everything in the tables. */
function source(): string {
  const lines = Object.entries(LAYOUTS).flatMap(([name, { fields }]) => [
    `printf("${name} %zu\\n", sizeof(struct ${name}));`,
    ...Object.entries(fields).map(([field, [, bytes]]) => `printf("${name}.${field} %zu %zu\\n", offsetof(struct ${name}, ${field}), ${bytes === 0 ? '(size_t)0' : `sizeof(((struct ${name} *)0)->${field})`});`),
  ]);
  const numbers = Object.keys({ ...CALLS, ...NUMBERS }).map((name) => `printf("${name} %lu\\n", (unsigned long)${name});`);
  return `#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n${[...lines, ...numbers].join('\n')}\nreturn 0;\n}\n`;
}

/** The same lines from the tables. */
function expected(): string[] {
  const lines = Object.entries(LAYOUTS).flatMap(([name, { bytes, fields }]) => [`${name} ${bytes}`, ...Object.entries(fields).map(([field, [offset, size]]) => `${name}.${field} ${offset} ${size}`)]);
  return [...lines, ...Object.entries({ ...CALLS, ...NUMBERS }).map(([name, number]) => `${name} ${number}`)];
}

describe('the tables of KVM', () => {
  itWithOracle(it, findOracle(HEADER) === null ? HEADER : 'gcc', `have all ${expected().length} sizes, offsets and numbers as the system's headers do`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'vm-kvm-layout-'));
    try {
      writeFileSync(join(folder, 'layout.c'), source());
      execFileSync('gcc', ['-o', join(folder, 'layout'), join(folder, 'layout.c')]);
      expect(execFileSync(join(folder, 'layout'), { encoding: 'utf8' }).trimEnd().split('\n')).toEqual(expected());
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('lay no member over the end of its structure, and name the exits by their numbers', () => {
    for (const [name, { bytes, fields }] of Object.entries(LAYOUTS)) for (const [field, [offset, size]] of Object.entries(fields)) expect([name, field, offset + size <= Math.max(bytes, offset)]).toEqual([name, field, true]);
    expect([EXIT_NAMES[NUMBERS.KVM_EXIT_INTERNAL_ERROR], EXIT_NAMES[NUMBERS.KVM_EXIT_X86_WRMSR], EXIT_NAMES[NUMBERS.KVM_EXIT_SET_TPR]]).toEqual(['internal-error', 'wrmsr', 'set-tpr']);
    expect(RUN.fields['s.regs'][0]).toBe(304);
  });
});
