import { setFlagsFromString } from 'node:v8';

/**
 * Bytes of a function's code that V8 runs, about, before it compiles the function with its optimising compiler. Its own default of
 * 13,000,000 is for programs with a few hot functions; a guest's kernel is a thousand regions that are all lukewarm.
 */
const TIER_UP_BYTES = 300_000;

/**
 * Tells V8 what kind of code a machine translates guests to: to heed which branches are seldom taken (WebAssembly Branch Hinting; later
 * versions than Node.js 24 has do it by default), and to optimise functions early. For the whole process and from now on, so it comes
 * before the first machine. Results are the same with and without; an unknown flag is ignored.
 */
export function setV8Flags(): void {
  setFlagsFromString('--experimental-wasm-branch-hinting');
  setFlagsFromString(`--wasm-tiering-budget=${TIER_UP_BYTES}`);
}
