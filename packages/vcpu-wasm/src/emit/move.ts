/** Data movement, conditional moves, exchanges, bit tests and bit scans (SDM vol. 1, sections 7.3.1 and 7.3.6). */
import type { Emit, Emitter, EmitterTable } from '../emitter.ts';
import { A, B, C, D, N, R, T } from '../locals.ts';
import { I64 } from '../wasm/code-writer.ts';

const mov: Emit = (e) => {
  e.read(1);
  e.code.set(R);
  e.write(0, R);
};
const movsx: Emit = (e) => {
  e.read(1);
  e.code.signExtend(e.bytes(1)).set(R);
  e.write(0, R);
};
const lea: Emit = (e) => {
  e.effectiveAddress();
  e.code.set(R);
  e.write(0, R);
};
const nothing: Emit = () => undefined;

const xchg: Emit = (e) => {
  // Whichever operand is memory comes first in the tables.
  e.readForUpdate(0);
  e.code.set(A);
  e.read(1);
  e.code.set(B);
  e.update(0, B);
  e.write(1, A);
};
const xadd: Emit = (e) => {
  e.readForUpdate(0);
  e.code.set(A);
  e.read(1);
  e.code.set(B).get(A).get(B).add().set(R);
  e.update(0, R);
  if (e.isMemory(0)) e.write(1, A);
  else {
    // XADD r, r with both the same register leaves the sum.
    e.write(1, A);
    e.write(0, R);
  }
  e.flagsAdd(A, B, R);
};
const cmpxchg: Emit = (e) => {
  const { code, size } = e;
  e.readForUpdate(0);
  code.set(B);
  e.read(1);
  code.set(T);
  e.readGpr(0, size);
  code.tee(A).get(B).eq().set(N);
  if (e.isMemory(0)) {
    // Memory is written in both cases, as the manual says.
    code.get(T).get(B).get(N).select().set(R);
    e.update(0, R);
  } else {
    // A register is not: the upper half of a 32-bit one stays.
    code.get(N);
    code.if();
    e.write(0, T);
    code.end();
  }
  code.get(N).eqz32();
  code.if();
  e.writeGpr(0, size, B);
  code.end();
  code.get(A).get(B).sub().set(R);
  e.flagsSubtract(A, B, R);
};
/** CMPXCHG8B and CMPXCHG16B: compare rdx:rax with memory, store rcx:rbx or load. */
const cmpxchgPair: Emit = (e) => {
  const { code } = e;
  const half = e.bytes(0) / 2;
  e.address(half * 2, true);
  code.set(D);
  if (half === 8) { code.get(D).wrap().const32(15).and32(); e.raiseIf(13, 0); }
  // Both halves are proved writable before anything changes: upper half first, then the lower with its host address in H.
  code.get(D).const(half).add();
  e.loadForUpdate(half);
  code.set(C);
  code.get(D);
  e.loadForUpdate(half);
  code.set(B);
  e.readGpr(0, half);
  code.get(B).eq();
  e.readGpr(2, half);
  code.get(C).eq().and32().set(N);
  e.readGpr(3, half);
  code.get(B).get(N).select().set(R);
  e.readGpr(1, half);
  code.get(C).get(N).select().set(T);
  e.storeBack(half, R);
  code.get(D).const(half).add();
  e.store(half, T);
  code.get(N).eqz32();
  code.if();
  e.writeGpr(0, half, B);
  e.writeGpr(2, half, C);
  code.end();
  e.arithmeticFlags();
  code.const32(~0x40).and32().get(N).const32(6).shl32().or32();
  e.setArithmeticFlags();
};
const bswap: Emit = (e) => {
  const { code } = e;
  e.read(0);
  code.set(A);
  if (e.size === 2) code.const(0).set(R); // undefined; processors clear the register
  else {
    const mask = (low: number, by: number): void => {
      code.get(A).const(by).shrU().const64(low, low).and().get(A).const64(low, low).and().const(by).shl().or().set(A);
    };
    mask(0x00ff_00ff, 8);
    mask(0x0000_ffff, 16);
    code.get(A).const(32).rotl();
    if (e.size === 4) code.const(32).shrU();
    code.set(R);
  }
  e.write(0, R);
};
const cmov: Emit = (e) => {
  // The source is read whether or not the condition holds, and a 32-bit destination loses its upper half in both cases.
  e.read(1);
  e.code.set(A);
  e.read(0);
  e.code.set(B);
  e.code.get(A).get(B);
  e.condition(e.form.condition);
  e.code.select().set(R);
  e.write(0, R);
};
const setcc: Emit = (e) => {
  e.condition(e.form.condition);
  e.code.extendU().set(R);
  e.write(0, R);
};
/** CBW, CWDE, CDQE. */
const cbw: Emit = (e) => {
  e.readGpr(0, e.size / 2);
  e.code.signExtend(e.size / 2).set(R);
  e.writeGpr(0, e.size, R);
};
/** CWD, CDQ, CQO. */
const cwd: Emit = (e) => {
  e.readGpr(0, e.size);
  e.code.signExtend(e.size).const(63).shrS().set(R);
  e.writeGpr(2, e.size, R);
};

