import type { LogLevel } from '@vm/core';

const MOST_REPORTS = 64;

/** What a guest asked of one processor that it does not have, and how often. */
export class MissingFeatures {
  readonly registers: Map<string, number> = new Map<string, number>();
  #reported = 0;
  readonly #log: (level: LogLevel, text: string) => void;

  constructor(log: (level: LogLevel, text: string) => void) {
    this.#log = log;
  }

  noteRegister(index: number, write: boolean): void {
    const name = `${write ? 'WRMSR' : 'RDMSR'} ${index.toString(16)}`;
    const count = (this.registers.get(name) ?? 0) + 1;
    this.registers.set(name, count);
    if (count === 1 && this.#reported++ < MOST_REPORTS) this.#log('debug', `${name}: no such register, #GP`);
  }
}
