// As much of WebAssembly's binary format as the modules here need that are written by hand: one function over an imported memory.

interface Memory {
  readonly buffer: ArrayBuffer;
}
// The same in Node and in browsers.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: { readonly run: (...numbers: number[]) => void } };
};

const PAGE = 65536;
const [I32, V128] = [0x7f, 0x7b];
export const EMPTY = 0x40;
export const get = (local: number): number[] => [0x20, local];
export const set = (local: number): number[] => [0x21, local];
export const i32 = (value: number): number[] => [0x41, value]; // below 64
export const simd = (opcode: number, ...rest: number[]): number[] => [0xfd, ...unsigned(opcode), ...rest];
export const ADD: readonly number[] = [0x6a];
export const LOAD = (offset: number): number[] => simd(0x00, 0, offset); // v128.load, no alignment promised
export const STORE = (offset: number): number[] => simd(0x0b, 0, offset);
export const XOR: readonly number[] = simd(0x51);

/** A function over so many bytes of memory: its parameters are numbers, then come locals that are numbers, and some of 128 bits. */
export interface WasmFunction {
  readonly parameters: number;
  readonly numbers: number;
  readonly vectors: number;
  readonly body: readonly number[];
}

export function makeWasm(arenaBytes: number, one: WasmFunction): { readonly bytes: Uint8Array; readonly run: (...numbers: number[]) => void } {
  const pages = Math.ceil(arenaBytes / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encodeModule(pages, one)), { host: { memory } });
  return { bytes: new Uint8Array(memory.buffer), run: exports.run };
}

function encodeModule(pages: number, { parameters, numbers, vectors, body }: WasmFunction): Uint8Array {
  const name = (text: string): number[] => [text.length, ...Array.from(text, (letter) => letter.charCodeAt(0))];
  const section = (id: number, bytes: readonly number[]): number[] => [id, ...unsigned(bytes.length), ...bytes];
  const code = [2, numbers, I32, vectors, V128, ...body, 0x0b];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, parameters, ...Array.from({ length: parameters }, () => I32), 0]),
    ...section(2, [1, ...name('host'), ...name('memory'), 2, 1, ...unsigned(pages), ...unsigned(pages)]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('run'), 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return bytes;
}
