/** Machine code as text: what was written, to be read before it is run. */
import { createInstruction, decode, DECODE_OK, formatInstruction } from '@vm/x86';

export interface CodePart {
  readonly at: number;
  readonly bits: 16 | 32 | 64;
  readonly name: string;
  readonly code: Uint8Array;
}

const BYTES_COLUMN = 33;

/** A line an instruction: address, bytes, words. What is no instruction is shown as bytes. */
export function formatListing(parts: readonly CodePart[]): string {
  const instruction = createInstruction();
  const lines: string[] = [];
  for (const { at, bits, name, code } of parts) {
    lines.push(`; ${name}, ${bits}-bit code`);
    for (let offset = 0; offset < code.length; ) {
      const isGood = decode(bits, code, offset, code.length - offset, instruction) === DECODE_OK && offset + instruction.length <= code.length;
      const length = isGood ? instruction.length : 1;
      const bytes = Array.from(code.subarray(offset, offset + length), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
      lines.push(`${(at + offset).toString(16).padStart(8, '0')}  ${bytes.padEnd(BYTES_COLUMN)} ${isGood ? formatInstruction(instruction) : `.byte 0x${code[offset]!.toString(16)}`}`);
      offset += length;
    }
    lines.push('');
  }
  return lines.join('\n');
}
