/** Every condition and every instruction that takes flags, behind every form that sets them: translated as interpreted. */
import { CONDITION_AE, createAssembler, mem, r16, r32, r64, r8, RAX, RBX, RCX, RDX, RSI } from '@vm/x86';
import type { Assembler, RegisterOperand } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from '../cpu-state.ts';
import { FlatMachine } from '../flat-machine.ts';
import { Random } from '../native/random.ts';
import type { TranslatorMode } from './translator-mode.ts';

const AT = 0x1_0000;
const STACK = 0x3_0000;
const RESULTS = 0x4_0000;
const VALUES = [0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 0xffff_ffff_ffff_ffffn];
const PAIRS = 24;

type Setter = (code: Assembler, a: RegisterOperand, b: RegisterOperand) => void;
/** One or the other, by a bit of RCX: what set the flags is known only when it runs. */
function either(code: Assembler, one: () => void, other: () => void): void {
  const place = code.offset();
  code.bt(r32(RCX), 1).jcc(CONDITION_AE, `other ${place}`);
  one();
  code.jmp(`after ${place}`).label(`other ${place}`);
  other();
  code.label(`after ${place}`);
}
/** What sets flags, from RAX and RBX. */
const SETTERS: Readonly<Record<string, Setter>> = {
  add: (code, a, b) => { code.add(a, b); },
  adc: (code, a, b) => { code.adc(a, b); },
  sub: (code, a, b) => { code.sub(a, b); },
  sbb: (code, a, b) => { code.sbb(a, b); },
  cmp: (code, a, b) => { code.cmp(a, b); },
  test: (code, a, b) => { code.test(a, b); },
  and: (code, a, b) => { code.and(a, b); },
  or: (code, a, b) => { code.or(a, b); },
  xor: (code, a, b) => { code.xor(a, b); },
  'xor with itself': (code, a) => { code.xor(a, a); },
  'cmp with itself': (code, a) => { code.cmp(a, a); },
  'sbb with itself': (code, a) => { code.sbb(a, a); },
  inc: (code, a) => { code.inc(a); },
  dec: (code, a) => { code.dec(a); },
  'add, then inc': (code, a, b) => { code.add(a, b).inc(a); },
  'cmp, then dec': (code, a, b) => { code.cmp(a, b).dec(a); },
  'and, then inc': (code, a, b) => { code.and(a, b).inc(b); },
  neg: (code, a) => { code.neg(a); },
  shl: (code, a) => { code.shl(a, 3); },
  'shl by 1': (code, a) => { code.shl(a, 1); },
  'shr by cl': (code, a) => { code.shr(a, r8(RCX)); },
  'cmp, then shl by cl': (code, a, b) => { code.cmp(a, b).shl(a, r8(RCX)); },
  sar: (code, a) => { code.sar(a, 1); },
  'add, then rcl': (code, a, b) => { code.add(a, b).rcl(a, 1); },
  'sub, then ror': (code, a, b) => { code.sub(a, b).ror(a, 1); },
  'cmp, then bt': (code, a, b) => { code.cmp(a, b).bt(r32(RBX), 3); },
  'sub, then stc': (code, a, b) => { code.sub(a, b).stc(); },
  'add, then cmc': (code, a, b) => { code.add(a, b).cmc(); },
  'xor, then clc': (code, a, b) => { code.xor(a, b).clc(); },
  xadd: (code, a, b) => { code.xadd(a, b); },
  cmpxchg: (code, a, b) => { code.cmpxchg(b, a); },
  popf: (code, a, b) => { code.or(b, a).data(0x53).and(mem(4, { base: 4 }), 0x8d5).popf(); },
  sahf: (code, a, b) => { code.sub(a, b).sahf(); },
  mul: (code, _a, b) => { code.mul(b); },
  'add or sub': (code, a, b) => { either(code, () => code.add(a, b), () => code.sub(a, b)); },
  'and or cmp': (code, a, b) => { either(code, () => code.and(a, b), () => code.cmp(a, b)); },
  'sbb or shl': (code, a, b) => { either(code, () => code.sbb(a, b), () => code.shl(a, 2)); },
  'inc or nothing': (code, a) => { either(code, () => code.inc(a), () => undefined); },
  'add or xor, then inc': (code, a, b) => { either(code, () => code.add(a, b), () => code.xor(a, b)); code.inc(a); },
  nothing: () => undefined,
};
const SIZES: Readonly<Record<string, (number: number) => RegisterOperand>> = { 8: r8, 16: r16, 32: r32, 64: r64 };

