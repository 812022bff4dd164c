import { VmError } from '@vm/core';

/** A run of bytes that an ELF file wants in memory, by physical address. Behind `bytes` come zeros up to `memoryBytes`. */
export interface ElfSegment {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly memoryBytes: number;
}

/** What is of interest in an executable for x86 that runs without an operating system below it. */
export interface ElfImage {
  readonly bits: 32 | 64;
  readonly entry: number; // as the file says: physical in a Linux kernel
  readonly segments: readonly ElfSegment[]; // ascending, not empty, without overlap
  readonly pvhEntry: number | null; // physical, 32-bit; null: it has no such note
}

interface ProgramHeader {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly alignment: number;
}

// ELF-64 Object File Format 1.5, and chapters 4 and 5 of the System V ABI for the fields of 32 bits.
const HEADER_BYTES = { 32: 52, 64: 64 } as const;
const PROGRAM_HEADER_BYTES = { 32: 32, 64: 56 } as const;
const CLASS_32 = 1;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const TYPE_EXECUTABLE = 2;
const MACHINE_386 = 3;
const MACHINE_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const MOST_PROGRAM_HEADERS = 256;

/** The note that names the entry for virtual machines (Xen, public/elfnote.h). */
const NOTE_OWNER = 'Xen\0';
const NOTE_PHYS32_ENTRY = 18;

export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/** Throws VmError E_IMAGE when `file` is no executable that can be put into memory as it is. */
export function parseElf(file: Uint8Array): ElfImage {
  if (!isElf(file)) throw notElf('it does not begin as an ELF file');
  if (file.length < HEADER_BYTES[32]) throw notElf(`it is cut off: ${HEADER_BYTES[32]} bytes expected, ${file.length} are there`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const bits = file[4] === CLASS_32 ? 32 : file[4] === CLASS_64 ? 64 : null;
  if (bits === null || file[5] !== LITTLE_ENDIAN) throw notElf('it is not made for x86');
  const machine = view.getUint16(18, true);
  if (machine !== (bits === 64 ? MACHINE_X86_64 : MACHINE_386)) throw notElf(`it is not made for x86: machine ${machine} in a file of ${bits} bits`);
  const type = view.getUint16(16, true);
  if (type !== TYPE_EXECUTABLE) throw notElf(`an executable is expected, it has type ${type}`);
  const headers = readProgramHeaders(file, view, bits);
  const segments = headers.filter(({ type: kind, memoryBytes }) => kind === PT_LOAD && memoryBytes > 0).map((header) => readSegment(file, header));
  segments.sort((a, b) => a.address - b.address);
  checkSegments(segments);
  const entry = bits === 64 ? readAddress(view, 24) : view.getUint32(24, true);
  const pvhEntry = findPvhEntry(file, headers);
  if (pvhEntry !== null) checkEntry(segments, pvhEntry, 'the PVH entry');
  return { bits, entry, segments, pvhEntry };
}

/** Throws VmError E_IMAGE when nothing is loaded at `entry`. */
export function checkEntry(segments: readonly ElfSegment[], entry: number, what: string): void {
  if (segments.some(({ address, bytes }) => entry >= address && entry < address + bytes.length)) return;
  throw notElf(`${what} at 0x${entry.toString(16)} is in no segment`);
}

function readProgramHeaders(file: Uint8Array, view: DataView, bits: 32 | 64): readonly ProgramHeader[] {
  if (file.length < HEADER_BYTES[bits]) throw notElf(`it is cut off: ${HEADER_BYTES[bits]} bytes expected, ${file.length} are there`);
  const long = bits === 64;
  const start = long ? readAddress(view, 32) : view.getUint32(28, true);
  const each = view.getUint16(long ? 54 : 42, true);
  const count = view.getUint16(long ? 56 : 44, true);
  if (count === 0 || count > MOST_PROGRAM_HEADERS || each < PROGRAM_HEADER_BYTES[bits]) throw notElf(`it has ${count} program headers of ${each} bytes`);
  if (start + count * each > file.length) throw notElf(`it is cut off: program headers up to ${start + count * each}, ${file.length} bytes are there`);
  return Array.from({ length: count }, (_, i) => {
    const at = start + i * each;
    const word = (offset32: number, offset64: number): number => (long ? readAddress(view, at + offset64) : view.getUint32(at + offset32, true));
    return { type: view.getUint32(at, true), offset: word(4, 8), address: word(12, 24), fileBytes: word(16, 32), memoryBytes: word(20, 40), alignment: word(28, 48) };
  });
}

function readSegment(file: Uint8Array, { offset, address, fileBytes, memoryBytes }: ProgramHeader): ElfSegment {
  const at = `the segment at 0x${address.toString(16)}`;
  if (memoryBytes < fileBytes) throw notElf(`${at} has ${fileBytes} bytes in the file and ${memoryBytes} in memory`);
  if (offset + fileBytes > file.length) throw notElf(`it is cut off: ${at} reaches to ${offset + fileBytes}, ${file.length} bytes are there`);
  return { address, bytes: file.subarray(offset, offset + fileBytes), memoryBytes };
}

function checkSegments(segments: readonly ElfSegment[]): void {
  if (segments.length === 0) throw notElf('it has no segment to load');
  for (const [i, { address }] of segments.entries()) {
    const before = segments[i - 1];
    if (before !== undefined && before.address + before.memoryBytes > address) {
      throw notElf(`the segments at 0x${before.address.toString(16)} and 0x${address.toString(16)} overlap`);
    }
  }
}

function findPvhEntry(file: Uint8Array, headers: readonly ProgramHeader[]): number | null {
  for (const { type, offset, fileBytes, alignment } of headers) {
    if (type !== PT_NOTE || offset + fileBytes > file.length) continue;
    const view = new DataView(file.buffer, file.byteOffset + offset, fileBytes);
    const unit = alignment === 8 ? 8 : 4;
    const rounded = (bytes: number): number => Math.ceil(bytes / unit) * unit;
    for (let at = 0; at + 12 <= fileBytes;) {
      const [nameBytes, valueBytes, kind] = [view.getUint32(at, true), view.getUint32(at + 4, true), view.getUint32(at + 8, true)];
      const value = at + rounded(12 + nameBytes);
      const next = value + rounded(valueBytes);
      if (value + valueBytes > fileBytes) break;
      // The value is an address of the size that the kernel has; the high half is 0.
      if (kind === NOTE_PHYS32_ENTRY && valueBytes >= 4 && isOwner(view, at + 12, nameBytes)) return view.getUint32(value, true);
      at = next;
    }
  }
  return null;
}

function isOwner(view: DataView, at: number, bytes: number): boolean {
  return bytes === NOTE_OWNER.length && Array.from(NOTE_OWNER, (char) => char.charCodeAt(0)).every((code, i) => view.getUint8(at + i) === code);
}

/** Beyond 2**53 the sum of two would no longer be exact; no file and no memory is that large. */
function readAddress(view: DataView, at: number): number {
  const value = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (value >= 2 ** 52) throw notElf(`0x${view.getBigUint64(at, true).toString(16)} at ${at} is no address and no size`);
  return value;
}

function notElf(why: string): VmError {
  return new VmError('E_IMAGE', `kernel: ${why}`);
}
