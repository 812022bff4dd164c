/**
 * Writes the interpreter as a WebAssembly module from the instruction emitters.
 *
 * One exported function, `run(s)`, is a loop over pre-decoded micro-operations: a br_table whose cases are the emitted
 * instructions, or calls of functions of their own for the large and the rare. There are two modules, one for 64-bit
 * mode and one for all modes with segmentation, so that neither carries the other's checks.
 */
import { CodeWriter } from './wasm/code-writer.ts';
import type { Label } from './wasm/code-writer.ts';
import { F64, I32, I64 } from './wasm/code-writer.ts';
import { ModuleWriter } from './wasm/module-writer.ts';
import type { Signature } from './wasm/module-writer.ts';
import { Emitter } from './emitter.ts';
import { S, TEMPORARIES, U } from './locals.ts';
import { pushHeat, RegisterFileBinding } from './register-file-binding.ts';
import type { InstructionEmitter } from './emitter.ts';
import type { Form } from './form.ts';
import { FIRST_INSTRUCTION_HANDLER, HANDLER_CROSS_PAGE, HANDLER_EXIT, HANDLER_GOTO, HANDLER_REGION, HANDLER_STALE, HANDLER_UNKNOWN } from './handler-number.ts';
import { declareRuntime } from './runtime.ts';
import * as state from './cpu-state.ts';
import * as uop from './uop.ts';
import { pushLanding } from './landing.ts';
import { pushBudget, pushExitReason, UNDONE_MASK } from './region-exit.ts';
import type { Runtime } from './runtime.ts';
import { pushTlbPlace } from './tlb-place.ts';

/** (s, uop) -> the uop to go on with. */
const APART: Signature = { parameters: [I32, I32], results: [I32] };

export interface Handler { readonly form: Form; readonly emitter: InstructionEmitter }

export function writeInterpreter(handlers: readonly Handler[], long: boolean): Uint8Array {
  const module = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
  const code = new CodeWriter();
  const runtime = declareRuntime(module, long, code);
  // Handlers that are functions of their own come last; one case reaches them all, which keeps the loop small.
  const inline = handlers.findIndex((handler) => handler.emitter.apart === true);
  const inlineCount = inline < 0 ? handlers.length : inline;
  const apart = handlers.slice(inlineCount).map(() => module.declare(APART));
  module.table(apart, 'table');
  const run = module.declare({ parameters: [I32], results: [] }, 'run');
  const regions = module.declare(APART);
  const callApart = module.declare({ parameters: [I32, I32, I32], results: [I32] }, 'apart');
  const hop = module.declare(APART, 'hop');
  const stay = module.declare(APART, 'stay');
  const looped = module.declare({ parameters: [I32], results: [] }, 'looped');
  const now = module.declare({ parameters: [I32], results: [F64] }, 'now');
  runtime.define();

  const first = handlers[0];
  if (first === undefined) throw new RangeError('an interpreter needs at least one instruction');
  const emitter = new Emitter(code, first.form, runtime);
  const inFunction = new RegisterFileBinding(null);
  handlers.slice(inlineCount).forEach((handler, i) => {
    if (handler.emitter.apart !== true) throw new RangeError(`${handler.form.key}: stands behind the handlers that are functions`);
    code.reset();
    emitter.begin(code, handler.form, inFunction);
    handler.emitter.emit(emitter);
    code.get(U).const32(uop.UOP_BYTES).add32();
    module.define(apart[i] as number, TEMPORARIES, code);
  });

  // What a translated region calls: the function with this number in the table.
  code.reset();
  code.get(S).get(U).get(2).callIndirect(module.typeIndex(APART));
  module.define(callApart, [], code);

  code.reset();
  code.get(0).call(runtime.looped);
  module.define(looped, [], code);

  code.reset();
  code.get(0).call(runtime.now);
  module.define(now, [], code);

  writeRegionLoop(module, code, regions, runtime, long);
  writeHop(module, code, hop, long);
  code.reset();
  code.get(S).const32(0).store32(state.REGION_EXIT).get(U);
  module.define(stay, [], code);

  // | loop | advance | functions | case n-1 .. case 0 | br_table |
  code.reset();
  code.get(S).get(S).load(state.RIP).call(runtime.lookup).set(U);
  const exit = code.block();
  const loop = code.loop();
  const inLoop = new RegisterFileBinding(loop);
  const advance = code.block();
  const functions = code.block();
  const labels: Label[] = [];
  const count = FIRST_INSTRUCTION_HANDLER + inlineCount;
  for (let i = 0; i < count; i++) labels.push(code.block());
  labels.reverse();
  code.get(S).get(U).store32(state.CURRENT_UOP);
  const spent = 10; // local P
  code.get(S).load32(state.BUDGET).tee(spent).eqz32().brIf(exit);
  code.get(S).get(spent).const32(1).sub32().store32(state.BUDGET);
  code.get(U).load16U32(uop.UOP_HANDLER).brTable(labels, functions);

  const giveBack = (): void => { code.get(S).get(S).load32(state.BUDGET).const32(1).add32().store32(state.BUDGET); };
  const ownRip = (): void => { code.get(S).load(state.PAGE_RIP).get(U).load16U(uop.UOP_NEXT).add().get(U).load8U(uop.UOP_LENGTH).sub(); if (!long) code.zeroExtend(4); };
  for (let i = 0; i < count; i++) {
    code.end();
    switch (i) {
      case HANDLER_EXIT:
        giveBack();
        code.br(exit);
        break;
      case HANDLER_STALE:
        giveBack();
        code.get(U).call(runtime.stale).set(U).br(loop);
        break;
      case HANDLER_GOTO:
        giveBack();
        code.get(U).load32(uop.UOP_DISPLACEMENT).tee(spent);
        code.if();
        code.get(spent).set(U).br(loop);
        code.end();
        code.get(S);
        ownRip();
        code.call(runtime.lookup).set(U).br(loop);
        break;
      case HANDLER_CROSS_PAGE:
        giveBack();
        code.get(U).call(runtime.crossPage).set(U).br(loop);
        break;
      case HANDLER_REGION:
        giveBack();
        code.get(S).get(U).call(regions).set(U).br(loop);
        break;
      case HANDLER_UNKNOWN:
        code.get(U).call(runtime.unknown).br(advance);
        break;
      default: {
        const handler = handlers[i - FIRST_INSTRUCTION_HANDLER] as Handler;
        emitter.begin(code, handler.form, inLoop);
        handler.emitter.emit(emitter);
        code.br(advance);
      }
    }
  }
  code.end(); // functions
  code.get(S).get(U).get(U).load16U32(uop.UOP_HANDLER).const32(count).sub32().callIndirect(module.typeIndex(APART)).set(U).br(loop);
  code.end(); // advance
  code.get(U).const32(uop.UOP_BYTES).add32().set(U).br(loop);
  code.end(); // loop
  code.unreachable();
  code.end(); // exit
  module.define(run, [I32, ...TEMPORARIES], code);
  return module.finish();
}

