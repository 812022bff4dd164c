/** Assembles a WebAssembly module from imports and function bodies (WebAssembly Core Specification 2.0, section 5.5). */
import { CodeWriter } from './code-writer.ts';
import type { ValueType } from './code-writer.ts';

export interface Signature { readonly parameters: readonly ValueType[]; readonly results: readonly ValueType[] }

// Modules are put together one at a time.
const OUT = new CodeWriter();
const CONTENT = new CodeWriter();
const HEAD = new CodeWriter(64);

/** `from` and `to`: where the body lies among the module's. */
interface Defined { readonly typeIndex: number; from: number; to: number; exportName: string | null; hints: readonly number[] }

/** What a branch hint says of its branch (the other is 1, for often). */
const SELDOM = 0;

export interface MemoryImport { readonly minimumPages: number; readonly maximumPages: number; readonly shared: boolean }

export class ModuleWriter {
  readonly #signatures: Signature[] = [];
  readonly #imports: { readonly name: string; readonly typeIndex: number }[] = [];
  readonly #functions: Defined[] = [];
  /** Signatures and imports as bytes, until there are more. */
  #head: Uint8Array | null = null;
  readonly #bodies = new CodeWriter(1 << 14);
  readonly #memory: MemoryImport;
  #table: readonly number[] = [];
  #tableName: string | null = null;

  constructor(memory: MemoryImport) { this.#memory = memory; }

  /** Index of a signature, as call_indirect names it. */
  typeIndex(signature: Signature): number { return this.#type(signature); }

  /** The functions that call_indirect reaches, by their place in the list; with a name the table is exported and can grow. */
  table(functions: readonly number[], name: string | null = null): void {
    this.#table = functions;
    this.#tableName = name;
  }

  #type(signature: Signature): number {
    const same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((type, i) => type === b[i]);
    const found = this.#signatures.findIndex((s) => same(s.parameters, signature.parameters) && same(s.results, signature.results));
    if (found >= 0) return found;
    this.#head = null;
    return this.#signatures.push(signature) - 1;
  }

  /** Declares an imported function of module `env`; all imports come before the first definition. Returns its index. */
  import(name: string, signature: Signature): number {
    if (this.#functions.length > 0) throw new TypeError(`import ${name}: imports come before the first function`);
    this.#head = null;
    return this.#imports.push({ name, typeIndex: this.#type(signature) }) - 1;
  }

  /** Begins another module with the same imports. */
  again(): void {
    this.#functions.length = 0;
    this.#bodies.reset();
  }

  /** Reserves a function index, so that functions may call each other before their bodies exist. */
  declare(signature: Signature, exportName: string | null = null): number {
    return this.#imports.length + this.#functions.push({ typeIndex: this.#type(signature), from: -1, to: -1, exportName, hints: [] }) - 1;
  }

  /** Exports a declared function that has no name so far. */
  export(index: number, exportName: string): void {
    const defined = this.#functions[index - this.#imports.length];
    if (defined === undefined || defined.exportName !== null) throw new RangeError(`function ${index} is not declared or has a name already`);
    defined.exportName = exportName;
  }

  /** Gives a declared function its body: `locals` are those beyond the parameters, `code` lacks the closing `end`. */
  define(index: number, locals: readonly ValueType[], code: CodeWriter): void {
    const defined = this.#functions[index - this.#imports.length];
    if (defined === undefined || defined.from >= 0) throw new RangeError(`function ${index} is not declared or has a body already`);
    const head = HEAD;
    head.reset();
    let runs = 0;
    for (let i = 0; i < locals.length; i++) if (locals[i] !== locals[i - 1]) runs++;
    head.unsigned(runs);
    for (let i = 0, count = 1; i < locals.length; i++, count++) {
      if (locals[i] === locals[i + 1]) continue;
      head.unsigned(count).byte(locals[i] as number);
      count = 0;
    }
    defined.from = this.#bodies.length;
    this.#bodies.unsigned(head.length + code.length + 1).append(head).append(code).byte(0x0b);
    defined.to = this.#bodies.length;
    defined.hints = code.seldom.map((at) => head.length + at);
  }

  finish(): Uint8Array {
    const out = OUT;
    out.reset();
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.byte(byte);
    const section = (id: number, fill: (content: CodeWriter) => void): void => {
      const content = CONTENT;
      content.reset();
      fill(content);
      out.byte(id).unsigned(content.length);
      out.append(content);
    };
    const head = out.length;
    if (this.#head !== null) out.raw(this.#head);
    else {
      section(1, (content) => {
        content.unsigned(this.#signatures.length);
        for (const { parameters, results } of this.#signatures) {
          content.byte(0x60).unsigned(parameters.length);
          for (const type of parameters) content.byte(type);
          content.unsigned(results.length);
          for (const type of results) content.byte(type);
        }
      });
      section(2, (content) => {
        content.unsigned(this.#imports.length + 1);
        name(content, 'env');
        name(content, 'memory');
        content.byte(2).byte(this.#memory.shared ? 3 : 1).unsigned(this.#memory.minimumPages).unsigned(this.#memory.maximumPages);
        for (const entry of this.#imports) {
          name(content, 'env');
          name(content, entry.name);
          content.byte(0).unsigned(entry.typeIndex);
        }
      });
      this.#head = out.bytes.slice(head, out.length);
    }
    section(3, (content) => {
      content.unsigned(this.#functions.length);
      for (const defined of this.#functions) content.unsigned(defined.typeIndex);
    });
    if (this.#table.length > 0) section(4, (content) => { content.unsigned(1).byte(0x70).byte(0).unsigned(this.#table.length); });
    section(7, (content) => {
      const exported = this.#functions.flatMap((defined, i) => (defined.exportName === null ? [] : [{ name: defined.exportName, index: this.#imports.length + i }]));
      content.unsigned(exported.length + (this.#tableName === null ? 0 : 1));
      for (const entry of exported) {
        name(content, entry.name);
        content.byte(0).unsigned(entry.index);
      }
      if (this.#tableName !== null) { name(content, this.#tableName); content.byte(1).unsigned(0); }
    });
    if (this.#table.length > 0) {
      section(9, (content) => {
        content.unsigned(1).byte(0).const32(0).end().unsigned(this.#table.length);
        for (const index of this.#table) content.unsigned(index);
      });
    }
    const hinted = this.#functions.flatMap(({ hints }, i) => (hints.length === 0 ? [] : [{ index: this.#imports.length + i, hints }]));
    if (hinted.length > 0) {
      section(0, (content) => {
        name(content, 'metadata.code.branch_hint');
        content.unsigned(hinted.length);
        for (const { index, hints } of hinted) {
          content.unsigned(index).unsigned(hints.length);
          for (const at of hints) content.unsigned(at).byte(1).byte(SELDOM);
        }
      });
    }
    section(10, (content) => {
      content.unsigned(this.#functions.length);
      this.#functions.forEach((defined, i) => {
        if (defined.from < 0) throw new TypeError(`function ${this.#imports.length + i} (${defined.exportName ?? 'internal'}) has no body`);
        content.raw(this.#bodies.bytes.subarray(defined.from, defined.to));
      });
    });
    return out.bytes.slice(0, out.length);
  }
}

function name(out: CodeWriter, text: string): void {
  out.unsigned(text.length);
  for (let i = 0; i < text.length; i++) out.byte(text.charCodeAt(i));
}
