/** Why `Vcpu.run` came back. Plain integers, so that an engine may bundle its own copy. */
export const EXIT_BUDGET = 0; // all instructions of the budget were run
export const EXIT_HALT = 1; // the processor waits for an interrupt and none is pending
export const EXIT_SHUTDOWN = 2; // the processor gave up (x86: triple fault)
export const EXIT_REQUEST = 3; // signal() or stopAfter() asked for it before the budget was used up
export const EXIT_FAIL = 4; // the engine cannot go on; it has logged why
export const EXIT_PAUSE = 5; // of several processors: it waits for another in a loop, which may have its turn
export const EXIT_POLL = 6; // all of the budget is used up, the rest of it by asking a device the same again and again

/** Attribute bits of a RAM page; see `Ram.attributesOffset`. A store to a page with a bit set must be told to `Ram.written`. */
export const PAGE_CODE = 1; // translated or cached as instructions
export const PAGE_TABLE = 2; // part of a tracked page table
export const PAGE_CLEAN = 4; // not stored to since the dirty log was last read
export const PAGE_READ_ONLY = 8; // stores by the guest are dropped
