import { addressOf, createAssembler, mem, r16, r32, r8, RAX, RCX, RDI, RDX, RSI } from '@vm/x86';

const TEXT_PORT = 0x500;
const ANSWER_PORT = 0x501;

/** Says each line to the device and keeps the answers in the bytes from `answers` on; then waits. */
export function writeProgram(lines: readonly string[], answers: number): Uint8Array {
  const code = createAssembler(32, { origin: 0x10_0000 }).op('cld').mov(r32(RDI), answers);
  lines.forEach((line, i) => {
    code.mov(r32(RSI), addressOf(`line ${i}`)).mov(r32(RCX), line.length + 1).mov(r32(RDX), TEXT_PORT).rep().size(1).outs();
    code.mov(r32(RDX), ANSWER_PORT).in(r8(RAX), r16(RDX)).mov(mem(1, { base: RDI }), r8(RAX)).inc(r32(RDI));
  });
  code.label('wait').hlt().jmp('wait');
  lines.forEach((line, i) => code.label(`line ${i}`).data(...new TextEncoder().encode(`${line}\n`)));
  return code.bytes();
}
