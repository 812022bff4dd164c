/**
 * A layer over CodeWriter for the long functions of the engine module, so that an algorithm reads like one: named locals,
 * expressions, blocks as callbacks, calls with several results. It runs at build time only.
 */
import type { CodeWriter, Label, ValueType } from '../wasm/code-writer.ts';
import { I32, I64 } from '../wasm/code-writer.ts';
import type { ModuleWriter } from '../wasm/module-writer.ts';
import { Value, constant } from './value.ts';
import type { Operand } from './value.ts';

export type Types = readonly ValueType[];
type Values<T extends Types> = { [K in keyof T]: Value };

/** A function of the module being written, with what a caller must know. */
export interface BuiltFunction<P extends Types = Types, R extends Types = Types> {
  readonly index: number;
  readonly parameters: P;
  readonly results: R;
}

export class FunctionBuilder {
  readonly #code: CodeWriter;
  readonly #parameters: number;
  readonly locals: ValueType[] = [];

  constructor(code: CodeWriter, parameters: number) {
    this.#code = code;
    this.#parameters = parameters;
  }

  #local(type: ValueType): Value {
    const number = this.#parameters + this.locals.push(type) - 1;
    return new Value(type, (code) => { code.get(number); }, number);
  }
  /** A new local that holds `value`. */
  let(value: Value): Value {
    const made = this.#local(value.type);
    this.set(made, value);
    return made;
  }
  let32(value: number): Value { return this.let(constant(I32, value)); }
  let64(value: number): Value { return this.let(constant(I64, value)); }

  set(target: Value, value: Operand): void {
    if (target.local < 0) throw new TypeError('only a local can be set');
    (typeof value === 'number' ? constant(target.type, value) : value).push(this.#code);
    this.#code.set(target.local);
  }
  /** Sets several locals from values that may use their old contents. */
  setAll(targets: readonly Value[], values: readonly Value[]): void {
    for (const value of values) value.push(this.#code);
    for (let i = targets.length - 1; i >= 0; i--) this.#code.set((targets[i] as Value).local);
  }
  or(target: Value, value: Operand): void { this.set(target, target.or(value)); }
  add(target: Value, value: Operand): void { this.set(target, target.add(value)); }

  store(address: Value, offset: number, value: Value): void {
    address.push(this.#code);
    value.push(this.#code);
    if (value.type === I64) this.#code.store(offset);
    else this.#code.store32(offset);
  }
  store16(address: Value, offset: number, value: Value): void { address.push(this.#code); value.push(this.#code); this.#code.store16From32(offset); }
  store8(address: Value, offset: number, value: Value): void { address.push(this.#code); value.push(this.#code); this.#code.store8From32(offset); }

  if(condition: Value, yes: () => void, no?: () => void): void {
    condition.push(this.#code);
    this.#code.if();
    this.#branches(yes, no);
  }
  /** The same, and what is done when the condition holds lies out of the way. */
  ifSeldom(condition: Value, yes: () => void, no?: () => void): void {
    condition.push(this.#code);
    this.#code.ifSeldom();
    this.#branches(yes, no);
  }
  #branches(yes: () => void, no: (() => void) | undefined): void {
    yes();
    if (no !== undefined) {
      this.#code.else();
      no();
    }
    this.#code.end();
  }
  /** Runs `body` again as long as the value it gives is not 0. */
  repeat(body: () => Value): void {
    const again: Label = this.#code.loop();
    body().push(this.#code);
    this.#code.brIf(again);
    this.#code.end();
  }
  /** Counts `counter` down to 0. */
  times(counter: Value, body: () => void): void {
    this.if(counter.isNotZero(), () => {
      this.repeat(() => {
        body();
        this.set(counter, counter.sub(1));
        return counter.isNotZero();
      });
    });
  }
  return(...values: readonly Value[]): void {
    for (const value of values) value.push(this.#code);
    this.#code.return();
  }
  /** Calls and keeps the results in new locals. */
  call<P extends Types, R extends Types>(callee: BuiltFunction<P, R>, ...values: Values<P>): Values<R> {
    const results = callee.results.map((type) => this.#local(type));
    this.#callInto(callee, results, values as readonly Value[]);
    return results as unknown as Values<R>;
  }
  /** Calls and keeps the results in the locals given. */
  callInto<P extends Types, R extends Types>(targets: Values<R>, callee: BuiltFunction<P, R>, ...values: Values<P>): void {
    this.#callInto(callee, targets as readonly Value[], values as readonly Value[]);
  }
  #callInto(callee: BuiltFunction, targets: readonly Value[], values: readonly Value[]): void {
    values.forEach((value, i) => {
      if (value.type !== callee.parameters[i]) throw new TypeError(`function ${callee.index}: argument ${i} has the wrong type`);
      value.push(this.#code);
    });
    this.#code.call(callee.index);
    for (let i = targets.length - 1; i >= 0; i--) this.#code.set((targets[i] as Value).local);
  }
  /** Returns what the callee returns. */
  returnCall<P extends Types, R extends Types>(callee: BuiltFunction<P, R>, ...values: Values<P>): void {
    for (const value of values as readonly Value[]) value.push(this.#code);
    this.#code.call(callee.index).return();
  }
}

/** Declares functions as they are described and writes their bodies later, when every function of the module has its number. */
export class FunctionLibrary {
  readonly #module: ModuleWriter;
  readonly #bodies: ((code: CodeWriter) => void)[] = [];

  constructor(module: ModuleWriter) { this.#module = module; }

  function<const P extends Types, const R extends Types>(parameters: P, results: R, body: (f: FunctionBuilder, ...values: Values<P>) => void): BuiltFunction<P, R> {
    const index = this.#module.declare({ parameters, results });
    this.#bodies.push((code) => {
      code.reset();
      const builder = new FunctionBuilder(code, parameters.length);
      const values = parameters.map((type, i) => new Value(type, (writer) => { writer.get(i); }, i));
      body(builder, ...(values as unknown as Values<P>));
      if (results.length > 0) code.unreachable();
      this.#module.define(index, builder.locals, code);
    });
    return { index, parameters, results };
  }
  define(code: CodeWriter): void { for (const body of this.#bodies) body(code); }
}
