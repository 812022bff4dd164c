/** Compares the engine with the host's processor on random instructions and programs, for as long as one likes. */
import { EngineProcessor } from './engine-program.ts';
import { encodingsFor } from './host-encodings.ts';
import type { Encoding } from './encoding-list.ts';
import { compareProgram, describeCase } from './found-case.ts';
import type { FoundCase } from './found-case.ts';
import { NativeProcessor } from './native-program.ts';
import type { NativeRun } from './native-program.ts';
import { assemble, encodingsForPrograms, unitsBefore, writeProgram } from './program-writer.ts';
import type { Unit } from './program-writer.ts';
import { setCode } from './program-state.ts';
import { FX_ST, FX_XMM, RECORD_BYTES, RECORD_CODE, RECORD_CODE_BYTES, RECORD_GPR, RECORD_MEMORY, RECORD_MEMORY_BYTES, RECORD_RIP, RECORD_VECTOR, VECTOR_TIMEOUT } from './program-record.ts';
import { Random } from './random.ts';
import { defaultTranslatorMode } from '../translate/translator-mode.ts';
import type { TranslatorMode } from '../translate/translator-mode.ts';
import { writeSingleInstruction } from './single-instruction.ts';

export interface FuzzOptions {
  /** Path of a C compiler. */
  readonly compiler: string;
  readonly seed: number;
  /** Encodings whose key does not match are left out. */
  readonly only?: RegExp;
  /** Batch by batch in turn, so that one may stand there more often than another; default: as engines have it. */
  readonly translators?: readonly TranslatorMode[];
}

const BATCH = 1500;
const ATTEMPTS = 10;

export class ProcessorFuzz {
  readonly #native: NativeProcessor;
  readonly #turns: readonly TranslatorMode[];
  readonly #engines: ReadonlyMap<TranslatorMode, EngineProcessor>;
  #batches = 0;
  readonly #host: NativeRun;
  readonly #random: Random;
  readonly #encodings: readonly Encoding[];
  readonly #byName: Readonly<Record<32 | 64, ReadonlyMap<string, readonly Encoding[]>>>;
  /** Those with the fewest cases first. */
  #order: readonly Encoding[] = [];
  #nextEncoding = 0;
  cases = 0;
  /** Of these, by what the translator did. */
  readonly casesByTranslator: Map<TranslatorMode, number> = new Map<TranslatorMode, number>();
  /** Cases in which an instruction of the form ran, or was meant to. */
  readonly coverage: Map<string, number> = new Map<string, number>();
  /** Forms of which a single instruction ended with an exception, by vector; 13 is HLT too. */
  readonly formsByVector: Map<number, Set<string>> = new Map<number, Set<string>>();
  /** Exceptions that ended a case, by vector; 13 is HLT too. */
  readonly vectors: Map<number, number> = new Map<number, number>();

