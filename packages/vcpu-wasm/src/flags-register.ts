/** RFLAGS as a whole, put together from the lazy arithmetic flags and the rest. */
import { FLAG_AC, FLAG_VIF, FLAG_VIP } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

export const ARITHMETIC_FLAGS = 0x8d5;
/** Bits that exist: ID VIP VIF AC VM RF NT IOPL OF DF IF TF SF ZF AF PF CF. */
export const EXISTING_FLAGS = 0x3f_7fd5;

/** The two generated functions that know how the arithmetic flags are kept. */
export interface ArithmeticFlags { getFlags(s: number): number; setFlags(s: number, flags: number): void }

export class FlagsRegister {
  readonly #state: StateView;
  readonly #arithmetic: ArithmeticFlags;
  readonly #onChange: (flags: number) => void;

  /** `onChange` is called when AC has changed, which decides about accesses to memory, or VIF or VIP, which can be too much together. */
  constructor(view: StateView, arithmetic: ArithmeticFlags, onChange: (flags: number) => void) {
    this.#state = view;
    this.#arithmetic = arithmetic;
    this.#onChange = onChange;
  }
  read(): number { return this.#arithmetic.getFlags(this.#state.at) | this.other() | 2; }
  write(flags: number): void {
    this.#arithmetic.setFlags(this.#state.at, flags & ARITHMETIC_FLAGS);
    this.setOther(flags & EXISTING_FLAGS & ~ARITHMETIC_FLAGS);
  }
  /** Everything but the arithmetic flags. */
  other(): number { return this.#state.get(state.FLAGS_OTHER); }
  setOther(flags: number): void {
    const changed = this.other() ^ flags;
    this.#state.set(state.FLAGS_OTHER, flags >>> 0);
    if ((changed & (FLAG_AC | FLAG_VIF | FLAG_VIP)) !== 0) this.#onChange(flags);
  }
  setZero(on: boolean): void {
    const flags = this.#arithmetic.getFlags(this.#state.at);
    this.#arithmetic.setFlags(this.#state.at, on ? flags | 0x40 : flags & ~0x40);
  }
}
