/** One random instruction with a state in which it does something. */
import { createInstruction, decode } from '@vm/x86';
import type { Instruction } from '@vm/x86';
import { NO_REGISTER, PAIRS_16, RIP } from './address-form.ts';
import type { AddressForm } from './address-form.ts';
import type { Encoding } from './encoding-list.ts';
import { randomCodeSelector, randomDataSelector, writeInstruction } from './instruction-writer.ts';
import type { Placement } from './instruction-writer.ts';
import { getGpr, random64, randomCodeAddress, randomTarget, setCode, setGpr, writeRandomState } from './program-state.ts';
import { CODE_AT, LOW_PAGES, DATA_PAGES, MEMORY_AT, RECORD_CODE, RECORD_LENGTH, RECORD_MEMORY, RECORD_MEMORY_BYTES } from './program-record.ts';
import type { Random } from './random.ts';

const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7;
const STRINGS: ReadonlySet<string> = new Set(['movs', 'cmps', 'stos', 'lods', 'scas']);

/** Writes a case to `at`; false when the encoding gave nothing this time. */
export function writeSingleInstruction(encoding: Encoding, view: DataView, at: number, random: Random, hasBases: boolean): boolean {
  const { bits } = encoding;
  writeRandomState(view, at, bits, random);
  const pinned = new Set<number>([RSP]);
  let target = 0;
  const pin = (register: number, value: bigint): void => {
    pinned.add(register);
    setGpr(view, at, register, BigInt.asUintN(bits, value));
  };
  const placement: Placement = {
    register: (_random, limit) => random.below(limit),
    address: (_random, addressBytes) => {
      // Of x87 operands the order of page faults and numeric exceptions is not looked at.
      target = encoding.kind === 'x87' ? MEMORY_AT + 64 + random.below(RECORD_MEMORY_BYTES - 160) : randomTarget(random);
      if (addressBytes === 2) target = target - DATA_PAGES + LOW_PAGES;
      return chooseAddress(addressBytes, target, bits, random, pinned, (register) => getGpr(view, at, register), pin);
    },
    offset: (_random, addressBytes) => (target = randomTarget(random) - (addressBytes === 2 ? DATA_PAGES - LOW_PAGES : 0)),
    // Neither into the instruction itself nor far away.
    distance: (_random, bytes) => (bytes === 1 ? (random.once(2) ? random.below(128) : -128 + random.below(100)) : random.once(16) ? random.next() | 0 : random.once(2) ? random.below(0x600) : -0x700 + random.below(0x600)),
    farTarget: () => randomCodeAddress(random),
    hasBases,
  };
  const code = writeInstruction(encoding, CODE_AT, random, placement);
  if (code === null) return false;
  setCode(view, at, code);
  prepareOperands(encoding, view, at, random, pinned, target);
  return true;
}

function chooseAddress(
  bytes: number, target: number, bits: 32 | 64, random: Random, pinned: ReadonlySet<number>, valueOf: (register: number) => bigint, pin: (register: number, value: bigint) => void,
): AddressForm {
  const nowhere: AddressForm = { bytes, base: NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: target };
  const garbage = (value: bigint): bigint => (bytes === 8 || bits === 32 && bytes === 4 ? value : BigInt.asUintN(bytes * 8, value) | (random64(random) << BigInt(bytes * 8)));
  const signed = (value: bigint): number => Number(BigInt.asIntN(bytes === 2 ? 16 : 32, value));
  const displacement = random.once(4) ? 0 : random.once(2) ? random.below(256) - 128 : signed(BigInt(random.next()));
  if (bytes === 2) {
    const [base, index] = random.pick(PAIRS_16);
    if (random.once(8) || pinned.has(base)) return { ...nowhere, displacement: signed(BigInt(target)) };
    const offset = index < 0 ? 0n : valueOf(index);
    pin(base, garbage(BigInt.asUintN(16, BigInt(target) - offset - BigInt(displacement))));
    return { bytes, base, index, scale: 0, displacement: signed(BigInt(displacement)) };
  }
  if (bits === 64 && random.once(6)) return { ...nowhere, base: RIP };
  if (random.once(8)) return nowhere;
  const count = bits === 64 ? 16 : 8;
  const base = random.below(count);
  const index = random.once(2) ? NO_REGISTER : random.below(count);
  const scale = random.below(4);
  if (index === RSP) return nowhere;
  const factor = BigInt(1 << scale);
  if (base === index || base === RSP) {
    // The displacement makes up for the difference, when it can.
    if (base === index && !pinned.has(base)) pin(base, garbage(BigInt(random.below(0x10_0000))));
    else if (index !== NO_REGISTER && !pinned.has(index)) pin(index, garbage(BigInt(random.below(0x10_0000))));
    const sum = valueOf(base) + (index === NO_REGISTER ? 0n : valueOf(index) * factor);
    const missing = BigInt.asUintN(bytes * 8, BigInt(target) - sum);
    return { bytes, base, index, scale, displacement: signed(missing) };
  }
  const offset = index === NO_REGISTER ? 0n : valueOf(index) * factor;
  pin(base, garbage(BigInt.asUintN(bytes * 8, BigInt(target) - offset - BigInt(displacement))));
  return { bytes, base, index, scale, displacement };
}

