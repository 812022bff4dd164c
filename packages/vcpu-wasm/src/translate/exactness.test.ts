import { CONDITION_NE, mem, r32, RAX, RBX, RCX, RDI, RDX, RSI } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { callSecond, LOOP, TwoPageMachine } from './two-page-machine.ts';

const STEPS = 300;
/** Until everything is translated. */
const WARM = 2000;

/** Loops in loops, a string instruction, a division, x87, and a call of the other page. */
const MIXED: readonly ((code: Assembler) => void)[] = [
  (code) => { code.label('outer').mov(r32(RBX), 5).label('inner').add(r32(RAX), r32(RBX)).op('fld1').op('fstp', mem(4, { base: RSI, displacement: 16 })).dec(r32(RBX)).jcc(CONDITION_NE, 'inner'); },
  (code) => { code.mov(r32(RDX), 0).or(r32(RAX), 1).mov(r32(RBX), 7).div(r32(RBX)).mov(mem(4, { base: RSI, displacement: 4 }), r32(RDX)); },
  (code) => { code.mov(r32(RDX), r32(RCX)).mov(r32(RDI), 0x6_0ff0).mov(r32(RCX), 40).rep().size(1).stos().mov(r32(RCX), r32(RDX)); },
  (code) => { callSecond(code, 0); code.dec(r32(RCX)).jcc(CONDITION_NE, 'outer').hlt(); },
];

describe.each([['calls', LOOP], ['loops and string instructions', MIXED]] as const)('a program with %s', (_name, loop) => {
  it.each(['long', 'protected'] as const)('stands after any number of instructions where it stands when it is interpreted, %s mode', (width) => {
    const interpreted = new TwoPageMachine(width, 'off', loop);
    const translated = new TwoPageMachine(width, 'eager', loop);
    for (const machine of [interpreted, translated]) machine.run(WARM);
    expect(translated.see()).toEqual(interpreted.see());
    expect(translated.translated).toBeGreaterThan(translated.see().retired * 0.8);
    for (let count = 1; count <= STEPS; count++) {
      for (const machine of [interpreted, translated]) {
        machine.reset();
        machine.run(count);
      }
      expect({ count, ...translated.see() }).toEqual({ count, ...interpreted.see() });
      expect(translated.see().retired).toBe(count);
    }
    expect(translated.translated).toBeGreaterThan((STEPS * STEPS) / 4);
  });

  it.each(['long', 'protected'] as const)('goes on after any pause as if there had been none, %s mode', (width) => {
    const whole = new TwoPageMachine(width, 'off', loop);
    whole.run(WARM);
    for (const step of [1, 2, 3, 7, 16, 17, 31]) {
      const machine = new TwoPageMachine(width, 'eager', loop);
      for (let done = 0; done < WARM; done += step) machine.run(Math.min(step, WARM - done));
      expect({ step, ...machine.see() }).toEqual({ step, ...whole.see() });
    }
  });
});
