/**
 * The register stack and the status word: what instructions do around their arithmetic (SDM vol. 1, sections 8.1.2, 8.1.3 and 8.5.1).
 *
 * Every function takes the processor block as its first parameter. Those that answer i32 say whether the instruction went
 * through, that is whether no exception without a mask stopped it; an instruction pops only then.
 */
import { I32, I64 } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import type { Arithmetic, BinaryFunction } from './arithmetic.ts';
import type { Comparison } from './comparison.ts';
import { BEFORE, BUSY, C0, C1, C2, C3, defaultNan, ES, float80, IE, isMaximum, isNanOrUnsupported, isSignalling, QUIET_BIT, SF, ZE } from './format.ts';
import type { Float80 } from './format.ts';
import type { BuiltFunction, FunctionBuilder, FunctionLibrary } from './function-builder.ts';
import { ORDINARY } from './ordinary-arithmetic.ts';
import type { OrdinaryBinary } from './ordinary-arithmetic.ts';
import { i32, i64 } from './value.ts';
import type { Value } from './value.ts';

type Done = readonly [typeof I32];
/** (s, i, j): ST(i) = ST(i) op ST(j). */
export type RegisterOperation = BuiltFunction<readonly [typeof I32, typeof I32, typeof I32], Done>;
/** (s, significand, top, flags of the source): ST(0) = ST(0) op source. */
export type SourceOperation = BuiltFunction<readonly [typeof I32, typeof I64, typeof I32, typeof I32], Done>;

export interface RegisterStack {
  /** (s, flags, exceptions that stop) -> went through. Sets exceptions, C1, ES and B. */
  readonly signal: BuiltFunction<readonly [typeof I32, typeof I32, typeof I32], Done>;
  /** (s, significand, top, flags) -> went through. */
  readonly push: BuiltFunction<readonly [typeof I32, typeof I64, typeof I32, typeof I32], Done>;
  /** (s). */
  readonly pop: BuiltFunction<readonly [typeof I32], readonly []>;
  /** (s, i, significand, top, flags) -> went through: the result of an instruction into ST(i). */
  readonly finish: BuiltFunction<readonly [typeof I32, typeof I32, typeof I64, typeof I32, typeof I32], Done>;
  /** (s, i) -> is it empty? */
  readonly isEmpty: BuiltFunction<readonly [typeof I32, typeof I32], Done>;
  /** (s, i) -> significand, top. */
  readonly get: BuiltFunction<readonly [typeof I32, typeof I32], readonly [typeof I64, typeof I32]>;
  /** (s, i): a copy of ST(i) on top. */
  readonly pushCopy: BuiltFunction<readonly [typeof I32, typeof I32], Done>;
  /** (s, significand, top, flags): what FLD from memory does after its conversion. */
  readonly pushLoaded: BuiltFunction<readonly [typeof I32, typeof I64, typeof I32, typeof I32], Done>;
  /** (s, i): FXCH. */
  readonly exchange: BuiltFunction<readonly [typeof I32, typeof I32], Done>;
  /** (s, i): ST(i) = ST(0). */
  readonly copyTo: BuiltFunction<readonly [typeof I32, typeof I32], Done>;
  readonly operations: Readonly<Record<Operation, { readonly registers: RegisterOperation; readonly source: SourceOperation }>>;
  /** (s, i, quiet) -> condition codes C3, C2, C0 of ST(0) against ST(i), and C1 when it went through. */
  readonly compareRegisters: BuiltFunction<readonly [typeof I32, typeof I32, typeof I32], Done>;
  /** (s, significand, top, flags, quiet) -> the same for a source. */
  readonly compareSource: BuiltFunction<readonly [typeof I32, typeof I64, typeof I32, typeof I32, typeof I32], Done>;
}

export const OPERATIONS = ['add', 'mul', 'sub', 'subr', 'div', 'divr'] as const;
export type Operation = (typeof OPERATIONS)[number];

