/**
 * The functions that emitted code may call: imports served by TypeScript, and parts of the engine module that are
 * themselves generated. The numbers are function indices of the module being written.
 */
import type { CodeWriter } from './wasm/code-writer.ts';
import { F64, I32, I64 } from './wasm/code-writer.ts';
import type { ModuleWriter, Signature } from './wasm/module-writer.ts';
import { writeFlagsToBlock, writeFlagWords, writeSettleFlags } from './flag-kind.ts';
import * as state from './cpu-state.ts';
import { DECODE_MAP, PAGE_LINEAR_SHIFT } from './code-page.ts';
import { declareFloat } from './float/float-runtime.ts';
import type { FloatCommit } from './float/float-runtime.ts';
import type { FloatFunctions } from './float/float-functions.ts';
import { pushHeat } from './register-file-binding.ts';
import { defineHandlerEntry, HANDLER_ENTRY } from './handler-entry.ts';
import { FETCH, READ, WRITE } from './page-walk.ts';
import { defineRefill, REFILL } from './tlb-refill.ts';
import { exportX87 } from './float80/region-functions.ts';
import { declareX87 } from './float80/x87-functions.ts';
import type { X87Functions } from './float80/x87-functions.ts';
import { pushTlbPlace } from './tlb-place.ts';

export interface Runtime {
  /** (s, address, bytes) -> value; 16-byte values are left in VALUE. */
  readonly slowLoad: number;
  readonly slowLoadForUpdate: number;
  /** (s, address, value, bytes); the upper half of a 16-byte value comes from VALUE. */
  readonly slowStore: number;
  /** See tlb-refill.ts. */
  readonly refillRead: number;
  readonly refillWrite: number;
  /** (s, segment, offset, bytes) -> linear address, outside 64-bit mode. */
  readonly linearRead: number;
  readonly linearWrite: number;
  /** (s, rip) -> uop. */
  readonly lookup: number;
  /** (uop) -> uop of its in-page target. */
  readonly link: number;
  /** (uop): its counter has run out. */
  readonly hot: number;
  readonly looped: number;
  /** (vector, error code or -1); does not return. */
  readonly raise: number;
  /** (id, uop) -> 0 go on, 1 RIP was set, 2 leave. */
  readonly system: number;
  /** (id) -> machine time, not a number where only the system function can tell. */
  readonly now: number;
  /** (s) -> arithmetic flags; (s, flags). */
  readonly getFlags: number;
  readonly setFlags: number;
  /** See flag-kind.ts. */
  readonly settleFlags: number;
  /** See handler-entry.ts. */
  readonly enterHandler: number;
  /** (port, bytes) -> value; (port, bytes, value). Checks permissions. */
  readonly portIn: number;
  readonly portOut: number;
  readonly float: FloatFunctions;
  readonly floatCommit: FloatCommit;
  readonly x87: X87Functions;
}

const signature = (parameters: Signature['parameters'], results: Signature['results'] = []): Signature => ({ parameters, results });

/** Names under which the engine imports its TypeScript half. */
export interface EngineImports {
  readonly slowLoad: (low: number, high: number, bytes: number) => void;
  readonly slowLoadForUpdate: (low: number, high: number, bytes: number) => void;
  readonly slowStore: (low: number, high: number, bytes: number) => void;
  readonly slowLinear: (segment: number, offset: number, bytes: number, write: number) => void;
  readonly resolve: () => number;
  readonly link: (uop: number) => number;
  readonly hot: (uop: number) => void;
  /** The region at a uop ran for long. */
  readonly looped: (uop: number) => void;
  /** Answer the uop to go on with. */
  readonly stale: (uop: number) => number;
  readonly crossPage: (uop: number) => number;
  readonly raise: (vector: number, errorCode: number) => void;
  readonly system: (id: number, uop: number) => number;
  readonly now: (id: number) => number;
  readonly portIn: (port: number, bytes: number) => number;
  readonly portOut: (port: number, bytes: number, value: number) => void;
  readonly unknown: (uop: number) => void;
}

export interface RuntimeAndImports extends Runtime {
  readonly stale: number;
  readonly crossPage: number;
  readonly unknown: number;
  /** Writes the bodies of the generated helpers. */
  define(): void;
}

