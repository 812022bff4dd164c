/** Runs the records of the native harness in the engine. */
import { CR4_FSGSBASE } from '@vm/x86';
import * as state from '../cpu-state.ts';
import { FlatRunner } from '../flat-runner.ts';
import { defaultTranslatorMode } from '../translate/translator-mode.ts';
import type { TranslatorMode } from '../translate/translator-mode.ts';
import {
  CODE_AT, CODE_PAGE, DATA_BYTES, DATA_PAGES, FX_CONTROL, FX_MXCSR, FX_ST, FX_STATUS, FX_TAGS, FS_BASE, FX_XMM, GS_BASE, HASH_SEED, hashWords, LOW_PAGES, MEMORY_AT, READ_ONLY_PAGE, RECORD_BITS,
  RECORD_CODE, RECORD_CR2, RECORD_FLAGS, RECORD_GPR, RECORD_HASH, RECORD_LENGTH, RECORD_MEMORY, RECORD_MEMORY_BYTES, RECORD_RIP, RECORD_SELECTORS, RECORD_VECTOR, RECORD_YMM, USER_DATA, VECTOR_BUDGET,
} from './program-record.ts';

const HLT = 0xf4;
/** A jump to the next instruction: code that is reached by a branch is translated, in the mode that translates everything. */
const JMP_NEXT = [0xeb, 0];
const FLAG_TF = 1 << 8;
const BUDGET = 200_000;
const NUMBERS = { ds: USER_DATA, es: USER_DATA, fs: USER_DATA, gs: USER_DATA } as const;
const NO_NUMBERS = { ...NUMBERS, fs: 0, gs: 0 } as const;
const SELECTOR_ORDER = [state.CS, state.SS, state.DS, state.ES, state.FS, state.GS] as const;

