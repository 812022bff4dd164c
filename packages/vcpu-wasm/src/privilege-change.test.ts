/** SYSCALL, SYSRET and IRET in generated code against the same in TypeScript, from states of all kinds. */
import { FLAG_RF } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';

const AT = 0x8000;
const TABLE = 0x9000;
const STACK = 0x2_0000;
const SEED = Number(process.env.VM_SEED ?? 1);
const ROUNDS = 2000;
const RCX = 1, RSP = 4, R11 = 11;
const BYTES: Readonly<Record<string, readonly number[]>> = { syscall: [0x0f, 0x05], sysret: [0x48, 0x0f, 0x07], iret: [0x48, 0xcf] };
const CODE_64 = 0x00af_9b00, DATA = 0x00cf_9300, USER = 0x6000;
/** High halves of descriptors; the first is null. */
const DESCRIPTORS = [
  0, CODE_64, DATA, 0x00cf_9b00 | USER, DATA | USER, CODE_64 | USER, // as Linux has them
  CODE_64 & ~0x100, DATA & ~0x100, CODE_64 & ~0x8000, DATA & ~0x200, CODE_64 | 0x400, CODE_64 | 0x2000, DATA | 0x4000, 0x008b_0000, (CODE_64 | USER) & ~0xf_0000, (DATA | USER) & ~0x80_0000,
];
const FLAT = 0xffffn;
const SELECTORS = [0x08, 0x10, 0x23, 0x2b];
/** CS and SS that go together. */
const PAIRS: readonly (readonly [number, number])[] = [[0x08, 0x10], [0x2b, 0x23]];
/** In 64-bit mode level 0 has no need of a stack segment; level 3 has, and all have of a code segment. */
const PAIRS_64: readonly (readonly [number, number])[] = [...PAIRS, [0x08, 0], [0x2b, 3], [0, 0x10]];
const ADDRESSES = [0x1234n, 0x7fff_ffff_ffffn, 0xffff_8000_0000_0000n, 0x8000_0000_0000n];
/** PF, IF, DF and IOPL as often as not; now and then each of those that change more than themselves. */
const PLAIN = 0xed5 | 0x3000 | 0x20_0000;
const RARE = [0x100, 0x4000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000];

const flagsOf = (random: Random): number => (random.next() & PLAIN) | 2 | (random.once(3) ? random.pick(RARE) : 0);
const selectorOf = (random: Random): number => (random.once(2) ? random.pick(SELECTORS) : random.below(DESCRIPTORS.length + 1) * 8 + random.below(4) + (random.once(8) ? 4 : 0));
const addressOf = (random: Random): bigint => random.pick(ADDRESSES);

