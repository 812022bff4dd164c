// The part of XTS that is no cipher (IEEE 1619-2018, 5.2): every 16-byte block is combined with its tweak, and the tweak of the
// next block is that of this one times x in GF(2^128). One small WebAssembly module, written here by hand, does it for a
// range of units at once.
import { ADD, EMPTY, get, i32, LOAD, makeWasm, set, simd, STORE, XOR } from './wasm-code.ts';

/** XORs the units at `data` with tweaks that begin with those at `tweaks`, 16 bytes a unit. */
export type CombineTweaks = (data: number, tweaks: number, units: number, unitBytes: number) => void;

export interface TweakArena {
  readonly bytes: Uint8Array;
  readonly combine: CombineTweaks;
}

export function createTweakArena(arenaBytes: number): TweakArena {
  const { bytes, run } = makeWasm(arenaBytes, { parameters: 4, numbers: 1 + LANES, vectors: LANES + 1, body: BODY });
  return { bytes, combine: run };
}

const LANES = 4; // units side by side: the tweaks of one wait for each other
// Locals: the parameters data, tweaks, units and unitBytes; the end of the first unit; for each lane a place and a tweak; a constant.
const [DATA, TWEAKS, UNITS, UNIT_BYTES, END, PLACES] = [0, 1, 2, 3, 4, 5];
const [CURRENT, REDUCE] = [PLACES + LANES, PLACES + 2 * LANES];
const eachLane = (lanes: number, code: (lane: number) => number[]): number[] => Array.from({ length: lanes }, (_, lane) => code(lane)).flat();

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
  ...eachLane(lanes, (lane) => [...get(PLACES + lane), ...get(PLACES + lane), ...LOAD(0), ...get(CURRENT + lane), ...XOR, ...STORE(0), ...timesX(CURRENT + lane)]),
  ...eachLane(lanes, (lane) => [...get(PLACES + lane), ...i32(16), ...ADD, ...set(PLACES + lane)]),
  ...get(PLACES), ...get(END), 0x49, 0x0d, 0, // i32.lt_u: again
  0x0b,
  ...get(PLACES + lanes - 1), ...set(DATA),
  ...get(TWEAKS), ...i32(16), ...i32(lanes), 0x6c, ...ADD, ...set(TWEAKS),
  ...get(UNITS), ...i32(lanes), 0x6b, ...set(UNITS),
  0x0c, 0, 0x0b, 0x0b,
];

const BODY = [...simd(0x0c, 0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), ...set(REDUCE), ...loop(LANES), ...loop(1)];
