/** A guest in real mode as it begins: its memory is the first of the machine, and its vectors are 0, which means that they are not its own. */
import { type Assembler, FLAG_IF, r32, r64, RAX, RCX, RDI, RSI } from '@vm/x86';
import * as area from '../switch-area.ts';
import { frame } from './excursions.ts';
import { FLAT_MEMORY, HOST_BASE, REAL_ENTRY } from './memory-map.ts';

const { cs, eip, eflags, esp, ss, ds, es, fs, gs } = area.FRAME_INDEX;
/** Vectors, and what a BIOS has had behind them. */
const FIRST_BYTES = 0x500;

export function emitRealStart(a: Assembler, bytes: number): void {
  a.mov(r64(RDI), HOST_BASE).mov(r32(RCX), FIRST_BYTES / 8).xor(r32(RAX), r32(RAX)).cld().rep().size(8).stos();
  a.mov(r64(RSI), HOST_BASE + BigInt(FLAT_MEMORY)).mov(r64(RDI), HOST_BASE + BigInt(REAL_ENTRY)).mov(r32(RCX), bytes).rep().size(1).movs();
  for (const index of [cs, ss, ds, es, fs, gs]) a.mov(frame(index), 0);
  a.mov(frame(eip), REAL_ENTRY).mov(frame(esp), REAL_ENTRY).mov(frame(eflags), FLAG_IF | 2);
}
