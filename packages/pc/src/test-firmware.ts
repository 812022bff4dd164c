import type { GuestMemory } from '@vm/core';
import { type Assembler, CONDITION_E, createAssembler, DS, far, mem, r16, r32, r8, RAX, RBX, RCX, RDX, RSP, segment, SS } from '@vm/x86';
import { copyImage } from './boot-images.ts';
import { FIRMWARE, FIRMWARE_BYTES, LOW_END } from './memory-map.ts';

/** Where a program begins that is started as if a BIOS had been there. */
export interface FirmwareEntry {
  readonly entry: number; // of 32-bit code
  readonly eax: number;
  readonly ebx: number;
  /** Line 0 of the interrupt controller is open: ticks reach INT 8 as soon as interrupts are on. */
  readonly timerTicks: boolean;
}

const SEGMENT = 0xf000;
const START_32 = 0xe000; // offsets in the segment
const HANDLERS = 0xf000;
const RESET_VECTOR = 0xfff0;
const TOP_OF_4_GIB = 2 ** 32;

// BIOS data area (IBM PC AT Technical Reference, section 5).
const DATA_SEGMENT = 0x40;
const BDA = 0x400;
const BDA_BYTES = 0x100;
const COM1 = 0x00;
const EBDA = 0x0e;
const EQUIPMENT = 0x10;
const EQUIPPED = (1 << 1) | (1 << 9); // numeric unit, one serial port
const MEMORY_KIB = 0x13;
const TICKS = 0x6c;

const VECTORS = 256;
const VECTOR_TIMER = 0x08;
const VECTOR_EQUIPMENT = 0x11;
const VECTOR_MEMORY = 0x12;
const VECTOR_USER_TICK = 0x1c;
const VECTOR_SLAVE = 0x70;
const SHUTDOWN_STATUS = 0x0f; // of the CMOS memory: what a reset is for
const RESUME_POINTER = 0x467;

/**
 * Puts into memory what test programs rely on that a BIOS leaves behind: interrupt vectors with handlers that end interrupts,
 * count ticks and answer the equipment, the BIOS data area, and the reset vector. Returns the address of 32-bit code that
 * sets up 8259 pair and timer as a BIOS does and goes on to the program.
 */
export function loadTestFirmware(memory: GuestMemory, entry: FirmwareEntry): number {
  const handlers = writeHandlers();
  const image = new Uint8Array(FIRMWARE_BYTES);
  image.set(writeStart(entry), START_32);
  image.set(handlers.code, HANDLERS);
  image.set(createAssembler(16).jmpf(far(SEGMENT, HANDLERS + handlers.reset)).bytes(), RESET_VECTOR);
  copyImage(memory, FIRMWARE, image, 'firmware');
  memory.copyIn(TOP_OF_4_GIB - FIRMWARE_BYTES, image); // where the processor begins after INIT, in machines that have it
  for (let vector = 0; vector < VECTORS; vector++) {
    memory.write(vector * 4, 2, HANDLERS + handlers.of(vector));
    memory.write(vector * 4 + 2, 2, SEGMENT);
  }
  for (let at = 0; at < BDA_BYTES; at += 4) memory.write(BDA + at, 4, 0);
  memory.write(BDA + COM1, 2, 0x3f8);
  memory.write(BDA + EBDA, 2, LOW_END >> 4);
  memory.write(BDA + EQUIPMENT, 2, EQUIPPED);
  memory.write(BDA + MEMORY_KIB, 2, LOW_END >> 10);
  return FIRMWARE + START_32;
}

