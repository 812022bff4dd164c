/**
 * RDRAND and RDSEED (SDM vol. 2). Numbers follow from the seed that the machine was made with, so that a run can be repeated:
 * a counter in steps of the golden ratio, its bits mixed (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014).
 */
import type { Emit, EmitterTable } from '../emitter.ts';
import { A, R, S } from '../locals.ts';
import * as state from '../cpu-state.ts';

/** Low and high half. */
const STEP = [0x7f4a_7c15, 0x9e37_79b9] as const;
const MIX: readonly (readonly [shift: number, low: number, high: number])[] = [[30, 0x1ce4_e5b9, 0xbf58_476d], [27, 0x1331_11eb, 0x94d0_49bb]];
const LAST_SHIFT = 31;
const CARRY = 1;

const random: Emit = (e) => {
  const { code } = e;
  code.get(S).load(state.RANDOM).const64(STEP[0], STEP[1]).add().set(A);
  code.get(S).get(A).store(state.RANDOM);
  for (const [shift, low, high] of MIX) code.get(A).get(A).const(shift).shrU().xor().const64(low, high).mul().set(A);
  code.get(A).get(A).const(LAST_SHIFT).shrU().xor();
  if (e.size < 8) code.zeroExtend(e.size);
  code.set(R);
  e.write(0, R);
  // There is always a number.
  code.const32(CARRY);
  e.setArithmeticFlags();
};

export const RANDOM_NUMBER: EmitterTable = {
  rdrand: { emit: random, apart: true },
  rdseed: { emit: random, apart: true },
};
