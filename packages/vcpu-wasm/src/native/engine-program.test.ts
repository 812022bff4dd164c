/** A program without an end is given as many instructions in every mode of the translator, in one go and in pieces. */
import { describe, expect, it } from 'vitest';
import { EngineProcessor } from './engine-program.ts';
import { RECORD_BYTES, RECORD_GPR, RECORD_RIP, RECORD_VECTOR, VECTOR_BUDGET } from './program-record.ts';
import { setCode, writeRandomState } from './program-state.ts';
import { Random } from './random.ts';

/** INC EAX; JMP to itself: where it is stopped and what it counted depend on every instruction. */
const ENDLESS = [0xff, 0xc0, 0xeb, 0xfc];
const RAX = RECORD_GPR;

describe.each([32, 64] as const)('an endless program of %i bits', (bits) => {
  it.each([null, 7])('is stopped at the same instruction, pauses after %s', (pause) => {
    const before = new DataView(new ArrayBuffer(RECORD_BYTES));
    writeRandomState(before, 0, bits, new Random(1));
    before.setBigUint64(RAX, 0n, true);
    setCode(before, 0, ENDLESS);
    const seen = (['off', 'eager'] as const).map((mode) => {
      const processor = new EngineProcessor(false, false, mode);
      const after = new DataView(new ArrayBuffer(RECORD_BYTES));
      if (pause !== null) processor.slice = () => pause;
      processor.run(before, 0, after);
      expect(after.getUint8(RECORD_VECTOR)).toBe(VECTOR_BUDGET);
      return { turns: after.getUint32(RAX, true), rip: after.getUint32(RECORD_RIP, true), instructions: processor.instructions };
    });
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0]?.instructions).toBe(2 * (seen[0]?.turns as number));
  });
});