/** Vectors of the 8259 pair from 0x08 and 0x70 on, and 18.2 ticks a second. */
function writeStart({ entry, eax, ebx, timerTicks }: FirmwareEntry): Uint8Array {
  const code = createAssembler(32);
  const out = (port: number, value: number): void => void code.mov(r8(RAX), value).out(port, r8(RAX));
  for (const [command, data, vector, wiring, mask] of [[0x20, 0x21, VECTOR_TIMER, 4, timerTicks ? 0xfe : 0xff], [0xa0, 0xa1, VECTOR_SLAVE, 2, 0xff]] as const) {
    out(command, 0x11);
    for (const value of [vector, wiring, 1, mask]) out(data, value);
  }
  for (const [port, value] of [[0x43, 0x34], [0x40, 0], [0x40, 0]] as const) out(port, value);
  return code.mov(r32(RCX), entry).mov(r32(RAX), eax).mov(r32(RBX), ebx).jmp(r32(RCX)).bytes();
}

function writeHandlers(): { readonly code: Uint8Array; readonly reset: number; of(vector: number): number } {
  const code = createAssembler(16, { origin: HANDLERS });
  const at = (write: () => void): number => {
    const offset = code.offset();
    write();
    return offset;
  };
  const nothing = at(() => code.size(2).iret());
  const timer = at(() => {
    code.push(r16(RAX)).push(segment(DS)).mov(r16(RAX), DATA_SEGMENT).mov(segment(DS), r16(RAX)).add(mem(4, { displacement: TICKS }), 1).int(VECTOR_USER_TICK);
    endInterrupt(code, false).pop(segment(DS)).pop(r16(RAX)).size(2).iret();
  });
  const master = at(() => endInterrupt(code.push(r16(RAX)), false).pop(r16(RAX)).size(2).iret());
  const slave = at(() => endInterrupt(code.push(r16(RAX)), true).pop(r16(RAX)).size(2).iret());
  const word = (offset: number): number => at(() => {
    code.push(segment(DS)).mov(r16(RAX), DATA_SEGMENT).mov(segment(DS), r16(RAX)).mov(r16(RAX), mem(2, { displacement: offset })).pop(segment(DS)).size(2).iret();
  });
  const equipment = word(EQUIPMENT);
  const memorySize = word(MEMORY_KIB);
  const reset = at(() => writeReset(code));
  return {
    code: code.bytes(),
    reset,
    of: (vector) => {
      if (vector === VECTOR_TIMER) return timer;
      if (vector === VECTOR_EQUIPMENT) return equipment;
      if (vector === VECTOR_MEMORY) return memorySize;
      if (vector > VECTOR_TIMER && vector < VECTOR_TIMER + 8) return master;
      return vector >= VECTOR_SLAVE && vector < VECTOR_SLAVE + 8 ? slave : nothing;
    },
  };
}

function endInterrupt(code: Assembler, slave: boolean): Assembler {
  code.mov(r8(RAX), 0x20);
  if (slave) code.out(0xa0, r8(RAX));
  return code.out(0x20, r8(RAX));
}

/** A program may have asked to be resumed in real mode; everything else resets the machine. */
function writeReset(code: Assembler): void {
  code.cli().mov(r8(RAX), 0x80 | SHUTDOWN_STATUS).out(0x70, r8(RAX)).in(r8(RAX), 0x71).mov(r8(RBX), r8(RAX)).mov(r8(RAX), 0).out(0x71, r8(RAX));
  code.cmp(r8(RBX), 0x05).jcc(CONDITION_E, 'resume').cmp(r8(RBX), 0x0a).jcc(CONDITION_E, 'resume');
  code.mov(r16(RDX), 0xcf9).mov(r8(RAX), 0x02).out(r16(RDX), r8(RAX)).mov(r8(RAX), 0x06).out(r16(RDX), r8(RAX)).label('wait').hlt().jmp('wait');
  code.label('resume').xor(r16(RAX), r16(RAX)).mov(segment(DS), r16(RAX)).mov(segment(SS), r16(RAX)).mov(r16(RSP), BDA);
  code.push(mem(2, { displacement: RESUME_POINTER + 2 })).push(mem(2, { displacement: RESUME_POINTER })).size(2).retf();
}
