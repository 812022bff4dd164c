/**
 * The way into a handler in 64-bit mode where everything is as systems have it: an interrupt or trap gate without a stack of its own,
 * a flat code segment of level 0, tables and stack where the TLB answers. All others are left to TypeScript before anything has
 * changed (SDM vol. 3, section 6.14).
 */
import type { CodeWriter, Label } from './wasm/code-writer.ts';
import { I32, I64 } from './wasm/code-writer.ts';
import type { ModuleWriter, Signature } from './wasm/module-writer.ts';
import { READ_SUPERVISOR, WRITE_SUPERVISOR } from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import { CODE_64 } from './fast-system-call.ts';
import { pushTlbPlace } from './tlb-place.ts';

/**
 * (s, vector, error code or -1, flags to be added to those that are saved, 1 for INT n) -> 1: RIP is that of the handler;
 * 0: nothing has changed. RIP before is the one to be saved.
 */
export const HANDLER_ENTRY: Signature = { parameters: [I32, I32, I32, I32, I32], results: [I32] };

const VECTOR = 1, ERROR_CODE = 2, ADDED_FLAGS = 3, SOFTWARE = 4;
const ADDRESS = 5, GATE = 6, OFFSET = 7, STACK = 8, TAG = 9; // i64
const PLACE = 10, HOST = 11, GATE_HIGH = 12, SELECTOR = 13, LEVEL = 14, FLAGS = 15, USED = 16; // i32
const LOCALS = [I64, I64, I64, I64, I64, I32, I32, I32, I32, I32, I32, I32] as const;

const RSP = 4;
const FLAG_IF = 0x200;
/** NT, RF and VM end with every entry, TF too. */
const FLAGS_ENDED = 0x3_4100;
/** TF, NT, VM, AC, VIF and VIP: TypeScript's, as for other changes of level. */
const FLAGS_OF_CONSEQUENCE = 0x1e_4100;
const GATE_BYTES = 16, GATE_BYTES_SHIFT = 4;
/** P, S, all of the type but the bit that tells traps from interrupts, and the number of a stack. */
const GATE_MASK = 0x9e07, GATE_ORDINARY = 0x8e00, GATE_IS_TRAP = 0x100;
const DPL_SHIFT = 13;
/** Of the stack pointer of level 0 in the TSS. */
const STACK_OF_LEVEL_0 = 4;
const FRAME_BYTES = 40, ERROR_BYTES = 8;
/** What is not the generation in the tag of fetches; bit 1 stands for 64-bit code. */
const TAG_OF_MODE = 7, TAG_64 = 2;
/** A flat segment of 64-bit code and level 0, accessed. */
const CODE_HIGH: number = CODE_64 | 0x000f_0000, CODE_LOW = 0x0000_ffff;