/** What takes them: one program for each, which leaves its finding in the byte or word at RSI. */
type Consumer = (code: Assembler, bits: 32 | 64) => void;
const CONSUMERS: Readonly<Record<string, Consumer>> = {
  ...Object.fromEntries(Array.from({ length: 16 }, (_, condition): [string, Consumer] => [`setcc ${condition}`, (code) => { code.setcc(condition, mem(1, { base: RSI })); }])),
  ...Object.fromEntries(Array.from({ length: 16 }, (_, condition): [string, Consumer] => [`jcc ${condition}`, (code) => { code.jcc(condition, `to ${condition}`).mov(mem(1, { base: RSI }), 1).label(`to ${condition}`); }])),
  cmovcc: (code) => { for (let condition = 0; condition < 16; condition++) code.mov(r32(RDX), 0).cmovcc(condition, r32(RDX), r32(RSI)).mov(mem(4, { base: RSI, displacement: condition * 4 }), r32(RDX)); },
  pushf: (code, bits) => { code.pushf().pop(bits === 64 ? r64(RDX) : r32(RDX)).mov(mem(4, { base: RSI }), r32(RDX)); },
  lahf: (code) => { code.lahf().mov(mem(4, { base: RSI }), r32(RAX)); },
  adc: (code) => { code.adc(mem(4, { base: RSI }), 0); },
  rcr: (code) => { code.rcr(mem(4, { base: RSI }), 1); },
  nobody: () => undefined,
};

describe.each([32, 64] as const)('flags in code of %i bits', (bits) => {
  const machines = new Map<TranslatorMode, FlatMachine>();
  for (const mode of ['off', 'eager'] as const) machines.set(mode, new FlatMachine(bits === 64 ? 'long' : 'protected', { processor: { translator: mode } }));

  for (const size of Object.keys(SIZES).map(Number).filter((one) => one <= bits)) {
    it(`set by operations of ${size} bits`, () => {
      const random = new Random(size + bits);
      const register = SIZES[size] as (number: number) => RegisterOperand;
      for (const [setter, set] of Object.entries(SETTERS)) {
        // All consumers in turn: flags are set anew for each.
        const code = createAssembler(bits, { origin: AT });
        for (const consume of Object.values(CONSUMERS)) {
          code.mov(bits === 64 ? r64(RAX) : r32(RAX), mem(bits / 8, { base: 5 })).mov(bits === 64 ? r64(RBX) : r32(RBX), mem(bits / 8, { base: 5, displacement: 8 }));
          code.mov(r32(RCX), mem(4, { base: 5, displacement: 16 })).bt(r32(RCX), 4);
          set(code, register(RAX), register(RBX));
          consume(code, bits);
          code.add(bits === 64 ? r64(RSI) : r32(RSI), 64);
        }
        const bytes = code.hlt().bytes();
        for (const machine of machines.values()) machine.put(AT, bytes);
        for (let pair = 0; pair < PAIRS; pair++) {
          const [a, b, count] = [random.pick(VALUES), random.once(4) ? BigInt(random.next()) : random.pick(VALUES), random.below(64)];
          const [interpreted, translated] = [...machines.values()].map((machine) => run(machine, a, b, count));
          expect({ setter, a, b, count, ...translated }).toEqual({ setter, a, b, count, ...interpreted });
        }
      }
      const machine = machines.get('eager') as FlatMachine;
      expect(machine.vcpu.state.number(state.REGION_INSTRUCTIONS)).toBeGreaterThan(machine.vcpu.retired / 2);
    });
  }
});

/** Results of all consumers, and the flags and registers at the end. */
function run(machine: FlatMachine, a: bigint, b: bigint, count: number): { readonly results: string; readonly flags: number; readonly retired: number; readonly registers: readonly bigint[] } {
  machine.enter(AT);
  machine.bytes.fill(0, RESULTS, RESULTS + 0x1000);
  machine.view.setBigUint64(0x2_0000, a, true);
  machine.view.setBigUint64(0x2_0008, b, true);
  machine.view.setUint32(0x2_0010, count, true);
  machine.setGpr(4, BigInt(STACK));
  machine.setGpr(5, 0x2_0000n);
  machine.setGpr(RSI, BigInt(RESULTS));
  const before = machine.vcpu.retired;
  expect(machine.run()).toBe(true);
  return { results: Buffer.from(machine.bytes.subarray(RESULTS, RESULTS + 0x1000)).toString('hex'), flags: machine.flags, retired: machine.vcpu.retired - before, registers: [RAX, RBX, RCX, RDX].map((one) => machine.gpr(one)) };
}
