import { createAssembler, mem, r32, RAX, RBP, RCX, RDX, RSP } from '@vm/x86';
import { expect, it } from 'vitest';
import { FlatMachine } from '../flat-machine.ts';
import type { TranslatorMode } from './translator-mode.ts';

const CODE = 0x9_0000, STACK = 0x2_0000, TURNS = 0x1000;
const BRANCHES = [
  ['JMP, 8 bits', [0x66, 0xeb, 0x04]], ['JMP, 16 bits', [0x66, 0xe9, 0x04, 0x00]], ['JE, 8 bits', [0x66, 0x74, 0x04]], ['JE, 16 bits', [0x66, 0x0f, 0x84, 0x04, 0x00]], ['CALL', [0x66, 0xe8, 0x04, 0x00]],
] as const;

/** Ten times through the branch, which leads 4 bytes on in the first 64 KiB, where a jump back stands; 4 bytes on behind the branch stands another end. */
function run(branch: readonly number[], translator: TranslatorMode): unknown {
  const machine = new FlatMachine('protected', { processor: { translator } });
  const code = createAssembler(32, { origin: CODE }).inc(mem(4, { displacement: TURNS })).cmp(mem(4, { displacement: TURNS }), 10);
  const bytes = [...code.jcc(4, 'end').xor(r32(RDX), r32(RDX)).data(...branch).inc(r32(RCX)).inc(r32(RCX)).inc(r32(RCX)).inc(r32(RCX)).inc(r32(RAX)).label('end').hlt().bytes()];
  const after = (code.offsetOf('end') ?? 0) - 5;
  machine.put(CODE, bytes);
  const target = (CODE + after + 4) & 0xffff;
  machine.put(target, createAssembler(32, { origin: target }).inc(r32(RBP)).bytes());
  // JMP to the beginning.
  machine.put(target + 1, [0xe9, ...new Uint8Array(new Int32Array([CODE - (target + 6)]).buffer)]);
  machine.enter(CODE);
  machine.setGpr(RSP, BigInt(STACK));
  expect(machine.run(1000)).toBe(true);
  return [machine.gpr(RAX), machine.gpr(RCX), machine.gpr(RBP), machine.gpr(RSP), machine.vcpu.retired];
}

it.each(BRANCHES)('%s with an operand size of 16 bits cuts the instruction pointer in translated 32-bit code too', (name, branch) => {
  const expected = run(branch, 'off');
  expect(expected).toEqual([0n, 0n, 9n, BigInt(name === 'CALL' ? STACK - 18 : STACK), expect.any(Number)]);
  expect(run(branch, 'eager')).toEqual(expected);
});