export class EngineProcessor {
  readonly #lowPages: boolean;
  readonly #hasBases: boolean;
  readonly #isEager: boolean;
  readonly #runners: Readonly<Record<32 | 64, FlatRunner>>;
  /** How many instructions to run before the next pause; null: no pauses. */
  slice: (() => number) | null = null;
  readonly #code = new Uint8Array(4096);
  readonly #data = new Uint8Array(DATA_BYTES);
  /** Instructions that ran in translated code. */
  get translated(): number { return [32, 64].reduce((sum, bits) => sum + this.#runners[bits as 32 | 64].vcpu.state.number(state.REGION_INSTRUCTIONS), 0); }
  /** Instructions retired. */
  instructions = 0;

  constructor(lowPages: boolean, hasBases: boolean, translator?: TranslatorMode) {
    this.#runners = { 32: new FlatRunner('protected', translator), 64: new FlatRunner('long', translator) };
    this.#lowPages = lowPages;
    this.#hasBases = hasBases;
    this.#isEager = (translator ?? defaultTranslatorMode()) === 'eager';
  }

  /** Runs the record at `at` of `before`; the state after it goes to the same place of `after`. */
  run(before: DataView, at: number, after: DataView): void {
    const bits = before.getUint32(at + RECORD_BITS, true) === 32 ? 32 : 64;
    const runner = this.#runners[bits];
    const { vcpu } = runner;
    const cpu = vcpu.state;
    const code = this.#code.fill(HLT);
    const length = before.getUint32(at + RECORD_LENGTH, true);
    code.set(new Uint8Array(before.buffer, before.byteOffset + at + RECORD_CODE, length), CODE_AT - CODE_PAGE);
    // Single steps would stop behind the jump.
    const jumps = this.#isEager && before.getUint32(at + RECORD_RIP, true) === CODE_AT && (before.getUint32(at + RECORD_FLAGS, true) & FLAG_TF) === 0;
    if (jumps) code.set(JMP_NEXT, CODE_AT - JMP_NEXT.length - CODE_PAGE);
    const data = this.#data;
    data.set(new Uint8Array(before.buffer, before.byteOffset + at + RECORD_MEMORY, RECORD_MEMORY_BYTES), MEMORY_AT - DATA_PAGES);
    const regions = [{ at: DATA_PAGES, bytes: data, noExecute: true }, { at: READ_ONLY_PAGE, bytes: 4096, readOnly: true, noExecute: true }];
    if (this.#lowPages) regions.push({ at: LOW_PAGES, bytes: data, noExecute: true });
    const request = {
      code, at: CODE_PAGE, mode: bits === 64 ? 'long' : 'protected', ring: 3, mapped: 'given', memory: regions, budget: BUDGET, registers: this.#hasBases ? NUMBERS : NO_NUMBERS,
    } as const;
    runner.load(request);
    if (this.#hasBases) {
      cpu.set(state.CR4, cpu.get(state.CR4) | CR4_FSGSBASE);
      cpu.set64(state.SEGMENT_BASE + state.FS * 8, FS_BASE, 0);
      cpu.set64(state.SEGMENT_BASE + state.GS * 8, GS_BASE, 0);
    }
    for (let r = 0; r < 16; r++) cpu.set64(state.GPR + r * 8, before.getUint32(at + RECORD_GPR + r * 8, true), bits === 64 ? before.getUint32(at + RECORD_GPR + r * 8 + 4, true) : 0);
    cpu.set64(state.RIP, before.getUint32(at + RECORD_RIP, true) - (jumps ? JMP_NEXT.length : 0), 0);
    vcpu.flags.write(before.getUint32(at + RECORD_FLAGS, true));
    const top = (before.getUint16(at + FX_STATUS, true) >> 11) & 7;
    cpu.set(state.X87_CONTROL, before.getUint16(at + FX_CONTROL, true));
    cpu.set(state.X87_STATUS, before.getUint16(at + FX_STATUS, true) & ~0x3800);
    cpu.set(state.X87_TOP, top);
    for (let i = 0; i < 8; i++) {
      cpu.u8[cpu.at + state.X87_EMPTY + i] = ((before.getUint8(at + FX_TAGS) >> i) & 1) ^ 1;
      for (let b = 0; b < 10; b++) cpu.u8[cpu.at + state.X87 + ((top + i) & 7) * 16 + b] = before.getUint8(at + FX_ST + i * 16 + b);
    }
    for (let b = 0; b < 256; b += 4) cpu.set(state.XMM + b, before.getUint32(at + FX_XMM + b, true));
    for (let b = 0; b < 256; b += 4) cpu.set(state.YMM_HIGH + b, before.getUint32(at + RECORD_YMM + b, true));
    cpu.set(state.MXCSR, before.getUint32(at + FX_MXCSR, true));

    // The jump is no part of the program, nor of its budget.
    if (jumps) runner.execute({ ...request, budget: 1 });
    let left = BUDGET;
    let { stop, exception, instructions } = runner.execute({ ...request, budget: Math.min(left, this.slice?.() ?? left) });
    for (left -= instructions, this.instructions += instructions; stop === 'budget' && left > 0; left -= instructions, this.instructions += instructions) {
      ({ stop, exception, instructions } = runner.execute({ ...request, budget: Math.min(left, this.slice?.() ?? left) }));
    }

    // The host's HLT is a fault: RIP stays at it.
    if (stop === 'halt') cpu.set64(state.RIP, (cpu.get(state.RIP) - 1) >>> 0, cpu.high(state.RIP));
    after.setUint32(at + RECORD_VECTOR, stop === 'halt' ? 13 : stop === 'exception' && exception !== null ? exception : VECTOR_BUDGET, true);
    const wide = (to: number, from: number): void => {
      after.setUint32(at + to, cpu.get(from), true);
      after.setUint32(at + to + 4, cpu.high(from), true);
    };
    for (let r = 0; r < 16; r++) wide(RECORD_GPR + r * 8, state.GPR + r * 8);
    wide(RECORD_RIP, state.RIP);
    wide(RECORD_CR2, state.CR2);
    after.setUint32(at + RECORD_FLAGS, vcpu.flags.read(), true);
    after.setUint32(at + RECORD_FLAGS + 4, 0, true);
    const newTop = cpu.get(state.X87_TOP) & 7;
    after.setUint16(at + FX_CONTROL, cpu.get(state.X87_CONTROL), true);
    after.setUint16(at + FX_STATUS, (cpu.get(state.X87_STATUS) & ~0x3800) | (newTop << 11), true);
    let tags = 0;
    for (let i = 0; i < 8; i++) {
      if (cpu.u8[cpu.at + state.X87_EMPTY + i] === 0) tags |= 1 << i;
      for (let b = 0; b < 10; b++) after.setUint8(at + FX_ST + i * 16 + b, cpu.u8[cpu.at + state.X87 + ((newTop + i) & 7) * 16 + b] as number);
    }
    after.setUint8(at + FX_TAGS, tags);
    for (let b = 0; b < 256; b += 4) after.setUint32(at + FX_XMM + b, cpu.get(state.XMM + b), true);
    for (let b = 0; b < 256; b += 4) after.setUint32(at + RECORD_YMM + b, cpu.get(state.YMM_HIGH + b), true);
    SELECTOR_ORDER.forEach((segment, i) => after.setUint16(at + RECORD_SELECTORS + i * 2, cpu.selector(segment), true));
    after.setUint32(at + FX_MXCSR, cpu.get(state.MXCSR), true);
    new Uint8Array(after.buffer, after.byteOffset + at + RECORD_MEMORY, RECORD_MEMORY_BYTES).set(runner.read(MEMORY_AT, RECORD_MEMORY_BYTES));
    let hash = this.#hash(runner, DATA_PAGES, HASH_SEED);
    if (this.#lowPages) hash = this.#hash(runner, LOW_PAGES, hash);
    after.setUint32(at + RECORD_HASH, hash, true);
    after.setUint32(at + RECORD_HASH + 4, 0, true);
  }
  #hash(runner: FlatRunner, at: number, seed: number): number {
    const bytes = runner.read(at, DATA_BYTES);
    return hashWords(new Uint32Array(bytes.buffer), 0, DATA_BYTES / 4, seed);
  }
}
