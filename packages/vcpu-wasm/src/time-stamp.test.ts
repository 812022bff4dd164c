/** RDTSC and RDTSCP: the same moments in translated code as one instruction at a time, and who may ask. */
import { createAssembler, CONDITION_NE, r32, r64, RAX, RBX, RCX, RDX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';
import { Random } from './native/random.ts';
import type { TranslatorMode } from './translate/translator-mode.ts';

const CODE = 0x8000;
const RSI = 6, RDI = 7;
const TURNS = 4000;
const CR4_TSD = 4;
const RDTSC = [0x0f, 0x31], RDTSCP = [0x0f, 0x01, 0xf9];
const VECTOR_GP = 13;
const USER = 0x6000;
/** Instructions of a turn. */
const TURN = 9;
const BEGIN = 0x1_ffff_0000, NANOS = 3.25;
/** Of the instructions of a run. */
const MOST = 997;

/** A machine whose time is made of the instructions that are done. */
function machineOf(mode: FlatMode, translator: TranslatorMode): FlatMachine {
  const machine: FlatMachine = new FlatMachine(mode, { processor: { translator }, now: () => BEGIN + machine.vcpu.retired * NANOS });
  return machine;
}
/** Sums of what the counter was, RSI turns of it. */
function program(bits: 32 | 64): Uint8Array {
  const code = createAssembler(bits);
  return code.label('turn').data(...RDTSC).add(r32(RDI), r32(RAX)).add(r32(RBX), r32(RDX)).data(...RDTSCP).add(r32(RDI), r32(RAX)).add(r32(RBX), r32(RDX)).add(r32(RBX), r32(RCX)).dec(r32(RSI)).jcc(CONDITION_NE, 'turn').hlt().bytes();
}
function begin(machine: FlatMachine, bits: 32 | 64): void {
  machine.put(CODE, program(bits));
  machine.enter(CODE);
  for (const [register, value] of [[RSI, BigInt(TURNS)], [RDI, 0n], [RBX, 0n]] as const) machine.setGpr(register, value);
  machine.vcpu.state.set64(state.TSC_OFFSET, 0xffff_fff0, 0x1234_5678);
  machine.vcpu.state.set(state.MSR_TSC_AUX, 0x8765_4321);
}
const sums = (machine: FlatMachine): readonly bigint[] => [RAX, RCX, RDX, RBX, RSI, RDI].map((register) => machine.gpr(register));
const count = (machine: FlatMachine, name: string): number => new Map(machine.vcpu.counts()).get(name) ?? 0;

describe.each([['long', 64], ['protected', 32]] as const)('the time-stamp counter in %s mode', (mode, bits) => {
  it('is that of the instruction in translated code, wherever runs end', () => {
    const random = new Random(1);
    const [translated, interpreted] = [machineOf(mode, 'eager'), machineOf(mode, 'off')];
    for (const machine of [translated, interpreted]) begin(machine, bits);
    for (let left = TURNS * TURN + 1; left > 0;) {
      const budget = Math.min(left, 1 + random.below(MOST));
      left -= budget;
      for (const machine of [translated, interpreted]) machine.vcpu.run(budget);
      expect([left, ...sums(translated), translated.vcpu.retired]).toEqual([left, ...sums(interpreted), interpreted.vcpu.retired]);
    }
    const counter = (turn: number, within: number): bigint => BigInt.asUintN(64, BigInt(Math.floor(BEGIN + (turn * TURN + within) * NANOS)) + 0x1234_5678_ffff_fff0n);
    let [low, high] = [0n, 0n];
    for (let turn = 0; turn < TURNS; turn++) {
      for (const within of [0, 3]) {
        low += counter(turn, within) & 0xffff_ffffn;
        high += counter(turn, within) >> 32n;
      }
      high += 0x8765_4321n;
    }
    expect([translated.gpr(RDI), translated.gpr(RBX), translated.gpr(RCX)]).toEqual([BigInt.asUintN(32, low), BigInt.asUintN(32, high), 0x8765_4321n]);
    expect([count(translated, 'system.rdtsc'), count(translated, 'system.rdtscp')]).toEqual([TURNS, TURNS]);
    expect(count(translated, 'translator.executed')).toBeGreaterThan(TURNS * TURN * 0.9);
  });
});

describe('CR4.TSD', () => {
  it.each([['RDTSC', RDTSC], ['RDTSCP', RDTSCP]] as const)('keeps %s from programs, and from nobody else', (_name, bytes) => {
    for (const [level, cr4, refused] of [[0, CR4_TSD, 0], [3, 0, 0], [3, CR4_TSD, 1]] as const) {
      for (const translator of ['off', 'eager'] as const) {
        const machine = machineOf('long', translator);
        const { vcpu } = machine;
        machine.put(CODE, createAssembler(64).data(...bytes).op('mov', r64(RBX), r64(RAX)).nop().nop().bytes());
        machine.enter(CODE);
        vcpu.state.set(state.CR4, vcpu.state.get(state.CR4) | cr4);
        vcpu.state.set(state.CPL, level);
        if (level === 3) {
          vcpu.segments.restore(state.CS, [0x33, 0x00a0_9b00 | USER, 0, 0, 0xffff_ffff]);
          vcpu.segments.setCpl(level);
        }
        machine.setGpr(RBX, 5n);
        vcpu.run(2);
        expect([level, cr4, vcpu.exceptions[VECTOR_GP], machine.gpr(RBX) === 5n]).toEqual([level, cr4, refused, refused === 1]);
      }
    }
  });
});
