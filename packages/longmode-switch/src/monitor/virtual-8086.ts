import type { Assembler } from '@vm/x86';

export function emitVirtual8086(a: Assembler, _diskBytes: number): void {
  a.label('virtual').jmp('fault').label('virtual-start').ret();
}
