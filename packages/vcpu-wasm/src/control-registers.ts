/** Control registers and EFER (SDM vol. 3, section 2.5), with the side effects of changing them. */
import {
  CR0_CD, CR0_EM, CR0_ET, CR0_NE, CR0_NW, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR0_AM, CR0_MP, CR3_NO_FLUSH_HIGH, CR3_PCID_MASK, CR4_OSFXSR, CR4_OSXSAVE, CR4_PAE,
  CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMAP, CR4_SMEP, DESCRIPTOR_L, EFER_LMA, EFER_LME, EFER_NXE, VECTOR_GP, VECTOR_UD,
} from '@vm/x86';
import type { InterruptPort } from '@vm/core/engine';
import type { CpuModel } from './cpu-model.ts';
import * as state from './cpu-state.ts';
import type { LinearMemory } from './linear-memory.ts';
import { PHYSICAL_BITS } from './page-walk.ts';
import type { Segmentation } from './segmentation.ts';
import type { StateView } from './state-view.ts';
import { isExtendedControl, stateComponents, XSTATE_AVX, XSTATE_SSE } from './xsave.ts';

export const CR0_EXISTING: number = (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG) >>> 0;
/** Bits whose change makes cached translations wrong. */
const CR0_TRANSLATION = (CR0_PG | CR0_WP | CR0_PE) >>> 0;
/** Bits of CR0 that reload the PAE pointers (SDM vol. 3, section 4.4.1). */
const CR0_TRANSLATION_OR_CACHE = (CR0_PG | CR0_CD | CR0_NW) >>> 0;
const CR4_TRANSLATION = CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP;
/** Of these, the ones that reload the PAE pointers. */
const CR4_POINTERS = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP;

export class ControlRegisters {
  readonly #state: StateView;
  readonly #memory: LinearMemory;
  readonly #segments: Segmentation;
  readonly #interrupts: InterruptPort;
  readonly #model: CpuModel;

  constructor(view: StateView, memory: LinearMemory, segments: Segmentation, interrupts: InterruptPort, model: CpuModel) {
    this.#state = view;
    this.#memory = memory;
    this.#segments = segments;
    this.#interrupts = interrupts;
    this.#model = model;
  }

  /** Value in `low`; the high half is in `high`. */
  high = 0;
  read(number: number): number {
    const s = this.#state;
    this.high = 0;
    switch (number) {
      case 0: return s.get(state.CR0);
      case 2: this.high = s.high(state.CR2); return s.get(state.CR2);
      case 3: this.high = s.high(state.CR3); return s.get(state.CR3);
      case 4: return s.get(state.CR4);
      case 8: return this.#interrupts.priority;
      default: return this.#memory.raise(VECTOR_UD, -1);
    }
  }

