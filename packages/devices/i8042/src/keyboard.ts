import type { Plain } from '@vm/core';
import { ByteQueue } from './byte-queue.ts';
import { readByte, readBytes, readFields } from './saved-state.ts';
import { ACKNOWLEDGE, RESEND, TEST_PASSED } from './spec.ts';

// Commands to the keyboard (IBM PS/2 Hardware Interface Technical Reference, keyboards).
const SET_LEDS = 0xed;
const ECHO = 0xee;
const SCAN_CODE_SET = 0xf0;
const IDENTIFY = 0xf2;
const SET_RATE = 0xf3;
const ENABLE = 0xf4;
const DISABLE = 0xf5;
const SET_DEFAULTS = 0xf6;
const KEY_TYPES_FIRST = 0xf7; // these choose what keys repeat and report their release, in set 3 only
const KEY_TYPES_LAST = 0xfa;
const KEY_TYPE_FIRST = 0xfb; // the same for one key, whose code follows
const KEY_TYPE_LAST = 0xfd;
const SEND_AGAIN = 0xfe;
const RESET = 0xff;

const IDENTIFIER = [0xab, 0x83] as const; // an enhanced keyboard
const DEFAULT_RATE = 0x2b; // 10.9 characters a second after half a second
const DEFAULT_SET = 2;

/** An enhanced keyboard that nobody types on: it answers. */
export class Keyboard {
  #command = 0; // that waits for its parameter; 0: none
  #set: number = DEFAULT_SET;
  #leds = 0;
  #rate: number = DEFAULT_RATE;
  #scanning = true;
  #last = 0; // byte it sent last
  readonly queue: ByteQueue = new ByteQueue();

  powerUp(): void {
    this.#command = 0;
    this.#leds = 0;
    this.#setDefaults();
    this.#scanning = true;
    this.#last = 0;
    this.queue.clear();
    // The end of its own test would be told now, but by the time anybody looks that is long over.
  }

  /** The next byte to the controller. Only while the queue has one. */
  take(): number {
    this.#last = this.queue.take();
    return this.#last;
  }

  /** A byte from the controller. */
  receive(byte: number): void {
    this.queue.clear(); // what was not taken before a command is not sent after it
    const command = this.#command;
    this.#command = 0;
    if (command !== 0 && byte < SET_LEDS) this.#finish(command, byte);
    else this.#begin(byte);
  }

  save(): Plain {
    return { command: this.#command, set: this.#set, leds: this.#leds, rate: this.#rate, scanning: this.#scanning ? 1 : 0, last: this.#last, queue: this.queue.save() };
  }

  load(state: Plain): void {
    const fields = readFields(state, 'keyboard');
    const [command, set, leds, rate, scanning, last] = ['command', 'set', 'leds', 'rate', 'scanning', 'last'].map((name) => readByte(fields, name)) as [number, number, number, number, number, number];
    this.queue.load(readBytes(fields, 'queue'));
    this.#command = command;
    this.#set = set;
    this.#leds = leds;
    this.#rate = rate;
    this.#scanning = scanning !== 0;
    this.#last = last;
  }

  #begin(byte: number): void {
    if (byte === ECHO) return this.queue.put(ECHO);
    if (byte === SEND_AGAIN) return this.queue.put(this.#last);
    const takesParameter = byte === SET_LEDS || byte === SCAN_CODE_SET || byte === SET_RATE || (byte >= KEY_TYPE_FIRST && byte <= KEY_TYPE_LAST);
    if (byte < SET_LEDS || (!takesParameter && byte < IDENTIFY)) return this.queue.put(RESEND);
    this.queue.put(ACKNOWLEDGE);
    if (takesParameter) this.#command = byte;
    else if (byte === IDENTIFY) for (const part of IDENTIFIER) this.queue.put(part);
    else if (byte === ENABLE) this.#scanning = true;
    else if (byte === RESET) this.#reset();
    else if (byte < KEY_TYPES_FIRST || byte > KEY_TYPES_LAST) {
      this.#setDefaults(); // DISABLE and SET_DEFAULTS
      if (byte === DISABLE) this.#scanning = false;
      if (byte === SET_DEFAULTS) this.#scanning = true;
    }
  }

  #finish(command: number, parameter: number): void {
    if (command === SCAN_CODE_SET && parameter > 3) return this.queue.put(RESEND);
    this.queue.put(ACKNOWLEDGE);
    if (command === SET_LEDS) this.#leds = parameter;
    else if (command === SET_RATE) this.#rate = parameter;
    else if (command === SCAN_CODE_SET) {
      if (parameter === 0) this.queue.put(this.#set);
      else this.#set = parameter;
    }
  }

  #reset(): void {
    this.#leds = 0;
    this.#setDefaults();
    this.#scanning = true;
    this.queue.put(TEST_PASSED);
  }

  #setDefaults(): void {
    this.#set = DEFAULT_SET;
    this.#rate = DEFAULT_RATE;
  }
}
