/**
 * Programs as hypervisor projects use them: compiled here, started by multiboot in ELF files of 32 and 64 bits, with text on COM1
 * and the result at port 0xf4.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { createAssembler, r32, RAX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { build, inElf32 } from './bare-build.ts';
import { SOURCES } from './bare-compile.ts';
import { runBare } from './bare-run.ts';
import { start, VM } from './vm-program.ts';

const hasObjcopy = findOracle('objcopy') !== null;

describe('a program in C', () => {
  const kinds = ['of 32 bits', 'of 64 bits', 'of 64 bits in a file of 32'] as const;
  const file = (name: string, kind: (typeof kinds)[number]): Uint8Array => {
    const path = build(name, kind === 'of 32 bits' ? 32 : 64, ['start.S', `${name}.c`]);
    return readFileSync(kind === 'of 64 bits in a file of 32' ? inElf32(path) : path);
  };

  for (const kind of hasObjcopy ? kinds : kinds.slice(0, 2)) {
    itWithOracle(it, 'gcc', `${kind} finds what the loader left for it`, async () => {
      const { output, ...end } = await runBare({ kernel: file('information', kind), commandLine: 'information one two', modules: [{ bytes: new TextEncoder().encode('NR_CPUS=1\nMEMSIZE=128\n'), text: 'env' }] });
      expect(output).not.toContain('FAIL');
      expect(output.replaceAll('\r', '')).toContain('command line: information one two\nmodule env, 22 bytes: NR_CPUS=1\nMEMSIZ\nSUMMARY: 8 tests, 0 unexpected failures\n');
      expect(end).toMatchObject({ how: 'exit', code: 0 });
    });

    itWithOracle(it, 'gcc', `${kind} finds the devices of test programs`, async () => {
      const { output, how } = await runBare({ kernel: file('devices', kind) });
      expect(output).not.toContain('FAIL');
      expect(output).toContain('SUMMARY: 13 tests, 0 unexpected failures');
      expect(how).toBe('shutdown'); // it says so when all went well
    });

    itWithOracle(it, 'gcc', `${kind} finds registers and interrupts of the processor`, async () => {
      const { output, ...end } = await runBare({ kernel: file('processor', kind) });
      expect(output).not.toContain('FAIL');
      expect(output).toMatch(/SUMMARY: 22 tests, 0 unexpected failures/);
      expect(end).toMatchObject({ how: 'exit', code: 0 });
    });
  }
});

itWithOracle(it, 'gcc', 'a program that goes back to real mode finds vectors, data area, interrupt controllers and ticks of a BIOS', async () => {
  const end = await runBare({ kernel: readFileSync(build('real-mode', 'real', ['real-mode.S'])) });
  expect([end.output, end.how, end.code]).toEqual(['abcde\n', 'exit', 0]);
});

itWithOracle(it, 'gcc', 'a program that resets its processor goes on at the resume vector in real mode', async () => {
  const end = await runBare({ kernel: readFileSync(build('init', 32, ['init.S'])) });
  expect([end.output, end.how, end.code]).toEqual(['1a2a3a4a', 'exit', 7]);
});

describe('an image whose header says where it goes', () => {
  const make = (...words: number[]): Uint8Array => {
    const code = createAssembler(32, { origin: 0x10_0000 }).jmp('start').align(4);
    const header = code.offset();
    const address = 0x10_0000 + header;
    const all = [0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), address, 0x10_0000, 0, 0, 0x10_0000];
    for (const word of all) code.data(word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, (word >>> 24) & 0xff);
    code.label('start').out(0xf4, r32(RAX)).data(...words);
    return code.bytes();
  };

  it('is started with the magic number', async () => {
    expect(await runBare({ kernel: make() })).toMatchObject({ how: 'exit', code: 0x2bad_b002 });
  });

  it('ends where it halts for good, or shuts down', async () => {
    const image = make();
    const stop = (bytes: number[]): Uint8Array => image.slice().fill(0x90, image.length - 2).map((byte, i) => bytes[i - image.length + bytes.length] ?? byte);
    expect((await runBare({ kernel: stop([0xfa, 0xf4]) })).how).toBe('halt');
    expect((await runBare({ kernel: stop([0x0f, 0x0b]) })).how).toBe('crash'); // no interrupt table
  });
});

itWithOracle(it, 'gcc', 'vm boot --multiboot gives it its name, its words and its modules, and ends with its number', async () => {
  const path = build('information', 32, ['start.S', 'information.c']);
  const { code, output, errors } = await start([...VM, 'boot', '--multiboot', path, '--append', 'one  two', '--module', `${join(SOURCES, 'bare.h')} with text`, '--memory', '32M', '--timeout', '30s'], '').done;
  expect([code, errors]).toEqual([0, '']);
  expect(output).toContain('command line: information-32 one  two');
  expect(output).toMatch(/module bare\.h with text, \d+ bytes: \/\* What the prog/);
});
