/** A WebAssembly module of several regions. It imports the memory and functions of the interpreter, and no table. */
import { F64, I32, I64 } from '../wasm/code-writer.ts';
import type { CodeWriter, ValueType } from '../wasm/code-writer.ts';
import { ModuleWriter } from '../wasm/module-writer.ts';
import type { Signature } from '../wasm/module-writer.ts';
import { declareFloatFunctions } from '../float/float-functions.ts';
import { importX87 } from '../float80/region-functions.ts';
import type { RegionFunctions } from './region-binding.ts';
import { REFILL } from '../tlb-refill.ts';
import { REGION_LOCALS } from './region-locals.ts';

interface Imported { readonly name: string; readonly signature: Signature }
const imported: Imported[] = [];
const declare = (name: string, signature: Signature): number => imported.push({ name, signature }) - 1;

/** Numbers of the functions in every such module: imports first. */
export const REGION_FUNCTIONS: RegionFunctions = {
  getFlags: declare('getFlags', { parameters: [I32], results: [I32] }),
  setFlags: declare('setFlags', { parameters: [I32, I32], results: [] }),
  apart: declare('apart', { parameters: [I32, I32, I32], results: [I32] }),
  float: declareFloatFunctions(declare),
  x87: importX87(declare),
  flagWords: declare('flagWords', { parameters: [I32, I32, I64, I64, I64], results: [I64, I64, I64] }),
  refillRead: declare('refillRead', REFILL),
  refillWrite: declare('refillWrite', REFILL),
  hop: declare('hop', { parameters: [I32, I32], results: [I32] }),
  now: declare('now', { parameters: [I32], results: [F64] }),
  looped: declare('looped', { parameters: [I32], results: [] }),
  flagsToBlock: declare('flagsToBlock', { parameters: [I32, I32, I64, I64, I64], results: [] }),
};
/** What such a module imports from an interpreter's exports, beside the memory. `singly`: each region goes back to the loop that called it. */
export function regionImports(exports: Readonly<object>, singly: boolean): Record<string, unknown> {
  return Object.fromEntries(imported.map(({ name }) => [name, (exports as Record<string, unknown>)[singly && name === 'hop' ? 'stay' : name]]));
}

/** Name under which the region with this place in the module is exported. */
export const regionName = (place: number): string => `r${place}`;

/** What all such modules have in common is written once; they are put together one at a time. */
const MODULE = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
for (const { name, signature } of imported) MODULE.import(name, signature);

export class RegionModule {
  count = 0;

  constructor() { MODULE.again(); }
  /** Adds a region whose body is in `code`. */
  add(code: CodeWriter, vectors: number): void {
    const index = MODULE.declare({ parameters: [I32, I32], results: [I32] }, regionName(this.count++));
    MODULE.define(index, REGION_LOCALS[vectors] as readonly ValueType[], code);
  }
  finish(): Uint8Array { return MODULE.finish(); }
}
