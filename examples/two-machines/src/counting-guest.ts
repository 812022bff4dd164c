import { type Assembler, CONDITION_E, CONDITION_NE, createAssembler, mem, r32, r8, RAX, RBP, RBX, RCX, RDI, RDX } from '@vm/x86';

/** The connection by which the guest posts, and the source at which it listens. */
export const CONNECTION = 1;
export const SOURCE = 2;
export const TEXT_PORT = 0xe9;
export const LAST = 8;

const LOAD_AT = 0x10_0000;
const HEADER = { magic: 0x1bad_b002, flags: 0x1_0000, bytes: 32 }; // multiboot, version 1, with addresses
const HYPERCALL_PAGE = 0x20_0000, MESSAGE_PAGE = 0x20_1000, INPUT = 0x20_2000;
const SLOT = MESSAGE_PAGE + SOURCE * 256;
const GUEST_OS_ID = 0x4000_0000, HYPERCALL = 0x4000_0001, SCONTROL = 0x4000_0080, SIMP = 0x4000_0083, EOM = 0x4000_0084;
const POST_MESSAGE = 0x5c;
const MESSAGE_TYPE = 1;
const PENDING = 1 << 8; // of the second word of a slot

/** Counts with another one; `begins` says the first number. Its numbers are digits on the port of text. */
export function countingGuest(begins: boolean): Uint8Array {
  const code = createAssembler(32, { origin: LOAD_AT + HEADER.bytes });
  const setRegister = (index: number, value: number): Assembler => code.mov(r32(RCX), index).mov(r32(RAX), value).mov(r32(RDX), 0).op('wrmsr');
  const word = (address: number) => mem(4, { displacement: address });
  setRegister(GUEST_OS_ID, 1);
  setRegister(HYPERCALL, HYPERCALL_PAGE + 1);
  setRegister(SIMP, MESSAGE_PAGE + 1);
  setRegister(SCONTROL, 1);
  code.mov(r32(RDI), 0);
  if (begins) code.jmp('say');

  // The slot is full when it has a type. Its source is masked: nobody is interrupted, and the guest looks.
  code.label('listen').op('pause').cmp(word(SLOT), 0).jcc(CONDITION_E, 'listen');
  code.mov(r32(RDI), word(SLOT + 16)).mov(word(SLOT), 0);
  code.test(word(SLOT + 4), PENDING).jcc(CONDITION_E, 'say');
  setRegister(EOM, 0); // more wait
  code.label('say').inc(r32(RDI)).mov(r32(RAX), r32(RDI)).add(r32(RAX), 0x30).out(TEXT_PORT, r8(RAX));

  code.mov(word(INPUT), CONNECTION).mov(word(INPUT + 4), 0).mov(word(INPUT + 8), MESSAGE_TYPE).mov(word(INPUT + 12), 4).mov(word(INPUT + 16), r32(RDI));
  code.label('post').op('pause').mov(r32(RAX), POST_MESSAGE).mov(r32(RDX), 0).mov(r32(RBX), 0).mov(r32(RCX), INPUT).mov(r32(RBP), HYPERCALL_PAGE).op('call', r32(RBP));
  code.op('movzx', r32(RAX), { ...r32(RAX), bytes: 2 }).cmp(r32(RAX), 0).jcc(CONDITION_NE, 'post'); // the other one is not ready
  code.cmp(r32(RDI), LAST - 1).jcc(CONDITION_NE, 'listen').label('stop').op('pause').jmp('stop');
  return inMultibootImage(code.bytes());
}

function inMultibootImage(code: Uint8Array): Uint8Array {
  const image = new Uint8Array(HEADER.bytes + code.length);
  const words = [HEADER.magic, HEADER.flags, -(HEADER.magic + HEADER.flags) >>> 0, LOAD_AT, LOAD_AT, 0, 0, LOAD_AT + HEADER.bytes];
  words.forEach((value, i) => new DataView(image.buffer).setUint32(i * 4, value, true));
  image.set(code, HEADER.bytes);
  return image;
}