  write(number: number, low: number, high: number): void {
    const s = this.#state;
    switch (number) {
      case 0:
        if (high !== 0) this.#memory.raise(VECTOR_GP, 0);
        this.writeCr0(low);
        break;
      case 2: s.set64(state.CR2, low, high); break;
      case 3:
        // The request to keep translations is granted by dropping all of them: more than asked may go.
        if ((s.get(state.CR4) & CR4_PCIDE) !== 0) high &= ~CR3_NO_FLUSH_HIGH;
        if (this.#segments.isLongMode() ? high >>> 0 >= 2 ** (PHYSICAL_BITS - 32) : high !== 0) this.#memory.raise(VECTOR_GP, 0);
        this.#loadDirectoryPointers(s.get(state.CR0), s.get(state.CR4), s.get(state.EFER), low);
        s.set64(state.CR3, low, high);
        this.#memory.rootChanged();
        break;
      case 4:
        if (high !== 0) this.#memory.raise(VECTOR_GP, 0);
        this.writeCr4(low);
        break;
      case 8:
        if (high !== 0 || low > 15) this.#memory.raise(VECTOR_GP, 0);
        this.#interrupts.priority = low;
        break;
      default: this.#memory.raise(VECTOR_UD, -1);
    }
  }

  /** PAE paging outside long mode works from pointers that are loaded now; #GP when they are malformed. */
  #loadDirectoryPointers(cr0: number, cr4: number, efer: number, cr3: number): void {
    if ((cr0 & CR0_PG) === 0 || (cr4 & CR4_PAE) === 0 || (efer & EFER_LME) !== 0) return;
    if (!this.#memory.walk.loadDirectoryPointers(cr3)) this.#memory.raise(VECTOR_GP, 0);
  }

  writeCr0(value: number): void {
    const s = this.#state;
    const old = s.get(state.CR0);
    const next = ((value & CR0_EXISTING) | CR0_ET) >>> 0;
    const paging = (next & CR0_PG) !== 0;
    if ((paging && (next & CR0_PE) === 0) || ((next & CR0_NW) !== 0 && (next & CR0_CD) === 0)) this.#memory.raise(VECTOR_GP, 0);
    const efer = s.get(state.EFER);
    const wasPaging = (old & CR0_PG) !== 0;
    if (paging && !wasPaging && (efer & EFER_LME) !== 0) {
      // Entering long mode needs PAE and a code segment without L (SDM vol. 3, section 9.8.5).
      if ((s.get(state.CR4) & CR4_PAE) === 0 || (s.attributes(state.CS) & DESCRIPTOR_L) !== 0) this.#memory.raise(VECTOR_GP, 0);
    }
    if (!paging && wasPaging && (s.get(state.CR4) & CR4_PCIDE) !== 0) this.#memory.raise(VECTOR_GP, 0);
    if (!paging && wasPaging && this.#segments.is64Bit()) this.#memory.raise(VECTOR_GP, 0);
    if (((old ^ next) & CR0_TRANSLATION_OR_CACHE) !== 0) this.#loadDirectoryPointers(next, s.get(state.CR4), efer, s.get(state.CR3));
    s.set(state.CR0, next);
    if (paging !== wasPaging && (efer & EFER_LME) !== 0) s.set(state.EFER, paging ? efer | EFER_LMA : efer & ~EFER_LMA);
    if (((old ^ next) & CR0_TRANSLATION) !== 0) this.#memory.pagingChanged();
    if (((old ^ next) & CR0_PE) !== 0 && (next & CR0_PE) === 0) this.#segments.setCpl(0);
    this.#segments.codeSegmentChanged();
    this.floatingPointAvailability();
  }

  writeCr4(value: number): void {
    const s = this.#state;
    if ((value & ~this.#model.cr4) !== 0) this.#memory.raise(VECTOR_GP, 0);
    if (this.#segments.isLongMode() && (value & CR4_PAE) === 0) this.#memory.raise(VECTOR_GP, 0);
    const old = s.get(state.CR4);
    // Process-context identifiers begin in long mode with number 0 (SDM vol. 3, section 4.10.1).
    if ((value & ~old & CR4_PCIDE) !== 0 && (!this.#segments.isLongMode() || (s.get(state.CR3) & CR3_PCID_MASK) !== 0)) this.#memory.raise(VECTOR_GP, 0);
    if (((old ^ value) & CR4_POINTERS) !== 0) this.#loadDirectoryPointers(s.get(state.CR0), value, s.get(state.EFER), s.get(state.CR3));
    s.set(state.CR4, value);
    if (((old ^ value) & CR4_TRANSLATION) !== 0) this.#memory.pagingChanged();
    this.floatingPointAvailability();
  }

  /** True when the value is allowed. */
  writeEfer(low: number, high: number): boolean {
    const s = this.#state;
    const old = s.get(state.EFER);
    if (high !== 0 || (low & ~this.#model.efer) !== 0) return false;
    if (((old ^ low) & EFER_LME) !== 0 && (s.get(state.CR0) & CR0_PG) !== 0) return false;
    s.set(state.EFER, (low & ~EFER_LMA) | (old & EFER_LMA));
    if (((old ^ low) & EFER_NXE) !== 0) this.#memory.pagingChanged();
    return true;
  }

  /** XSETBV (SDM vol. 2). */
  writeExtended(number: number, low: number, high: number): void {
    if (number !== 0 || !isExtendedControl(low, high, stateComponents(this.#model.features))) this.#memory.raise(VECTOR_GP, 0);
    this.#state.set(state.XCR0, low);
    this.floatingPointAvailability();
  }

  /** LMSW: sets PE but does not clear it. */
  loadStatusWord(value: number): void {
    const old = this.#state.get(state.CR0);
    this.writeCr0(((old & ~0xe) | (value & 0xf) | (old & CR0_PE)) >>> 0);
  }

  floatingPointAvailability(): void {
    const s = this.#state;
    const cr0 = s.get(state.CR0);
    const cr4 = s.get(state.CR4);
    s.set(state.X87_BLOCKED, cr0 & (CR0_EM | CR0_TS));
    s.set(state.SSE_BLOCKED, (cr0 & (CR0_EM | CR0_TS)) | ((cr4 & CR4_OSFXSR) === 0 ? 0x8000_0000 : 0));
    const vectors = XSTATE_SSE | XSTATE_AVX;
    s.set(state.AVX_BLOCKED, (cr0 & CR0_TS) | ((cr4 & CR4_OSXSAVE) === 0 || (s.get(state.XCR0) & vectors) !== vectors ? 0x8000_0000 : 0));
  }
}
