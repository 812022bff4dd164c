/** The interpreter as it is shipped: for each of the two kinds of mode a module and the list of its cases. */
import { enumerateHandlers } from './handler-table.ts';
import { writeInterpreter } from './interpreter-module.ts';

export interface InterpreterHalf { readonly keys: readonly string[]; readonly module: Uint8Array }
export interface InterpreterImage { readonly long: InterpreterHalf; readonly legacy: InterpreterHalf }

/** Writes both modules from the emitters; takes about half a second. `shared`: for a shared linear memory. */
export function generateInterpreter(shared: boolean): InterpreterImage {
  const half = (long: boolean): InterpreterHalf => {
    const handlers = enumerateHandlers(long);
    return { keys: handlers.map((handler) => handler.form.key), module: writeInterpreter(handlers, long, shared) };
  };
  return { long: half(true), legacy: half(false) };
}
