import { CONDITION_NE, createAssembler, r32, R15, RAX, RBX } from '@vm/x86';
import { expect, it } from 'vitest';
import { FlatRunner } from '../flat-runner.ts';

const AT = 0x40_0000;
const STACK = 0x60_0000;
const FUNCTIONS = 24;
/** Instructions that all functions end with. */
const SHARED = 40;
/** Enough for all of it to become hot. */
const TURNS = 4000;
const BUDGET = 20_000_000;

/** Functions that begin each in its own way, and go on in one that comes behind them. */
function program(): Uint8Array {
  const code = createAssembler(64, { origin: AT });
  code.mov(r32(R15), TURNS).label('turn');
  for (let f = 0; f < FUNCTIONS; f++) code.call(`f${f}`);
  code.dec(r32(R15)).jcc(CONDITION_NE, 'turn').hlt();
  for (let f = 0; f < FUNCTIONS; f++) code.label(`f${f}`).add(r32(RAX), f).jmp('shared');
  code.label('shared');
  for (let i = 0; i < SHARED; i += 2) code.xor(r32(RAX), i * 0x0101_0101).add(r32(RBX), r32(RAX));
  code.ret();
  return code.bytes();
}

function run(translator: 'on' | 'off', ring: 0 | 3): { readonly sum: number | bigint | undefined; readonly translated: number } {
  const runner = new FlatRunner('long', translator);
  const { rbx } = runner.run({ code: program(), at: AT, mode: 'long', ring, registers: { rsp: STACK + 4096 }, memory: [{ at: STACK, bytes: 4096 }], budget: BUDGET });
  return { sum: rbx, translated: new Map(runner.vcpu.counts()).get('translator.instructions') ?? 0 };
}

it('leaves code ahead to the region that begins there in a system, and holds it in each region in a program', () => {
  const system = run('on', 0), application = run('on', 3);
  expect(application.translated).toBeGreaterThan(FUNCTIONS / 2 * SHARED);
  expect(system.translated).toBeLessThan(application.translated * 0.7);
  expect([system.sum, application.sum]).toEqual([run('off', 0).sum, run('off', 0).sum]);
});