/** (s, uop) -> the uop to go on with: runs the region at the uop, and the next one where another begins, as most often it does. */
function writeRegionLoop(module: ModuleWriter, code: CodeWriter, index: number, { lookup, hot, settleFlags }: Runtime, long: boolean): void {
  const RIP = 2, BEFORE = 3, DONE = 4, REGION = 5, EXIT = 6, COUNTER = 7, SLOT = 8, PAGE = 9, PLACE = 10, LANDING = 11;
  const regionAtUop = (): void => { code.get(U).const32(3).shrU32().get(S).load32(state.REGION_WORDS).add32().load32().set(REGION); };
  const placeOfRip = (): void => { code.get(PAGE).get(RIP).wrap().const32(0xfff).and32().const32(2).shl32().add32().set(PLACE); };
  const landing = (): void => { pushLanding(code, PLACE).get(S).add32().set(LANDING); };
  code.reset();
  regionAtUop();
  const next = code.loop();
  pushBudget(code);
  code.set(BEFORE);
  code.get(S).get(U).get(REGION).callIndirect(module.typeIndex(APART)).set(U).get(S).call(settleFlags);
  code.get(S).get(S).load32(state.BUDGET).get(S).load32(state.REGION_EXIT).tee(EXIT).const32(UNDONE_MASK).and32().add32().store32(state.BUDGET);
  code.get(BEFORE);
  pushBudget(code);
  code.sub32().set(DONE).get(S).get(S).load(state.REGION_INSTRUCTIONS).get(DONE).extendU().add().store(state.REGION_INSTRUCTIONS);
  pushExitReason(code, EXIT, COUNTER);
  code.const32(3).shl32().get(S).add32().tee(COUNTER).get(COUNTER).load(state.REGION_EXITS).const(1).add().store(state.REGION_EXITS);
  code.get(U).eqz32();
  code.if();
  code.get(S).load(state.RIP).set(RIP);
  const unknown = code.block();
  if (!long) code.get(S).load32(state.FLAT).eqz32().brSeldomIf(unknown);
  pushTlbPlace(code.get(RIP)).get(S).load32(state.TLB_BASE).add32().set(SLOT);
  code.get(RIP).const(-4096).and().get(S).load(state.FETCH_TAG).or().get(SLOT).load(state.FETCH_TLB).ne().brSeldomIf(unknown);
  code.get(SLOT).load32(state.FETCH_TLB + state.TLB_CODE_PAGE).set(PAGE);
  placeOfRip();
  landing();
  code.get(LANDING).load32(state.LANDINGS).get(PLACE).ne32().brSeldomIf(unknown);
  code.get(S).get(RIP).const(-4096).and().store(state.PAGE_RIP).get(S).get(PAGE).store32(state.CODE_PAGE);
  code.get(LANDING).load32(state.LANDINGS + state.LANDING_UOP).set(U).get(LANDING).load32(state.LANDINGS + state.LANDING_REGION).set(REGION);
  code.get(S).load32(state.BUDGET).brIf(next);
  code.get(U).return();
  code.end();
  code.get(S).get(RIP).call(lookup).tee(U).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).eq32();
  if (!long) code.get(S).load32(state.FLAT).and32(); // an address is a place in its page where segments begin at 0
  code.if();
  regionAtUop();
  code.get(S).load32(state.CODE_PAGE).set(PAGE);
  placeOfRip();
  landing();
  code.get(LANDING).get(PLACE).store32(state.LANDINGS).get(LANDING).get(U).store32(state.LANDINGS + state.LANDING_UOP);
  code.get(LANDING).get(REGION).store32(state.LANDINGS + state.LANDING_REGION);
  code.get(S).load32(state.BUDGET).brIf(next);
  code.end();
  code.else();
  code.get(U).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).eq32().get(S).load32(state.BUDGET).const32(0).ne32().and32();
  code.if();
  regionAtUop();
  code.br(next);
  code.end();
  code.get(EXIT).eqz32();
  code.if();
  pushHeat(code, hot, U, COUNTER, SLOT);
  code.end();
  code.end();
  code.end();
  code.get(U);
  module.define(index, [I64, I32, I32, I32, I32, I32, I32, I32, I32, I32], code);
}