  constructor({ compiler, seed, only, translators = [defaultTranslatorMode()] }: FuzzOptions) {
    this.#native = new NativeProcessor(compiler);
    this.#host = this.#native.run(new Uint8Array(0));
    const { lowPages, hasBases } = this.#host;
    this.#turns = translators;
    this.#engines = new Map([...new Set(translators)].map((mode) => [mode, new EngineProcessor(lowPages, hasBases, mode)]));
    this.#random = new Random(seed);
    this.#encodings = encodingsFor(this.#host).filter(({ key }) => only?.test(key) ?? true);
    this.#byName = { 32: encodingsForPrograms(this.#encodings, 32), 64: encodingsForPrograms(this.#encodings, 64) };
    for (const encoding of this.#encodings) this.coverage.set(formOf(encoding.key), 0);
  }

  get instructions(): number { return [...this.#engines.values()].reduce((sum, { instructions }) => sum + instructions, 0); }
  get translated(): number { return [...this.#engines.values()].reduce((sum, { translated }) => sum + translated, 0); }
  get #translator(): TranslatorMode { return this.#turns[(this.#batches - 1) % this.#turns.length] as TranslatorMode; }
  get #engine(): EngineProcessor { return this.#engines.get(this.#translator) as EngineProcessor; }
  [Symbol.dispose](): void { this.#native[Symbol.dispose](); }

  /** Runs one batch, half single instructions and half programs. Answers what differed, programs made as short as they get. */
  runBatch(): FoundCase[] {
    this.#batches++;
    const before = new DataView(new ArrayBuffer(BATCH * RECORD_BYTES));
    const programs: (Unit[] | null)[] = [];
    const counted = this.#encodings.map((encoding) => ({ encoding, count: this.coverage.get(formOf(encoding.key)) ?? 0 }));
    this.#order = counted.sort((a, b) => a.count - b.count).map(({ encoding }) => encoding);
    this.#nextEncoding = 0;
    const singles: (string | null)[] = [];
    for (let i = 0; i < BATCH; i++) {
      const single = i % 2 === 0;
      singles.push(single ? this.#writeSingle(before, i * RECORD_BYTES) : null);
      programs.push(single ? null : this.#writeProgram(before, i * RECORD_BYTES));
    }
    const { native, ours } = this.#run(before);
    this.casesByTranslator.set(this.#translator, (this.casesByTranslator.get(this.#translator) ?? 0) + BATCH);
    const found: FoundCase[] = [];
    for (let i = 0; i < BATCH; i++) {
      const at = i * RECORD_BYTES;
      this.cases++;
      const vector = native.getUint32(at + RECORD_VECTOR, true);
      this.vectors.set(vector, (this.vectors.get(vector) ?? 0) + 1);
      const units = programs[i] ?? null;
      if (units !== null) for (const { key } of unitsBefore(units, native.getUint32(at + RECORD_RIP, true))) this.#count(key);
      else this.#note(singles[i] as string, vector);
      if (vector === VECTOR_TIMEOUT || compareProgram(before, ours, native, at).length === 0) continue;
      const record = new DataView(before.buffer.slice(at, at + RECORD_BYTES));
      // Once more: what the host did in between, an interrupt for one thing, is not the program's.
      if (this.#firstFailing([record]) === 0) found.push(this.#shrink(record, units));
    }
    return found;
  }

  #count(key: string): void {
    const form = formOf(key);
    this.coverage.set(form, (this.coverage.get(form) ?? 0) + 1);
  }
  /** Counts the exception that ended a single instruction. */
  #note(key: string, vector: number): void {
    const form = formOf(key);
    const forms = this.formsByVector.get(vector) ?? new Set<string>();
    this.formsByVector.set(vector, forms.add(form));
  }
  #writeSingle(view: DataView, at: number): string {
    for (;;) {
      const encoding = this.#order[this.#nextEncoding++ % this.#order.length] as Encoding;
      for (let i = 0; i < ATTEMPTS; i++) {
        if (!writeSingleInstruction(encoding, view, at, this.#random, this.#host.hasBases)) continue;
        this.#count(encoding.key);
        return encoding.key;
      }
    }
  }
  #writeProgram(view: DataView, at: number): Unit[] {
    const bits = this.#random.once(2) ? 32 : 64;
    const byName = this.#byName[bits];
    const names = [...byName.keys()];
    if (names.length === 0) return [];
    return writeProgram(byName, names, bits, view, at, this.#random, this.#host);
  }

  #run(before: DataView): { native: DataView; ours: DataView } {
    const native = new DataView(this.#native.run(new Uint8Array(before.buffer)).records.buffer);
    const ours = new DataView(before.buffer.slice(0));
    for (let at = 0; at < before.byteLength; at += RECORD_BYTES) this.#engine.run(before, at, ours);
    return { native, ours };
  }

  // ---- Making a case smaller -------------------------------------------------------------------------------------------

  #shrink(record: DataView, units: Unit[] | null): FoundCase {
    let current = record;
    let rest = units ?? [];
    for (;;) {
      const shorter = rest.map((_unit, i) => rest.filter((_other, k) => k !== i));
      const next = this.#firstFailing(shorter.map((list) => withCode(current, list)));
      if (next < 0) break;
      rest = shorter[next] as Unit[];
      current = withCode(current, rest);
    }
    for (const clear of SIMPLIFICATIONS) {
      const simpler = new DataView(current.buffer.slice(0));
      clear(simpler);
      if (this.#firstFailing([simpler]) === 0) current = simpler;
    }
    const { native, ours } = this.#run(current);
    return describeCase(current, native, 0, compareProgram(current, ours, native, 0), this.#host);
  }
  /** Which of the records is the first to differ, or -1. */
  #firstFailing(records: readonly DataView[]): number {
    const all = new DataView(new ArrayBuffer(records.length * RECORD_BYTES));
    records.forEach((record, i) => new Uint8Array(all.buffer).set(new Uint8Array(record.buffer), i * RECORD_BYTES));
    const { native, ours } = this.#run(all);
    return records.findIndex((_record, i) => compareProgram(all, ours, native, i * RECORD_BYTES).length > 0);
  }
}

function withCode(record: DataView, units: readonly Unit[]): DataView {
  const made = new DataView(record.buffer.slice(0));
  new Uint8Array(made.buffer).fill(0, RECORD_CODE, RECORD_CODE + RECORD_CODE_BYTES);
  setCode(made, 0, assemble(units));
  return made;
}

const zero = (at: number, bytes: number) => (record: DataView): void => { new Uint8Array(record.buffer).fill(0, at, at + bytes); };
/** States that are simpler in one respect. */
const SIMPLIFICATIONS: readonly ((record: DataView) => void)[] = [
  zero(FX_XMM, 256), zero(FX_ST, 128), zero(RECORD_MEMORY, RECORD_MEMORY_BYTES),
  ...Array.from({ length: 8 }, (_, i) => zero(FX_ST + i * 16, 10)),
  ...Array.from({ length: 16 }, (_, i) => zero(FX_XMM + i * 16, 16)),
  ...Array.from({ length: 16 }, (_, i) => zero(RECORD_GPR + i * 8, 8)),
  ...Array.from({ length: RECORD_MEMORY_BYTES / 16 }, (_, i) => zero(RECORD_MEMORY + i * 16, 16)),
];

/** The form of an encoding's key: width of code and form, without the encoding. */
function formOf(key: string): string { return `${key.slice(0, 2)} ${key.slice(key.indexOf(': ') + 2).replace(/ rep$/, '')}`; }
