/** A suite that compares with somebody else, or with the manuals: what `npm run conformance` runs and docs/conformance.md lists. */
export interface Suite {
  readonly id: string;
  readonly title: string;
  readonly oracle: string; // what is right
  readonly file: string; // a test file, which may have several suites, or a program
  /** `cases`: the suite notes them itself. `tests`: each test is one. */
  readonly counts: 'cases' | 'tests';
  /** A program that is run with these, in place of a test file. */
  readonly arguments?: readonly string[];
}

const VCPU = 'packages/vcpu-wasm/src';

export const SUITES: readonly Suite[] = [
  { id: 'recorded-80286', title: 'Real-mode integer instructions', oracle: 'single steps recorded from an 80286 (SingleStepTests)', file: `${VCPU}/real-mode.recorded.test.ts`, counts: 'cases' },
  { id: 'integer', title: 'Integer instructions, 64-bit code', oracle: "the host's processor", file: `${VCPU}/integer.native.test.ts`, counts: 'cases' },
  { id: 'x87', title: 'x87 instructions', oracle: "the host's processor", file: `${VCPU}/x87.native.test.ts`, counts: 'cases' },
  { id: 'sse', title: 'MMX and SSE to SSE4.2, AES, PCLMULQDQ', oracle: "the host's processor", file: `${VCPU}/packed.native.test.ts`, counts: 'cases' },
  { id: 'avx', title: 'AVX, AVX2, FMA, F16C', oracle: "the host's processor", file: `${VCPU}/packed.native.test.ts`, counts: 'cases' },
  { id: 'fuzz', title: 'Random sequences with random state', oracle: "the host's processor", file: 'tests/fuzz/run.ts', counts: 'cases', arguments: ['cpu', '--minutes', '2'] },
  { id: 'fuzz-cases', title: 'Sequences that once ran differently', oracle: 'what a processor did', file: `${VCPU}/fuzz-cases.test.ts`, counts: 'tests' },
  { id: 'emitter-contract', title: 'Faults leave everything as it was, every form and page', oracle: 'the state before', file: `${VCPU}/emitter-contract.test.ts`, counts: 'cases' },
  { id: 'protection', title: 'Segments, gates, task switches, V86', oracle: 'the manuals', file: `${VCPU}/protection.test.ts`, counts: 'tests' },
  { id: 'privileged', title: 'Privileges, segments, gates, tasks, V86, breakpoints, paging; 32 and 64 bits', oracle: 'Bochs', file: 'tests/privileged/privileged.test.ts', counts: 'cases' },
  { id: 'privileged-qemu', title: 'The same, but for what its translator is known to do wrong', oracle: 'QEMU', file: 'tests/privileged/privileged.test.ts', counts: 'cases' },
  { id: 'objdump', title: 'Instruction lengths and operands, 16-, 32- and 64-bit code', oracle: 'objdump', file: 'packages/x86/src/objdump.test.ts', counts: 'cases' },
  { id: 'programs', title: 'C programs in a guest, 32 and 64 bits', oracle: 'their output on the host', file: 'tests/guest-programs.test.ts', counts: 'tests' },
  { id: 'multiboot', title: 'Multiboot programs and the devices of test programs', oracle: 'the checks of the programs', file: 'tests/multiboot.test.ts', counts: 'tests' },
  { id: 'rom', title: 'ROMs at the reset vector, SeaBIOS among them', oracle: 'the checks of the programs', file: 'tests/rom.test.ts', counts: 'tests' },
  { id: 'kernels', title: 'Debian kernels, 486 to amd64', oracle: 'they reach a shell, count and turn off', file: 'tests/kernels.test.ts', counts: 'tests' },
];
