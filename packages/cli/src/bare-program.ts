import type { DeviceSpec } from '@vm/core';
import { postPorts, testDevices } from '@vm/pc';
import { EXIT_CRASH, EXIT_FINE } from './exit-code.ts';
import type { SessionEnd } from './session-end.ts';

/** What a program without an operating system has around it, beside the board: a ROM or a multiboot image. */
export interface BareProgram {
  readonly postPorts: readonly number[]; // for bytes of progress
  readonly charPort: number | null; // for text, beside the serial port
  /** The byte of progress that says that all went well. */
  readonly passByte: number;
}

export const DEFAULT_POST_PORTS: readonly number[] = [0x80, 0x190];
export const DEFAULT_CHAR_PORT = 0xe9;
export const DEFAULT_PASS_BYTE = 0xff;
// The port of text has its customary place inside of these.
const ECHO_BYTES_FIRST = 0xe8;
const ECHO_BYTES_LAST = 0xeb;
const MOST_STATUS = 255;

/** Follows a bare program: how it says that it is done, and how it did. */
export class BareRun {
  #progress = -1;
  readonly #program: BareProgram;
  readonly #stop: (end: SessionEnd) => void;
  readonly #tell: (text: string) => void;

  /** `tell` hears every byte of progress. */
  constructor(program: BareProgram, stop: (end: SessionEnd) => void, tell: (text: string) => void) {
    this.#program = program;
    this.#stop = stop;
    this.#tell = tell;
  }

  devices(): readonly DeviceSpec[] {
    return [
      testDevices({
        exit: (code) => this.#stop(endOfExit(code)),
        shutdown: () => this.#stop({ code: EXIT_FINE, text: null }),
        echoBytes: this.#program.charPort === null || this.#program.charPort < ECHO_BYTES_FIRST || this.#program.charPort > ECHO_BYTES_LAST,
      }),
      ...postPorts(this.#program.postPorts, (byte) => {
        this.#progress = byte;
        this.#tell(`progress ${hex(byte)}`);
      }),
    ];
  }

  /** A HLT with interrupts off: programs that have found an error end so, and some that have not. */
  haltedForGood(): void {
    const passed = this.#progress === this.#program.passByte;
    const progress = this.#progress < 0 ? '' : `; the last byte of progress is ${hex(this.#progress)}${passed ? ', which says that all went well' : ''}`;
    this.#stop({ code: passed ? EXIT_FINE : EXIT_CRASH, text: `the processor has halted for good, with interrupts off${progress}`, crash: true });
  }
}

/** The number that the guest wrote is the exit code of the process; what it cannot be, the largest one stands for. */
function endOfExit(code: number): SessionEnd {
  return code <= MOST_STATUS ? { code, text: null } : { code: MOST_STATUS, text: `the guest ended with ${code}, which is no exit code` };
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
