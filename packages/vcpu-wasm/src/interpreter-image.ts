/** The interpreter as it is shipped: for each of the two kinds of mode a module and the list of its cases. */

export interface InterpreterHalf {
  /** Form keys in the order of the cases. */
  readonly keys: readonly string[];
  readonly module: Uint8Array;
}
export interface InterpreterImage { readonly long: InterpreterHalf; readonly legacy: InterpreterHalf }
