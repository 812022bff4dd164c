/**
 * What the manuals leave to the processor. Flags: SDM vol. 1, appendix A ("EFLAGS cross-reference") and the section "Flags
 * affected" of each instruction in vol. 2. Where a processor's choice is compared all the same, it is because Intel's and AMD's
 * processors agree.
 */
import { OPERAND_REGISTER, VECTOR_AC, VECTOR_GP, VECTOR_PF, VECTOR_SS, VECTOR_XM } from '@vm/x86';
import type { Instruction } from '@vm/x86';

export const CF = 0x001, PF = 0x004, AF = 0x010, ZF = 0x040, SF = 0x080, OF = 0x800;
const ALL = CF | PF | AF | ZF | SF | OF;

const FLAGS: Readonly<Record<string, number>> = {
  and: AF, or: AF, xor: AF, test: AF,
  mul: SF | ZF | AF | PF, imul: SF | ZF | AF | PF, div: ALL, idiv: ALL,
  aam: OF | AF | CF, aad: OF | AF | CF, aaa: OF | SF | ZF | PF, aas: OF | SF | ZF | PF, daa: OF, das: OF,
  bt: OF | SF | AF | PF, bts: OF | SF | AF | PF, btr: OF | SF | AF | PF, btc: OF | SF | AF | PF,
  andn: AF | PF, blsr: AF | PF, blsmsk: AF | PF, blsi: AF | PF, bzhi: AF | PF, bextr: SF | AF | PF,
  bsf: CF | OF | SF | AF | PF, bsr: CF | OF | SF | AF | PF, lzcnt: OF | SF | AF | PF, tzcnt: OF | SF | AF | PF,
};
const ROTATES: ReadonlySet<string> = new Set(['rol', 'ror', 'rcl', 'rcr']);
const SHIFTS: ReadonlySet<string> = new Set(['shl', 'shr', 'sar']);
const DOUBLE_SHIFTS: ReadonlySet<string> = new Set(['shld', 'shrd']);

/** Flags that `instruction` leaves undefined; `cl` is the count in CL before it, or -1 when that is not known. */
export function undefinedFlags(name: string, instruction: Instruction, cl: number): number {
  const rotate = ROTATES.has(name);
  const double = DOUBLE_SHIFTS.has(name);
  if (!rotate && !double && !SHIFTS.has(name)) return FLAGS[name] ?? 0;
  const size = instruction.operandSize * 8;
  const given = hasImmediateCount(instruction) ? instruction.immediateLow & 0xff : cl;
  if (given < 0) return double ? ALL : rotate ? OF : OF | AF | CF;
  const count = given & (size === 64 ? 63 : 31);
  if (count === 0) return 0;
  if (rotate) return count === 1 ? 0 : OF;
  if (double) return count > size ? ALL : AF | (count === 1 ? 0 : OF);
  return AF | (count === 1 ? 0 : OF) | (count >= size && name !== 'sar' ? CF : 0);
}
/** The count is an immediate or the constant 1, not CL. */
function hasImmediateCount(instruction: Instruction): boolean {
  const kind = instruction.operandKind[instruction.operandCount - 1];
  return kind !== OPERAND_REGISTER;
}

/** SHLD and SHRD of 16 bits by more than 16: the result is undefined (SDM vol. 2, SHLD). BSWAP of 16 bits too (BSWAP). */
export function hasUndefinedResult(name: string, instruction: Instruction, cl: number): boolean {
  if (name === 'bswap') return instruction.operandSize === 2;
  if (!DOUBLE_SHIFTS.has(name) || instruction.operandSize !== 2) return false;
  const given = hasImmediateCount(instruction) ? instruction.immediateLow & 31 : cl & 31;
  return cl < 0 && !hasImmediateCount(instruction) ? true : given > 16;
}

/** C1 after FCOMI and its like: cleared (SDM vol. 2, FCOMI) or as it was. */
export const undefinedStatus = (name: string): number => (/^fu?comip?$/.test(name) ? 0x200 : 0);

/** A conversion to an MMX register that raises #XM may have made the x87 registers MMX registers already, or not. */
export const mayHaveEnteredMmx = (name: string, vector: number): boolean => vector === VECTOR_XM && /^cvt\w+2pi$|^cvtpi2/.test(name);

/**
 * Which of several faults an instruction raises, where it has met more than one (SDM vol. 3, section 6.9: the order among faults on
 * executing an instruction is the processor's own): alignment against paging and limits, the accesses of nested ENTER, the two operands
 * of CMPS and MOVS, what a return pops.
 */
export function mayBeEitherFault(name: string, ours: number, native: number): boolean {
  const faults = [VECTOR_SS, VECTOR_GP, VECTOR_PF, VECTOR_AC];
  if (!faults.includes(ours) || !faults.includes(native)) return false;
  return name === 'enter' || name === 'cmps' || name === 'movs' || isLong(name) || ours === VECTOR_AC || native === VECTOR_AC || (ours === VECTOR_SS && native === VECTOR_GP);
}

/** Operands that are loaded and stored piece by piece in any order: environments of the x87 (SDM vol. 1, section 8.1.10), far pointers, what returns pop. */
const LONG: ReadonlySet<string> = new Set(['fnstenv', 'fldenv', 'fnsave', 'frstor', 'retf', 'iret', 'jmpf', 'callf', 'les', 'lds', 'lss', 'lfs', 'lgs']);
export const isLong = (name: string): boolean => LONG.has(name);

/** An ENTER or PUSHA that faults may have stored below the stack pointer already, and a long operand may have been stored in part. */
export const mayHaveStored = (name: string, vector: number): boolean => (name === 'enter' || name === 'pusha' || isLong(name)) && (vector === VECTOR_PF || vector === VECTOR_SS);
