/**
 * The way into a handler in 64-bit mode and in flat protected mode where everything is as systems have it: an interrupt or trap gate
 * without a stack of its own, flat segments of level 0, tables and stack where the TLB answers. All others are left to TypeScript
 * before anything has changed (SDM vol. 3, sections 6.12 and 6.14).
 */
import type { CodeWriter } from './wasm/code-writer.ts';
import { I32, I64 } from './wasm/code-writer.ts';
import type { ModuleWriter, Signature } from './wasm/module-writer.ts';
import * as state from './cpu-state.ts';
import { writeDataReach } from './data-reach.ts';
import { CODE_32, CODE_64, DATA } from './fast-system-call.ts';
import { pushTlbPlace } from './tlb-place.ts';

/**
 * (s, vector, error code or -1, flags to be added to those that are saved, 1 for INT n) -> 1: RIP is that of the handler;
 * 0: nothing has changed. RIP before is the one to be saved.
 */
export const HANDLER_ENTRY: Signature = { parameters: [I32, I32, I32, I32, I32], results: [I32] };

const VECTOR = 1, ERROR_CODE = 2, ADDED_FLAGS = 3, SOFTWARE = 4;
const ADDRESS = 5, GATE = 6, OFFSET = 7, STACK = 8, TAG = 9; // i64
const PLACE = 10, HOST = 11, GATE_HIGH = 12, SELECTOR = 13, LEVEL = 14, FLAGS = 15, USED = 16, FRAME = 17, STACK_SELECTOR = 18; // i32
const LOCALS = [I64, I64, I64, I64, I64, I32, I32, I32, I32, I32, I32, I32, I32, I32] as const;

const RSP = 4;
const FLAG_IF = 0x200;
/** NT, RF and VM end with every entry, TF too. */
const FLAGS_ENDED = 0x3_4100;
/** TF, NT, VM, AC, VIF and VIP: TypeScript's, as for other changes of level. */
const FLAGS_OF_CONSEQUENCE = 0x1e_4100;
/** P, S, all of the type but the bit that tells traps from interrupts, and in 64-bit mode the number of a stack. */
const GATE_MASK = 0x9e00, GATE_STACK = 7, GATE_ORDINARY = 0x8e00, GATE_IS_TRAP = 0x100;
const DPL_SHIFT = 13;
/** Of the stack pointer of level 0 in the TSS; behind it stands the stack segment, which only the TSS of 32 bits has. */
const STACK_OF_LEVEL_0 = 4;
/** Attributes of a 32-bit TSS, busy or not. */
const TASK_MASK = 0xd00, TASK_32 = 0x900;
/** What is not the generation in the tag of fetches, and what stands for code of a size there. */
const TAG_OF_MODE = 7, TAG_64 = 2, TAG_32 = 1;
/** Descriptors of flat segments of level 0, accessed. */
const FLAT_HIGH = 0x000f_0000, FLAT_LOW = 0x0000_ffff;
const CR0_PE = 1, EFER_LMA = 0x400;

const segmentAt = (segment: number): number => state.SEGMENT + segment * state.SEGMENT_STRIDE;

/** The SS of an inner level in 64-bit mode (SDM vol. 3, section 6.14.2). */
export function setNullStack(code: CodeWriter): void {
  code.get(0).const(0).store(segmentAt(state.SS)).get(0).const32(0).store32(segmentAt(state.SS) + state.SEGMENT_LIMIT);
  code.get(0).const(0).store(state.SEGMENT_BASE + state.SS * 8).get(0).const(0xffff).store(state.STACK_MASK);
  for (const limits of [state.LIMIT_READ, state.LIMIT_WRITE]) code.get(0).const(-1).store(limits + state.SS * 8);
}