export function defineHandlerEntry(module: ModuleWriter, index: number, code: CodeWriter, getFlags: number): void {
  /** HOST = where `bytes` at ADDRESS lie, which the TLB has to know for the processor's own accesses. */
  const find = (tlb: number, bytes: () => void, unusual: Label): void => {
    pushTlbPlace(code.get(ADDRESS)).get(0).load32(state.TLB_BASE).add32().set(PLACE);
    code.get(ADDRESS);
    bytes();
    code.add().const(1).sub().const(-4096).and().get(TAG).or().get(PLACE).load(tlb).ne().brIf(unusual);
    code.get(ADDRESS).wrap().get(PLACE).load32(tlb + state.TLB_ADDEND).add32().set(HOST);
  };
  const bytes = (count: number) => (): void => { code.const(count); };

  code.reset();
  const unusual = code.block();
  code.get(0).load32(state.FLAGS_OTHER).tee(FLAGS).const32(FLAGS_OF_CONSEQUENCE).and32().get(0).load32(state.LEVEL_ASKS).or32().brIf(unusual);
  code.get(0).load32(state.CPL).tee(LEVEL).const32(1).sub32().const32(2).ltU32().brIf(unusual);
  code.get(0).load(state.FETCH_TAG).const(~TAG_OF_MODE).and().set(TAG);

  code.get(VECTOR).const32(GATE_BYTES_SHIFT).shl32().tee(SELECTOR).const32(GATE_BYTES - 1).add32().get(0).load32(state.IDTR_LIMIT).gtU32().brIf(unusual);
  code.get(0).load(state.IDTR_BASE).get(SELECTOR).extendU().add().set(ADDRESS);
  find(state.READ_TLB, bytes(GATE_BYTES), unusual);
  code.get(HOST).load().tee(GATE).const(32).shrU().wrap().tee(GATE_HIGH).const32(GATE_MASK).and32().const32(GATE_ORDINARY).ne32().brIf(unusual);
  code.get(SOFTWARE).get(GATE_HIGH).const32(DPL_SHIFT).shrU32().const32(3).and32().get(LEVEL).ltU32().and32().brIf(unusual);
  code.get(HOST).load32U(8).const(32).shl().get(GATE_HIGH).const32(-0x1_0000).and32().extendU().or().get(GATE).const(0xffff).and().or().set(OFFSET);

  code.get(GATE).wrap().const32(16).shrU32().tee(SELECTOR).const32(0xfffc).and32().eqz32().get(SELECTOR).const32(4).and32().or32();
  code.get(SELECTOR).const32(7).or32().get(0).load32(state.GDTR_LIMIT).gtU32().or32().brIf(unusual);
  code.get(0).load(state.GDTR_BASE).get(SELECTOR).const32(0xfff8).and32().extendU().add().set(ADDRESS);
  find(state.READ_TLB, bytes(8), unusual);
  code.get(HOST).load().const64(CODE_LOW, CODE_HIGH).ne().brIf(unusual);

  code.get(0).load(state.GPR + RSP * 8).set(STACK);
  code.get(LEVEL);
  code.if();
  code.get(0).load32(state.SEGMENT + state.TR * state.SEGMENT_STRIDE + state.SEGMENT_LIMIT).const32(STACK_OF_LEVEL_0 + 7).ltU32().brIf(unusual);
  code.get(0).load(state.SEGMENT_BASE + state.TR * 8).const(STACK_OF_LEVEL_0).add().set(ADDRESS);
  find(state.READ_TLB, bytes(8), unusual);
  code.get(HOST).load().set(STACK);
  code.end();
  code.const32(FRAME_BYTES + ERROR_BYTES).const32(FRAME_BYTES).get(ERROR_CODE).const32(0).geS32().select().set(USED);
  code.get(STACK).const(-16).and().get(USED).extendU().sub().tee(STACK).set(ADDRESS);
  find(state.WRITE_TLB, () => { code.get(USED).extendU(); }, unusual);

  // From here on nothing is in the way.
  code.get(USED).const32(FRAME_BYTES).ne32();
  code.if();
  code.get(HOST).get(ERROR_CODE).extendU().store().get(HOST).const32(ERROR_BYTES).add32().set(HOST);
  code.end();
  const selectorOf = (segment: number): void => { code.get(0).load32U(state.SEGMENT + segment * state.SEGMENT_STRIDE + state.SEGMENT_SELECTOR); };
  code.get(HOST).get(0).load(state.RIP).store();
  code.get(HOST);
  selectorOf(state.CS);
  code.store(8);
  code.get(HOST).get(0).call(getFlags).get(FLAGS).or32().get(ADDED_FLAGS).or32().const32(2).or32().extendU().store(16);
  code.get(HOST).get(0).load(state.GPR + RSP * 8).store(24);
  code.get(HOST);
  selectorOf(state.SS);
  code.store(32);
  code.get(0).get(STACK).store(state.GPR + RSP * 8);
  code.get(0).get(OFFSET).store(state.RIP);
  code.get(0).get(FLAGS).const32(~FLAGS_ENDED).const32(~(FLAGS_ENDED | FLAG_IF)).get(GATE_HIGH).const32(GATE_IS_TRAP).and32().select().and32().store32(state.FLAGS_OTHER);
  const segmentAt = (segment: number): number => state.SEGMENT + segment * state.SEGMENT_STRIDE;
  code.get(LEVEL);
  code.if();
  // SS is null in an inner level (SDM vol. 3, section 6.14.2).
  code.get(0).const(0).store(segmentAt(state.SS)).get(0).const32(0).store32(segmentAt(state.SS) + state.SEGMENT_LIMIT);
  code.get(0).const(0).store(state.SEGMENT_BASE + state.SS * 8).get(0).const(0xffff).store(state.STACK_MASK);
  for (const limits of [state.LIMIT_READ, state.LIMIT_WRITE]) code.get(0).const(-1).store(limits + state.SS * 8);
  code.get(0).const32(0).store32(state.CPL).get(0).get(TAG).store(state.DATA_TAG).get(0).get(TAG).const(TAG_64).or().store(state.FETCH_TAG);
  // 0 says that generated code may not answer a miss, whoever asks.
  for (const [need, ofSupervisor] of [[state.SHADOW_READ_NEED, READ_SUPERVISOR], [state.SHADOW_WRITE_NEED, WRITE_SUPERVISOR]] as const) {
    code.get(0).const32(ofSupervisor).const32(0).get(0).load32(need).select().store32(need);
  }
  code.end();
  code.get(0).get(SELECTOR).const32(0xfffc).and32().store32(segmentAt(state.CS) + state.SEGMENT_SELECTOR);
  code.get(0).const32(CODE_64).store32(segmentAt(state.CS) + state.SEGMENT_ATTRIBUTES).get(0).const32(-1).store32(segmentAt(state.CS) + state.SEGMENT_LIMIT);
  code.get(0).const(0).store(state.SEGMENT_BASE + state.CS * 8);
  code.get(0).const64(-1, 0).store(state.LIMIT_READ + state.CS * 8).get(0).const(-1).store(state.LIMIT_WRITE + state.CS * 8);
  code.const32(1).return();
  code.end();
  code.const32(0);
  module.define(index, LOCALS, code);
}
