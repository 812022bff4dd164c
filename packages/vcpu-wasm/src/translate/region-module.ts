/** A WebAssembly module of several regions. It imports the memory and three functions of the interpreter, and no table. */
import { I32, I64 } from '../wasm/code-writer.ts';
import type { CodeWriter } from '../wasm/code-writer.ts';
import { ModuleWriter } from '../wasm/module-writer.ts';
import { writeCanonical } from './lazy-flags.ts';
import type { RegionFunctions } from './region-binding.ts';
import { REGION_LOCALS } from './region-locals.ts';

/** Numbers of the functions in every such module: imports first. */
export const REGION_FUNCTIONS: RegionFunctions = { getFlags: 0, setFlags: 1, apart: 2, canonical: 3 };

/** Name under which the region with this place in the module is exported. */
export const regionName = (place: number): string => `r${place}`;

export class RegionModule {
  readonly #module = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
  count = 0;

  constructor(code: CodeWriter) {
    const module = this.#module;
    module.import('getFlags', { parameters: [I32], results: [I32] });
    module.import('setFlags', { parameters: [I32, I32], results: [] });
    module.import('apart', { parameters: [I32, I32, I32], results: [I32] });
    const canonical = module.declare({ parameters: [I32, I64, I64, I64], results: [I64, I64] });
    code.reset();
    writeCanonical(code);
    module.define(canonical, [], code);
  }
  /** Adds a region whose body is in `code`. */
  add(code: CodeWriter): void {
    const index = this.#module.declare({ parameters: [I32, I32], results: [I32] }, regionName(this.count++));
    this.#module.define(index, REGION_LOCALS, code);
  }
  finish(): Uint8Array { return this.#module.finish(); }
}
