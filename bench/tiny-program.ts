import { CONDITION_NE, createAssembler, mem, r32, r8, RAX, RBX, RCX } from '@vm/x86';

const AT = 0x10_0000;
const MAGIC = 0x1bad_b002, ADDRESSES_GIVEN = 1 << 16; // Multiboot Specification 0.6.96, section 3.1.1
const HEADER_BYTES = 32;
const TURNS = 100;
const EXIT_PORT = 0xf4; // of test programs; elsewhere nobody hears it

/** A multiboot image that counts for a moment, tells `vm boot` that all went well, and halts for good. */
export function tinyProgram(): Uint8Array {
  const code = createAssembler(32, { origin: AT + HEADER_BYTES });
  code.mov(r32(RCX), TURNS).mov(r32(RBX), AT).label('turn').add(r32(RAX), mem(4, { base: RBX })).dec(r32(RCX)).jcc(CONDITION_NE, 'turn').xor(r32(RAX), r32(RAX)).out(EXIT_PORT, r8(RAX)).cli().hlt();
  const body = code.bytes();
  const image = new Uint8Array(HEADER_BYTES + body.length);
  const end = AT + image.length;
  const words = [MAGIC, ADDRESSES_GIVEN, -(MAGIC + ADDRESSES_GIVEN), AT, AT, end, end, AT + HEADER_BYTES];
  const view = new DataView(image.buffer);
  words.forEach((word, i) => view.setUint32(i * 4, word >>> 0, true));
  image.set(body, HEADER_BYTES);
  return image;
}
