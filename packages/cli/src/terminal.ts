import type { Readable, Writable } from 'node:stream';

/** The streams of a process, or of a test. */
export interface TerminalStreams {
  readonly input: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly output: Writable & { readonly isTTY?: boolean; readonly rows?: number; readonly columns?: number };
  readonly errors: Writable;
}

export function processStreams(): TerminalStreams {
  return { input: process.stdin, output: process.stdout, errors: process.stderr };
}

/**
 * The user's end of a serial console. With a terminal as input, keys arrive one by one and unread by the host's line editor
 * (raw mode) until `close`, which the end of the process calls in any case.
 */
export class Terminal {
  readonly #streams: TerminalStreams;
  readonly #onExit = (): void => this.#restore();
  /** After a stop the shell has had the terminal, and set it up for itself. */
  readonly #onContinue = (): void => {
    this.#restore();
    this.#takeRawMode();
  };
  #raw = false;
  #failure: Error | null = null; // of the output
  #column = 0; // not 0: the guest is in the middle of a line
  #onInput: ((bytes: Uint8Array) => void) | null = null;
  readonly #onData = (bytes: Buffer): void => this.#onInput?.(bytes);

  constructor(streams: TerminalStreams) {
    this.#streams = streams;
  }

  get interactive(): boolean {
    return this.#streams.input.isTTY === true && this.#streams.input.setRawMode !== undefined;
  }

  get output(): TerminalStreams['output'] {
    return this.#streams.output;
  }

  /** All of the input, at its end. */
  async readAll(): Promise<Uint8Array> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#streams.input) chunks.push(chunk as Buffer);
    return Uint8Array.from(Buffer.concat(chunks));
  }

  /** `onInput` gets what is typed; null: the input is left alone. `onBroken` hears that no more output can be written. */
  open(onInput: ((bytes: Uint8Array) => void) | null, onBroken: () => void): void {
    const { input, output, errors } = this.#streams;
    this.#onInput = onInput;
    output.on('error', (error) => {
      this.#failure = error;
      onBroken();
    });
    errors.on('error', () => {}); // nobody is left to tell
    input.on('error', () => {}); // as at its end: nothing more is typed
    if (this.interactive) {
      process.on('exit', this.#onExit); // also after an exception that nobody caught
      process.on('SIGCONT', this.#onContinue);
      this.#takeRawMode();
    }
    if (onInput !== null) input.on('data', this.#onData);
  }

  /** Keeps the user waiting, for as long as `until` takes. */
  async holdInput(until: Promise<void>): Promise<void> {
    this.#streams.input.pause();
    await until;
    if (this.#onInput !== null) this.#streams.input.resume();
  }

  /** False: it does not come as fast as the reader takes it; wait for `drained`. */
  write(bytes: Uint8Array): boolean {
    if (this.#failure !== null || bytes.length === 0) return true;
    this.#column = bytes.at(-1) === 0x0a ? 0 : 1;
    return this.#streams.output.write(bytes);
  }

  drained(): Promise<void> {
    const { output } = this.#streams;
    if (this.#failure !== null || !output.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      output.once('drain', resolve);
      output.once('error', () => resolve());
    });
  }

  /** Resolves when the last byte is out, with why it is not: null, or the error of the output. */
  async flush(): Promise<Error | null> {
    if (this.#failure === null) await new Promise<void>((resolve) => this.#streams.output.write('', () => setImmediate(resolve))); // an error is told after that of its write
    return this.#failure;
  }

  /** A line for the user, apart from what the guest writes. */
  tell(text: string): void {
    const between = this.#column === 0 || this.#streams.output.isTTY !== true ? '' : '\n';
    this.#column = 0;
    this.#streams.errors.write(`${between}${text}\n`); // raw mode leaves it to the terminal to return the carriage
  }

  /** Gives the terminal back as it was, after the last byte is out. */
  async close(): Promise<void> {
    const { input } = this.#streams;
    this.#onInput = null;
    input.off('data', this.#onData);
    input.pause();
    this.#restore();
    process.off('exit', this.#onExit);
    process.off('SIGCONT', this.#onContinue);
    await this.flush();
  }

  #takeRawMode(): void {
    this.#streams.input.setRawMode!(true);
    this.#raw = true;
  }

  #restore(): void {
    if (!this.#raw) return;
    this.#raw = false;
    this.#streams.input.setRawMode!(false);
  }
}
