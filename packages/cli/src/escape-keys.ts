/** What the keys behind Ctrl-A mean. */
export type EscapeCommand = 'quit' | 'help' | 'statistics' | 'power-button' | 'reset' | 'window-size';
export interface EscapeSink {
  /** For the guest. */
  type(bytes: Uint8Array): void;
  command(command: EscapeCommand): void;
}

const CTRL_A = 0x01;
const COMMANDS: ReadonlyMap<string, EscapeCommand> = new Map([
  ['x', 'quit'], ['h', 'help'], ['?', 'help'], ['s', 'statistics'], ['p', 'power-button'], ['r', 'reset'], ['w', 'window-size'],
]);

export const ESCAPE_HELP: readonly string[] = [
  'Ctrl-A x       quit: the machine is turned off at once',
  'Ctrl-A p       press the power button',
  'Ctrl-A r       press the reset button',
  'Ctrl-A s       statistics',
  'Ctrl-A w       type the size of the window as a command for the shell: stty rows N cols N',
  'Ctrl-A h       this help',
  'Ctrl-A Ctrl-A  send Ctrl-A to the guest',
];

/** Takes the commands behind Ctrl-A out of what is typed. Other keys behind Ctrl-A do nothing. */
export class EscapeKeys {
  #escaped = false;
  readonly #sink: EscapeSink;

  constructor(sink: EscapeSink) {
    this.#sink = sink;
  }

  feed(bytes: Uint8Array): void {
    let begin = 0;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (!this.#escaped) {
        if (byte !== CTRL_A) continue;
        this.#type(bytes, begin, i);
        this.#escaped = true;
        begin = i + 1;
        continue;
      }
      this.#escaped = false;
      if (byte === CTRL_A) begin = i; // the second one goes to the guest
      else {
        begin = i + 1;
        const command = COMMANDS.get(String.fromCharCode(byte).toLowerCase());
        if (command !== undefined) this.#sink.command(command);
      }
    }
    if (!this.#escaped) this.#type(bytes, begin, bytes.length);
  }

  #type(bytes: Uint8Array, from: number, to: number): void {
    if (to > from) this.#sink.type(bytes.subarray(from, to));
  }
}
