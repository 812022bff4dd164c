/**
 * Writes the body of one WebAssembly function as bytes, instruction by instruction.
 *
 * Every method appends one instruction and returns the writer, so code reads in the order in which the stack machine
 * runs it. Nothing is allocated while emitting: one buffer grows and is reused (WebAssembly Core Specification 2.0, section 5).
 * Methods without a suffix work on i64, the natural type of a guest register; those ending in 32 work on i32.
 */

export const I32 = 0x7f;
export const I64 = 0x7e;
export const F32 = 0x7d;
export const F64 = 0x7c;
export const V128 = 0x7b;
export const NOTHING = 0x40;

export type ValueType = typeof I32 | typeof I64 | typeof F32 | typeof F64 | typeof V128;

/** Depth of a structured block; branch targets are given as the label that opened them. */
export type Label = number;

export class CodeWriter {
  bytes: Uint8Array;
  length = 0;
  /** Where the branches are that are seldom taken, in bytes from the beginning. */
  readonly seldom: number[] = [];
  #depth = 0;

  /** `room` bytes to begin with. */
  constructor(room: number = 1 << 16) { this.bytes = new Uint8Array(room); }

  reset(): void {
    this.length = 0;
    this.seldom.length = 0;
    this.#depth = 0;
  }

  /** How many structures are open. */
  get depth(): number { return this.#depth; }

  #room(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const grown = new Uint8Array(this.bytes.length * 2 + count);
    grown.set(this.bytes);
    this.bytes = grown;
  }

  byte(value: number): this {
    if (this.length === this.bytes.length) this.#room(1);
    this.bytes[this.length++] = value;
    return this;
  }

