import { CodeWriter, I32, I64 } from '../packages/vcpu-wasm/src/wasm/code-writer.ts';
import { ModuleWriter } from '../packages/vcpu-wasm/src/wasm/module-writer.ts';
import { type Benchmark, type Row, row, shortest } from './registry.ts';

/**
 * What the translator's design rests on, measured in the V8 that runs it: each row is what translated code does beside the other
 * way. Times are the shortest of several runs, both ways in turn.
 */
const PAGES = 64;
const MASK = PAGES * 65536 - 8;
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: 65536 });
type Callable = (...parameters: number[]) => number;

function moduleOf(define: (module: ModuleWriter, code: CodeWriter) => void): Uint8Array {
  const module = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
  define(module, new CodeWriter());
  return module.finish();
}
function instantiate(bytes: Uint8Array, imports: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, Callable>> {
  return new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory, ...imports } }).exports as Record<string, Callable>;
}
/** A function (count) -> something, exported as `run`, with i64 and i32 locals: 1 is an i32, from 2 on there are eight i64. */
const kernel = (body: (code: CodeWriter) => void, imports: readonly string[] = []): Uint8Array => moduleOf((module, code) => {
  for (const name of imports) module.import(name, { parameters: [I64], results: [I64] });
  const run = module.declare({ parameters: [I32], results: [I32] }, 'run');
  body(code);
  module.define(run, [I32, I64, I64, I64, I64, I64, I64, I64, I64], code);
});
const COUNT = 0, AT = 1, A = 2, B = 3;

/** Counts down; `turn` is the body. */
function countDown(code: CodeWriter, turn: () => void): void {
  const loop = code.loop();
  turn();
  code.get(COUNT).const32(1).sub32().tee(COUNT).brIf(loop);
  code.end();
}

/** Nanoseconds for each of `count`, when V8 has compiled both ways as well as it does. */
function pair(name: string, quick: boolean, ours: (count: number) => void, peerName: string, peer: (count: number) => void): Row {
  const runs = quick ? 5 : 15;
  const count = quick ? 1_000_000 : 4_000_000;
  const time = (work: (count: number) => void): number => {
    const begin = performance.now();
    work(count);
    return ((performance.now() - begin) * 1e6) / count;
  };
  for (let i = 0; i < 40; i++) for (const work of [ours, peer]) work(count >>> 3);
  let [best, bestPeer] = [Infinity, Infinity];
  for (let i = 0; i < runs; i++) [best, bestPeer] = [Math.min(best, time(ours)), Math.min(bestPeer, time(peer))];
  return row(name, 'ns', runs, best, { name: peerName, value: bestPeer });
}

/** An access behind a check of a table that always answers. What happens otherwise: the function is left, or another one is called. */
function missLeavesOrCalls(quick: boolean): Row {
  const access = (code: CodeWriter, missed: () => void): void => countDown(code, () => {
    code.get(AT).const32(40).add32().const32(MASK).and32().tee(AT).extendU().set(A);
    code.get(A).const(12).shrU().wrap().const32(63).and32().const32(16).mul32().load(0).const(0).ne();
    missed();
    code.get(AT).const32(1024).or32().load(0).get(B).add().set(B);
  });
  const leaves = instantiate(kernel((code) => {
    const exit = code.block();
    access(code, () => code.brIf(exit));
    code.end();
    code.get(B).wrap();
  }));
  const calls = instantiate(kernel((code) => {
    access(code, () => {
      code.if();
      code.get(A).call(0).set(B);
      code.end();
    });
    code.get(B).wrap();
  }, ['miss']), { miss: () => 0n });
  return pair('an access to memory, a miss leaves', quick, (count) => leaves['run']!(count), 'a miss calls', (count) => calls['run']!(count));
}

