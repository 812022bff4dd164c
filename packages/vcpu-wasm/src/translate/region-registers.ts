/**
 * Where a translated region has the guest's registers, in one of two ways.
 *
 * `RegistersInLocals`: all that the region uses are loaded where it is entered and stored where it is left. That is the fastest
 * for loops, and costs code at every place where the region may be left, because V8 has to bring everything to where the way out
 * expects it.
 *
 * `RegistersInBlock`: the processor block always has them; what was read or written is known in a local as well, until the
 * next place that is reached from several others. Leaving costs next to nothing.
 */
import type { CodeWriter } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { S } from '../locals.ts';
import * as simd from '../wasm/simd-opcode.ts';
import { CODE_PAGE, PAGE_RIP, REGISTER, VECTOR } from './region-locals.ts';

export const RSP = 4;
const COUNT = 16;
const ALL = 0xffff;
/** Behind the registers: the instruction pointer of the page. */
const PAGE_BIT = 1 << COUNT;
const gprAt = (number: number): number => state.GPR + number * 8;
const xmmAt = (number: number): number => state.XMM + number * 16;

export type RegisterPlace = 'locals' | 'block';
/** What a place of the code knows to be in locals. */
export interface Known { readonly registers: number; readonly vectors: number; readonly depth: number }

export interface RegionRegisters {
  /** Vector registers that have a local. */
  readonly vectorCount: number;
  /** Pushes the low bytes, zero-extended. */
  push(code: CodeWriter, number: number, bytes: number): void;
  pushHighByte(code: CodeWriter, number: number): void;
  /** Writes the low bytes of a local; 4 clear the upper half, fewer leave the rest as it is. */
  write(code: CodeWriter, number: number, bytes: number, value: number): void;
  writeHighByte(code: CodeWriter, number: number, value: number): void;
  /** Takes all 64 bits from the stack. */
  set(code: CodeWriter, number: number): void;
  pushVector(code: CodeWriter, number: number): void;
  pushVectorLow(code: CodeWriter, number: number, bytes: number): void;
  writeVector(code: CodeWriter, number: number, value: number): void;
  writeVectorLow(code: CodeWriter, number: number, bytes: 4 | 8, value: number): void;
  pushPageRip(code: CodeWriter): void;
  /** Another page is being run: its instruction pointer is in local `rip`, its decode map is `map`. */
  enterPage(code: CodeWriter, rip: number, map: number): void;

  /** From here to the next call, structures deeper than this one are run or not. */
  settle(code: CodeWriter): void;
  /** What is known here; `null` stands for a place that is reached in a way that is not known. */
  known(): Known | null;
  know(known: Known | null): void;
  /** Where the region begins and ends. */
  enter(code: CodeWriter): void;
  leave(code: CodeWriter): void;
  /** A function of the interpreter wants everything in the processor block, and has changed the registers of the masks. */
  spill(code: CodeWriter): void;
  reload(code: CodeWriter, registers: number, vectors: number): void;
}

const LOW_LANE: Readonly<Record<number, number>> = { 8: simd.I64X2_EXTRACT_LANE, 4: simd.I32X4_EXTRACT_LANE, 2: simd.I16X8_EXTRACT_LANE_U, 1: simd.I8X16_EXTRACT_LANE_U };
/** Takes a vector, pushes its low bytes. */
function lowOf(code: CodeWriter, bytes: number): void {
  code.lane(LOW_LANE[bytes] as number, 0);
  if (bytes < 8) code.extendU();
}
/** Takes a vector, puts the low bytes of a local into it. */
function withLow(code: CodeWriter, bytes: 4 | 8, value: number): void {
  code.get(value);
  if (bytes === 8) code.lane(simd.I64X2_REPLACE_LANE, 0);
  else code.wrap().lane(simd.I32X4_REPLACE_LANE, 0);
}
/** Pushes a register's value after a write of the low bytes of a local. */
function merged(code: CodeWriter, register: number, bytes: number, value: number): void {
  if (bytes === 8) code.get(value);
  else if (bytes === 4) code.get(value).zeroExtend(4);
  else code.get(register).const64(bytes === 2 ? ~0xffff : ~0xff, -1).and().get(value).zeroExtend(bytes).or();
}
function mergedHighByte(code: CodeWriter, register: number, value: number): void {
  code.get(register).const64(~0xff00, -1).and().get(value).const(0xff).and().const(8).shl().or();
}