type BitOperation = 'bt' | 'bts' | 'btr' | 'btc';
const bitTest = (operation: BitOperation): Emit => (e) => {
  const { code, size } = e;
  const bits = size * 8;
  const memoryByRegister = e.isMemory(0) && e.form.operands[1]?.letter === 'R';
  if (memoryByRegister) {
    // A register offset reaches beyond the operand: whole operands further on, signed.
    e.read(1);
    code.signExtend(size).set(B);
    e.effectiveAddress();
    code.get(B).const(Math.log2(bits)).shrS().const(Math.log2(size)).shl().add();
    if (e.form.addressBytes !== 8) code.zeroExtend(e.form.addressBytes);
    e.addressOfOffset(size, operation !== 'bt');
    if (operation === 'bt') e.load(size);
    else e.loadForUpdate(size);
  } else if (operation === 'bt') e.read(0);
  else e.readForUpdate(0);
  code.set(A);
  if (!memoryByRegister) { e.read(1); code.set(B); }
  code.const(1).get(B).const(bits - 1).and().tee(B).shl().set(C);
  if (operation !== 'bt') {
    code.get(A).get(C);
    if (operation === 'bts') code.or();
    else if (operation === 'btc') code.xor();
    else code.not().and();
    code.set(R);
    e.update(0, R);
  }
  code.get(A).get(B).shrU().wrap().const32(1).and32();
  e.setCarry();
};
/** BSF and BSR: a zero source sets ZF and leaves the destination (as all processors do). */
const bitScan = (forward: boolean): Emit => (e) => {
  const { code } = e;
  e.read(1);
  code.set(A);
  e.read(0);
  code.set(B);
  code.get(A).eqz();
  code.if(I64);
  code.get(B);
  code.else();
  if (forward) code.get(A).ctz();
  else code.const(63).get(A).clz().sub();
  code.end();
  code.set(R);
  code.get(A).eqz().eqz32();
  code.if();
  e.write(0, R);
  code.end();
  e.flagsLogic(A);
};
/** CLFLUSH and its kind: there is no cache, but the access is checked as a load (SDM vol. 2, CLFLUSH). */
const touch: Emit = (e) => {
  e.address(1, false);
  e.load(1);
  e.code.drop();
};
/** MOVBE: a move to or from memory with the bytes in the other order. */
const moveSwapped: Emit = (e) => {
  const { code, size } = e;
  e.read(1);
  code.set(A);
  const mask = (low: number, by: number): void => {
    code.get(A).const(by).shrU().const64(low, low).and().get(A).const64(low, low).and().const(by).shl().or().set(A);
  };
  mask(0x00ff_00ff, 8);
  if (size > 2) mask(0x0000_ffff, 16);
  if (size === 8) code.get(A).const(32).rotl().set(A);
  e.write(0, A);
};
/** ADCX: an addition that takes CF and gives CF, and touches no other flag. */
const addCarry: Emit = (e) => {
  e.read(1);
  e.code.set(B);
  e.read(0);
  e.code.set(A);
  e.carry();
  e.code.get(A).add().get(B).add().set(R);
  if (e.size === 4) e.code.get(R).zeroExtend(4).set(R);
  e.write(0, R);
  pushCarryOut(e);
  e.setCarry();
};
/** ADOX: the same with OF. */
const addOverflow: Emit = (e) => {
  const { code } = e;
  e.read(1);
  code.set(B);
  e.read(0);
  code.set(A);
  e.arithmeticFlags();
  code.tee(N).const32(11).shrU32().const32(1).and32().extendU().get(A).add().get(B).add().set(R);
  if (e.size === 4) code.get(R).zeroExtend(4).set(R);
  e.write(0, R);
  pushCarryOut(e);
  code.const32(11).shl32().get(N).const32(~0x800).and32().or32();
  e.setArithmeticFlags();
};
/** Pushes the carry out of R = A + B + carry as i32. */
function pushCarryOut(e: Emitter): void {
  e.code.get(A).get(B).and().get(A).get(B).or().get(R).not().and().or().const(e.size * 8 - 1).shrU().const(1).and().wrap();
}
const popcnt: Emit = (e) => {
  const { code } = e;
  e.read(1);
  code.tee(A).popcnt().set(R);
  e.write(0, R);
  code.get(A).eqz().const32(6).shl32();
  e.setArithmeticFlags();
};
/** LZCNT and TZCNT: CF when the source is 0, ZF when the result is. */
const countZeros = (leading: boolean): Emit => (e) => {
  const { code, size } = e;
  e.read(1);
  code.set(A);
  if (leading) code.get(A).clz().const(64 - size * 8).sub();
  else code.get(A).eqz().extendU().const(size * 8).mul().get(A).ctz().get(A).eqz().eqz32().extendU().mul().add();
  code.set(R);
  e.write(0, R);
  code.get(R).eqz().const32(6).shl32().get(A).eqz().or32();
  e.setArithmeticFlags();
};
/** XLAT: AL = [rBX + AL]. */
const xlat: Emit = (e) => {
  const { code } = e;
  e.readGpr(3, e.form.addressBytes);
  e.readGpr(0, 1);
  code.add();
  if (e.form.addressBytes !== 8) code.zeroExtend(e.form.addressBytes);
  e.addressOfOffset(1, false);
  e.load(1);
  code.set(R);
  e.writeGpr(0, 1, R);
};

