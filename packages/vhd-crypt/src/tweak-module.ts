// The part of XTS that is no cipher (IEEE 1619-2018, 5.2): every 16-byte block is combined with its tweak, and the tweak of the
// next block is that of this one times x in GF(2^128). One small WebAssembly module, written here by hand, does it for a
// range of units at once.

/** XORs the units at `data` with tweaks that begin with those at `tweaks`, 16 bytes a unit. */
export type CombineTweaks = (data: number, tweaks: number, units: number, unitBytes: number) => void;

export interface TweakArena {
  readonly bytes: Uint8Array;
  readonly combine: CombineTweaks;
}

interface Memory {
  readonly buffer: ArrayBuffer;
}
// The same in Node and in browsers.
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => Memory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: { readonly combine: CombineTweaks } };
};

const PAGE = 65536;

export function createTweakArena(arenaBytes: number): TweakArena {
  const pages = Math.ceil(arenaBytes / PAGE);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encodeModule(pages)), { host: { memory } });
  return { bytes: new Uint8Array(memory.buffer), combine: exports.combine };
}

const [I32, V128, EMPTY] = [0x7f, 0x7b, 0x40];
const LANES = 4; // units side by side: the tweaks of one wait for each other
// Locals: the parameters data, tweaks, units and unitBytes; the end of the first unit; for each lane a place and a tweak; a constant.
const [DATA, TWEAKS, UNITS, UNIT_BYTES, END, PLACES] = [0, 1, 2, 3, 4, 5];
const [CURRENT, REDUCE] = [PLACES + LANES, PLACES + 2 * LANES];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const i32 = (value: number): number[] => [0x41, value]; // below 64
const simd = (opcode: number, ...rest: number[]): number[] => [0xfd, ...unsigned(opcode), ...rest];
const eachLane = (lanes: number, code: (lane: number) => number[]): number[] => Array.from({ length: lanes }, (_, lane) => code(lane)).flat();
const ADD = [0x6a];
const LOAD = (offset: number): number[] => simd(0x00, 0, offset); // v128.load, no alignment promised
const STORE = simd(0x0b, 0, 0);
const XOR = simd(0x51);

/** Times x: both halves move left by one; the bit that leaves the low half enters the high one, the other comes back as 0x87. */
const timesX = (tweak: number): number[] => [
  ...get(tweak), ...get(tweak), ...simd(0xce), // i64x2.add
  ...get(tweak), ...i32(31), ...simd(0xac), // i32x4.shr_s: each quarter its highest bit
  ...get(tweak), // a second operand, of which nothing is taken
  ...simd(0x0d, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), // for the quarter above it
  ...get(REDUCE), ...simd(0x4e), ...XOR, ...set(tweak),
];

/** As many units at once as there are lanes, as long as there are so many. */
const loop = (lanes: number): number[] => [
  0x02, EMPTY, 0x03, EMPTY, // block, loop over units
  ...get(UNITS), ...i32(lanes), 0x49, 0x0d, 1, // i32.lt_u: out
  ...eachLane(lanes, (lane) => [...get(TWEAKS), ...LOAD(16 * lane), ...set(CURRENT + lane)]),
  ...eachLane(lanes, (lane) => [...get(lane === 0 ? DATA : PLACES + lane - 1), ...(lane === 0 ? [] : [...get(UNIT_BYTES), ...ADD]), ...set(PLACES + lane)]),
  ...get(DATA), ...get(UNIT_BYTES), ...ADD, ...set(END),
  0x03, EMPTY, // loop over blocks
  ...eachLane(lanes, (lane) => [...get(PLACES + lane), ...get(PLACES + lane), ...LOAD(0), ...get(CURRENT + lane), ...XOR, ...STORE, ...timesX(CURRENT + lane)]),
  ...eachLane(lanes, (lane) => [...get(PLACES + lane), ...i32(16), ...ADD, ...set(PLACES + lane)]),
  ...get(PLACES), ...get(END), 0x49, 0x0d, 0, // i32.lt_u: again
  0x0b,
  ...get(PLACES + lanes - 1), ...set(DATA),
  ...get(TWEAKS), ...i32(16), ...i32(lanes), 0x6c, ...ADD, ...set(TWEAKS),
  ...get(UNITS), ...i32(lanes), 0x6b, ...set(UNITS),
  0x0c, 0, 0x0b, 0x0b,
];

const BODY = [...simd(0x0c, 0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), ...set(REDUCE), ...loop(LANES), ...loop(1)];

function encodeModule(pages: number): Uint8Array {
  const name = (text: string): number[] => [text.length, ...Array.from(text, (letter) => letter.charCodeAt(0))];
  const section = (id: number, bytes: readonly number[]): number[] => [id, ...unsigned(bytes.length), ...bytes];
  const code = [2, 1 + LANES, I32, LANES + 1, V128, ...BODY, 0x0b];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 4, I32, I32, I32, I32, 0]),
    ...section(2, [1, ...name('host'), ...name('memory'), 2, 1, ...unsigned(pages), ...unsigned(pages)]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('combine'), 0, 0]),
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
