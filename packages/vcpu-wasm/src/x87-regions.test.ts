/** x87 instructions in translated regions against the same in the interpreter, from states of all kinds. */
import { describe, expect, it } from 'vitest';
import { FlatRunner } from './flat-runner.ts';
import { Random } from './native/random.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const PROGRAMS = Number(process.env['VM_CASES'] ?? 250);
const LENGTH = 14;
const TURNS = 3;
const AT = 0x40_0000, DATA = 0x50_0000, DATA_BYTES = 0x2000;
const FNSTENV = [0xd9, 0xb6, 0x00, 0x0f, 0, 0]; // fnstenv [rsi + 0xf00]
const HLT = 0xf4;

/** Second bytes behind D9 to DF that stand for no instruction, or that end what the test is about: FNSAVE, FRSTOR. */
const isLeftOut = (opcode: number, modrm: number): boolean => opcode === 0xdd && modrm < 0xc0 && ((modrm >> 3) & 7) >= 4 && ((modrm >> 3) & 7) <= 6;

/** Numbers of the extended format; ordinary ones mostly, so that operations have ordinary results. */
function numberOf(random: Random): { mantissa: bigint; exponent: number } {
  const wide = (BigInt(random.next()) << 32n) | BigInt(random.next());
  if (random.once(5)) return { mantissa: random.pick([0n, 1n, 1n << 63n, 3n << 62n, 0xffff_ffff_ffff_ffffn, wide]), exponent: random.pick([0, 1, 0x7ffe, 0x7fff, 0x3fff, random.below(0x8000)]) | (random.below(2) << 15) };
  return { mantissa: wide | (1n << 63n), exponent: (0x3fff + random.below(40) - 20) | (random.below(2) << 15) };
}
/** Fills memory with what all sizes of operands take for ordinary numbers, and now and then not. */
function dataOf(random: Random): Uint8Array {
  const bytes = new Uint8Array(DATA_BYTES);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < 0x1000; at += 16) {
    const { mantissa, exponent } = numberOf(random);
    switch (random.below(4)) {
      case 0: view.setFloat64(at, random.below(1000) / 7 - 50, true); break;
      case 1: view.setFloat32(at, random.below(1000) / 7 - 50, true); break;
      case 2: view.setInt32(at, random.next() | 0, true); break;
      default: view.setBigUint64(at, mantissa, true);
    }
    view.setUint16(at + 8, exponent, true);
  }
  return bytes;
}
function programOf(random: Random): number[] {
  const code: number[] = [];
  for (let i = 0; i < LENGTH; i++) {
    const opcode = 0xd8 + random.below(8);
    const modrm = random.once(2) ? 0xc0 + random.below(64) : 0x86 | (random.below(8) << 3); // [rsi + disp32]
    if (isLeftOut(opcode, modrm)) continue;
    code.push(opcode, modrm);
    // Across the end of a page now and then, so that a region does not reach it.
    if (modrm < 0xc0) { const at = random.once(12) ? 0xffc : random.below(64) * 16; code.push(at & 255, at >> 8, 0, 0); }
    if (random.once(6)) code.push(0xdb, 0xe2); // FNCLEX
  }
  code.push(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz to the beginning
  const back = -(code.length + 4);
  code.push(back & 255, (back >> 8) & 255, 255, 255);
  return [...code, ...FNSTENV, HLT];
}

describe.each(['long', 'protected'] as const)('x87 instructions in regions, %s mode', (mode) => {
  it(`do what they do in the interpreter, seed ${SEED}`, { timeout: 300_000 }, () => {
    const interpreted = new FlatRunner(mode, 'off');
    const translated = new FlatRunner(mode, 'eager');
    const executed = (): number => new Map(translated.vcpu.counts()).get('translator.executed') as number;
    let instructions = 0;
    for (let number = 0; number < PROGRAMS; number++) {
      const random = new Random(SEED * PROGRAMS + number);
      const code = programOf(random);
      const request = {
        code, at: AT, mode, memory: [{ at: DATA, bytes: dataOf(random) }], budget: 2000,
        registers: {
          rcx: TURNS, rsi: DATA, x87: Array.from({ length: 8 }, () => numberOf(random)), x87Control: random.once(2) ? 0x37f : 0x40 | random.below(0x1000) | (random.once(2) ? 0x3f : 0),
          x87Status: random.below(8) << 11, x87Tag: random.once(3) ? 0xffff : random.below(0x1_0000),
        },
      };
      const [a, b] = [interpreted.run(request), translated.run(request)];
      expect([number, b.read(DATA, DATA_BYTES).toString()]).toEqual([number, a.read(DATA, DATA_BYTES).toString()]);
      expect([number, { ...b, read: null }]).toEqual([number, { ...a, read: null }]);
      instructions += a.instructions;
    }
    expect(executed()).toBeGreaterThan(instructions / 4);
  });
});
