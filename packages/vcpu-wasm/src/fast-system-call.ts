/** SYSCALL, SYSRET, SYSENTER and SYSEXIT (AMD APM vol. 3; SDM vol. 2). */
import { CR0_PE, EFER_SCE, VECTOR_GP, VECTOR_UD } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { LinearMemory } from './linear-memory.ts';
import { isCanonical } from './page-walk.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

// Flat segments, as the instructions load them without reading descriptors.
export const CODE_64 = 0x00a0_9b00;
export const CODE_32 = 0x00c0_9b00;
export const DATA = 0x00c0_9300;
const USER = 0x6000;
const FLAT = 0xffff_ffff;
const RCX = 1, RDX = 2, RSP = 4, R11 = 11;
const FLAG_IF = 0x200;
const FLAG_RF = 0x1_0000;
const FLAG_VM = 0x2_0000;

export class FastSystemCall {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #flags: FlagsRegister;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, flags: FlagsRegister) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#flags = flags;
  }

  #load(code: number, codeAttributes: number, stack: number, level: number): void {
    const dpl = level === 3 ? USER : 0;
    this.#state.set(state.CPL, level);
    this.#segments.setSegment(state.CS, code, codeAttributes | dpl, 0, 0, FLAT);
    this.#segments.setSegment(state.SS, stack, DATA | dpl, 0, 0, FLAT);
  }

  syscall(nextLow: number, nextHigh: number): void {
    const s = this.#state;
    if ((s.get(state.EFER) & EFER_SCE) === 0) this.#memory.raise(VECTOR_UD, -1);
    const star = s.high(state.MSR_STAR) & 0xffff;
    const flags = this.#flags.read();
    if (this.#segments.isLongMode()) {
      const from64 = this.#segments.is64Bit();
      s.setGpr(RCX, nextLow, from64 ? nextHigh : 0);
      s.setGpr(R11, flags & ~FLAG_RF, 0);
      const target = from64 ? state.MSR_LSTAR : state.MSR_CSTAR;
      this.#flags.write(flags & ~(s.get(state.MSR_FMASK) | FLAG_RF));
      this.#load(star & 0xfffc, CODE_64, (star & 0xfffc) + 8, 0);
      s.set64(state.RIP, s.get(target), s.high(target));
    } else {
      s.setGpr(RCX, nextLow, 0);
      this.#flags.write(flags & ~(FLAG_IF | FLAG_VM | FLAG_RF));
      this.#load(star & 0xfffc, CODE_32, (star & 0xfffc) + 8, 0);
      s.set64(state.RIP, s.get(state.MSR_STAR), 0);
    }
  }
  sysret(size: number): void {
    const s = this.#state;
    if ((s.get(state.EFER) & EFER_SCE) === 0) this.#memory.raise(VECTOR_UD, -1);
    if (s.get(state.CPL) !== 0 || (s.get(state.CR0) & CR0_PE) === 0) this.#memory.raise(VECTOR_GP, 0);
    const star = s.high(state.MSR_STAR) >>> 16;
    const low = s.gpr(RCX);
    const high = s.gprHigh(RCX);
    if (size === 8 && !isCanonical(high)) this.#memory.raise(VECTOR_GP, 0);
    if (this.#segments.isLongMode()) this.#flags.write((s.gpr(R11) & ~(FLAG_RF | FLAG_VM)) >>> 0);
    else this.#flags.setOther(this.#flags.other() | FLAG_IF);
    if (size === 8) {
      this.#load(((star + 16) | 3) & 0xffff, CODE_64, ((star + 8) | 3) & 0xffff, 3);
      s.set64(state.RIP, low, high);
    } else {
      this.#load((star | 3) & 0xffff, CODE_32, ((star + 8) | 3) & 0xffff, 3);
      s.set64(state.RIP, low, 0);
    }
  }
  sysenter(): void {
    const s = this.#state;
    const selector = s.get(state.MSR_SYSENTER_CS);
    if ((s.get(state.CR0) & CR0_PE) === 0 || (selector & 0xfffc) === 0) this.#memory.raise(VECTOR_GP, 0);
    const long = this.#segments.isLongMode();
    this.#flags.setOther(this.#flags.other() & ~(FLAG_IF | FLAG_VM | FLAG_RF));
    this.#load(selector & 0xfffc, long ? CODE_64 : CODE_32, (selector & 0xfffc) + 8, 0);
    s.setGpr(RSP, s.get(state.MSR_SYSENTER_ESP), long ? s.high(state.MSR_SYSENTER_ESP) : 0);
    s.set64(state.RIP, s.get(state.MSR_SYSENTER_EIP), long ? s.high(state.MSR_SYSENTER_EIP) : 0);
  }
  sysexit(size: number): void {
    const s = this.#state;
    const selector = s.get(state.MSR_SYSENTER_CS) & 0xfffc;
    if (s.get(state.CPL) !== 0 || (s.get(state.CR0) & CR0_PE) === 0 || selector === 0) this.#memory.raise(VECTOR_GP, 0);
    const wide = size === 8;
    const ripLow = s.gpr(RDX), ripHigh = wide ? s.gprHigh(RDX) : 0;
    const spLow = s.gpr(RCX), spHigh = wide ? s.gprHigh(RCX) : 0;
    if (wide && (!isCanonical(ripHigh) || !isCanonical(spHigh))) this.#memory.raise(VECTOR_GP, 0);
    const base = selector + (wide ? 32 : 16);
    this.#load(base | 3, wide ? CODE_64 : CODE_32, (base + 8) | 3, 3);
    s.setGpr(RSP, spLow, spHigh);
    s.set64(state.RIP, ripLow, ripHigh);
  }
}
