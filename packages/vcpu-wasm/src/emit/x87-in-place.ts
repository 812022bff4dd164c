/** The x87 instructions that programs are full of: translated regions have them in place. */
import { X87_ARITHMETIC } from './x87-arithmetic.ts';

export const X87_IN_PLACE: readonly string[] = [
  ...Object.keys(X87_ARITHMETIC), 'fld', 'fild', 'fst', 'fstp', 'fist', 'fistp', 'fisttp', 'fxch', 'fsqrt', 'frndint', 'fchs', 'fabs', 'ftst', 'fxam', 'fcmov',
  'fld1', 'fldl2t', 'fldl2e', 'fldpi', 'fldlg2', 'fldln2', 'fldz', 'fnstsw', 'fnstcw', 'fldcw', 'fwait', 'fincstp', 'fdecstp', 'ffree', 'ffreep',
];
