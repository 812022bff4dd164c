import type { OptionTable } from './option-parser.ts';

/** A command of the program. */
export interface Command {
  readonly name: string;
  readonly operands: string; // how the help writes them
  readonly summary: string;
  readonly options: OptionTable;
  readonly notes: readonly string[]; // paragraphs of the help
  readonly examples: readonly string[];
  /** Returns the exit code. */
  run(args: readonly string[]): Promise<number>;
}
