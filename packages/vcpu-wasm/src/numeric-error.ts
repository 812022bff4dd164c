/** What an unmasked x87 exception is while CR0.NE is 0: a signal to the board, FERR#, which answers with an interrupt (SDM vol. 1, appendix D). */
import * as state from './cpu-state.ts';
import type { StateView } from './state-view.ts';

const EXCEPTIONS = 0x3f;

export class NumericError {
  readonly #state: StateView;
  /** Instructions go on in spite of the exception. */
  ignored = false;
  /** Set by the board: the level of FERR#. */
  output: (asserted: boolean) => void = () => undefined;

  constructor(view: StateView) {
    this.#state = view;
  }

  get #isPending(): boolean { return (this.#state.get(state.X87_STATUS) & ~this.#state.get(state.X87_CONTROL) & EXCEPTIONS) !== 0; }

  /** IGNNE#: instructions go on in spite of the exception that is pending now. */
  ignore(): void {
    this.ignored = this.#isPending;
    if (this.ignored) this.#state.set(state.LEVEL_ASKS, 1);
    this.output(false);
  }
  /** A handler ends: when it has cleared the exception, the next one counts again. */
  handlerReturns(): void {
    if (this.ignored && !this.#isPending) this.ignored = false;
  }
  /** Whether the instruction goes on. If not it waits for an interrupt, and one is on its way. */
  goesOn(): boolean {
    if (!this.ignored) this.output(true);
    return this.ignored;
  }
}