/** Eight registers, each added to its neighbour in turn. */
function registersInLocals(quick: boolean): Row {
  const locals = instantiate(kernel((code) => {
    countDown(code, () => { for (let i = 0; i < 8; i++) code.get(A + i).get(A + ((i + 1) & 7)).add().const(1).add().set(A + i); });
    code.get(A).wrap();
  }));
  const stored = instantiate(kernel((code) => {
    countDown(code, () => { for (let i = 0; i < 8; i++) code.const32(0).const32(0).load(64 + i * 8).const32(0).load(64 + ((i + 1) & 7) * 8).add().const(1).add().store(64 + i * 8); });
    code.get(A).wrap();
  }));
  return pair('eight register operations, in locals', quick, (count) => locals['run']!(count), 'in memory', (count) => stored['run']!(count));
}

const BLOCKS = 8;
/** A chain of blocks, each of which skips the next or not. */
function structuredControl(quick: boolean): Row {
  const work = (code: CodeWriter, i: number): void => { code.get(A).const(i * 7 + 3).mul().const(i + 11).add().set(A); };
  const skips = (code: CodeWriter, i: number): void => { code.get(A).const(17 + i).shrU().wrap().const32(1).and32(); };
  const structured = instantiate(kernel((code) => {
    countDown(code, () => {
      for (let i = 0; i < BLOCKS; i += 2) {
        work(code, i);
        skips(code, i);
        code.if();
        work(code, i + 1);
        code.end();
      }
    });
    code.get(A).wrap();
  }));
  const dispatched = instantiate(kernel((code) => {
    countDown(code, () => {
      code.const32(0).set(AT);
      const done = code.block();
      const loop = code.loop();
      const labels = Array.from({ length: BLOCKS }, () => code.block()).toReversed();
      code.get(AT).brTable(labels, done);
      for (let i = 0; i < BLOCKS; i++) {
        code.end();
        work(code, i);
        if (i % 2 === 0) {
          code.const32(i + 1).const32(i + 2);
          skips(code, i);
          code.select();
        } else code.const32(i + 1);
        code.set(AT).br(loop);
      }
      code.end();
      code.end();
    });
    code.get(A).wrap();
  }));
  return pair('eight blocks, structured', quick, (count) => structured['run']!(count), 'through a table in a loop', (count) => dispatched['run']!(count));
}

/** A value of 64 bits from WebAssembly to JavaScript and back. */
function valuesThroughMemory(quick: boolean): Row {
  const view = new DataView(memory.buffer);
  const throughMemory = instantiate(moduleOf((module, code) => {
    const take = module.import('take', { parameters: [], results: [] });
    const run = module.declare({ parameters: [I32], results: [I32] }, 'run');
    countDown(code, () => { code.const32(0).get(A - 1).store(128).call(take).const32(0).load(128).set(A - 1); });
    code.get(A - 1).wrap();
    module.define(run, [I64], code);
  }), { take: () => { view.setInt32(128, view.getInt32(128, true) + 1, true); } });
  const asBigInt = instantiate(kernel((code) => {
    countDown(code, () => { code.get(A).call(0).set(A); });
    code.get(A).wrap();
  }, ['take']), { take: (value: bigint) => value + 0x1_0000_0001n });
  return pair('64 bits to JavaScript and back, through memory', quick, (count) => throughMemory['run']!(count), 'as BigInt', (count) => asBigInt['run']!(count));
}

/** Distinct functions of some twenty blocks. */
function functionBody(code: CodeWriter, salt: number): void {
  code.reset();
  for (let i = 0; i < 20; i++) {
    code.get(A).const(salt + i).mul().const(i).xor().tee(A).const(3).and().eqz();
    code.if();
    code.get(COUNT).const32(MASK).and32().load(8 * i).get(A).add().set(A);
    code.end();
  }
  code.get(A).wrap();
}
function modulesOf(functions: number, perModule: number, salt: number): Uint8Array[] {
  return Array.from({ length: functions / perModule }, (_, m) => moduleOf((module, code) => {
    for (let f = 0; f < perModule; f++) {
      const index = module.declare({ parameters: [I32], results: [I32] }, `f${f}`);
      functionBody(code, salt + m * perModule + f);
      module.define(index, [I32, I64, I64], code);
    }
  }));
}
function severalInAModule(quick: boolean): Row {
  const functions = quick ? 256 : 1024;
  const runs = quick ? 3 : 9;
  let salt = 1;
  const kept: unknown[] = [];
  const all = (perModule: number): number => {
    const modules = modulesOf(functions, perModule, salt);
    salt += functions;
    const begin = performance.now();
    for (const bytes of modules) {
      const exports = instantiate(bytes);
      for (const run of Object.values(exports)) run(1);
      kept.push(exports);
    }
    return ((performance.now() - begin) * 1000) / functions;
  };
  for (const perModule of [8, 1]) all(perModule);
  let [batched, single] = [Infinity, Infinity];
  for (let i = 0; i < runs; i++) [batched, single] = [Math.min(batched, all(8)), Math.min(single, all(1))];
  return row('making a function and calling it once, eight in a module', 'us', runs, batched, { name: 'one in a module', value: single });
}

