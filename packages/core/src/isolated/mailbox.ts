/**
 * The shared memory between a machine and a device in a worker of its own. The machine asks, the worker answers; while a request is
 * open, and only then, the worker writes here and may call the machine back.
 *
 *   words    who waits for whom, and how many
 *   numbers  time, the arguments of a call, a list of accesses with their results, a list of effects
 *   bytes    wide accesses, and pieces of guest memory
 *
 * What is too large or too rare for this goes by message: posted before the bell, taken after it.
 */
export const WORKER_BELL = 0; // the worker waits here
export const MACHINE_BELL = 1; // the machine waits here
export const ASKED = 2; // number of the last request
export const ANSWERED = 3; // number of the request last answered
export const CALLING = 4; // the worker waits in the middle of a request for what the machine knows
export const GONE = 5; // the worker has ended
export const ASLEEP = 6; // the worker serves its own events: a message wakes it
export const KIND = 7; // of the request
export const COUNT = 8; // accesses in the list
export const DONE = 9; // those of them that the answer is for
export const FAILED = 10; // the answer is an error, which is in a message
export const EFFECTS = 11; // in the list
export const CALL_KIND = 12;
export const TIMED = 13; // the accesses of the list have times of their own
export const TOLD = 14; // the last access done did more than answer
export const STEADY = 15; // it was a read, and what others give from now on stays the same
const WORDS = 16;

/** Requests. */
export const ACCESSES = 1, FIRE = 2, MESSAGE = 3, DRAIN = 4;
/** Accesses. Wide ones stand alone in their list. */
export const READ = 1, WRITE = 2, READ_WIDE = 3, WRITE_WIDE = 4;
/** What a device does to its surroundings; told in order, with the answer or before the next call. */
export const SET_LINE = 1, SEND_MSI = 2, ARM_TIMER = 3, UNMAP = 4, STORE_1 = 5, STORE_2 = 6, STORE_4 = 7, TAKE_MESSAGE = 8, PCI_INTERRUPT = 9, PCI_MESSAGE = 10;
/** Calls. */
export const INVOKE = 1, FLUSH = 2, LOAD = 3, COPY_OUT = 4, COPY_IN = 5, TIME = 6;

export const MOST_ACCESSES = 64;
export const MOST_EFFECTS = 128;
export const ACCESS_NUMBERS = 6; // what, region, offset, size, value, time
export const EFFECT_NUMBERS = 3; // what, and two numbers

export const NOW = 0; // machine time of the request
export const ARGUMENTS = 1; // of a call, four; of FIRE, two; of a timed list, how far the processor has come. The first is also where the result of a call is
export const ACCESS_LIST = 8;
export const EFFECT_LIST: number = ACCESS_LIST + MOST_ACCESSES * ACCESS_NUMBERS;
const NUMBERS = EFFECT_LIST + MOST_EFFECTS * EFFECT_NUMBERS;
export const MAILBOX_BYTES = 65_536;

const NUMBERS_AT = WORDS * 4;
const BYTES_AT = NUMBERS_AT + NUMBERS * 8;

export interface Mailbox {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly bytes: Uint8Array;
  readonly view: DataView; // of the bytes
}

export function createMailbox(buffer: SharedArrayBuffer = new SharedArrayBuffer(BYTES_AT + MAILBOX_BYTES)): Mailbox {
  return {
    buffer,
    words: new Int32Array(buffer, 0, WORDS),
    numbers: new Float64Array(buffer, NUMBERS_AT, NUMBERS),
    bytes: new Uint8Array(buffer, BYTES_AT, MAILBOX_BYTES),
    view: new DataView(buffer, BYTES_AT, MAILBOX_BYTES),
  };
}

export function ring(words: Int32Array, bell: number): void {
  Atomics.add(words, bell, 1);
  Atomics.notify(words, bell);
}

/** Looks at a bell for a moment before it sleeps: waking a thread costs more than most answers. HOT. */
export function waitFor(words: Int32Array, bell: number, seen: number, spins: number, milliseconds: number): void {
  for (let i = 0; i < spins; i++) if (Atomics.load(words, bell) !== seen) return;
  Atomics.wait(words, bell, seen, milliseconds);
}
