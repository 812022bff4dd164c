import { describe, expect, it } from 'vitest';
import { runFlat } from './flat-runner.ts';

const GP = 13, PF = 14;
const NOWHERE = 0x50_0000;
const INSB = 0x6c, OUTSB = 0x6e, REP = 0xf3;

describe('INS and OUTS without permission', () => {
  it.each([['INS', [INSB]], ['OUTS', [OUTSB]], ['REP INS', [REP, INSB]], ['REP OUTS', [REP, OUTSB]]])('%s raise #GP although their memory is not there', (_name, code) => {
    for (const mode of ['protected', 'long'] as const) {
      const registers = { rsi: NOWHERE, rdi: NOWHERE, rcx: 3, rdx: 0x80 };
      expect(runFlat({ code, at: 0x1000, mode, ring: 3, mapped: 'given', registers }).exception).toBe(GP);
      expect(runFlat({ code, at: 0x1000, mode, ring: 0, mapped: 'given', registers }).exception).toBe(PF);
    }
  });
  it('raise it with a count of 0 too', () => {
    expect(runFlat({ code: [REP, INSB, 0x90], at: 0x1000, mode: 'long', ring: 3, mapped: 'given' })).toMatchObject({ exception: GP, rip: 0x1000n });
  });
});