/** Code that is left again and again is replaced by better code; code that is not stays as it was first compiled. */
function regularExits(quick: boolean): Row {
  const turns = quick ? 20_000_000 : 60_000_000;
  const SLICES = 400;
  let salt = 1;
  const fresh = (): Callable => instantiate(kernel((code) => {
    countDown(code, () => { code.get(A).const(7 + salt++).mul().const(13).add().get(B).xor().tee(A).const(5).rotl().set(B); });
    code.get(A).wrap();
  }))['run']!;
  const runs = quick ? 2 : 5;
  const sliced = shortest(runs, () => {
    const run = fresh();
    let last = 0;
    for (let i = 0; i < SLICES; i++) {
      const begin = performance.now();
      run(turns / SLICES);
      last = performance.now() - begin;
    }
    return (last * 1e6 * SLICES) / turns;
  });
  const whole = shortest(runs, () => {
    const run = fresh();
    const begin = performance.now();
    run(turns);
    return ((performance.now() - begin) * 1e6) / turns;
  });
  return row('a turn of a loop that is left regularly, in the end', 'ns', runs, sliced, { name: 'of one that never is', value: whole });
}

/** The table of a module that exports one with that many functions. */
function tableOf(entries: number): WebAssembly.Table {
  const module = moduleOf((writer, code) => {
    const index = writer.declare({ parameters: [], results: [] });
    writer.table(Array.from({ length: entries }, () => index), 'table');
    code.reset();
    writer.define(index, [], code);
  });
  return (instantiate(module) as unknown as { readonly table: WebAssembly.Table }).table;
}
/** A module that imports a table of functions and nothing else (WebAssembly Core Specification 2.0, section 5.5.5). */
const TABLE_USER = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 2, 11, 1, 3, 0x65, 0x6e, 0x76, 1, 0x74, 1, 0x70, 0, 1);
const TABLE_USERS = 2000;
function tablesNotShared(quick: boolean): Row {
  const [entry] = Object.values(instantiate(modulesOf(1, 1, 1)[0]!));
  const [alone, shared] = [tableOf(16), tableOf(16)];
  const module = new WebAssembly.Module(TABLE_USER);
  const users = Array.from({ length: TABLE_USERS }, () => new WebAssembly.Instance(module, { env: { t: shared } }));
  const runs = quick ? 3 : 9;
  const each = (table: WebAssembly.Table, count: number): number => {
    const begin = performance.now();
    for (let i = 0; i < count; i++) table.set(i & 15, entry);
    return ((performance.now() - begin) * 1000) / count;
  };
  const few = shortest(runs, () => each(alone, 2000));
  const many = shortest(runs, () => each(shared, 200));
  if (users.length !== TABLE_USERS) throw new Error('nothing used the table');
  return row('table.set', 'us', runs, few, { name: `a table that ${TABLE_USERS} instances import`, value: many });
}

const RULES = [missLeavesOrCalls, registersInLocals, structuredControl, valuesThroughMemory, severalInAModule, regularExits, tablesNotShared];

export const v8: Benchmark = {
  summary: "what the translator's design rests on, in this V8",
  run: ({ quick }) => Promise.resolve(RULES.map((rule) => rule(quick))),
};
