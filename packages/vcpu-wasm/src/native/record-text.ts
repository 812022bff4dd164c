/** Records as JSON: what is not there is 0. */
import { FX_CONTROL, FX_MXCSR, FX_ST, FX_STATUS, FX_TAGS, FX_XMM, hexOf, RECORD_BITS, RECORD_BYTES, RECORD_CODE, RECORD_CR2, RECORD_FLAGS, RECORD_GPR, RECORD_HASH, RECORD_LENGTH, RECORD_MEMORY, RECORD_MEMORY_BYTES, RECORD_RIP, RECORD_SELECTORS, RECORD_VECTOR, RECORD_YMM, SELECTORS } from './program-record.ts';

/** Hexadecimal, most significant digit first; memory in 16-byte pieces by offset. */
export type RecordText = Readonly<Record<string, string>>;

/** Name, place and bytes of every part but code and memory. */
const PARTS: readonly (readonly [name: string, at: number, bytes: number])[] = [
  ['bits', RECORD_BITS, 4], ['vector', RECORD_VECTOR, 4], ['rip', RECORD_RIP, 8], ['flags', RECORD_FLAGS, 8], ['cr2', RECORD_CR2, 8], ['hash', RECORD_HASH, 8], ['selectors', RECORD_SELECTORS, SELECTORS * 2],
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'].map((name, r): [string, number, number] => [name, RECORD_GPR + r * 8, 8]),
  ['control', FX_CONTROL, 2], ['status', FX_STATUS, 2], ['tags', FX_TAGS, 1], ['mxcsr', FX_MXCSR, 4],
  ...Array.from({ length: 8 }, (_, i): [string, number, number] => [`st${i}`, FX_ST + i * 16, 10]),
  ...Array.from({ length: 16 }, (_, i): [string, number, number] => [`xmm${i}`, FX_XMM + i * 16, 16]),
  ...Array.from({ length: 16 }, (_, i): [string, number, number] => [`ymm${i}`, RECORD_YMM + i * 16, 16]),
  ...Array.from({ length: RECORD_MEMORY_BYTES / 16 }, (_, i): [string, number, number] => [`memory+${(i * 16).toString(16)}`, RECORD_MEMORY + i * 16, 16]),
];

export function formatRecord(view: DataView, at: number): RecordText {
  const text: Record<string, string> = {};
  const length = view.getUint32(at + RECORD_LENGTH, true);
  text['code'] = Buffer.from(view.buffer, view.byteOffset + at + RECORD_CODE, length).toString('hex');
  for (const [name, from, bytes] of PARTS) {
    const digits = hexOf(view, at + from, bytes).replace(/^0+/, '');
    if (digits !== '') text[name] = digits;
  }
  return text;
}

export function parseRecord(text: RecordText): DataView {
  const view = new DataView(new ArrayBuffer(RECORD_BYTES));
  const code = Buffer.from(text['code'] ?? '', 'hex');
  code.forEach((byte, i) => { view.setUint8(RECORD_CODE + i, byte); });
  view.setUint32(RECORD_LENGTH, code.length, true);
  for (const [name, from, bytes] of PARTS) {
    const digits = (text[name] ?? '').padStart(bytes * 2, '0');
    for (let i = 0; i < bytes; i++) view.setUint8(from + i, Number.parseInt(digits.slice((bytes - 1 - i) * 2, (bytes - i) * 2), 16));
  }
  return view;
}
