/** The generated functions that answer misses of the TLB, alone in a module: for tests. */
import { type Access, FETCH, READ, WRITE } from './page-walk.ts';
import { defineRefill, REFILL } from './tlb-refill.ts';
import { CodeWriter } from './wasm/code-writer.ts';
import { ModuleWriter } from './wasm/module-writer.ts';

/** (processor's state, address, bytes) -> 1: the TLB answers now. */
export type RefillFunction = (state: number, address: bigint, bytes: number) => number;

/** By kind of access. */
export function refillFunctions(memory: WebAssembly.Memory, long: boolean): Readonly<Record<Access, RefillFunction>> {
  const module = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
  const accesses = [READ, WRITE, FETCH] as const;
  const indices = accesses.map((access) => module.declare(REFILL, String(access)));
  accesses.forEach((access) => defineRefill(module, new CodeWriter(), indices[access] as number, access, long));
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish() as Uint8Array<ArrayBuffer>), { env: { memory } });
  return { [READ]: exports[READ] as RefillFunction, [WRITE]: exports[WRITE] as RefillFunction, [FETCH]: exports[FETCH] as RefillFunction };
}