export function defineHandlerEntry(module: ModuleWriter, index: number, code: CodeWriter, getFlags: number, long: boolean): void {
  const word = long ? 8 : 4;
  /** Takes an address from the stack; HOST = where `bytes` there lie, which the TLB has to know for the processor's own accesses. */
  const find = (tlb: number, bytes: () => void): void => {
    if (!long) code.zeroExtend(4);
    pushTlbPlace(code.tee(ADDRESS)).get(0).load32(state.TLB_BASE).add32().set(PLACE);
    code.get(ADDRESS);
    bytes();
    code.add().const(1).sub().const(-4096).and().get(TAG).or().get(PLACE).load(tlb).ne().brIf(unusual);
    code.get(ADDRESS).wrap().get(PLACE).load32(tlb + state.TLB_ADDEND).add32().set(HOST);
  };
  const findToRead = (bytes: number): void => find(state.READ_TLB, () => { code.const(bytes); });
  /** The descriptor of the selector in a local has to be this one, in the global table. */
  const requireDescriptor = (selector: number, attributes: number): void => {
    code.get(selector).const32(0xfffc).and32().eqz32().get(selector).const32(4).and32().or32();
    code.get(selector).const32(7).or32().get(0).load32(state.GDTR_LIMIT).gtU32().or32().brIf(unusual);
    code.get(0).load(state.GDTR_BASE).get(selector).const32(0xfff8).and32().extendU().add();
    findToRead(8);
    code.get(HOST).load().const64(FLAT_LOW, attributes | FLAT_HIGH).ne().brIf(unusual);
  };
  /** A flat segment; `writable` or readable only. */
  const setFlat = (segment: number, attributes: number, writable: boolean, selector: () => void): void => {
    code.get(0);
    selector();
    code.store32(segmentAt(segment) + state.SEGMENT_SELECTOR).get(0).const32(attributes).store32(segmentAt(segment) + state.SEGMENT_ATTRIBUTES);
    code.get(0).const32(-1).store32(segmentAt(segment) + state.SEGMENT_LIMIT).get(0).const(0).store(state.SEGMENT_BASE + segment * 8);
    code.get(0).const64(-1, 0).store(state.LIMIT_READ + segment * 8).get(0).const64(-1, writable ? 0 : -1).store(state.LIMIT_WRITE + segment * 8);
  };

  code.reset();
  const unusual = code.block();
  code.get(0).load32(state.FLAGS_OTHER).tee(FLAGS).const32(FLAGS_OF_CONSEQUENCE).and32().get(0).load32(state.LEVEL_ASKS).or32().brIf(unusual);
  code.get(0).load32(state.CPL).tee(LEVEL).const32(1).sub32().const32(2).ltU32().brIf(unusual);
  if (!long) {
    code.get(0).load32(state.CR0).const32(CR0_PE).and32().get(0).load32(state.FLAT).and32().eqz32().get(0).load32(state.EFER).const32(EFER_LMA).and32().or32().brIf(unusual);
  }
  code.get(0).load(state.FETCH_TAG).const(~TAG_OF_MODE).and().set(TAG);

  // The gate.
  code.get(VECTOR).const32(long ? 4 : 3).shl32().tee(SELECTOR).const32(2 * word - 1).add32().get(0).load32(state.IDTR_LIMIT).gtU32().brIf(unusual);
  code.get(0).load(state.IDTR_BASE).get(SELECTOR).extendU().add();
  findToRead(2 * word);
  code.get(HOST).load().tee(GATE).const(32).shrU().wrap().tee(GATE_HIGH).const32(long ? GATE_MASK | GATE_STACK : GATE_MASK).and32().const32(GATE_ORDINARY).ne32().brIf(unusual);
  code.get(SOFTWARE).get(GATE_HIGH).const32(DPL_SHIFT).shrU32().const32(3).and32().get(LEVEL).ltU32().and32().brIf(unusual);
  code.get(GATE_HIGH).const32(-0x1_0000).and32().extendU().get(GATE).const(0xffff).and().or();
  if (long) code.get(HOST).load32U(8).const(32).shl().or();
  code.set(OFFSET);
  code.get(GATE).wrap().const32(16).shrU32().set(SELECTOR);
  requireDescriptor(SELECTOR, long ? CODE_64 : CODE_32);

  // The stack.
  code.get(0).load(state.GPR + RSP * 8).set(STACK);
  code.get(LEVEL);
  code.if();
  code.get(0).load32(segmentAt(state.TR) + state.SEGMENT_LIMIT).const32(STACK_OF_LEVEL_0 + 7).ltU32();
  if (!long) code.get(0).load32(segmentAt(state.TR) + state.SEGMENT_ATTRIBUTES).const32(TASK_MASK).and32().const32(TASK_32).ne32().or32();
  code.brIf(unusual);
  code.get(0).load(state.SEGMENT_BASE + state.TR * 8).const(STACK_OF_LEVEL_0).add();
  findToRead(8);
  code.get(HOST).load().set(STACK);
  if (!long) {
    code.get(STACK).const(32).shrU().wrap().const32(0xffff).and32().tee(STACK_SELECTOR).const32(3).and32().brIf(unusual);
    requireDescriptor(STACK_SELECTOR, DATA);
  }
  code.end();
  // In 64-bit mode always five words and an aligned stack, else two of them only where the level changes.
  code.const32(5 * word);
  if (!long) code.const32(3 * word).get(LEVEL).select();
  code.tee(FRAME).get(ERROR_CODE).const32(-1).xor32().const32(31).shrU32().const32(word).mul32().add32().set(USED);
  code.get(STACK);
  if (long) code.const(-16).and();
  code.get(USED).extendU().sub();
  find(state.WRITE_TLB, () => { code.get(USED).extendU(); });

  // From here on nothing is in the way.
  const put = (place: number, value: () => void): void => {
    code.get(HOST);
    value();
    code.storeSize(word, place * word);
  };
  const selectorOf = (segment: number) => (): void => { code.get(0).load32U(segmentAt(segment) + state.SEGMENT_SELECTOR); };
  code.get(USED).get(FRAME).ne32();
  code.if();
  put(0, () => { code.get(ERROR_CODE).extendU(); });
  code.get(HOST).const32(word).add32().set(HOST);
  code.end();
  put(0, () => { code.get(0).load(state.RIP); });
  put(1, selectorOf(state.CS));
  put(2, () => { code.get(0).call(getFlags).get(FLAGS).or32().get(ADDED_FLAGS).or32().const32(2).or32().extendU(); });
  if (!long) { code.get(LEVEL); code.if(); }
  put(3, () => { code.get(0).load(state.GPR + RSP * 8); });
  put(4, selectorOf(state.SS));
  if (!long) code.end();
  code.get(0).get(ADDRESS).store(state.GPR + RSP * 8).get(0).get(OFFSET).store(state.RIP);
  code.get(0).get(FLAGS).const32(~FLAGS_ENDED).const32(~(FLAGS_ENDED | FLAG_IF)).get(GATE_HIGH).const32(GATE_IS_TRAP).and32().select().and32().store32(state.FLAGS_OTHER);
  code.get(LEVEL);
  code.if();
  if (long) setNullStack(code);
  else setFlat(state.SS, DATA, true, () => { code.get(STACK_SELECTOR); });
  code.get(0).const32(0).store32(state.CPL).get(0).get(TAG).store(state.DATA_TAG);
  writeDataReach(code);
  code.end();
  code.get(0).get(TAG).const(long ? TAG_64 : TAG_32).or().store(state.FETCH_TAG);
  setFlat(state.CS, long ? CODE_64 : CODE_32, false, () => { code.get(SELECTOR).const32(0xfffc).and32(); });
  code.const32(1).return();
  code.end();
  code.const32(0);
  module.define(index, LOCALS, code);
}
