/** All registers of a processor as plain values, to set and to compare. */
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';
import type { WasmVcpu } from './vcpu.ts';

export const GENERAL_REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const;
export const SEGMENT_REGISTERS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];
export type SegmentRegister = (typeof SEGMENT_REGISTERS)[number];

/** A register of the x87: all 64 bits of the significand, and the exponent with the sign in bit 15. */
export interface X87Register {
  readonly mantissa: bigint;
  readonly exponent: number;
}
/** Low lane first. */
export type VectorLanes = readonly [bigint, bigint];

export interface FlatState extends Readonly<Record<GeneralRegister, bigint>>, Readonly<Record<SegmentRegister, number>> {
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly fsBase: bigint;
  readonly gsBase: bigint;
  /** In physical order, R0 to R7; the top of the stack is bits 11 to 13 of the status word. */
  readonly x87: readonly X87Register[];
  readonly x87Control: number;
  readonly x87Status: number;
  /** Two bits a register as FNSTENV stores them: 0 valid, 1 zero, 2 special, 3 empty. */
  readonly x87Tag: number;
  /** 16 registers. */
  readonly xmm: readonly VectorLanes[];
  /** Bits 128 to 255 of the 16 ymm registers. */
  readonly ymmHigh: readonly VectorLanes[];
  readonly mxcsr: number;
  /** Address of the last page fault. */
  readonly cr2: bigint;
}

/** What may be set before a run: as in the state, but every number may be a bigint and the other way round. */
export type FlatRegisters = {
  readonly [Name in keyof FlatState]?: FlatState[Name] extends bigint | number ? bigint | number
    : FlatState[Name] extends readonly VectorLanes[] ? readonly (readonly [bigint | number, bigint | number])[]
      : readonly { readonly mantissa: bigint | number; readonly exponent: bigint | number }[];
};

/** All that can be set. */
export const REGISTER_NAMES: ReadonlySet<string> = new Set<keyof FlatState>([
  ...GENERAL_REGISTERS, ...SEGMENT_REGISTERS, 'rip', 'rflags', 'fsBase', 'gsBase', 'x87', 'x87Control', 'x87Status', 'x87Tag', 'xmm', 'ymmHigh', 'mxcsr', 'cr2',
]);
const TAG_EMPTY = 3;

export function readState(vcpu: WasmVcpu): FlatState {
  const s = vcpu.state;
  const wide = (offset: number): bigint => s.view.getBigUint64(s.at + offset, true);
  const lanes = (from: number): VectorLanes[] => Array.from({ length: 16 }, (_, i): VectorLanes => [wide(from + i * 16), wide(from + i * 16 + 8)]);
  const gpr = (number: number): bigint => wide(state.GPR + number * 8);
  return {
    rax: gpr(0), rcx: gpr(1), rdx: gpr(2), rbx: gpr(3), rsp: gpr(4), rbp: gpr(5), rsi: gpr(6), rdi: gpr(7),
    r8: gpr(8), r9: gpr(9), r10: gpr(10), r11: gpr(11), r12: gpr(12), r13: gpr(13), r14: gpr(14), r15: gpr(15),
    rip: wide(state.RIP), rflags: BigInt(vcpu.flags.read()),
    es: s.selector(state.ES), cs: s.selector(state.CS), ss: s.selector(state.SS), ds: s.selector(state.DS), fs: s.selector(state.FS), gs: s.selector(state.GS),
    fsBase: wide(state.SEGMENT_BASE + state.FS * 8), gsBase: wide(state.SEGMENT_BASE + state.GS * 8),
    x87: Array.from({ length: 8 }, (_, i) => ({ mantissa: wide(state.X87 + i * 16), exponent: s.get(state.X87 + i * 16 + 8) & 0xffff })),
    x87Control: s.get(state.X87_CONTROL), x87Status: (s.get(state.X87_STATUS) & 0xc7ff) | ((s.get(state.X87_TOP) & 7) << 11), x87Tag: tagWord(s),
    xmm: lanes(state.XMM), ymmHigh: lanes(state.YMM_HIGH), mxcsr: s.get(state.MXCSR), cr2: wide(state.CR2),
  };
}

/** SDM vol. 1, section 8.1.7. */
function tagWord(s: StateView): number {
  let word = 0;
  for (let i = 0; i < 8; i++) word |= tagOf(s, i) << (i * 2);
  return word;
}
function tagOf(s: StateView, register: number): number {
  if (s.u8[s.at + state.X87_EMPTY + register] !== 0) return TAG_EMPTY;
  const at = state.X87 + register * 16;
  const exponent = s.get(at + 8) & 0x7fff;
  if (exponent === 0) return s.get(at) === 0 && s.high(at) === 0 ? 1 : 2;
  return exponent === 0x7fff || s.high(at) < 0x8000_0000 ? 2 : 0;
}

/** Sets everything that is named but for the segment registers. */
export function writeState(vcpu: WasmVcpu, registers: FlatRegisters): void {
  const s = vcpu.state;
  const wide = (offset: number, value: bigint | number | undefined): void => {
    if (value !== undefined) s.view.setBigUint64(s.at + offset, BigInt.asUintN(64, BigInt(value)), true);
  };
  const narrow = (offset: number, value: bigint | number | undefined, mask: number): void => {
    if (value !== undefined) s.set(offset, (Number(value) & mask) >>> 0);
  };
  GENERAL_REGISTERS.forEach((name, i) => wide(state.GPR + i * 8, registers[name]));
  wide(state.RIP, registers.rip);
  wide(state.CR2, registers.cr2);
  wide(state.SEGMENT_BASE + state.FS * 8, registers.fsBase);
  wide(state.SEGMENT_BASE + state.GS * 8, registers.gsBase);
  if (registers.rflags !== undefined) vcpu.flags.write(Number(registers.rflags));
  narrow(state.X87_CONTROL, registers.x87Control, 0xffff);
  narrow(state.X87_STATUS, registers.x87Status, 0xc7ff);
  if (registers.x87Status !== undefined) s.set(state.X87_TOP, (Number(registers.x87Status) >> 11) & 7);
  if (registers.x87Tag !== undefined) {
    for (let i = 0; i < 8; i++) s.u8[s.at + state.X87_EMPTY + i] = ((Number(registers.x87Tag) >> (i * 2)) & 3) === TAG_EMPTY ? 1 : 0;
  }
  registers.x87?.forEach(({ mantissa, exponent }, i) => {
    wide(state.X87 + (i & 7) * 16, mantissa);
    narrow(state.X87 + (i & 7) * 16 + 8, exponent, 0xffff);
  });
  const lanes = (to: number, from: FlatRegisters['xmm']): void => from?.forEach(([low, high], i) => {
    wide(to + (i & 15) * 16, low);
    wide(to + (i & 15) * 16 + 8, high);
  });
  lanes(state.XMM, registers.xmm);
  lanes(state.YMM_HIGH, registers.ymmHigh);
  narrow(state.MXCSR, registers.mxcsr, 0xffff);
}