  /** Appends what another writer holds, whose structure is balanced. */
  append(other: CodeWriter): this {
    for (const at of other.seldom) this.seldom.push(this.length + at);
    return this.raw(other.bytes.subarray(0, other.length));
  }
  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  unsigned(value: number): this {
    this.#room(5);
    let rest = value >>> 0;
    while (rest > 0x7f) {
      this.bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.bytes[this.length++] = rest;
    return this;
  }

  signed32(value: number): this {
    this.#room(5);
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) {
        this.bytes[this.length++] = low;
        return this;
      }
      this.bytes[this.length++] = low | 0x80;
    }
  }

  /** Signed LEB128 of the 64-bit value given as two 32-bit halves. */
  signed64(low: number, high: number): this {
    this.#room(10);
    let lo = low | 0;
    let hi = high | 0;
    for (;;) {
      const group = lo & 0x7f;
      lo = (lo >>> 7) | (hi << 25);
      hi >>= 7;
      const done = (lo === 0 && hi === 0 && (group & 0x40) === 0) || (lo === -1 && hi === -1 && (group & 0x40) !== 0);
      this.bytes[this.length++] = done ? group : group | 0x80;
      if (done) return this;
    }
  }

  // Constants.
  const32(value: number): this { return this.byte(0x41).signed32(value); }
  /** An i32 constant that is known later: its place for `patch`. */
  later(): number {
    this.byte(0x41).byte(0x80).byte(0);
    return this.length - 2;
  }
  /** Gives the constant at `place` its value, 0 to 8191. */
  patch(place: number, value: number): void {
    if (value > 0x1fff) throw new RangeError(`${value} does not fit into the constant`);
    this.bytes[place] = (value & 0x7f) | 0x80;
    this.bytes[place + 1] = value >>> 7;
  }
  /** An i64 constant from a number that is a 32-bit signed integer. */
  const(value: number): this { return this.byte(0x42).signed64(value, value < 0 ? -1 : 0); }
  const64(low: number, high: number): this { return this.byte(0x42).signed64(low, high); }

  // Locals and globals.
  get(local: number): this { return this.byte(0x20).unsigned(local); }
  set(local: number): this { return this.byte(0x21).unsigned(local); }
  tee(local: number): this { return this.byte(0x22).unsigned(local); }

  // Structure.
  block(type: number = NOTHING): Label { this.byte(0x02).byte(type); return ++this.#depth; }
  loop(type: number = NOTHING): Label { this.byte(0x03).byte(type); return ++this.#depth; }
  if(type: number = NOTHING): Label { this.byte(0x04).byte(type); return ++this.#depth; }
  else(): this { return this.byte(0x05); }
  end(): this { this.#depth--; return this.byte(0x0b); }
  br(label: Label): this { return this.byte(0x0c).unsigned(this.#depth - label); }
  brIf(label: Label): this { return this.byte(0x0d).unsigned(this.#depth - label); }
  /** A branch, or a block, that is seldom taken: what it leads to is kept out of the way (Branch Hinting, section "metadata.code.branch_hint"). */
  brSeldomIf(label: Label): this { return this.#hint().brIf(label); }
  ifSeldom(type: number = NOTHING): Label { return this.#hint().if(type); }
  #hint(): this {
    this.seldom.push(this.length);
    return this;
  }
  brTable(labels: readonly Label[], otherwise: Label): this {
    this.byte(0x0e).unsigned(labels.length);
    for (const label of labels) this.unsigned(this.#depth - label);
    return this.unsigned(this.#depth - otherwise);
  }
  return(): this { return this.byte(0x0f); }
  unreachable(): this { return this.byte(0x00); }
  call(functionIndex: number): this { return this.byte(0x10).unsigned(functionIndex); }
  /** Calls the function whose place in table 0 is on the stack. */
  callIndirect(typeIndex: number): this { return this.byte(0x11).unsigned(typeIndex).byte(0); }
  /** The same in place of the function that calls, whose caller gets the answer (Tail Calls, section "return_call"). */
  returnCall(functionIndex: number): this { return this.byte(0x12).unsigned(functionIndex); }
  returnCallIndirect(typeIndex: number): this { return this.byte(0x13).unsigned(typeIndex).byte(0); }
  drop(): this { return this.byte(0x1a); }
  select(): this { return this.byte(0x1b); }

  // Memory: the static offset is in bytes, alignment hints are left at one.
  #access(opcode: number, offset: number): this { return this.byte(opcode).byte(0).unsigned(offset); }
  load32(offset = 0): this { return this.#access(0x28, offset); }
  load(offset = 0): this { return this.#access(0x29, offset); }
  loadF32(offset = 0): this { return this.#access(0x2a, offset); }
  loadF64(offset = 0): this { return this.#access(0x2b, offset); }
  load8S32(offset = 0): this { return this.#access(0x2c, offset); }
  load8U32(offset = 0): this { return this.#access(0x2d, offset); }
  load16S32(offset = 0): this { return this.#access(0x2e, offset); }
  load16U32(offset = 0): this { return this.#access(0x2f, offset); }
  load8U(offset = 0): this { return this.#access(0x31, offset); }
  load16U(offset = 0): this { return this.#access(0x33, offset); }
  load32S(offset = 0): this { return this.#access(0x34, offset); }
  load32U(offset = 0): this { return this.#access(0x35, offset); }
  store32(offset = 0): this { return this.#access(0x36, offset); }
  store(offset = 0): this { return this.#access(0x37, offset); }
  storeF32(offset = 0): this { return this.#access(0x38, offset); }
  storeF64(offset = 0): this { return this.#access(0x39, offset); }
  store8From32(offset = 0): this { return this.#access(0x3a, offset); }
  store16From32(offset = 0): this { return this.#access(0x3b, offset); }
  store8(offset = 0): this { return this.#access(0x3c, offset); }
  store16(offset = 0): this { return this.#access(0x3d, offset); }
  store32From64(offset = 0): this { return this.#access(0x3e, offset); }
  memoryCopy(): this { return this.byte(0xfc).byte(10).byte(0).byte(0); }
  memoryFill(): this { return this.byte(0xfc).byte(11).byte(0); }

  /** Loads `size` bytes (1, 2, 4 or 8), zero-extended to i64. */
  loadSize(size: number, offset = 0): this {
    return size === 8 ? this.load(offset) : size === 4 ? this.load32U(offset) : size === 2 ? this.load16U(offset) : this.load8U(offset);
  }
  /** Stores the low `size` bytes of an i64. */
  storeSize(size: number, offset = 0): this {
    return size === 8 ? this.store(offset) : size === 4 ? this.store32From64(offset) : size === 2 ? this.store16(offset) : this.store8(offset);
  }

  // i32.
  eqz32(): this { return this.byte(0x45); }
  eq32(): this { return this.byte(0x46); }
  ne32(): this { return this.byte(0x47); }
  ltS32(): this { return this.byte(0x48); }
  ltU32(): this { return this.byte(0x49); }
  gtS32(): this { return this.byte(0x4a); }
  gtU32(): this { return this.byte(0x4b); }
  leS32(): this { return this.byte(0x4c); }
  leU32(): this { return this.byte(0x4d); }
  geS32(): this { return this.byte(0x4e); }
  geU32(): this { return this.byte(0x4f); }
  clz32(): this { return this.byte(0x67); }
  ctz32(): this { return this.byte(0x68); }
  popcnt32(): this { return this.byte(0x69); }
  add32(): this { return this.byte(0x6a); }
  sub32(): this { return this.byte(0x6b); }
  mul32(): this { return this.byte(0x6c); }
  divS32(): this { return this.byte(0x6d); }
  divU32(): this { return this.byte(0x6e); }
  remU32(): this { return this.byte(0x70); }
  and32(): this { return this.byte(0x71); }
  or32(): this { return this.byte(0x72); }
  xor32(): this { return this.byte(0x73); }
  shl32(): this { return this.byte(0x74); }
  shrS32(): this { return this.byte(0x75); }
  shrU32(): this { return this.byte(0x76); }

  // i64.
  eqz(): this { return this.byte(0x50); }
  eq(): this { return this.byte(0x51); }
  ne(): this { return this.byte(0x52); }
  ltS(): this { return this.byte(0x53); }
  ltU(): this { return this.byte(0x54); }
  gtS(): this { return this.byte(0x55); }
  gtU(): this { return this.byte(0x56); }
  leS(): this { return this.byte(0x57); }
  leU(): this { return this.byte(0x58); }
  geS(): this { return this.byte(0x59); }
  geU(): this { return this.byte(0x5a); }
  clz(): this { return this.byte(0x79); }
  ctz(): this { return this.byte(0x7a); }
  popcnt(): this { return this.byte(0x7b); }
  add(): this { return this.byte(0x7c); }
  sub(): this { return this.byte(0x7d); }
  mul(): this { return this.byte(0x7e); }
  divS(): this { return this.byte(0x7f); }
  divU(): this { return this.byte(0x80); }
  remS(): this { return this.byte(0x81); }
  remU(): this { return this.byte(0x82); }
  and(): this { return this.byte(0x83); }
  or(): this { return this.byte(0x84); }
  xor(): this { return this.byte(0x85); }
  shl(): this { return this.byte(0x86); }
  shrS(): this { return this.byte(0x87); }
  shrU(): this { return this.byte(0x88); }
  rotl(): this { return this.byte(0x89); }
  rotr(): this { return this.byte(0x8a); }
  not(): this { return this.const(-1).xor(); }

  // Conversions between integers.
  wrap(): this { return this.byte(0xa7); }
  extendS(): this { return this.byte(0xac); }
  extendU(): this { return this.byte(0xad); }
  extend8S(): this { return this.byte(0xc2); }
  extend16S(): this { return this.byte(0xc3); }
  extend32S(): this { return this.byte(0xc4); }
  /** Sign-extends the low `size` bytes of an i64. */
  signExtend(size: number): this { return size === 8 ? this : size === 4 ? this.extend32S() : size === 2 ? this.extend16S() : this.extend8S(); }
  /** Clears everything above the low `size` bytes of an i64. */
  zeroExtend(size: number): this { return size === 8 ? this : size === 4 ? this.wrap().extendU() : this.const(size === 2 ? 0xffff : 0xff).and(); }

  /** Any other one-byte instruction without operands (floating point and conversions), by its opcode. */
  plain(opcode: number): this { return this.byte(opcode); }
  /** A SIMD instruction without immediate, by its number after the 0xfd prefix. */
  simd(opcode: number): this { return this.byte(0xfd).unsigned(opcode); }
  /** A saturating truncation or other instruction behind the 0xfc prefix. */
  misc(opcode: number): this { return this.byte(0xfc).unsigned(opcode); }
  loadV128(offset = 0): this { return this.byte(0xfd).unsigned(0).byte(0).unsigned(offset); }
  storeV128(offset = 0): this { return this.byte(0xfd).unsigned(11).byte(0).unsigned(offset); }
  /** A SIMD lane access (extract or replace), by number and lane. */
  lane(opcode: number, lane: number): this { return this.byte(0xfd).unsigned(opcode).byte(lane); }
  constV128(bytes: readonly number[]): this {
    this.byte(0xfd).unsigned(12);
    for (let i = 0; i < 16; i++) this.byte(bytes[i] ?? 0);
    return this;
  }
  shuffle(lanes: readonly number[]): this {
    this.byte(0xfd).unsigned(13);
    for (let i = 0; i < 16; i++) this.byte(lanes[i] ?? 0);
    return this;
  }
}