/**
 * (s, uop) -> the uop to go on with: a region that has run to its end goes on in the next one by it, in its place. What it counts is what
 * the loop would have counted.
 */
function writeHop(module: ModuleWriter, code: CodeWriter, index: number, long: boolean): void {
  const RIP = 2, SLOT = 3, PAGE = 4, PLACE = 5, LANDING = 6, REGION = 7, COUNTER = 8;
  code.reset();
  const known = code.block();
  const unknown = code.block();
  code.get(U);
  code.if();
  code.get(U).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).ne32().brSeldomIf(unknown);
  code.get(U).const32(3).shrU32().get(S).load32(state.REGION_WORDS).add32().load32().set(REGION);
  code.const32(state.EXIT_BRANCH * 8).set(COUNTER).br(known);
  code.end();
  if (!long) code.get(S).load32(state.FLAT).eqz32().brSeldomIf(unknown);
  pushTlbPlace(code.get(S).load(state.RIP).tee(RIP)).get(S).load32(state.TLB_BASE).add32().set(SLOT);
  code.get(RIP).const(-4096).and().get(S).load(state.FETCH_TAG).or().get(SLOT).load(state.FETCH_TLB).ne().brSeldomIf(unknown);
  code.get(SLOT).load32(state.FETCH_TLB + state.TLB_CODE_PAGE).tee(PAGE).get(RIP).wrap().const32(0xfff).and32().const32(2).shl32().add32().set(PLACE);
  pushLanding(code, PLACE).get(S).add32().tee(LANDING).load32(state.LANDINGS).get(PLACE).ne32().brSeldomIf(unknown);
  code.get(S).get(RIP).const(-4096).and().store(state.PAGE_RIP).get(S).get(PAGE).store32(state.CODE_PAGE);
  code.get(LANDING).load32(state.LANDINGS + state.LANDING_UOP).set(U).get(LANDING).load32(state.LANDINGS + state.LANDING_REGION).set(REGION);
  code.const32(state.EXIT_ADDRESS * 8).set(COUNTER).br(known);
  code.end();
  code.get(S).const32(0).store32(state.REGION_EXIT).get(U).return();
  code.end();
  code.get(COUNTER).get(S).add32().tee(COUNTER).get(COUNTER).load(state.REGION_EXITS).const(1).add().store(state.REGION_EXITS);
  code.get(S).get(U).get(REGION).returnCallIndirect(module.typeIndex(APART));
  module.define(index, [I64, I32, I32, I32, I32, I32, I32], code);
}
