import type { Plain } from '@vm/core';
import { ByteQueue } from './byte-queue.ts';
import { readByte, readBytes, readFields } from './saved-state.ts';
import { ACKNOWLEDGE, RESEND, TEST_PASSED } from './spec.ts';

// Commands to the mouse (IBM PS/2 Hardware Interface Technical Reference, mouse).
const RESET_SCALING = 0xe6;
const SET_SCALING = 0xe7;
const SET_RESOLUTION = 0xe8;
const REQUEST_STATUS = 0xe9;
const SET_STREAM_MODE = 0xea;
const READ_DATA = 0xeb;
const RESET_WRAP_MODE = 0xec;
const SET_WRAP_MODE = 0xee;
const SET_REMOTE_MODE = 0xf0;
const IDENTIFY = 0xf2;
const SET_RATE = 0xf3;
const ENABLE = 0xf4;
const DISABLE = 0xf5;
const SET_DEFAULTS = 0xf6;
const SEND_AGAIN = 0xfe;
const RESET = 0xff;

const STATUS_SCALING: number = 1 << 4;
const STATUS_ENABLED: number = 1 << 5;
const STATUS_REMOTE: number = 1 << 6;
const DEFAULT_RESOLUTION = 2; // 4 counts a millimetre
const DEFAULT_RATE = 100; // reports a second
const IDENTIFIER = 0; // a mouse with two or three buttons and no wheel
const STILL = [0x08, 0, 0] as const; // no button, no way

/** A mouse that nobody moves: it answers. */
export class Mouse {
  #command = 0; // that waits for its parameter; 0: none
  #status = 0;
  #resolution: number = DEFAULT_RESOLUTION;
  #rate: number = DEFAULT_RATE;
  #wrapping = false; // echoes all but two commands
  #last = 0;
  readonly queue: ByteQueue = new ByteQueue();

  powerUp(): void {
    this.#command = 0;
    this.#wrapping = false;
    this.#last = 0;
    this.#setDefaults();
    this.queue.clear();
  }

  /** The next byte to the controller. Only while the queue has one. */
  take(): number {
    this.#last = this.queue.take();
    return this.#last;
  }

  /** A byte from the controller. */
  receive(byte: number): void {
    this.queue.clear();
    const command = this.#command;
    this.#command = 0;
    if (this.#wrapping && byte !== RESET && byte !== RESET_WRAP_MODE) this.queue.put(byte);
    else if (command !== 0) this.#finish(command, byte);
    else this.#begin(byte);
  }

  save(): Plain {
    return { command: this.#command, status: this.#status, resolution: this.#resolution, rate: this.#rate, wrapping: this.#wrapping ? 1 : 0, last: this.#last, queue: this.queue.save() };
  }

  load(state: Plain): void {
    const fields = readFields(state, 'mouse');
    const [command, status, resolution, rate, wrapping, last] = ['command', 'status', 'resolution', 'rate', 'wrapping', 'last'].map((name) => readByte(fields, name)) as [number, number, number, number, number, number];
    this.queue.load(readBytes(fields, 'queue'));
    this.#command = command;
    this.#status = status & (STATUS_SCALING | STATUS_ENABLED | STATUS_REMOTE);
    this.#resolution = resolution;
    this.#rate = rate;
    this.#wrapping = wrapping !== 0;
    this.#last = last;
  }

  #begin(byte: number): void {
    if (byte === SEND_AGAIN) return this.queue.put(this.#last);
    if (!this.#obey(byte)) return this.queue.put(RESEND);
    this.queue.put(ACKNOWLEDGE);
    if (byte === REQUEST_STATUS) for (const part of [this.#status, this.#resolution, this.#rate]) this.queue.put(part);
    else if (byte === READ_DATA) for (const part of STILL) this.queue.put(part);
    else if (byte === IDENTIFY) this.queue.put(IDENTIFIER);
    else if (byte === RESET) for (const part of [TEST_PASSED, IDENTIFIER]) this.queue.put(part);
  }

  /** False: no such command. */
  #obey(byte: number): boolean {
    switch (byte) {
      case RESET_SCALING: this.#status &= ~STATUS_SCALING; return true;
      case SET_SCALING: this.#status |= STATUS_SCALING; return true;
      case SET_RESOLUTION: case SET_RATE: this.#command = byte; return true;
      case SET_STREAM_MODE: this.#status &= ~STATUS_REMOTE; return true;
      case SET_REMOTE_MODE: this.#status |= STATUS_REMOTE; return true;
      case SET_WRAP_MODE: this.#wrapping = true; return true;
      case RESET_WRAP_MODE: this.#wrapping = false; return true;
      case ENABLE: this.#status |= STATUS_ENABLED; return true;
      case DISABLE: this.#status &= ~STATUS_ENABLED; return true;
      case SET_DEFAULTS: this.#setDefaults(); return true;
      case RESET: this.#wrapping = false; this.#setDefaults(); return true;
      case REQUEST_STATUS: case READ_DATA: case IDENTIFY: return true;
      default: return false;
    }
  }

  #finish(command: number, parameter: number): void {
    if (command === SET_RATE) this.#rate = parameter;
    else if (parameter > 3) return this.queue.put(RESEND);
    else this.#resolution = parameter;
    this.queue.put(ACKNOWLEDGE);
  }

  #setDefaults(): void {
    this.#status = 0; // stream mode, reporting off
    this.#resolution = DEFAULT_RESOLUTION;
    this.#rate = DEFAULT_RATE;
  }
}
