/**
 * What the processors of a machine share beside memory: the interpreters, with the regions in their tables, and the translator.
 *
 * Generated code gets the processor's block as a parameter, so one instance serves all. What it imports is of one processor: of one
 * alone its functions as they are, so that nothing stands between; of several those of the one that runs.
 */
import type { CodeCache } from './code-page.ts';
import type { HandlerTables } from './code-fetch.ts';
import * as state from './cpu-state.ts';
import type { EnterHandler } from './exception-delivery.ts';
import type { EngineImports } from './runtime.ts';
import type { ShadowTables } from './shadow-paging.ts';
import type { StateView } from './state-view.ts';
import { Translator } from './translate/translator.ts';
import type { RegionHost } from './translate/translator.ts';
import type { TranslatorMode } from './translate/translator-mode.ts';

/** The exports of one interpreter module. */
export interface Interpreter extends RegionHost {
  run(s: number): void;
  getFlags(s: number): number;
  setFlags(s: number, flags: number): void;
  enterHandler: EnterHandler;
}
export interface Interpreters { readonly long: Interpreter; readonly legacy: Interpreter }

export interface GroupParts {
  readonly processors: number;
  readonly memory: WebAssembly.Memory;
  readonly cache: CodeCache;
  readonly shadow: ShadowTables | null;
  readonly handlers: HandlerTables;
  readonly translator: TranslatorMode;
  readonly translatedBytes: number;
  readonly traceRegions: boolean;
  readonly instantiate: (imports: EngineImports) => Interpreters;
}

export class ProcessorGroup {
  readonly processors: number;
  readonly cache: CodeCache;
  readonly shadow: ShadowTables | null;
  readonly handlers: HandlerTables;
  readonly #parts: GroupParts;
  #interpreters: Interpreters | null = null;
  #translator: Translator | null = null;
  #running: EngineImports | null = null;
  readonly #stuck: (() => boolean)[] = [];

  constructor(parts: GroupParts) {
    this.#parts = parts;
    this.processors = parts.processors;
    this.cache = parts.cache;
    this.shadow = parts.shadow;
    this.handlers = parts.handlers;
  }

  get isAlone(): boolean { return this.processors === 1; }

  /** A processor with its block, what it does for generated code, and whether it waits with interrupts disabled. */
  join(view: StateView, imports: EngineImports, isStuck: () => boolean): { readonly interpreters: Interpreters; readonly translator: Translator } {
    this.#running ??= imports;
    this.#stuck.push(isStuck);
    const interpreters = (this.#interpreters ??= this.#parts.instantiate(this.isAlone ? imports : this.#dispatching()));
    const translator = (this.#translator ??= this.#makeTranslator(interpreters));
    view.set(state.YIELDS, this.isAlone ? 0 : 1);
    translator.serve(view);
    return { interpreters, translator };
  }
  /** All wait for what only a reset or another processor could bring. */
  get isStuck(): boolean { return this.#stuck.every((one) => one()); }
  /** Generated code that runs from now on is of the processor with these. */
  enter(imports: EngineImports): void { this.#running = imports; }

  #makeTranslator({ long, legacy }: Interpreters): Translator {
    const { memory, cache, handlers, translator: mode, translatedBytes: mostBytes, traceRegions: traced } = this.#parts;
    return new Translator({
      buffer: memory.buffer, cache, memory, mode, mostBytes, traced, long: { host: long, keys: handlers.long.keys }, legacy: { host: legacy, keys: handlers.legacy.keys },
    });
  }
  #dispatching(): EngineImports {
    const running = (): EngineImports => this.#running as EngineImports;
    return {
      slowLoad: (low, high, bytes) => running().slowLoad(low, high, bytes),
      slowLoadForUpdate: (low, high, bytes) => running().slowLoadForUpdate(low, high, bytes),
      slowStore: (low, high, bytes) => running().slowStore(low, high, bytes),
      slowLinear: (segment, offset, bytes, write) => running().slowLinear(segment, offset, bytes, write),
      resolve: () => running().resolve(),
      link: (uop) => running().link(uop),
      hot: (uop) => running().hot(uop),
      looped: (uop) => running().looped(uop),
      stale: (uop) => running().stale(uop),
      crossPage: (uop) => running().crossPage(uop),
      raise: (vector, errorCode) => running().raise(vector, errorCode),
      system: (id, uop) => running().system(id, uop),
      now: (id) => running().now(id),
      portIn: (port, bytes) => running().portIn(port, bytes),
      portOut: (port, bytes, value) => running().portOut(port, bytes, value),
      unknown: (uop) => running().unknown(uop),
    };
  }

  /** What is nobody's own, by name. */
  *counts(): Generator<readonly [name: string, count: number]> {
    if (this.shadow !== null) for (const [name, count] of this.shadow.counts()) yield [`shadow.${name}`, count];
    yield ['code.pages', this.cache.pageCount];
    yield ['code.flushes', this.cache.generation];
    yield ['code.invalidations', this.cache.invalidations];
    if (this.#translator !== null) yield* this.#translator.counts();
  }
}
