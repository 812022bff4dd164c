/** Where the engine gets its interpreter when it runs from sources: written on the spot. The built package has it stored. */
import { enumerateHandlers } from './instruction-forms.ts';
import type { InterpreterHalf, InterpreterImage } from './interpreter-image.ts';
import { writeInterpreter } from './interpreter-module.ts';

/** Both modules, from the emitters; takes about half a second. */
export function interpreterImage(): InterpreterImage {
  const half = (long: boolean): InterpreterHalf => {
    const handlers = enumerateHandlers(long);
    return { keys: handlers.map((handler) => handler.form.key), module: writeInterpreter(handlers, long) };
  };
  return { long: half(true), legacy: half(false) };
}