export function declareRuntime(module: ModuleWriter, long: boolean, code: CodeWriter): RuntimeAndImports {
  const slowLoadImport = module.import('slowLoad', signature([I32, I32, I32]));
  const slowLoadForUpdateImport = module.import('slowLoadForUpdate', signature([I32, I32, I32]));
  const slowStoreImport = module.import('slowStore', signature([I32, I32, I32]));
  const slowLinearImport = module.import('slowLinear', signature([I32, I32, I32, I32]));
  const resolve = module.import('resolve', signature([], [I32]));
  const link = module.import('link', signature([I32], [I32]));
  const hot = module.import('hot', signature([I32]));
  const looped = module.import('looped', signature([I32]));
  const stale = module.import('stale', signature([I32], [I32]));
  const crossPage = module.import('crossPage', signature([I32], [I32]));
  const raise = module.import('raise', signature([I32, I32]));
  const system = module.import('system', signature([I32, I32], [I32]));
  const now = module.import('now', signature([I32], [F64]));
  const portIn = module.import('portIn', signature([I32, I32], [I32]));
  const portOut = module.import('portOut', signature([I32, I32, I32]));
  const unknown = module.import('unknown', signature([I32]));

  const slowLoad = module.declare(signature([I32, I64, I32], [I64]));
  const slowLoadForUpdate = module.declare(signature([I32, I64, I32], [I64]));
  const slowStore = module.declare(signature([I32, I64, I64, I32]));
  const refillRead = module.declare(REFILL, 'refillRead');
  const refillWrite = module.declare(REFILL, 'refillWrite');
  const refillFetch = module.declare(REFILL);
  const linearRead = module.declare(signature([I32, I32, I64, I32], [I64]));
  const linearWrite = module.declare(signature([I32, I32, I64, I32], [I64]));
  const lookup = module.declare(signature([I32, I64], [I32]));
  const getFlags = module.declare(signature([I32], [I32]), 'getFlags');
  const setFlags = module.declare(signature([I32, I32]), 'setFlags');
  const flagWords = module.declare(signature([I32, I32, I64, I64, I64], [I64, I64, I64]), 'flagWords');
  const flagsToBlock = module.declare(signature([I32, I32, I64, I64, I64]), 'flagsToBlock');
  const settleFlags = module.declare(signature([I32]));
  const enterHandler = module.declare(HANDLER_ENTRY, 'enterHandler');
  const declaredFloat = declareFloat(module, code, raise);
  const { float, floatCommit } = declaredFloat;
  const x87 = declareX87(module);
  exportX87(x87, module);

  const define = (): void => {
    defineRefill(module, code, refillRead, READ, long);
    defineRefill(module, code, refillWrite, WRITE, long);
    defineRefill(module, code, refillFetch, FETCH, long);
    for (const [index, target] of [[slowLoad, slowLoadImport], [slowLoadForUpdate, slowLoadForUpdateImport]] as const) {
      code.reset();
      // Both read where a refill makes the TLB of reads answer.
      code.get(0).get(1).get(2).const32(~state.ANY_ALIGNMENT).and32().call(target === slowLoadImport ? refillRead : refillWrite);
      code.if();
      hostAddress(3, 4, state.READ_TLB);
      for (const bytes of [8, 4, 2, 1]) {
        code.get(2).const32(~state.ANY_ALIGNMENT).and32().const32(bytes).eq32();
        code.if();
        code.get(3).loadSize(bytes).return();
        code.end();
      }
      code.get(0).get(3).loadV128().storeV128(state.VALUE).const(0).return();
      code.end();
      code.get(1).wrap().get(1).const(32).shrU().wrap().get(2).call(target).get(0).load(state.VALUE);
      module.define(index, [I32, I32], code);
    }
    code.reset();
    code.get(0).get(1).get(3).const32(~state.ANY_ALIGNMENT).and32().call(refillWrite);
    code.if();
    hostAddress(4, 5, state.WRITE_TLB);
    for (const bytes of [8, 4, 2, 1]) {
      code.get(3).const32(~state.ANY_ALIGNMENT).and32().const32(bytes).eq32();
      code.if();
      code.get(4).get(2).storeSize(bytes).return();
      code.end();
    }
    code.get(4).get(0).loadV128(state.VALUE).storeV128().return();
    code.end();
    code.get(0).get(2).store(state.VALUE);
    code.get(1).wrap().get(1).const(32).shrU().wrap().get(3).call(slowStoreImport);
    module.define(slowStore, [I32, I32], code);
    defineLinear(linearRead, state.LIMIT_READ, 0);
    defineLinear(linearWrite, state.LIMIT_WRITE, 1);
    defineLookup();
    defineFlags();
    defineHandlerEntry(module, enterHandler, code, getFlags, long);
    declaredFloat.define();
    x87.define(code);
  };

  /** Local `host` = where the address in local 1 lies, which the TLB knows. */
  function hostAddress(host: number, entry: number, tlb: number): void {
    pushTlbPlace(code.get(1)).get(0).load32(state.TLB_BASE).add32().set(entry);
    code.get(1).wrap().get(entry).load32(tlb + state.TLB_ADDEND).add32().set(host);
  }

  /** Limit and type checks of a segment, then the base; SDM vol. 3, section 5.3. */
  function defineLinear(index: number, limits: number, write: number): void {
    const OFFSET = 2, SEGMENT8 = 4;
    code.reset();
    code.get(0).get(1).const32(3).shl32().add32().set(SEGMENT8);
    code.get(OFFSET).get(3).extendU().add().const(-1).add().get(SEGMENT8).load(limits).gtS();
    code.if();
    code.get(1).get(OFFSET).wrap().get(3).const32(write).call(slowLinearImport);
    code.end();
    code.get(OFFSET).get(SEGMENT8).load(state.SEGMENT_BASE).add().zeroExtend(4);
    module.define(index, [I32], code);
  }

  /** From an instruction pointer to its uop: fetch TLB, then the page's decode map; TypeScript fills what is missing. */
  function defineLookup(): void {
    const RIP = 1, LINEAR = 2, ENTRY = 3, PAGE = 4, FOUND = 5;
    code.reset();
    code.get(0).get(RIP).store(state.RIP);
    code.get(RIP);
    if (!long) code.get(0).load(state.SEGMENT_BASE + state.CS * 8).add().zeroExtend(4);
    pushTlbPlace(code.tee(LINEAR)).get(0).load32(state.TLB_BASE).add32().set(ENTRY);
    const miss = code.block();
    if (!long) {
      code.get(RIP).get(0).load32U(state.SEGMENT + state.CS * state.SEGMENT_STRIDE + state.SEGMENT_LIMIT).gtU().brIf(miss);
    }
    code.get(LINEAR).const(-4096).and().get(0).load(state.FETCH_TAG).or().get(ENTRY).load(state.FETCH_TLB).ne();
    code.ifSeldom();
    code.get(0).get(LINEAR).const32(1).call(refillFetch).eqz32().brIf(miss);
    code.end();
    code.get(ENTRY).load32(state.FETCH_TLB + state.TLB_CODE_PAGE).tee(PAGE);
    code.get(LINEAR).wrap().const32(0xfff).and32().const32(PAGE_LINEAR_SHIFT).shl32().add32().load32(DECODE_MAP).tee(FOUND).eqz32().brIf(miss);
    code.get(0).get(LINEAR).const(-4096).and();
    if (!long) code.get(0).load(state.SEGMENT_BASE + state.CS * 8).sub();
    code.store(state.PAGE_RIP);
    code.get(0).get(PAGE).store32(state.CODE_PAGE);
    pushHeat(code, hot, FOUND, ENTRY, PAGE);
    code.get(FOUND).return();
    code.end();
    code.call(resolve);
    module.define(lookup, [I64, I32, I32, I32], code);
  }

  function defineFlags(): void {
    const RESULT = 1, EXTRA = 2, CARRY = 3;
    code.reset();
    code.get(0).load(state.FLAG_RESULT).set(RESULT).get(0).load32(state.FLAG_EXTRA).set(EXTRA).get(0).load(state.FLAG_CARRY).set(CARRY);
    code.get(CARRY).const(63).shrU().wrap(); // CF, bit 0
    code.get(RESULT).wrap().get(EXTRA).const32(8).shrU32().xor32().const32(0xff).and32().popcnt32().const32(1).and32().const32(1).xor32().const32(2).shl32().or32(); // PF, bit 2
    code.get(RESULT).wrap().get(EXTRA).xor32().const32(0x10).and32().or32(); // AF, bit 4
    code.get(RESULT).eqz().const32(6).shl32().or32(); // ZF, bit 6
    code.get(RESULT).const(63).shrU().wrap().get(EXTRA).const32(16).shrU32().xor32().const32(7).shl32().or32(); // SF, bit 7
    code.get(CARRY).get(CARRY).const(1).shl().xor().const(63).shrU().wrap().const32(11).shl32().or32(); // OF, bit 11
    module.define(getFlags, [I64, I32, I64], code);

    const FLAGS = 1, ZERO = 2;
    code.reset();
    code.get(FLAGS).const32(6).shrU32().const32(1).and32().set(ZERO);
    code.get(0).get(ZERO).const32(1).xor32().extendU().store(state.FLAG_RESULT);
    // With result 0 or 1 the natural PF is ZF and the natural SF is 0.
    code.get(0);
    code.get(FLAGS).const32(0x10).and32();
    code.get(FLAGS).const32(2).shrU32().const32(1).and32().get(ZERO).xor32().const32(8).shl32().or32();
    code.get(FLAGS).const32(7).shrU32().const32(1).and32().const32(16).shl32().or32();
    code.store32(state.FLAG_EXTRA);
    code.get(0);
    code.get(FLAGS).extendU().const(63).shl();
    code.get(FLAGS).get(FLAGS).const32(11).shrU32().xor32().const32(1).and32().extendU().const(62).shl().or();
    code.store(state.FLAG_CARRY).get(0).const32(0).store32(state.FLAGS_PENDING);
    module.define(setFlags, [I32], code);

    writeFlagWords(code, settleFlags);
    module.define(flagWords, [I32, I64], code);
    writeFlagsToBlock(code, flagWords);
    module.define(flagsToBlock, [], code);
    writeSettleFlags(code, flagsToBlock);
    module.define(settleFlags, [], code);
  }

  return {
    slowLoad, slowLoadForUpdate, slowStore, refillRead, refillWrite, linearRead, linearWrite, lookup, link, hot, looped, raise, system, now, getFlags, setFlags, settleFlags, enterHandler, portIn, portOut, float, floatCommit, x87,
    stale, crossPage, unknown, define,
  };
}
