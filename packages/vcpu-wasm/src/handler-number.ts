/** Cases of the interpreter that stand for no instruction. */

/** Leaves the loop; RIP is in the state. */
export const HANDLER_EXIT = 0;
/** The decoded code was invalidated: look the instruction up again. */
export const HANDLER_STALE = 1;
/** Continues at the linked uop, or looks up the instruction pointer. */
export const HANDLER_GOTO = 2;
/** Checks that the second page of the following instruction is still what it was decoded from. */
export const HANDLER_CROSS_PAGE = 3;
/** No emitter for this instruction, or an impossible encoding: the vector in the immediate is raised. */
export const HANDLER_UNKNOWN = 4;
/** A translated region begins here. */
export const HANDLER_REGION = 5;
export const FIRST_INSTRUCTION_HANDLER = 6;