// Expressions shared by the functions; `index` counts from the top.
const slot = (s: Value, index: Value): Value => s.load32(state.X87_TOP).add(index).and(7);
const addressOf = (s: Value, index: Value): Value => s.add(slot(s, index).shl(4));
const emptyAt = (s: Value, index: Value): Value => s.add(slot(s, index)).load8(state.X87_EMPTY);
export const controlOf = (s: Value): Value => s.load32(state.X87_CONTROL);
const readAt = (f: FunctionBuilder, at: Value): Float80 => float80(f.let(at.load(state.X87)), f.let(at.load16(state.X87 + 8)));
export const readRegister = (f: FunctionBuilder, s: Value, index: Value): Float80 => readAt(f, f.let(addressOf(s, index)));
function putRegister(f: FunctionBuilder, at: Value, x: Float80): void {
  f.store(at, state.X87, x.significand);
  f.store16(at, state.X87 + 8, x.top);
}
export function writeRegister(f: FunctionBuilder, s: Value, index: Value, x: Float80): void {
  putRegister(f, f.let(addressOf(s, index)), x);
  f.store8(s.add(slot(s, index)), state.X87_EMPTY, i32(0));
}
export const isEmptyRegister: (s: Value, index: Value) => Value = emptyAt;

export function declareRegisterStack(library: FunctionLibrary, arithmetic: Arithmetic, comparison: Comparison): RegisterStack {
  const top = i32(0);

  /** The instruction is done, with nothing but PE and C1 among `flags`, of which PE has a mask. */
  const deliverFlags = (f: FunctionBuilder, s: Value, flags: Value): void => {
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1).or(flags));
    f.return(i32(1));
  };
  const deliverNothing = (f: FunctionBuilder, s: Value): void => {
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1));
    f.return(i32(1));
  };

  const signal = library.function([I32, I32, I32], [I32], (f, s, flags, stopping) => {
    const unmasked = f.let(flags.and(controlOf(s).not()).and(0x3f));
    f.if(unmasked.and(BEFORE), () => f.set(flags, flags.and(BEFORE | SF).or(flags.shrU(6).and(flags.shrU(9)).and(1).shl(9))));
    f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1).or(flags).or(unmasked.isNotZero().select(i32(ES | BUSY), 0)));
    f.return(unmasked.and(stopping).isZero());
  });

  /** As push, whatever the register holds. */
  const place = library.function([I32, I64, I32, I32], [I32], (f, s, significand, topWord, flags) => {
    // A denormal is loaded also when its exception has no mask.
    const [done] = f.call(signal, s, flags, i32(IE | ZE));
    f.if(done, () => {
      f.store(s, state.X87_TOP, s.load32(state.X87_TOP).sub(1).and(7));
      writeRegister(f, s, top, float80(significand, topWord));
    });
    f.return(done);
  });
  /** The short way of a push: into an empty register, without exceptions. */
  const pushOrdinary = (f: FunctionBuilder, s: Value, condition: Value, x: Float80): void => {
    const number = f.let(s.load32(state.X87_TOP).sub(1).and(7));
    f.if(s.add(number).load8(state.X87_EMPTY).and(condition), () => {
      f.store(s, state.X87_TOP, number);
      f.store8(s.add(number), state.X87_EMPTY, i32(0));
      putRegister(f, f.let(s.add(number.shl(4))), x);
      deliverNothing(f, s);
    });
  };
  const push = library.function([I32, I64, I32, I32], [I32], (f, s, significand, topWord, flags) => {
    pushOrdinary(f, s, flags.isZero(), float80(significand, topWord));
    f.if(emptyAt(s, i32(7)), () => f.returnCall(place, s, significand, topWord, flags));
    f.returnCall(place, s, ...defaultNan(), i32(IE | SF | C1));
  });
  const pop = library.function([I32], [], (f, s) => {
    f.store8(s.add(s.load32(state.X87_TOP)), state.X87_EMPTY, i32(1));
    f.store(s, state.X87_TOP, s.load32(state.X87_TOP).add(1).and(7));
  });
  const finish = library.function([I32, I32, I64, I32, I32], [I32], (f, s, index, significand, topWord, flags) => {
    const [done] = f.call(signal, s, flags, i32(BEFORE));
    f.if(done, () => writeRegister(f, s, index, float80(significand, topWord)));
    f.return(done);
  });
  const isEmpty = library.function([I32, I32], [I32], (f, s, index) => f.return(emptyAt(s, index)));
  const get = library.function([I32, I32], [I64, I32], (f, s, index) => {
    const x = readRegister(f, s, index);
    f.return(x.significand, x.top);
  });
  /** Stack underflow: the result is the default NaN. */
  const underflow = (f: FunctionBuilder, s: Value, index: Value): void => f.returnCall(finish, s, index, ...defaultNan(), i32(IE | SF));

  const pushCopy = library.function([I32, I32], [I32], (f, s, index) => {
    // Underflow of the source comes before overflow of the stack.
    f.ifSeldom(emptyAt(s, index), () => f.returnCall(place, s, ...defaultNan(), i32(IE | SF)));
    const x = readRegister(f, s, index);
    pushOrdinary(f, s, i32(1), x);
    f.returnCall(push, s, x.significand, x.top, i32(0));
  });
  const pushLoaded = library.function([I32, I64, I32, I32], [I32], (f, s, significand, topWord, flags) => {
    pushOrdinary(f, s, flags.isZero().and(isMaximum(float80(significand, topWord)).isZero()), float80(significand, topWord));
    f.if(isSignalling(float80(significand, topWord)), () => {
      f.or(significand, i64(QUIET_BIT));
      f.or(flags, IE);
    });
    f.returnCall(push, s, significand, topWord, flags);
  });
  const exchange = library.function([I32, I32], [I32], (f, s, index) => {
    const a = readRegister(f, s, top);
    const b = readRegister(f, s, index);
    f.if(emptyAt(s, top).or(emptyAt(s, index)).isZero(), () => {
      putRegister(f, f.let(addressOf(s, top)), b);
      putRegister(f, f.let(addressOf(s, index)), a);
      deliverNothing(f, s);
    });
    // An empty register counts as the default NaN.
    const flags = f.let32(0);
    for (const [x, at] of [[a, top], [b, index]] as const) {
      f.if(emptyAt(s, at), () => {
        const [nan, nanTop] = defaultNan();
        f.set(x.significand, nan);
        f.set(x.top, nanTop);
        f.set(flags, IE | SF);
      });
    }
    const [done] = f.call(signal, s, flags, i32(BEFORE));
    f.if(done, () => {
      writeRegister(f, s, top, b);
      writeRegister(f, s, index, a);
    });
    f.return(done);
  });
  const copyTo = library.function([I32, I32], [I32], (f, s, index) => {
    f.ifSeldom(emptyAt(s, top), () => underflow(f, s, index));
    writeRegister(f, s, index, readRegister(f, s, top));
    deliverNothing(f, s);
  });

  const operation = (compute: BinaryFunction, ordinary: OrdinaryBinary, reversed: boolean): { registers: RegisterOperation; source: SourceOperation } => {
    const inOrder = (a: Float80, b: Float80): [Float80, Float80] => (reversed ? [b, a] : [a, b]);
    const results = (f: FunctionBuilder, a: Float80, b: Float80, control: Value): [Value, Value, Value] => {
      const [x, y] = inOrder(a, b);
      return [...f.call(compute, x.significand, x.top, y.significand, y.top, control)];
    };
    // What is seldom is a function of its own, so that nothing has to be kept for it on the short way.
    const anyRegisters = library.function([I32, I32, I32], [I32], (f, s, to, from) => {
      f.if(emptyAt(s, to).or(emptyAt(s, from)), () => underflow(f, s, to));
      const a = readRegister(f, s, to);
      f.returnCall(finish, s, to, ...results(f, a, readRegister(f, s, from), controlOf(s)));
    });
    const anySource = library.function([I32, I64, I32, I32], [I32], (f, s, significand, topWord, flags) => {
      f.if(emptyAt(s, top), () => underflow(f, s, top));
      const a = readRegister(f, s, top);
      f.if(isNanOrUnsupported(a), () => f.set(flags, 0));
      const [result, resultTop, more] = results(f, a, float80(significand, topWord), controlOf(s));
      // A division by zero comes before a denormal operand (SDM vol. 1, section 4.9.2).
      f.if(more.and(ZE), () => f.set(flags, 0));
      f.returnCall(finish, s, top, result, resultTop, flags.or(more));
    });
    const ordinarily = (f: FunctionBuilder, s: Value, at: Value, b: Float80): void => {
      const a = readAt(f, at);
      ordinary(f, ...inOrder(a, b), f.let(controlOf(s)), (result, flags) => {
        putRegister(f, at, result);
        deliverFlags(f, s, flags);
      });
    };
    const registers = library.function([I32, I32, I32], [I32], (f, s, to, from) => {
      const number = f.let(s.load32(state.X87_TOP));
      const toNumber = f.let(number.add(to).and(7));
      const fromNumber = f.let(number.add(from).and(7));
      f.if(s.add(toNumber).load8(state.X87_EMPTY).or(s.add(fromNumber).load8(state.X87_EMPTY)).isZero(), () => {
        ordinarily(f, s, f.let(s.add(toNumber.shl(4))), readAt(f, f.let(s.add(fromNumber.shl(4)))));
      });
      f.returnCall(anyRegisters, s, to, from);
    });
    const source = library.function([I32, I64, I32, I32], [I32], (f, s, significand, topWord, flags) => {
      f.if(emptyAt(s, top).or(flags).isZero(), () => ordinarily(f, s, f.let(addressOf(s, top)), float80(significand, topWord)));
      f.returnCall(anySource, s, significand, topWord, flags);
    });
    return { registers, source };
  };
  const { add, subtract, multiply, divide } = arithmetic;
  const operations = {
    add: operation(add, ORDINARY.add, false), mul: operation(multiply, ORDINARY.multiply, false), sub: operation(subtract, ORDINARY.subtract, false),
    subr: operation(subtract, ORDINARY.subtract, true), div: operation(divide, ORDINARY.divide, false), divr: operation(divide, ORDINARY.divide, true),
  };

  const CONDITIONS = C0 | C2 | C3;
  const conditions = (f: FunctionBuilder, s: Value, flags: Value): void => {
    f.if(flags.and(~CONDITIONS).isZero(), () => {
      f.store(s, state.X87_STATUS, s.load32(state.X87_STATUS).and(~C1));
      f.return(flags.or(C1));
    });
    const [done] = f.call(signal, s, flags.and(~CONDITIONS), i32(BEFORE));
    f.return(flags.and(CONDITIONS).or(done.shl(9))); // C1
  };
  const compareRegisters = library.function([I32, I32, I32], [I32], (f, s, index, quiet) => {
    const flags = f.let32(CONDITIONS | IE | SF);
    f.if(emptyAt(s, top).or(emptyAt(s, index)).isZero(), () => {
      const a = readRegister(f, s, top);
      const b = readRegister(f, s, index);
      f.callInto([flags], comparison.compare, a.significand, a.top, b.significand, b.top, quiet);
    });
    conditions(f, s, flags);
  });
  const compareSource = library.function([I32, I64, I32, I32, I32], [I32], (f, s, significand, topWord, before, quiet) => {
    const flags = f.let32(CONDITIONS | IE | SF);
    f.if(emptyAt(s, top).isZero(), () => {
      const a = readRegister(f, s, top);
      f.callInto([flags], comparison.compare, a.significand, a.top, significand, topWord, quiet);
      f.or(flags, isNanOrUnsupported(a).select(i32(0), before));
    });
    conditions(f, s, flags);
  });

  return {
    signal, push, pop, finish, isEmpty, get, pushCopy, pushLoaded, exchange, copyTo, operations, compareRegisters, compareSource,
  };
}