const instruction: Instruction = createInstruction();

/** An environment whose exceptions are masked, mostly: the others wait for the next instruction. */
function prepareEnvironment(view: DataView, at: number, inMemory: boolean, size: number, random: Random): void {
  if (!inMemory) return;
  const step = size === 2 ? 2 : 4;
  view.setUint16(at, 0x40 | (random.once(6) ? random.next() & 0x3f : 0x3f) | (random.next() & 0xf00), true);
  view.setUint16(at + step, random.next() & (random.once(6) ? 0x7f3f : 0x7f00), true);
}

/** Gives registers and memory such values that the instruction is likely to do more than raise an exception. */
function prepareOperands(encoding: Encoding, view: DataView, at: number, random: Random, pinned: ReadonlySet<number>, target: number): void {
  const { bits, form } = encoding;
  const { name } = form;
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at + RECORD_CODE, 16);
  decode(bits, bytes, 0, view.getUint32(at + RECORD_LENGTH, true), instruction);
  const set = (register: number, value: bigint | number): void => {
    if (!pinned.has(register)) setGpr(view, at, register, BigInt.asUintN(bits, BigInt(value)));
  };
  const pointer = (register: number): void => set(register, form.addressBytes === 2 ? randomTarget(random) - DATA_PAGES + LOW_PAGES : randomTarget(random));
  const place = target - MEMORY_AT + (form.addressBytes === 2 ? DATA_PAGES - LOW_PAGES : 0);
  const inMemory = target !== 0 && place >= 0 && place + 16 <= RECORD_MEMORY_BYTES;
  const store = (offset: number, value: bigint): void => { if (inMemory) view.setBigUint64(at + RECORD_MEMORY + place + offset, BigInt.asUintN(64, value), true); };
  const operandRegister = (k: number): number => instruction.operandNumber[k] as number;

  if (name === 'ins' || name === 'outs') {
    // They are not allowed. Whether that comes before a page fault, or matters when the count is 0, is not looked at.
    const near = form.addressBytes === 2 ? LOW_PAGES - DATA_PAGES : 0;
    set(RSI, MEMORY_AT + 64 + near);
    set(RDI, MEMORY_AT + 64 + near);
    set(RCX, 1 + random.below(40));
    return;
  }
  if (STRINGS.has(name)) {
    pointer(RSI);
    // Which of its two operands CMPS reads first is the processor's business.
    if (name === 'cmps') set(RDI, MEMORY_AT + 0x100 + (form.addressBytes === 2 ? LOW_PAGES - DATA_PAGES : 0));
    else pointer(RDI);
    if (!random.once(8)) set(RCX, random.below(40));
    if (random.once(3)) for (let i = 0; i < RECORD_MEMORY_BYTES; i++) view.setUint8(at + RECORD_MEMORY + i, (i & 31) === 7 ? 1 : 0); // equal neighbours
    if (name === 'scas' && random.once(2)) set(RAX, 0);
    return;
  }
  const stackAt = at + RECORD_MEMORY + Number(getGpr(view, at, RSP)) - MEMORY_AT;
  const onStack = (values: readonly number[]): void => values.forEach((value, i) => {
    if (form.size === 8) view.setBigUint64(stackAt + i * 8, BigInt(value), true);
    else if (form.size === 4) view.setUint32(stackAt + i * 4, value, true);
    else view.setUint16(stackAt + i * 2, value & 0xffff, true);
  });
  switch (name) {
    case 'mov_seg': {
      if (form.operands[0]?.letter !== 'S') break;
      const selector = randomDataSelector(random, instruction.operandNumber[0] === 3 || instruction.operandNumber[0] === 0);
      if (instruction.isMemory !== 0) store(0, BigInt(selector));
      else set(operandRegister(1), (random64(random) & ~0xffffn) | BigInt(selector));
      break;
    }
    case 'pop_seg': onStack([randomDataSelector(random, instruction.operandNumber[0] === 3 || instruction.operandNumber[0] === 0)]); break;
    case 'les': case 'lds': case 'lss': case 'lfs': case 'lgs':
      store(form.size, BigInt(randomDataSelector(random, name === 'les' || name === 'lds')) | (BigInt(random.next()) << 16n));
      break;
    case 'jmpf': case 'callf':
      if (instruction.isMemory === 0) break;
      store(0, BigInt(randomCodeAddress(random)));
      store(form.size, BigInt(randomCodeSelector(random, bits)) | (BigInt(random.next()) << 16n));
      break;
    case 'retf': onStack([randomCodeAddress(random), randomCodeSelector(random, bits)]); break;
    case 'iret': onStack([randomCodeAddress(random), randomCodeSelector(random, bits), (random.next() & (random.once(8) ? 0x4_0fd5 : 0x0cd5)) | 2, Number(getGpr(view, at, RSP)), random.once(8) ? 0x10 : 0x2b]); break;
    case 'wrfsbase': case 'wrgsbase': set(operandRegister(0), random.once(4) ? random64(random) : random.next()); break;
    case 'fldenv': case 'frstor': prepareEnvironment(view, at + RECORD_MEMORY + place, inMemory && place + 108 <= RECORD_MEMORY_BYTES, form.size, random); break;
    case 'loop': case 'loope': case 'loopne': case 'jcxz': if (random.once(2)) set(RCX, random.below(3)); break;
    case 'xlat': pointer(RBX); break;
    case 'leave': case 'enter': set(RBP, MEMORY_AT + 128 + random.below(200)); break;
    case 'maskmovq': case 'maskmovdqu': case 'vmaskmovdqu': pointer(RDI); break;
    case 'cmpxchg':
      if (random.once(2)) break;
      if (instruction.isMemory !== 0) store(0, getGpr(view, at, RAX));
      else set(operandRegister(0), getGpr(view, at, RAX));
      break;
    case 'cmpxchg8b': {
      if (random.once(2)) break;
      const half = form.operands[0]?.bytes === 16 ? 8 : 4;
      store(0, getGpr(view, at, RAX));
      store(half, getGpr(view, at, RDX));
      break;
    }
    case 'div': case 'idiv':
      // Quotients that fit, mostly.
      if (random.once(4)) break;
      if (form.size === 1) set(RAX, name === 'div' ? random.below(0x4000) : random.below(0x4000) - 0x2000);
      else set(RDX, name === 'idiv' && random.once(2) ? -1n : random.once(2) ? 0n : BigInt(random.below(256)));
      break;
    case 'bt': case 'bts': case 'btr': case 'btc':
      if (instruction.isMemory !== 0 && form.operands[1]?.letter === 'R' && !random.once(6)) set(operandRegister(1), random.below(1024) - 512);
      break;
    case 'jmp': case 'call':
      if (form.operands[0]?.letter === 'J' || random.once(6)) break;
      if (instruction.isMemory !== 0) store(0, BigInt(randomCodeAddress(random)));
      else set(operandRegister(0), randomCodeAddress(random));
      break;
    case 'ret': if (!random.once(6)) view.setBigUint64(at + RECORD_MEMORY + Number(getGpr(view, at, RSP)) - MEMORY_AT, BigInt(randomCodeAddress(random)), true); break;
    case 'popf': {
      // Single-stepping and alignment checks now and then.
      const keep = 0xffff_ffff & ~((random.once(8) ? 0 : 0x100) | (random.once(8) ? 0 : 0x4_0000));
      const from = at + RECORD_MEMORY + Number(getGpr(view, at, RSP)) - MEMORY_AT;
      view.setUint32(from, random.next() & keep, true);
      break;
    }
    case 'fbld':
      // Digits above nine are undefined (SDM vol. 2, FBLD).
      if (inMemory) for (let i = 0; i < 9; i++) view.setUint8(at + RECORD_MEMORY + place + i, random.below(10) | (random.below(10) << 4));
      break;
    case 'bound':
      if (random.once(3)) break;
      store(0, form.size === 2 ? 0x7000_0000_8000n : 0x7000_0000_8000_0000n);
      break;
    default: break;
  }
}
