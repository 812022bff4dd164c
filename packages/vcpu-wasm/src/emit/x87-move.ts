/** x87 loads, stores, exchanges and constants (SDM vol. 1, sections 8.3.2 and 8.3.4). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { B, C, R, S } from '../locals.ts';
import { BEFORE, EXCEPTIONS, IE, OE, SF, UE } from '../float80/format.ts';
import * as state from '../cpu-state.ts';
import {
  apart, beginWaiting, callX87, endMasked, endWith, loadNumber, loadTenBytes, noteOperand, notePlace, probeTenBytes, pushIndex, pushRegister, pushTopEmpty, SIGNIFICAND, STATUS, storeTenBytes, linear, takeAddress, TOP_WORD,
} from './x87-instruction.ts';

const fld: Emit = (e) => {
  const { code } = e;
  const { stack } = e.runtime.x87;
  beginWaiting(e);
  if (!e.isMemory(0)) {
    notePlace(e);
    code.get(S);
    pushIndex(e, 0);
    callX87(e, stack.pushCopy);
  } else if (e.bytes(0) === 10) {
    takeAddress(e);
    loadTenBytes(e);
    noteOperand(e);
    code.get(S).get(SIGNIFICAND).get(TOP_WORD).const32(0);
    callX87(e, stack.push);
  } else {
    loadNumber(e, 0, false);
    code.get(S).get(SIGNIFICAND).get(TOP_WORD).get(STATUS);
    callX87(e, stack.pushLoaded);
  }
  code.drop();
};
const fild: Emit = (e) => {
  beginWaiting(e);
  loadNumber(e, 0, true);
  e.code.get(S).get(SIGNIFICAND).get(TOP_WORD).get(STATUS);
  callX87(e, e.runtime.x87.stack.push);
  e.code.drop();
};

/** What an empty ST(0) stores. */
const DEFAULT_NAN: Readonly<Record<number, readonly [number, number]>> = { 4: [-0x40_0000, 0], 8: [0, -0x8_0000] };
/** Integer indefinite: the least integer. */
const INDEFINITE: Readonly<Record<number, readonly [number, number]>> = { 2: [-0x8000, -1], 4: [-0x8000_0000, -1], 8: [0, -0x8000_0000] };

