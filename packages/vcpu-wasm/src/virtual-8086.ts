/** Virtual-8086 mode and protected-mode virtual interrupts: CR4.VME and CR4.PVI (SDM vol. 3, chapter 21). */
import { CR4_PVI, CR4_VME, FLAG_AC, FLAG_IF, FLAG_IOPL, FLAG_NT, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, FLAG_VM, VECTOR_GP } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { FlagsRegister } from './flags-register.ts';
import type { LinearMemory } from './linear-memory.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';

const RSP = 4;
const TSS_MAP_BASE = 0x66;
/** Flags that a 16-bit POPF or IRET may change here: CF PF AF ZF SF TF DF OF NT. */
const POPPED = 0x4dd5;

export class Virtual8086 {
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

  get #isFull(): boolean { return (this.#flags.other() & FLAG_IOPL) === FLAG_IOPL; }
  get #hasExtensions(): boolean { return (this.#state.get(state.CR4) & CR4_VME) !== 0; }
  #refuse(): never { return this.#memory.raise(VECTOR_GP, 0); }

  /** CLI and STI where IOPL does not allow them. */
  setVirtualInterruptFlag(on: boolean): void {
    const flags = this.#flags.other();
    const allowed = this.#segments.isVirtual8086() ? this.#hasExtensions : this.#state.get(state.CPL) === 3 && (this.#state.get(state.CR4) & CR4_PVI) !== 0;
    if (!allowed || (on && (flags & FLAG_VIP) !== 0)) this.#refuse();
    this.#flags.setOther(on ? flags | FLAG_VIF : flags & ~FLAG_VIF);
  }

  /** PUSHF in virtual-8086 mode; false: nothing special, the instruction goes on. */
  pushFlags(size: number): boolean {
    if (this.#isFull) return false;
    if (!this.#hasExtensions || size !== 2) this.#refuse();
    const flags = this.#flags.read();
    this.#push(this.#image(flags));
    return true;
  }
  /** POPF in virtual-8086 mode; false as above. */
  popFlags(size: number): boolean {
    if (this.#isFull) return false;
    if (!this.#hasExtensions || size !== 2) this.#refuse();
    const value = this.#peek(0);
    this.#setFlags(value);
    this.#release(2);
    return true;
  }
  /** IRET with IOPL below 3; #GP without the extensions. */
  interruptReturn(size: number): void {
    if (!this.#hasExtensions || size !== 2) this.#refuse();
    const ip = this.#peek(0);
    const selector = this.#peek(2);
    this.#setFlags(this.#peek(4));
    this.#release(6);
    this.#segments.setRealMode(state.CS, selector);
    this.#state.set64(state.RIP, ip, 0);
  }
  /** INT n in virtual-8086 mode: true when it went through the 8086 program's own table; RIP is behind the instruction. */
  redirect(vector: number): boolean {
    if (this.#hasExtensions && !this.#goesToMonitor(vector)) {
      const s = this.#state;
      const entry = this.#memory.load32(vector * 4, 0, false);
      const flags = this.#flags.read();
      const full = this.#isFull;
      this.#push(full ? flags & 0xffff : this.#image(flags), 2);
      this.#push(s.selector(state.CS), 4);
      this.#push(s.get(state.RIP) & 0xffff, 6);
      s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & 0xffff_0000) | ((s.gpr(RSP) - 6) & 0xffff)) >>> 0);
      this.#flags.write(flags & ~(FLAG_TF | FLAG_NT | FLAG_RF | FLAG_AC | (full ? FLAG_IF : FLAG_VIF)) | FLAG_VM);
      this.#segments.setRealMode(state.CS, entry >>> 16);
      s.set64(state.RIP, entry & 0xffff, 0);
      return true;
    }
    if (!this.#isFull) this.#refuse();
    return false;
  }
  /** The interrupt redirection bitmap: the 32 bytes below the I/O permission bitmap. */
  #goesToMonitor(vector: number): boolean {
    const s = this.#state;
    const base = s.base(state.TR);
    if (s.limit(state.TR) < TSS_MAP_BASE + 1) return true;
    const map = this.#memory.load16((base + TSS_MAP_BASE) >>> 0, 0, true);
    const at = map - 32 + (vector >> 3);
    if (at > s.limit(state.TR)) return true;
    this.#memory.load((base + at) >>> 0, 0, 1, true);
    return ((s.get(state.VALUE) >> (vector & 7)) & 1) !== 0;
  }

  /** What PUSHF and INT show: IF is VIF, IOPL reads 3. */
  #image(flags: number): number {
    return ((flags & ~(FLAG_IF | FLAG_IOPL) & 0xffff) | FLAG_IOPL | ((flags & FLAG_VIF) !== 0 ? FLAG_IF : 0)) >>> 0;
  }
  #setFlags(value: number): void {
    const flags = this.#flags.read();
    if (((value & FLAG_IF) !== 0 && (flags & FLAG_VIP) !== 0) || (value & FLAG_TF) !== 0) this.#refuse();
    this.#flags.write((flags & ~(POPPED | FLAG_VIF | FLAG_RF)) | (value & POPPED) | ((value & FLAG_IF) !== 0 ? FLAG_VIF : 0));
  }
  /** Stores 16 bits at the stack pointer minus `below`, without moving it when `below` is given. */
  #push(value: number, below = 0): void {
    const s = this.#state;
    const sp = (s.gpr(RSP) - (below === 0 ? 2 : below)) & 0xffff;
    this.#memory.storeValue((s.base(state.SS) + sp) >>> 0, 0, 2, value, 0, false);
    if (below === 0) s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & 0xffff_0000) | sp) >>> 0);
  }
  #peek(above: number): number {
    const s = this.#state;
    return this.#memory.load16((s.base(state.SS) + ((s.gpr(RSP) + above) & 0xffff)) >>> 0, 0, false);
  }
  #release(bytes: number): void {
    const s = this.#state;
    s.set(state.GPR + RSP * 8, ((s.gpr(RSP) & 0xffff_0000) | ((s.gpr(RSP) + bytes) & 0xffff)) >>> 0);
  }
}
