/** Breakpoints: DR0 to DR3 under DR7, hits into DR6 (SDM vol. 3, section 17.2). */
import { CR4_DE } from '@vm/x86';
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

const DR6 = state.DR + 6 * 8;
const DR7 = state.DR + 7 * 8;
// R/W fields of DR7.
const EXECUTE = 0;
const PORT = 2;
/** Bytes by LEN field; 2 means 8 bytes. */
const LENGTHS: readonly number[] = [1, 2, 8, 4];

interface Breakpoint { readonly bit: number; readonly kind: number; readonly low: number; readonly high: number; readonly bytes: number }

export class DebugRegisters {
  readonly #state: StateView;
  readonly #changed: () => void;
  readonly #attend: () => void;
  #execution: readonly Breakpoint[] = [];
  #data: readonly Breakpoint[] = [];
  #ports: readonly Breakpoint[] = [];
  /** Not reported yet. */
  hits = 0;

  /** `changed` is called when the watched data changes, `attend` when breakpoints at instructions are there from the next one on. */
  constructor(view: StateView, changed: () => void, attend: () => void) {
    this.#state = view;
    this.#changed = changed;
    this.#attend = attend;
  }

  /** To be called after a write to a debug register or to CR4.DE. */
  update(): void {
    const s = this.#state;
    const control = s.get(DR7);
    const enabled: Breakpoint[] = [];
    for (let i = 0; i < 4; i++) {
      if (((control >>> (i * 2)) & 3) === 0) continue;
      const kind = (control >>> (16 + i * 4)) & 3;
      const bytes = kind === EXECUTE ? 1 : LENGTHS[(control >>> (18 + i * 4)) & 3] as number;
      enabled.push({ bit: 1 << i, kind, low: (s.get(state.DR + i * 8) & ~(bytes - 1)) >>> 0, high: s.high(state.DR + i * 8), bytes });
    }
    const ports = (s.get(state.CR4) & CR4_DE) !== 0;
    const hadData = this.#data.length > 0;
    this.#execution = enabled.filter(({ kind }) => kind === EXECUTE);
    this.#ports = ports ? enabled.filter(({ kind }) => kind === PORT) : [];
    this.#data = enabled.filter(({ kind }) => kind !== EXECUTE && kind !== PORT);
    if (hadData || this.#data.length > 0) this.#changed();
    if (this.hasExecution) this.#attend();
  }

  get hasExecution(): boolean { return this.#execution.length > 0; }
  get hasData(): boolean { return this.#data.length > 0; }
  /** Bits of the breakpoints at a linear address that is about to be executed. */
  executionHits(low: number, high: number): number {
    let bits = 0;
    for (const point of this.#execution) if (point.low === low && point.high === high) bits |= point.bit;
    return bits;
  }
  /** Does the page of the address hold watched data? Such pages stay out of the TLB. */
  watchesPage(low: number, high: number): boolean {
    return this.#data.some((point) => point.high === high && ((point.low ^ low) & 0xffff_f000) === 0);
  }
  /** Notes an access; true when it hit. */
  noteAccess(low: number, high: number, bytes: number, write: boolean): boolean {
    let bits = 0;
    for (const point of this.#data) {
      if (point.high === high && low < point.low + point.bytes && point.low < low + bytes && (write || point.kind === 3)) bits |= point.bit;
    }
    this.hits |= bits;
    return bits !== 0;
  }
  notePort(port: number, bytes: number): boolean {
    let bits = 0;
    for (const point of this.#ports) if (port < point.low + point.bytes && point.low < port + bytes) bits |= point.bit;
    this.hits |= bits;
    return bits !== 0;
  }
  /** The hits since the last call. */
  takeHits(): number {
    const hits = this.hits;
    this.hits = 0;
    return hits;
  }
  /** Adds causes to DR6. */
  report(bits: number): void { this.#state.set(DR6, (this.#state.get(DR6) | bits) >>> 0); }
}
