// The part of OCB that is no cipher (RFC 7253, 4.2): each 16 bytes of a message are combined with the offset of its beginning and with what
// the table of the key says for their place; and they are summed up, as they were and as they become.
import { ADD, EMPTY, get, i32, LOAD, makeWasm, set, STORE, XOR } from './wasm-code.ts';

/** Works on the bytes from `data` to `end`. At `message` stands its offset, and then come the two sums. */
export type MixMessage = (data: number, end: number, table: number, message: number) => void;

/** What `message` points to: offset, sum before, sum after. */
export const MESSAGE_BYTES = 48;

const [DATA, END, TABLE, MESSAGE, OFFSET, BEFORE, AFTER, BLOCK] = [0, 1, 2, 3, 4, 5, 6, 7];
const BODY = [
  ...get(MESSAGE), ...LOAD(0), ...set(OFFSET),
  0x03, EMPTY, // loop
  ...get(DATA), ...LOAD(0), ...set(BLOCK),
  ...get(BEFORE), ...get(BLOCK), ...XOR, ...set(BEFORE),
  ...get(BLOCK), ...get(OFFSET), ...XOR, ...get(TABLE), ...LOAD(0), ...XOR, ...set(BLOCK),
  ...get(AFTER), ...get(BLOCK), ...XOR, ...set(AFTER),
  ...get(DATA), ...get(BLOCK), ...STORE(0),
  ...get(TABLE), ...i32(16), ...ADD, ...set(TABLE),
  ...get(DATA), ...i32(16), ...ADD, ...set(DATA),
  ...get(DATA), ...get(END), 0x49, 0x0d, 0, // i32.lt_u: again
  0x0b,
  ...get(MESSAGE), ...get(BEFORE), ...STORE(16),
  ...get(MESSAGE), ...get(AFTER), ...STORE(32),
];

export function createOcbArena(arenaBytes: number): { readonly bytes: Uint8Array; readonly mix: MixMessage } {
  const { bytes, run } = makeWasm(arenaBytes, { parameters: 4, numbers: 0, vectors: 4, body: BODY });
  return { bytes, mix: run };
}
