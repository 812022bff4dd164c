/**
 * An exception of the guest, thrown by the TypeScript half through generated code and caught by the processor's loop.
 *
 * One object per processor is thrown again and again: making an Error with a stack for each page fault would cost more
 * than the fault. By the emitter contract nothing architectural has changed when it is thrown.
 */
export class GuestFault {
  vector = 0;
  /** -1: the vector pushes none. */
  errorCode = -1;
  /** RIP in the state is the one to be saved: a task switch has loaded it already. */
  ripSet = false;
}