/** Pushes an i32: does an exception in STATUS stop the store? */
function pushStopped(e: Emitter, stopping: number): void {
  e.code.get(STATUS).get(S).load32(state.X87_CONTROL).const32(-1).xor32().and32().const32(stopping).and32();
}
/** Stores B, unless an exception stops that, and finishes the instruction. */
function storeResult(e: Emitter, bytes: number, pops: number): void {
  takeAddress(e);
  linear(e, bytes, true);
  // A page that is not there comes before the exception.
  e.loadForUpdate(bytes);
  e.code.drop();
  finishStore(e, BEFORE | OE | UE, pops, () => e.storeBack(bytes, B));
}
/** What follows when it is known that the store can be done. */
function finishStore(e: Emitter, stopping: number, pops: number, store: () => void): void {
  const { code } = e;
  noteOperand(e);
  pushStopped(e, EXCEPTIONS);
  code.ifSeldom();
  pushStopped(e, stopping);
  code.eqz32();
  code.if();
  store();
  code.end();
  code.get(S).get(STATUS).const32(stopping);
  callX87(e, e.runtime.x87.stack.signal);
  endWith(e, pops);
  code.else();
  store();
  endMasked(e, pops);
  code.end();
}
/** Puts what ST(0) is in memory into B and STATUS: `convert` takes the number from the stack and leaves both there. */
function convertTop(e: Emitter, empty: readonly [number, number], convert: () => void): void {
  const { code } = e;
  pushTopEmpty(e);
  code.ifSeldom();
  code.const64(empty[0], empty[1]).set(B).const32(IE | SF).set(STATUS);
  code.else();
  pushRegister(e);
  convert();
  code.set(STATUS).set(B);
  code.end();
}
const store = (pops: number): Emit => (e) => {
  const { code } = e;
  const { stack, conversion } = e.runtime.x87;
  beginWaiting(e);
  if (!e.isMemory(0)) {
    notePlace(e);
    code.get(S);
    pushIndex(e, 0);
    callX87(e, stack.copyTo);
    endWith(e, pops);
    return;
  }
  const bytes = e.bytes(0);
  if (bytes === 10) { storeExtended(e); return; }
  convertTop(e, DEFAULT_NAN[bytes] ?? [0, 0], () => {
    code.get(S).load32(state.X87_CONTROL);
    callX87(e, bytes === 4 ? conversion.toSingle : conversion.toDouble);
  });
  storeResult(e, bytes, pops);
};
/** FSTP m80: no conversion, no exception but an empty register. */
function storeExtended(e: Emitter): void {
  const { code } = e;
  pushTopEmpty(e);
  code.set(STATUS);
  pushRegister(e);
  code.set(TOP_WORD).set(SIGNIFICAND).get(STATUS);
  code.ifSeldom();
  code.const64(0, -0x4000_0000).set(SIGNIFICAND).const32(0xffff).set(TOP_WORD).const32(IE | SF).set(STATUS);
  code.end();
  finishTenBytes(e);
}
/** Stores SIGNIFICAND and TOP_WORD, unless an exception stops that, and pops. */
function finishTenBytes(e: Emitter): void {
  takeAddress(e);
  const inPlace = probeTenBytes(e, C);
  finishStore(e, BEFORE, 1, () => storeTenBytes(e, inPlace, C, R));
}
const storeInteger = (pops: number, truncate: boolean): Emit => (e) => {
  const { code } = e;
  const { conversion } = e.runtime.x87;
  const bytes = e.bytes(0);
  beginWaiting(e);
  convertTop(e, INDEFINITE[bytes] ?? [0, 0], () => {
    code.const32(bytes * 8).get(S).load32(state.X87_CONTROL);
    if (truncate) code.const32(0xc00).or32();
    callX87(e, conversion.toInteger);
  });
  storeResult(e, bytes, pops);
};
const fbld: Emit = (e) => {
  const { code } = e;
  const { stack, conversion } = e.runtime.x87;
  beginWaiting(e);
  takeAddress(e);
  loadTenBytes(e);
  noteOperand(e);
  code.get(S).get(SIGNIFICAND).get(TOP_WORD);
  callX87(e, conversion.fromDecimal);
  callX87(e, stack.push);
  code.drop();
};
const fbstp: Emit = (e) => {
  const { code } = e;
  const { stack, conversion } = e.runtime.x87;
  beginWaiting(e);
  code.get(S).const32(0);
  callX87(e, stack.isEmpty);
  code.if();
  code.const64(0, -0x4000_0000).set(SIGNIFICAND).const32(0xffff).set(TOP_WORD).const32(IE | SF).set(STATUS);
  code.else();
  code.get(S).const32(0);
  callX87(e, stack.get);
  code.get(S).load32(state.X87_CONTROL);
  callX87(e, conversion.toDecimal);
  code.set(STATUS).set(TOP_WORD).set(SIGNIFICAND);
  code.end();
  finishTenBytes(e);
};
/** FSTP that takes an empty ST(0) for an instruction to pop only: undocumented, the alias D9 D8. */
const storeWithoutUnderflow: Emit = (e) => {
  const { code } = e;
  const { stack } = e.runtime.x87;
  beginWaiting(e);
  notePlace(e);
  code.get(S).const32(0);
  callX87(e, stack.isEmpty);
  code.if();
  code.get(S).const32(0).const32(0);
  callX87(e, stack.signal);
  endWith(e, 1);
  code.else();
  code.get(S);
  pushIndex(e, 0);
  callX87(e, stack.copyTo);
  endWith(e, 1);
  code.end();
};
const fxch: Emit = (e) => {
  beginWaiting(e);
  notePlace(e);
  e.code.get(S);
  pushIndex(e, 0);
  callX87(e, e.runtime.x87.stack.exchange);
  e.code.drop();
};

export const X87_MOVE: EmitterTable = {
  fld: apart(fld),
  fild: apart(fild),
  fst: apart(store(0)),
  fstp: apart(store(1)),
  fstpnce: apart(storeWithoutUnderflow),
  fist: apart(storeInteger(0, false)),
  fistp: apart(storeInteger(1, false)),
  fisttp: apart(storeInteger(1, true)),
  fbld: apart(fbld),
  fbstp: apart(fbstp),
  fxch: apart(fxch),
};
