import { createAssembler, r32, RAX, RBX } from '@vm/x86';

const LOADED_AT = 0x40_0000;
const EXIT = 0;
const PUT = 1;

/** Puts a line, a character a request, and ends with a number. */
export function helloGuest(line: string, code: number): Uint8Array {
  const a = createAssembler(32, { origin: LOADED_AT });
  for (const letter of `${line}\r\n`) a.mov(r32(RAX), PUT).mov(r32(RBX), letter.charCodeAt(0)).int(0x30);
  return a.mov(r32(RAX), EXIT).mov(r32(RBX), code).int(0x30).bytes();
}