function prepare(machine: FlatMachine, name: string, random: Random): void {
  const { vcpu, view } = machine;
  const { state: s, segments } = vcpu;
  const bytes = BYTES[name] as readonly number[];
  machine.put(AT, bytes);
  machine.enter(AT);
  DESCRIPTORS.forEach((high, i) => { view.setUint32(TABLE + i * 8, i === 0 ? 0 : 0xffff, true); view.setUint32(TABLE + i * 8 + 4, high, true); });
  s.set64(state.GDTR_BASE, TABLE, 0);
  s.set(state.GDTR_LIMIT, DESCRIPTORS.length * 8 - (random.once(8) ? 90 : 1));
  s.set(state.EFER, 0x500 | (random.once(16) ? 0 : 1));
  s.set64(state.MSR_STAR, random.next(), (selectorOf(random) & ~7) | ((random.once(2) ? 0x23 : random.below(0x1_0000)) << 16));
  s.set64(state.MSR_LSTAR, 0x5678, random.once(2) ? 0 : 0xffff_ffff);
  s.set(state.MSR_FMASK, random.once(2) ? 0x4_7700 : random.next());
  for (let i = 0; i < 16; i++) machine.setGpr(i, BigInt(random.next()));
  machine.setGpr(RCX, addressOf(random));
  machine.setGpr(R11, BigInt(flagsOf(random)));
  machine.setGpr(RSP, BigInt(STACK));
  const [code, stack] = random.once(3) ? [selectorOf(random), selectorOf(random)] : random.pick(PAIRS_64);
  [addressOf(random), BigInt(code), BigInt(flagsOf(random)), addressOf(random), BigInt(stack)].forEach((value, i) => view.setBigUint64(STACK + i * 8, value, true));
  for (const segment of [state.ES, state.DS, state.FS, state.GS]) {
    if (random.once(3)) segments.restore(segment, [0x23, random.pick([DATA, DATA | USER, CODE_64 | 0x400]) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    else segments.setNull(segment, 0);
  }
  if (random.once(8)) view.setBigUint64(TABLE, random.pick([(BigInt(CODE_64) << 32n) | FLAT, (BigInt(DATA) << 32n) | FLAT, (BigInt(DATA | USER) << 32n) | FLAT]), true); // where null points to
  const user = random.once(name === 'syscall' ? 2 : 8);
  if (user) {
    segments.restore(state.SS, [0x2b, (DATA | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    segments.restore(state.CS, [0x33, (CODE_64 | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    segments.setCpl(3);
  }
  machine.flags = (random.next() & PLAIN) | (random.once(16) ? random.pick(RARE) & ~0x3_0100 : 0);
  s.set(state.DR + 7 * 8, random.once(8) ? 1 : 0);
}
/** RF goes at the latest with the next instruction, and without breakpoints of instructions nothing shows how soon. */
function after(machine: FlatMachine): string {
  const { state: s } = machine.vcpu;
  const part = (from: number, to: number): string => Buffer.from(s.u8.buffer, s.at + from, to - from).toString('hex');
  const rf = (s.get(state.DR + 7 * 8) & 0xff) !== 0 ? 0 : FLAG_RF;
  return [(machine.flags & ~rf).toString(16), part(state.GPR, state.ZERO), part(state.SEGMENT_BASE, state.FLAG_RESULT), part(state.RIP, state.BUDGET), part(state.DATA_TAG, state.X87_BLOCKED),
    part(state.SEGMENT, state.CR0), part(state.CR2, state.CR3), part(state.SHADOW_READ_NEED, state.SHADOW_READS)].join(' ');
}

describe.each(Object.keys(BYTES))('%s', (name) => {
  it(`changes the processor as it is written in TypeScript, seed ${SEED}`, () => {
    const [generated, written] = [new FlatMachine('long'), new FlatMachine('long')];
    let left = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const machine of [generated, written]) {
        prepare(machine, name, new Random(SEED * ROUNDS + round));
        machine.vcpu.numericError.ignored = machine === written; // something wants to hear of the next IRET
        machine.vcpu.run(1);
      }
      expect([round, after(generated)]).toEqual([round, after(written)]);
      if (generated.vcpu.state.get(state.RIP) !== AT) left++;
    }
    expect(left).toBeGreaterThan(ROUNDS / 50);
    expect(left).toBeLessThan(ROUNDS);
    expect(counted(generated, name)).toBeLessThan(counted(written, name));
  });
});

/** How often TypeScript was asked. */
const counted = (machine: FlatMachine, name: string): number => new Map(machine.vcpu.counts()).get(`system.${name}`) ?? 0;

const WORD = 4;
const BYTES_32: Readonly<Record<string, readonly number[]>> = { iret: [0xcf], sysenter: [0x0f, 0x34], sysexit: [0x0f, 0x35] };
/** In flat protected mode. */
function prepareProtected(machine: FlatMachine, name: string, random: Random): void {
  const { vcpu, view } = machine;
  const { state: s, segments } = vcpu;
  const descriptors = DESCRIPTORS.map((high) => (high & 0x1800) === 0x1800 ? (high & ~0x20_0000) | 0x40_0000 : high);
  machine.put(AT, BYTES_32[name] as readonly number[]);
  machine.enter(AT);
  descriptors.forEach((high, i) => { view.setUint32(TABLE + i * 8, i === 0 ? 0 : 0xffff, true); view.setUint32(TABLE + i * 8 + 4, high, true); });
  s.set64(state.GDTR_BASE, TABLE, 0);
  s.set(state.GDTR_LIMIT, descriptors.length * 8 - (random.once(8) ? 90 : 1));
  for (let i = 0; i < 8; i++) machine.setGpr(i, BigInt(random.next()));
  machine.setGpr(RSP, BigInt(STACK));
  const [code, stack] = random.once(3) ? [selectorOf(random), selectorOf(random)] : random.pick(PAIRS);
  [random.next(), code, flagsOf(random), random.next(), stack].forEach((value, i) => view.setUint32(STACK + i * WORD, value, true));
  for (const segment of [state.ES, state.DS, state.FS, state.GS]) {
    if (random.once(3)) segments.restore(segment, [0x23, random.pick([DATA, DATA | USER]) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    else segments.restore(segment, [0x23, (DATA | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
  }
  if (random.once(16)) segments.restore(state.SS, [0x10, DATA & 0x00f0_ff00, 0x100, 0, 0xffff_ffff]); // not flat
  machine.flags = (random.next() & PLAIN) | (random.once(16) ? random.pick(RARE) & ~0x3_0100 : 0);
  s.set(state.DR + 7 * 8, random.once(8) ? 1 : 0);
  s.set64(state.MSR_SYSENTER_CS, random.once(16) ? random.below(4) : random.next(), 0);
  s.set64(state.MSR_SYSENTER_ESP, random.next(), 0);
  s.set64(state.MSR_SYSENTER_EIP, random.next(), 0);
  if (name !== 'iret' && random.once(name === 'sysenter' ? 2 : 8)) {
    segments.restore(state.SS, [0x2b, (DATA | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    segments.restore(state.CS, [0x23, 0x00c0_9b00 | USER, 0, 0, 0xffff_ffff]);
    segments.setCpl(3);
  }
}
describe.each(Object.keys(BYTES_32))('%s of 32-bit code', (name) => {
  it(`changes the processor as it is written in TypeScript, seed ${SEED}`, () => {
    const [generated, written] = [new FlatMachine('protected'), new FlatMachine('protected')];
    for (let round = 0; round < ROUNDS; round++) {
      for (const machine of [generated, written]) {
        prepareProtected(machine, name, new Random(SEED * ROUNDS + round));
        machine.vcpu.numericError.ignored = machine === written;
        machine.vcpu.run(1);
      }
      expect([round, after(generated), generated.vcpu.state.get(state.FLAT)]).toEqual([round, after(written), written.vcpu.state.get(state.FLAT)]);
    }
    expect(counted(generated, name)).toBeLessThan(counted(written, name) * 0.8);
  });
});
