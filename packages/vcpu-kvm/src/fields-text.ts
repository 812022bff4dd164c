import type { ProcessorFields } from './processor-fields.ts';

const NAMES = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'];
const hex = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');

/** The registers of a processor, a few lines. */
export function describeFields({ wide, rows, segments, rflags, cpl }: ProcessorFields): string {
  const general = new DataView(rows.general.buffer);
  const registers = NAMES.map((name, i) => `${name.padStart(3)} ${hex(general.getBigUint64(i * 8, true))}`);
  const lines = [0, 4, 8, 12].map((i) => registers.slice(i, i + 4).join(' '));
  return [
    `at ${segments.cs.selector.toString(16)}:${hex(wide.rip)}, privilege level ${cpl}, rflags ${rflags.toString(16).padStart(8, '0')}`, ...lines,
    `cr0 ${wide.cr0.toString(16)} cr2 ${hex(wide.cr2)} cr3 ${wide.cr3.toString(16)} cr4 ${wide.cr4.toString(16)} efer ${wide.efer.toString(16)}`,
  ].join('\n');
}
