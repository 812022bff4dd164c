import type { Plain } from '@vm/core';
import { bootGuest } from '@vm/pc';
import { wasmEngine } from '@vm/vcpu-wasm';
import { describe, expect, it } from 'vitest';
import { print, smallKernel } from './small-kernel.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const CASES = 600;
const KERNEL = smallKernel((code) => {
  code.label('again');
  print(code, 'x');
  code.data(0xdb, 0xe3, 0xd9, 0xe8, 0xd9, 0xe8, 0xde, 0xc1, 0x9c, 0x9d).jmp('again'); // fninit, fld1, fld1, faddp, pushf, popf
});

describe('a saved processor', () => {
  it('comes back as it was', async () => {
    await using guest = await bootGuest({ engine: wasmEngine(), ramBytes: 16 * 2 ** 20, kernel: KERNEL, clock: { kind: 'virtual', nanosPerInstruction: 10 } });
    const { machine } = guest;
    guest.hold();
    await guest.standing();
    machine.vcpu.run(1000);
    const saved = machine.vcpu.save();
    const retired = machine.vcpu.retired;
    machine.vcpu.run(777);
    machine.vcpu.load(saved, false);
    expect([machine.vcpu.save(), machine.vcpu.retired]).toEqual([saved, retired]);
  });

  it('in a state that somebody made up is refused, or runs into whatever the guest deserves', async () => {
    await using guest = await bootGuest({ engine: wasmEngine(), ramBytes: 16 * 2 ** 20, kernel: KERNEL, clock: { kind: 'virtual', nanosPerInstruction: 10 } });
    guest.hold();
    await guest.standing();
    const { vcpu } = guest.machine;
    vcpu.run(1000);
    const good = vcpu.save() as Readonly<Record<string, Plain>>;
    const random = randomOf(SEED);
    let taken = 0;
    for (let i = 0; i < CASES; i++) {
      const hostile = hostileOf(good, random);
      try {
        vcpu.load(hostile, false);
      } catch (error) {
        expect(error instanceof TypeError || error instanceof RangeError, `VM_SEED=${SEED}, case ${i}: ${String(error)}`).toBe(true);
        continue;
      }
      taken++;
      expect(() => vcpu.run(300), `VM_SEED=${SEED}, case ${i}`).not.toThrow();
    }
    expect(taken).toBeGreaterThan(CASES / 20);
    vcpu.load(good, false);
    vcpu.run(10);
    expect(vcpu.retired).toBe((good['retired'] as number) + 10);
  });

  it('of another model is refused', async () => {
    await using guest = await bootGuest({ engine: wasmEngine({ cpuModel: 'x86-64-v1' }), ramBytes: 16 * 2 ** 20, kernel: KERNEL, clock: { kind: 'virtual', nanosPerInstruction: 10 } });
    guest.hold();
    await guest.standing();
    const { vcpu } = guest.machine;
    const saved = vcpu.save() as Readonly<Record<string, Plain>>;
    const changed = (name: string, value: Plain): (() => void) => () => vcpu.load({ ...saved, [name]: value }, false);
    expect(changed('cr4', (saved['cr4'] as bigint) | (1n << 20n))).toThrow('cr4 has no such value'); // SMEP
    expect(changed('cr0', 0x8000_0000n)).toThrow('cr0 has no such value');
    expect(changed('efer', 0x400n)).toThrow('efer has no such value');
    expect(changed('cpl', 4)).toThrow('cpl expected a number of 0 to 3');
    expect(changed('rip', 2n ** 64n)).toThrow('rip expected an integer of 64 bits');
    expect(changed('x87', new Uint8Array(10))).toThrow(/x87 expected \d+ bytes/);
  });
});

function hostileOf(good: Readonly<Record<string, Plain>>, random: (below: number) => number): Plain {
  const state: Record<string, Plain> = { ...good };
  const names = Object.keys(state);
  for (let k = random(3); k >= 0; k--) {
    const name = names[random(names.length)]!;
    const value = state[name]!;
    if (typeof value === 'bigint') state[name] = random(3) === 0 ? BigInt.asIntN(64, (BigInt(random(2 ** 32)) << 32n) | BigInt(random(2 ** 32))) : BigInt.asIntN(64, value ^ (1n << BigInt(random(64))));
    else if (value instanceof Uint8Array) state[name] = random(8) === 0 ? value.slice(1) : value.map((byte) => (random(16) === 0 ? random(256) : byte));
    else if (typeof value === 'number') state[name] = random(2) === 0 ? value ^ (1 << random(24)) : [0, -1, 2, 255, 2 ** 40, NaN][random(6)]!;
    else if (typeof value === 'boolean') state[name] = !value;
    else if (typeof value === 'object' && value !== null) {
      const segment = { ...(value as Readonly<Record<string, Plain>>) };
      segment['attributes'] = (segment['attributes'] as number) ^ (1 << (8 + random(16)));
      if (random(3) === 0) segment['limit'] = random(2 ** 32);
      state[name] = random(10) === 0 ? null : segment;
    }
  }
  return state;
}

function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