export class RegistersInLocals implements RegionRegisters {
  /** Registers that the region uses and writes, one bit each; what is used is loaded, what is written is stored. */
  #used = 0;
  #written = 0;
  #vectorsUsed = 0;
  #vectorsWritten = 0;
  readonly #vectors: number[] = [];
  vectorCount = 0;

  #use(number: number): number {
    this.#used |= 1 << number;
    return REGISTER + number;
  }
  /** Where no path has written it before an exit, it is written back as it came. */
  #write(number: number): number {
    this.#written |= 1 << number;
    return this.#use(number);
  }
  #vector(number: number): number {
    this.#vectorsUsed |= 1 << number;
    return this.#vectors[number] ??= VECTOR + this.vectorCount++;
  }
  push(code: CodeWriter, number: number, bytes: number): void {
    code.get(this.#use(number));
    if (bytes < 8) code.zeroExtend(bytes);
  }
  pushHighByte(code: CodeWriter, number: number): void { code.get(this.#use(number)).const(8).shrU().const(0xff).and(); }
  write(code: CodeWriter, number: number, bytes: number, value: number): void {
    const register = this.#write(number);
    merged(code, register, bytes, value);
    code.set(register);
  }
  writeHighByte(code: CodeWriter, number: number, value: number): void {
    const register = this.#write(number);
    mergedHighByte(code, register, value);
    code.set(register);
  }
  set(code: CodeWriter, number: number): void { code.set(this.#write(number)); }
  pushVector(code: CodeWriter, number: number): void { code.get(this.#vector(number)); }
  pushVectorLow(code: CodeWriter, number: number, bytes: number): void { lowOf(code.get(this.#vector(number)), bytes); }
  writeVector(code: CodeWriter, number: number, value: number): void {
    this.#vectorsWritten |= 1 << number;
    code.get(value).set(this.#vector(number));
  }
  writeVectorLow(code: CodeWriter, number: number, bytes: 4 | 8, value: number): void {
    this.#vectorsWritten |= 1 << number;
    const vector = this.#vector(number);
    withLow(code.get(vector), bytes, value);
    code.set(vector);
  }
  pushPageRip(code: CodeWriter): void { code.get(PAGE_RIP); }
  enterPage(code: CodeWriter, rip: number, map: number): void { code.get(rip).set(PAGE_RIP).const32(map).set(CODE_PAGE); }

  settle(): void { /* All is known everywhere. */ }
  known(): null { return null; }
  know(): void { /* All is known everywhere. */ }
  enter(code: CodeWriter): void {
    this.reload(code, ALL, ALL);
    code.get(S).load(state.PAGE_RIP).set(PAGE_RIP).get(S).load32(state.CODE_PAGE).set(CODE_PAGE);
  }
  leave(code: CodeWriter): void { this.spill(code); }
  spill(code: CodeWriter): void {
    code.get(S).get(PAGE_RIP).store(state.PAGE_RIP).get(S).get(CODE_PAGE).store32(state.CODE_PAGE);
    for (let i = 0; i < COUNT; i++) if ((this.#written & (1 << i)) !== 0) code.get(S).get(REGISTER + i).store(gprAt(i));
    for (let i = 0; i < COUNT; i++) if ((this.#vectorsWritten & (1 << i)) !== 0) code.get(S).get(this.#vector(i)).storeV128(xmmAt(i));
  }
  reload(code: CodeWriter, registers: number, vectors: number): void {
    for (let i = 0; i < COUNT; i++) if ((this.#used & registers & (1 << i)) !== 0) code.get(S).load(gprAt(i)).set(REGISTER + i);
    for (let i = 0; i < COUNT; i++) if ((this.#vectorsUsed & vectors & (1 << i)) !== 0) code.get(S).loadV128(xmmAt(i)).set(this.#vector(i));
  }
  /** A region that calls functions is written twice: what the calls save is what was found used before. */
  again(): RegistersInLocals {
    const next = new RegistersInLocals();
    next.#used = this.#used;
    next.#written = this.#written;
    next.#vectorsUsed = this.#vectorsUsed;
    next.#vectorsWritten = this.#vectorsWritten;
    return next;
  }
}

export class RegistersInBlock implements RegionRegisters {
  #registers = 0;
  #vectors = 0;
  /** Depth of the code that is run in any case. */
  #depth = 0;
  readonly #vectorLocals: number[] = [];
  vectorCount = 0;

  #vector(number: number): number { return this.#vectorLocals[number] ??= VECTOR + this.vectorCount++; }
  /** A local now has the register's value, at least on this way. */
  #learn(code: CodeWriter, number: number): void { if (code.depth === this.#depth) this.#registers |= 1 << number; }
  #learnVector(code: CodeWriter, number: number): void { if (code.depth === this.#depth) this.#vectors |= 1 << number; }
  #isKnown(number: number): boolean { return (this.#registers & (1 << number)) !== 0; }
  #isVectorKnown(number: number): boolean { return (this.#vectors & (1 << number)) !== 0; }

  push(code: CodeWriter, number: number, bytes: number): void {
    if (this.#isKnown(number)) code.get(REGISTER + number);
    else if (bytes < 8) { code.get(S).loadSize(bytes, gprAt(number)); return; }
    else {
      code.get(S).load(gprAt(number)).tee(REGISTER + number);
      this.#learn(code, number);
    }
    if (bytes < 8) code.zeroExtend(bytes);
  }
  pushHighByte(code: CodeWriter, number: number): void {
    if (this.#isKnown(number)) code.get(REGISTER + number).const(8).shrU().const(0xff).and();
    else code.get(S).load8U(gprAt(number) + 1);
  }
  write(code: CodeWriter, number: number, bytes: number, value: number): void {
    if (bytes >= 4 || this.#isKnown(number)) {
      merged(code, REGISTER + number, bytes, value);
      this.set(code, number);
    } else code.get(S).get(value).storeSize(bytes, gprAt(number));
  }
  writeHighByte(code: CodeWriter, number: number, value: number): void {
    if (this.#isKnown(number)) {
      mergedHighByte(code, REGISTER + number, value);
      this.set(code, number);
    } else code.get(S).get(value).store8(gprAt(number) + 1);
  }
  set(code: CodeWriter, number: number): void {
    code.set(REGISTER + number).get(S).get(REGISTER + number).store(gprAt(number));
    this.#learn(code, number);
  }
  pushVector(code: CodeWriter, number: number): void {
    if (this.#isVectorKnown(number)) { code.get(this.#vector(number)); return; }
    code.get(S).loadV128(xmmAt(number)).tee(this.#vector(number));
    this.#learnVector(code, number);
  }
  pushVectorLow(code: CodeWriter, number: number, bytes: number): void {
    if (this.#isVectorKnown(number)) lowOf(code.get(this.#vector(number)), bytes);
    else code.get(S).loadSize(bytes, xmmAt(number));
  }
  writeVector(code: CodeWriter, number: number, value: number): void {
    const vector = this.#vector(number);
    code.get(value).set(vector).get(S).get(vector).storeV128(xmmAt(number));
    this.#learnVector(code, number);
  }
  writeVectorLow(code: CodeWriter, number: number, bytes: 4 | 8, value: number): void {
    const vector = this.#vector(number);
    code.get(S).get(value).storeSize(bytes, xmmAt(number));
    if (!this.#isVectorKnown(number)) return;
    withLow(code.get(vector), bytes, value);
    code.set(vector);
  }
  pushPageRip(code: CodeWriter): void {
    if ((this.#registers & PAGE_BIT) !== 0) { code.get(PAGE_RIP); return; }
    code.get(S).load(state.PAGE_RIP).tee(PAGE_RIP);
    this.#learn(code, COUNT);
  }
  enterPage(code: CodeWriter, rip: number, map: number): void {
    code.get(S).get(rip).tee(PAGE_RIP).store(state.PAGE_RIP).get(S).const32(map).store32(state.CODE_PAGE);
    this.#learn(code, COUNT);
  }

  settle(code: CodeWriter): void { this.#depth = code.depth; }
  known(): Known { return { registers: this.#registers, vectors: this.#vectors, depth: this.#depth }; }
  know(known: Known | null): void {
    this.#registers = known?.registers ?? 0;
    this.#vectors = known?.vectors ?? 0;
    this.#depth = known?.depth ?? 0;
  }
  enter(): void { /* Nothing is known. */ }
  leave(): void { /* The block has everything. */ }
  spill(): void { /* The block has everything. */ }
  reload(_code: CodeWriter, registers: number, vectors: number): void {
    this.#registers &= ~registers;
    this.#vectors &= ~vectors;
  }
}
