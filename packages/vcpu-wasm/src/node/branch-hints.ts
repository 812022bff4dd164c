import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 heed which branches of translated code are seldom taken (WebAssembly Branch Hinting), which it does by default in later
 * versions than Node.js 24 has: what they lead to is kept out of the way of the rest. For the whole process and from now on, so it comes before the
 * first machine. Results are the same with and without; an unknown flag is ignored.
 */
export function hintBranches(): void { setFlagsFromString('--experimental-wasm-branch-hinting'); }
