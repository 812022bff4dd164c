import { CONDITION_E, CONDITION_NE, createAssembler, mem, r32, r64, R15, RAX, RBX, RCX, RDX, RSI } from '@vm/x86';
import { FlatRunner } from '../packages/vcpu-wasm/src/flat-runner.ts';
import { type Benchmark, median, row } from './registry.ts';

const AT = 0x40_0000;
const DATA = 0x50_0000, STACK = 0x60_0000;
const FUNCTIONS = 60;
/** Of a function: regions come out with some thirteen blocks, as in the boot of a Linux kernel. */
const PARTS = 2;
/** Enough for all of it to become hot. */
const TURNS = 1500;
/** Until the code that writes code is itself compiled by V8. */
const WARM_ROUNDS = 20;
/** A page that is written anew more often is no longer translated. */
const ROUNDS_A_MACHINE = 10;
const BUDGET = 20_000_000;

/** Functions as compilers write them: loads, stores, arithmetic, conditions, a loop. */
function program(constant: number): Uint8Array {
  const code = createAssembler(64, { origin: AT });
  code.mov(r32(R15), TURNS).label('turn');
  for (let f = 0; f < FUNCTIONS; f++) code.call(`f${f}`);
  code.dec(r32(R15)).jcc(CONDITION_NE, 'turn').hlt();
  for (let f = 0; f < FUNCTIONS; f++) {
    code.label(`f${f}`).push(r64(RBX)).mov(r32(RAX), mem(4, { base: RSI, displacement: f * 4 }));
    for (let part = 0; part < PARTS; part++) {
      const name = `f${f}.${part}`;
      code.add(r32(RAX), f + 1).test(r32(RAX), 1 << (f % 5)).jcc(CONDITION_E, `${name}.even`);
      code.xor(r32(RAX), constant).mov(mem(4, { base: RSI, displacement: 1024 + f * 4 }), r32(RAX)).jmp(`${name}.join`);
      code.label(`${name}.even`).lea(r64(RAX), mem(8, { base: RAX, index: RAX, scale: 4, displacement: 7 })).shl(r32(RAX), 3);
      code.label(`${name}.join`).mov(r32(RCX), 3).mov(r32(RBX), r32(RAX));
      code.label(`${name}.loop`).add(r32(RBX), r32(RCX)).cmp(r32(RBX), 100 * f).jcc(CONDITION_NE, `${name}.other`).sub(r32(RBX), 1);
      code.label(`${name}.other`).mov(r32(RDX), r32(RBX)).and(r32(RDX), 0xff).add(mem(4, { base: RSI, displacement: 2048 }), r32(RDX)).dec(r32(RCX)).jcc(CONDITION_NE, `${name}.loop`);
    }
    code.mov(r32(RAX), r32(RBX)).pop(r64(RBX)).ret();
  }
  return code.bytes();
}

/** What it costs to write translated code, beside what V8 takes to compile what was written. */
export const translate: Benchmark = {
  summary: 'writing WebAssembly for guest code: time a basic block',
  run: ({ quick }) => {
    const rounds = quick ? 30 : 150;
    let runner = new FlatRunner('long', 'on');
    // Another program each time, so that everything is written anew.
    const programs = [program(0x55), program(0x56)];
    const request = { at: AT, mode: 'long', registers: { rsi: DATA, rsp: STACK + 4096 }, memory: [{ at: DATA, bytes: 4096 }, { at: STACK, bytes: 4096 }], budget: BUDGET } as const;
    const counts = (): ReadonlyMap<string, number> => new Map(runner.vcpu.counts());
    const writing: number[] = [], compiling: number[] = [];
    let before = counts();
    for (let i = 0; i < WARM_ROUNDS + rounds; i++) {
      if (i % ROUNDS_A_MACHINE === 0) {
        runner = new FlatRunner('long', 'on');
        before = counts();
      }
      const { stop } = runner.run({ ...request, code: programs[i % 2] as Uint8Array });
      const after = counts();
      const added = (name: string): number => (after.get(`translator.${name}`) ?? 0) - (before.get(`translator.${name}`) ?? 0);
      if (stop !== 'halt' || added('blocks') < FUNCTIONS) throw new Error(`the program ended by ${stop}, with ${added('blocks')} blocks translated`);
      if (i >= WARM_ROUNDS) {
        writing.push((added('microseconds') - added('compileMicroseconds')) / added('blocks'));
        compiling.push(added('compileMicroseconds') / added('blocks'));
      }
      before = after;
    }
    return Promise.resolve([row('a basic block, eight regions in a module', 'us', rounds, median(writing), { name: 'V8 compiles it', value: median(compiling) })]);
  },
};
