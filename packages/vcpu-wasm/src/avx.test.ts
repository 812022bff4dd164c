import { createAssembler, mem, RBX, VECTOR_PF, xmm, ymm } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { runFlat } from './flat-runner.ts';
import type { FlatResult } from './flat-runner.ts';
import type { VectorLanes } from './flat-state.ts';

const CODE = 0x10_0000;
/** The only page of data; those around it are missing. */
const PAGE = 0x20_0000;
const PAGE_END = PAGE + 4096;
const SIGN_32 = 0x8000_0000n, SIGN_64 = 1n << 63n;

/** Four doublewords, or two quadwords, in a register. */
const words = (a: bigint, b: bigint, c: bigint, d: bigint): VectorLanes => [a | (b << 32n), c | (d << 32n)];
const NOTHING: VectorLanes = [0n, 0n];

interface Registers { readonly xmm?: readonly VectorLanes[]; readonly ymmHigh?: readonly VectorLanes[] }

/** Runs code with bytes 1, 2, 3 and so on, modulo 251, in the page, and `base` in RBX. */
function run(write: (a: Assembler) => Assembler, base: number, { xmm: low = [], ymmHigh = [] }: Registers, mode: 'long' | 'protected' = 'long'): FlatResult {
  return runFlat({
    code: write(createAssembler(mode === 'long' ? 64 : 32)).hlt().bytes(), at: CODE, mode, mapped: 'given', memory: [{ at: PAGE, bytes: Array.from({ length: 4096 }, (_, i) => (i + 1) % 251) }],
    registers: { rbx: base, xmm: low, ymmHigh },
  });
}
const at = (bytes: number) => mem(bytes, { base: RBX });
/** What lies at `address` before the run. */
const bytesAt = (address: number, count: number): bigint => {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt((address - PAGE + i + 1) % 251);
  return value;
};

describe('masked moves', () => {
  it.each(['long', 'protected'] as const)('look at no element that the mask leaves out, in %s mode', (mode) => {
    const mask = [NOTHING, NOTHING, words(SIGN_32, SIGN_32, 0n, 0n)];
    const loaded = run((a) => a.op('vmaskmovps', ymm(1), ymm(2), at(32)), PAGE_END - 8, { xmm: mask, ymmHigh: [NOTHING, words(1n, 2n, 3n, 4n)] }, mode);
    expect([loaded.exception, loaded.xmm[1], loaded.ymmHigh[1]]).toEqual([null, [bytesAt(PAGE_END - 8, 8), 0n], NOTHING]);
    const stored = run((a) => a.op('vpmaskmovd', at(16), xmm(2), xmm(1)), PAGE_END - 8, { xmm: [NOTHING, words(0x1111_1111n, 0x2222_2222n, 3n, 4n), mask[2]!] }, mode);
    expect([stored.exception, [...stored.read(PAGE_END - 8, 8)]]).toEqual([null, [0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22]]);
  });

  it('store nothing when one element of those chosen cannot be stored', () => {
    const result = run((a) => a.op('vpmaskmovq', at(32), ymm(2), ymm(1)), PAGE_END - 24, {
      xmm: [NOTHING, [1n, 2n], [SIGN_64, SIGN_64]], ymmHigh: [NOTHING, [3n, 4n], [SIGN_64, SIGN_64]],
    });
    expect([result.exception, result.cr2]).toEqual([VECTOR_PF, BigInt(PAGE_END)]);
    expect([...result.read(PAGE_END - 24, 8)]).toEqual(Array.from({ length: 8 }, (_, i) => (4096 - 24 + i + 1) % 251));
  });
});

describe('gathers', () => {
  const old: VectorLanes = words(0xaaaa_aaaan, 0xbbbb_bbbbn, 0xcccc_ccccn, 0xdddd_ddddn);
  const gather = (a: Assembler): Assembler => a.op('vpgatherdd', xmm(1), mem(4, { base: RBX, index: 3, scale: 4 }), xmm(2));

  it('leave a trace of what was done before the element that faults, and go on from there', () => {
    const first = run(gather, PAGE, { xmm: [NOTHING, old, words(SIGN_32, 0n, SIGN_32, SIGN_32), words(5n, 0x7fff_ffffn, 0x10_0000n, 0n)] });
    expect([first.exception, first.cr2]).toEqual([VECTOR_PF, BigInt(PAGE + 0x40_0000)]);
    expect(first.rip).toBe(BigInt(CODE));
    expect(first.xmm[1]).toEqual(words(bytesAt(PAGE + 20, 4), 0xbbbb_bbbbn, 0xcccc_ccccn, 0xdddd_ddddn));
    expect(first.xmm[2]).toEqual(words(0n, 0n, SIGN_32, SIGN_32));
    const second = run(gather, PAGE, { xmm: [NOTHING, first.xmm[1]!, first.xmm[2]!, words(0n, 0n, 7n, 9n)] });
    expect(second.exception).toBe(null);
    expect(second.xmm[1]).toEqual(words(bytesAt(PAGE + 20, 4), 0xbbbb_bbbbn, bytesAt(PAGE + 28, 4), bytesAt(PAGE + 36, 4)));
    expect(second.xmm[2]).toEqual(NOTHING);
  });

  it('raise nothing for elements that the mask leaves out', () => {
    const result = run(gather, PAGE, { xmm: [NOTHING, old, NOTHING, words(0x7fff_ffffn, 1n, 2n, 3n)], ymmHigh: [NOTHING, [1n, 2n], [3n, 4n]] });
    expect([result.exception, result.xmm[1], result.ymmHigh[1], result.ymmHigh[2]]).toEqual([null, old, NOTHING, NOTHING]);
  });
});

describe('32 bytes across the end of a page', () => {
  it('are stored all or not at all, and the fault is at the first byte that is not there', () => {
    const values: Registers = { xmm: [NOTHING, [-1n, -1n]], ymmHigh: [NOTHING, [-1n, -1n]] };
    for (const before of [31, 17, 16, 15, 1]) {
      const result = run((a) => a.op('vmovups', at(32), ymm(1)), PAGE_END - before, values);
      expect([result.exception, result.cr2], String(before)).toEqual([VECTOR_PF, BigInt(PAGE_END)]);
      expect(result.read(PAGE_END - before, 1)[0], String(before)).toBe((4096 - before + 1) % 251);
      const loaded = run((a) => a.op('vaddps', ymm(1), ymm(1), at(32)), PAGE_END - before, values);
      expect([loaded.exception, loaded.cr2, loaded.xmm[1]], String(before)).toEqual([VECTOR_PF, BigInt(PAGE_END), [2n ** 64n - 1n, 2n ** 64n - 1n]]);
    }
  });
});
