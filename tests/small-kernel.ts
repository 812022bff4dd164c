import { type Assembler, createAssembler, CONDITION_E, CONDITION_NE, r16, r8, RAX, RDX } from '@vm/x86';

const SETUP_BYTES = 1024;
const ENTRY_64 = 0x200;
const COM1 = 0x3f8;

/** A bzImage whose kernel is a few instructions of 64-bit code. */
export function smallKernel(write: (code: Assembler) => void): Uint8Array {
  const code = createAssembler(64);
  write(code);
  const bytes = code.bytes();
  const image = new Uint8Array(SETUP_BYTES + Math.ceil((ENTRY_64 + bytes.length) / 512) * 512);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, SETUP_BYTES / 512 - 1);
  view.setUint32(0x1f4, (image.length - SETUP_BYTES) / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true); // "HdrS"
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1); // loaded high
  view.setUint32(0x22c, 0x7fff_ffff, true); // last byte of an initrd
  view.setUint16(0x236, 1, true); // has a 64-bit entry
  image.set(bytes, SETUP_BYTES + ENTRY_64);
  return image;
}

export function outByte(code: Assembler, port: number, value: number): void {
  code.mov(r16(RDX), port).mov(r8(RAX), value).out(r16(RDX), r8(RAX));
}

export function print(code: Assembler, text: string): void {
  for (const byte of new TextEncoder().encode(text)) outByte(code, COM1, byte);
}

/** ACPI sleep type 5, as the tables of the board say. */
export function powerOff(code: Assembler): void {
  code.mov(r16(RDX), 0x604).mov(r16(RAX), 0x3400).out(r16(RDX), r16(RAX));
}

export function spin(code: Assembler): void {
  code.label('spin').jmp('spin');
}

/** Opens the port as a driver does and sends back what it gets, until a `q`. */
export function echo(code: Assembler): void {
  outByte(code, COM1 + 2, 0x07);
  outByte(code, COM1 + 1, 0x01);
  outByte(code, COM1 + 4, 0x0b);
  print(code, 'ready\n');
  code.label('wait').mov(r16(RDX), COM1 + 5).in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, 'wait');
  code.mov(r16(RDX), COM1).in(r8(RAX), r16(RDX)).out(r16(RDX), r8(RAX)).cmp(r8(RAX), 0x71).jcc(CONDITION_NE, 'wait');
  powerOff(code);
  spin(code);
}

/** Shows a prompt, sends back what it gets, shows the prompt again after each line, and turns the machine off at an `f`. */
export function shell(code: Assembler): void {
  outByte(code, COM1 + 2, 0x07);
  outByte(code, COM1 + 1, 0x01);
  outByte(code, COM1 + 4, 0x0b);
  code.label('prompt');
  print(code, '# ');
  code.label('wait').mov(r16(RDX), COM1 + 5).in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, 'wait');
  code.mov(r16(RDX), COM1).in(r8(RAX), r16(RDX)).out(r16(RDX), r8(RAX)).cmp(r8(RAX), 0x0a).jcc(CONDITION_E, 'prompt');
  code.cmp(r8(RAX), 0x66).jcc(CONDITION_NE, 'wait');
  powerOff(code);
  spin(code);
}