export const MOVE: EmitterTable = {
  mov: { emit: mov },
  movnti: { emit: mov },
  movzx: { emit: mov },
  movsx: { emit: movsx },
  movsxd: { emit: movsx },
  lea: { emit: lea },
  nop: { emit: nothing },
  pause: { emit: (e) => e.pause() },
  endbr64: { emit: nothing },
  endbr32: { emit: nothing },
  prefetchw: { emit: nothing },
  prefetchnta: { emit: nothing },
  prefetcht0: { emit: nothing },
  prefetcht1: { emit: nothing },
  prefetcht2: { emit: nothing },
  lfence: { emit: nothing },
  mfence: { emit: nothing },
  sfence: { emit: nothing },
  clflush: { emit: touch, apart: true },
  clflushopt: { emit: touch, apart: true },
  clwb: { emit: touch, apart: true },
  xchg: { emit: xchg },
  xadd: { emit: xadd },
  cmpxchg: { emit: cmpxchg },
  cmpxchg8b: { emit: cmpxchgPair, apart: true },
  bswap: { emit: bswap },
  movbe: { emit: moveSwapped, apart: true },
  adcx: { emit: addCarry, apart: true },
  adox: { emit: addOverflow, apart: true },
  cmovcc: { emit: cmov },
  setcc: { emit: setcc },
  cbw: { emit: cbw },
  cwd: { emit: cwd },
  bt: { emit: bitTest('bt') },
  bts: { emit: bitTest('bts') },
  btr: { emit: bitTest('btr') },
  btc: { emit: bitTest('btc') },
  bsf: { emit: bitScan(true) },
  bsr: { emit: bitScan(false) },
  popcnt: { emit: popcnt },
  lzcnt: { emit: countZeros(true) },
  tzcnt: { emit: countZeros(false) },
  xlat: { emit: xlat },
};
