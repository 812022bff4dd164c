/** Random bytes as code, with random registers and flags, in every mode: whatever they do, the processor comes back. */
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const CASES = Number(process.env['VM_CASES'] ?? 1500);
const CODE = 0x1_0000;
const CODE_BYTES = 96;
const INSTRUCTIONS = 200;
/** Opcodes that lead somewhere more often than chance does: prefixes, escapes, far transfers, control and debug registers. */
const SPICE = [0x0f, 0x66, 0xf2, 0xf3, 0x48, 0x67, 0xf0, 0x2e, 0x64, 0xff, 0x9a, 0xea, 0xcf, 0xcb, 0x8e, 0x0f, 0x01, 0x22, 0x23, 0x30, 0xcd, 0xe6, 0xee, 0xc8, 0x9d, 0xd9, 0xdd, 0xdb];

function generator(seed: number): () => number {
  let x = (seed * 0x9e37_79b9) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

describe('hostile code', () => {
  it.each(['real', 'protected', 'long'] as FlatMode[])(`never throws and never hangs in %s mode (seed ${SEED})`, (mode) => {
    const next = generator(SEED);
    let machine = new FlatMachine(mode);
    let instructions = 0;
    for (let i = 0; i < CASES; i++) {
      // Stores of earlier cases may have ruined the tables.
      if (i % 500 === 499) machine = new FlatMachine(mode);
      const { vcpu } = machine;
      const code = Array.from({ length: CODE_BYTES }, () => { const value = next(); return value % 3 === 0 ? SPICE[(value >>> 8) % SPICE.length] as number : value >>> 24; });
      machine.put(CODE, code);
      machine.enter(mode === 'real' ? CODE & 0xffff : CODE);
      if (mode === 'real') vcpu.segments.setRealMode(state.CS, 0x1000);
      for (let register = 0; register < 16; register++) machine.setGpr(register, BigInt(next() % 3 === 0 ? next() % 0x40_0000 : next()));
      machine.flags = next() & 0x3f_7fd7;
      if (next() % 4 === 0) vcpu.state.set(state.CPL, 3);
      if (next() % 4 === 0) vcpu.state.set(state.DR + 56, next());
      vcpu.debugRegistersChanged();
      const before = vcpu.retired;
      expect([0, 1, 2, 3]).toContain(vcpu.run(INSTRUCTIONS));
      instructions += vcpu.retired - before;
      expect(vcpu.retired - before).toBeLessThanOrEqual(INSTRUCTIONS);
    }
    expect(instructions).toBeGreaterThan(CASES);
  });
});
