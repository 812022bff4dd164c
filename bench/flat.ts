import { type FlatRequest, runFlat } from '@vm/testkit';
import { type Benchmark, type BenchOptions, type Row, row, shortest } from './registry.ts';

const AT = 0x7c00;
const CASES = 5000;

interface Kind {
  readonly name: string;
  readonly request: (i: number) => Omit<FlatRequest, 'at'>;
  /** Whether RAX after case `i` is right. */
  readonly check: (rax: bigint, i: number) => boolean;
}

/** Pieces of code as test suites of instructions have them, each with its set-up. */
const KINDS: readonly Kind[] = [
  { name: 'long mode, a few registers', request: (i: number) => ({ code: [0x48, 0x01, 0xd8, 0xf4], mode: 'long', registers: { rax: i, rbx: 1 } }), check: (rax: bigint, i: number) => rax === BigInt(i + 1) },
  { name: 'long mode, two regions of memory', request: (i: number) => ({ code: [0x48, 0x8b, 0x03, 0xf4], mode: 'long', registers: { rbx: 0xe000_0000 }, memory: [{ at: 0xe000_0000, bytes: [i & 0xff, (i >> 8) & 0xff, 0, 0, 0, 0, 0, 0] }, { at: 0x7f00_0000_0000n, bytes: 4096 }] }), check: (rax: bigint, i: number) => rax === BigInt(i) },
  { name: 'protected mode', request: (i: number) => ({ code: [0x01, 0xd8, 0xf4], mode: 'protected', registers: { rax: i, rbx: 1 } }), check: (rax: bigint, i: number) => rax === BigInt(i + 1) },
  { name: 'real mode', request: (i: number) => ({ code: [0x01, 0xd8, 0xf4], mode: 'real', registers: { rax: i, rbx: 1 } }), check: (rax: bigint, i: number) => rax === BigInt(i + 1) },
  { name: 'long mode, ends with #DE', request: (i: number) => ({ code: [0x31, 0xc9, 0xf7, 0xf1], mode: 'long', registers: { rax: i } }), check: (rax: bigint, i: number) => rax === BigInt(i) },
];

/** What one case costs in a process that runs thousands. */
export const flat: Benchmark = {
  summary: 'runFlat: one piece of code with its set-up and the whole state afterwards',
  run: async ({ quick }: BenchOptions): Promise<readonly Row[]> => {
    const [runs, cases] = quick ? [2, 500] : [5, CASES];
    return KINDS.map(({ name, request, check }) => {
      const all = (count: number): number => {
        const begin = performance.now();
        for (let i = 0; i < count; i++) if (!check(runFlat({ at: AT, ...request(i) }).rax, i)) throw new Error(`${name}: case ${i} went wrong`);
        return ((performance.now() - begin) * 1000) / count;
      };
      all(200); // makes the processor
      return row(name, 'us', runs, shortest(runs, () => all(cases)));
    });
  },
};
