/** Two programs of the 64-bit side that compute while the legacy machine has its excursions. */
import { CONDITION_NE, createAssembler, mem, r32, r64, RAX, RBX, RCX, RSI, RSP, xmm } from '@vm/x86';
import { PROGRAMS } from './memory-map.ts';

const PAGE = 0x1000;
const SECOND = 0x800;
export const PROGRAM_RESULTS: number = PROGRAMS + PAGE;
export const PROGRAM_ENTRIES: readonly number[] = [PROGRAMS, PROGRAMS + SECOND];
/** Per program: the result, and 1 when it is there. */
export const RESULT_BYTES = 16;

const FACTOR = 6364136223846793005n;
const ADDEND = 1442695040888963407n;
const TWO_64 = 1n << 64n;

/** Code and data pages. */
export function buildPrograms(iterations: number): Uint8Array {
  const pages = new Uint8Array(2 * PAGE);
  // A congruential generator in general registers.
  const first = createAssembler(64, { origin: PROGRAMS });
  first.mov(r32(RSI), PROGRAM_RESULTS).mov(r64(RBX), FACTOR).mov(r32(RCX), iterations).mov(r32(RAX), 1).push(r64(RBX));
  first.label('loop').imul(r64(RAX), mem(8, { base: RSP })).mov(r64(RBX), ADDEND).add(r64(RAX), r64(RBX)).dec(r32(RCX)).jcc(CONDITION_NE, 'loop');
  first.mov(mem(8, { base: RSI }), r64(RAX)).mov(mem(8, { base: RSI, displacement: 8 }), 1).label('end').pause().jmp('end');
  pages.set(first.bytes());
  // Sums in a vector register: it is lost when an excursion forgets it.
  const second = createAssembler(64, { origin: PROGRAMS + SECOND });
  second.mov(r32(RSI), PROGRAM_RESULTS + RESULT_BYTES).mov(r32(RCX), iterations).mov(r32(RAX), 3).op('movd', xmm(0), r64(RAX)).op('movd', xmm(1), r64(RAX));
  second.label('loop').op('paddq', xmm(0), xmm(1)).op('paddq', xmm(1), xmm(0)).dec(r32(RCX)).jcc(CONDITION_NE, 'loop');
  second.op('movd', r64(RAX), xmm(0)).mov(mem(8, { base: RSI }), r64(RAX)).mov(mem(8, { base: RSI, displacement: 8 }), 1).label('end').pause().jmp('end');
  pages.set(second.bytes(), SECOND);
  return pages;
}

/** What they have to come to. */
export function programResults(iterations: number): readonly [bigint, bigint] {
  let first = 1n;
  let sums: [bigint, bigint] = [3n, 3n];
  for (let i = 0; i < iterations; i++) {
    first = (first * FACTOR + ADDEND) % TWO_64;
    const next = (sums[0] + sums[1]) % TWO_64;
    sums = [next, (sums[1] + next) % TWO_64];
  }
  return [first, sums[0]];
}
