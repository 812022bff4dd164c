/** Words that the machine's thread shares with the thread of a processor. One of both owns the processor at any time. */
export const OWNER = 0; // who has the processor; the thread waits here for its turn
export const RESULT = 1; // of KVM_RUN, once the thread has given the processor back
export const WANTED = 2; // the machine asks for the processor: the next signal is meant
export const THREAD = 3; // the kernel's number of the thread, 0 before it is ready
export const WORDS = 4;
export const MACHINE = 0, GUEST = 1, END = 2;

/** What the worker of a processor is given. `bell`: rung whenever a thread has given its processor back. */
export interface ThreadData {
  readonly fd: number;
  readonly words: Int32Array;
  readonly bell: Int32Array;
  readonly spins: number;
  readonly looks: boolean; // the processor is given back with every signal of the timer too
}

/** Looks for a moment before it sleeps: waking a thread costs more than most answers take. HOT. */
export function waitWhile(words: Int32Array, index: number, value: number, spins: number, milliseconds: number): void {
  for (let i = 0; i < spins; i++) if (Atomics.load(words, index) !== value) return;
  Atomics.wait(words, index, value, milliseconds);
}
