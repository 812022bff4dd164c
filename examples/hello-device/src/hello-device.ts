import type { Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size } from '@vm/core';

export interface HelloConfig {
  readonly base: number; // first of two ports
  readonly pin: number; // raised while an answer waits to be read
  /** A line of text from the guest, without its end. Returns what the guest reads back, 0 to 255. */
  readonly greet: (line: string) => number;
}

const TEXT = 0; // write: a character; a line feed ends the line
const ANSWER = 1; // read: the answer to the last line, and lowers the pin
const MOST_CHARACTERS = 80; // the guest decides how much it sends, but not how much is kept

class Hello implements Device, IoHandler {
  #line = '';
  #answer = 0;
  #waiting = false;
  readonly #pin: Line;
  readonly #greet: (line: string) => number;

  constructor(ctx: DeviceContext<'pio' | 'lines'>, { base, pin, greet }: HelloConfig) {
    this.#pin = ctx.lines.connect(pin);
    this.#greet = greet;
    ctx.pio.claim('registers', 2, this, [1]).map(base);
  }

  read(offset: number, _size: Size): number {
    if (offset !== ANSWER) return 0xff;
    this.#wait(false);
    return this.#answer;
  }

  write(offset: number, _size: Size, value: number): void {
    if (offset !== TEXT) return;
    if (value !== 0x0a) {
      if (this.#line.length < MOST_CHARACTERS) this.#line += String.fromCharCode(value);
      return;
    }
    this.#answer = this.#greet(this.#line) & 0xff;
    this.#line = '';
    this.#wait(true);
  }

  powerUp(): void {
    this.#line = '';
    this.#answer = 0;
    this.#wait(false);
  }

  save(): Plain {
    return { line: this.#line, answer: this.#answer, waiting: this.#waiting };
  }

  load(state: Plain): void {
    const { line, answer, waiting } = state as { line?: Plain; answer?: Plain; waiting?: Plain };
    if (typeof line !== 'string' || typeof answer !== 'number' || typeof waiting !== 'boolean') throw new TypeError('hello: expected a line, an answer and whether it waits');
    this.#line = line.slice(0, MOST_CHARACTERS);
    this.#answer = answer & 0xff;
    this.#wait(waiting);
  }

  #wait(waiting: boolean): void {
    this.#waiting = waiting;
    this.#pin.set(waiting);
  }
}

export const helloDevice: DeviceModule<HelloConfig, 'pio' | 'lines'> = {
  manifest: { abi: 1, id: 'example.hello', version: '0.0.0', state: 1, needs: ['pio', 'lines'] },
  create: (ctx, config) => new Hello(ctx, config),
};
