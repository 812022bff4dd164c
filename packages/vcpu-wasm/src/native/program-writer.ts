/** Random programs: instructions of all kinds that work on each other's results, with jumps over some of them. */
import { createInstruction, decode, DECODE_OK, OPERAND_REGISTER } from '@vm/x86';
import { littleEndian, NO_REGISTER, PAIRS_16, RIP } from './address-form.ts';
import type { AddressForm } from './address-form.ts';
import type { Encoding } from './encoding-list.ts';
import { randomDataSelector, writeInstruction } from './instruction-writer.ts';
import type { Placement } from './instruction-writer.ts';
import { setCode, setGpr, writeRandomState } from './program-state.ts';
import type { NativeRun } from './native-program.ts';
import { CODE_AT, MEMORY_AT, RECORD_CODE_BYTES, USER_CODE_32, USER_CODE_64, USER_DATA } from './program-record.ts';
import type { Random } from './random.ts';
import { hasUndefinedResult, undefinedFlags } from './undefined-results.ts';

/** What stays together when a program is made shorter: an instruction, and what prepares it and cleans up behind it. */
export interface Unit {
  readonly key: string;
  /** Each with its operand patched when the place is known. */
  readonly parts: readonly Part[];
}
interface Part {
  readonly bytes: readonly number[];
  /** A relative branch at the end of the bytes, of this size, over so many units. */
  readonly branch?: { readonly bytes: number; readonly over: number };
  /** The 4 bytes at this place are the address of the unit `over` units further on. */
  readonly absolute?: { readonly at: number; readonly over: number };
  /** The address that 4 bytes at this place reach from the next instruction. */
  readonly relative?: { readonly at: number; readonly target: number };
}

const RCX = 1, RSP = 4, RSI = 6, RDI = 7;
/** Hold addresses and are seldom written. */
const POINTERS_32 = [3, 5, 6, 7] as const;
const POINTERS_64 = [3, 5, 6, 7, 12, 13] as const;
const MIDDLE = MEMORY_AT + 0x100;

/** What would end most programs at once, or is compared with a single instruction only. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'hlt', 'in', 'out', 'ins', 'outs', 'cli', 'sti', 'ud0', 'ud1', 'ud2', 'int3', 'into', 'bound', 'wrmsr', 'rdmsr', 'mov_cr', 'mov_dr', 'clts', 'invd', 'wbinvd', 'invlpg',
  'lgdt', 'lidt', 'lldt', 'ltr', 'lmsw', 'swapgs', 'invpcid', 'clac', 'stac', 'ldmxcsr', 'vldmxcsr', 'popa', 'bswap',
]);
/** What goes to an address in a register, in memory or on the stack. */
const TRANSFERS: ReadonlySet<string> = new Set(['jmp', 'call', 'ret', 'jmpf', 'callf', 'retf', 'iret']);
/** Some processors leave C1 as it was and others clear it. */
const LEAVES_C1 = /^fu?comip?$/;

const instruction = createInstruction();

/** The encodings that programs are made of, by name. */
export function encodingsForPrograms(all: readonly Encoding[], bits: 32 | 64): ReadonlyMap<string, readonly Encoding[]> {
  const byName = new Map<string, Encoding[]>();
  for (const encoding of all) {
    const { name } = encoding.row;
    // With a 16-bit operand size they leave the code.
    const narrow = encoding.form.size === 2 && (encoding.form.operands[0]?.letter === 'J' || TRANSFERS.has(name));
    if (encoding.bits !== bits || LEFT_OUT.has(name) || LEAVES_C1.test(name) || narrow) continue;
    const list = byName.get(name) ?? [];
    list.push(encoding);
    byName.set(name, list);
  }
  return byName;
}

/** Writes a record with a program of 5 to 30 units; answers the units. */
export function writeProgram(byName: ReadonlyMap<string, readonly Encoding[]>, names: readonly string[], bits: 32 | 64, view: DataView, at: number, random: Random, { lowPages, hasBases }: Pick<NativeRun, 'lowPages' | 'hasBases'>): Unit[] {
  writeRandomState(view, at, bits, random);
  for (const register of bits === 64 ? POINTERS_64 : POINTERS_32) setGpr(view, at, register, BigInt(MIDDLE + (random.below(17) - 8) * 16));
  const units: Unit[] = [];
  const wanted = 5 + random.below(26);
  for (let attempts = 0; units.length < wanted && attempts < 200; attempts++) {
    const encoding = random.pick(byName.get(random.pick(names)) as readonly Encoding[]);
    if (encoding.form.addressBytes === 2 && !lowPages) continue;
    const unit = writeUnit(encoding, random, hasBases);
    if (unit !== null && assemble([...units, unit]).length <= RECORD_CODE_BYTES) units.push(unit);
  }
  setCode(view, at, assemble(units));
  return units;
}

function writeUnit(encoding: Encoding, random: Random, hasBases: boolean): Unit | null {
  const { bits, form } = encoding;
  const { name } = form;
  let relative = -1;
  let branch = 0;
  const pointers: readonly number[] = bits === 64 ? POINTERS_64 : POINTERS_32;
  const placement: Placement = {
    register: (_random, limit) => {
      for (;;) {
        const register = random.below(limit);
        if (register === RSP ? random.once(30) : !pointers.includes(register) || random.once(20)) return register;
      }
    },
    address: (_random, addressBytes) => {
      const form = chooseAddress(bits, addressBytes, pointers, random);
      if (form.base === RIP) relative = form.displacement;
      return form;
    },
    offset: (_random, addressBytes) => randomPlace(random) - (addressBytes === 2 ? 0x1f_8000 : 0),
    distance: (_random, bytes) => { branch = bytes; return 0; },
    farTarget: () => 0,
    hasBases,
  };
  const bytes = writeInstruction(encoding, CODE_AT, random, placement);
  if (bytes === null || decode(bits, Uint8Array.from(bytes), 0, bytes.length, instruction) !== DECODE_OK) return null;
  if (hasUndefinedResult(name, instruction, -1)) return null;
  if (TRANSFERS.has(name) && branch === 0) {
    const parts = writeTransfer(encoding, bytes, random);
    return parts === null ? null : { key: encoding.key, parts };
  }
  const before = preparation(encoding, random);
  const main: Part = branch > 0 ? { bytes, branch: { bytes: branch, over: random.below(5) } } : relative >= 0 ? { bytes, relative: { at: displacementAt(bytes), target: relative } } : { bytes };
  const parts = [...before.map((one): Part => ({ bytes: one })), main];
  // CMP AL, imm8 defines all flags.
  if (undefinedFlags(name, instruction, -1) !== 0) parts.push({ bytes: [0x3c, random.next() & 0xff] });
  return { key: encoding.key, parts };
}

const MODRM_JUMPS = [2, 3, 4, 5]; // CALL, CALLF, JMP, JMPF behind FF
/** A jump, call or return to one of the units that follow, with what puts its target in place; null when that is too much to ask. */
function writeTransfer(encoding: Encoding, bytes: readonly number[], random: Random): Part[] | null {
  const { bits, form } = encoding;
  const over = random.below(4);
  const pushTarget: Part = { bytes: [0x68, 0, 0, 0, 0], absolute: { at: 1, over } };
  const push = (selector: number): Part => ({ bytes: [0x6a, selector] });
  const code = bits === 64 ? USER_CODE_64 : USER_CODE_32;
  const main: Part = { bytes };
  const wide = form.size === bits / 8;
  switch (form.name) {
    case 'ret': return [pushTarget, main];
    case 'retf': return wide ? [push(code), pushTarget, main] : null;
    case 'iret': {
      if (!wide) return null;
      const flags: Part = { bytes: [0x68, ...littleEndian((random.next() & 0x0cd5) | 2, 4)] };
      return [...(bits === 64 ? [push(USER_DATA), { bytes: [0x54] }] : []), flags, push(code), pushTarget, main]; // push rsp
    }
    default:
  }
  if (instruction.modrm < 0) {
    // Far, with the target in the instruction.
    const selector = bytes.length - 2;
    return [{ bytes: [...bytes.slice(0, selector), ...littleEndian(code, 2)], absolute: { at: selector - 4, over } }];
  }
  if (instruction.isMemory === 0) {
    const register = instruction.operandNumber[0] as number;
    if (register === RSP) return null;
    const rex = bits === 64 && register >= 8 ? [0x41] : [];
    return [{ bytes: [...rex, 0xb8 | (register & 7), 0, 0, 0, 0], absolute: { at: rex.length + 1, over } }, main];
  }
  // Its memory operand gets the target: MOV with the same operand in the place of the jump.
  const at = bytes.indexOf(0xff);
  const digit = ((bytes[at + 1] as number) >> 3) & 7;
  if (!wide || !MODRM_JUMPS.includes(digit) || instruction.base === RIP || form.name !== (digit < 4 ? 'call' : 'jmp')) return null;
  const stored = bytes.map((byte, i) => (i === at ? 0xc7 : i === at + 1 ? byte & ~0x38 : byte));
  const prefix = stored.slice(0, at);
  // All 64 bits: REX.W, in front of the opcode.
  if (bits === 64) {
    const rex = prefix.at(-1) ?? 0;
    if ((rex & 0xf0) === 0x40) prefix[prefix.length - 1] = rex | 8;
    else prefix.push(0x48);
  }
  const mov = [...prefix, ...stored.slice(at)];
  return [{ bytes: [...mov, 0, 0, 0, 0], absolute: { at: mov.length, over } }, main];
}

/** Where in an instruction with a RIP-relative operand its displacement stands. */
function displacementAt(bytes: readonly number[]): number {
  // The decoder has left the place of what follows: nothing but an immediate can.
  const length = bytes.length;
  for (let at = length - 4; at > 0; at--) {
    const probe = Uint8Array.from(bytes);
    probe[at] = (probe[at] as number) ^ 0x55;
    const { displacementLow } = instruction;
    decode(64, probe, 0, length, instruction);
    const changed = instruction.displacementLow === (displacementLow ^ 0x55);
    decode(64, Uint8Array.from(bytes), 0, length, instruction);
    if (changed) return at;
  }
  throw new RangeError('no displacement in the instruction');
}

const randomPlace = (random: Random): number => (random.once(12) ? MEMORY_AT + random.below(0x200) : MIDDLE + (random.below(25) - 12) * (random.once(3) ? 8 : 16));

function chooseAddress(bits: 32 | 64, bytes: number, pointers: readonly number[], random: Random): AddressForm {
  if (bytes === 2) {
    const [base, index] = random.pick(PAIRS_16);
    if (index >= 0 || random.once(4)) return { bytes, base: NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: ((randomPlace(random) - 0x1f_8000) << 16) >> 16 };
    // The low half of a pointer, moved to the low pages.
    return { bytes, base, index, scale: 0, displacement: -0x8000 + random.below(16) * 8 };
  }
  if (random.once(6)) return { bytes, base: bits === 64 && random.once(2) ? RIP : NO_REGISTER, index: NO_REGISTER, scale: 0, displacement: randomPlace(random) };
  const base = random.once(8) ? RSP : random.pick(pointers);
  const displacement = random.once(6) ? random.below(128) - 64 : (random.below(9) - 4) * (random.once(2) ? 8 : 16);
  return { bytes, base, index: random.once(12) ? RCX : NO_REGISTER, scale: 0, displacement };
}

/** Instructions that make it likely that the one to come does something. */
function preparation(encoding: Encoding, random: Random): number[][] {
  const { bits, form } = encoding;
  const out: number[][] = [];
  const load = (register: number, value: number): void => { out.push([...(register >= 8 ? [0x41] : []), 0xb8 | (register & 7), ...littleEndian(value, 4)]); };
  switch (form.name) {
    case 'movs': case 'cmps': case 'stos': case 'lods': case 'scas': {
      const low = form.addressBytes === 2 ? 0x1f_8000 : 0;
      if (random.once(2) || low !== 0) { load(RSI, randomPlace(random) - low); load(RDI, randomPlace(random) - low); }
      if (form.rep !== 0) load(RCX, random.below(12));
      break;
    }
    case 'loop': case 'loope': case 'loopne': if (random.once(2)) load(RCX, random.below(3)); break;
    case 'mov_seg': {
      // MOV EAX, selector; anything else than AX is what it happens to be.
      const segment = instruction.operandNumber[0] as number;
      if (form.operands[0]?.letter === 'S' && instruction.isMemory === 0 && !random.once(20)) load(instruction.operandNumber[1] as number, randomDataSelector(random, segment === 0 || segment === 3));
      break;
    }
    case 'pop_seg': {
      const segment = instruction.operandNumber[0] as number;
      const selector = randomDataSelector(random, segment === 0 || segment === 3);
      out.push([0x6a, selector > 0x7f ? 0x10 : selector]);
      break;
    }
    case 'wrfsbase': case 'wrgsbase': load(instruction.operandNumber[0] as number, random.below(8) * 16); break;
    case 'popf':
      // PUSH imm32. AC and TF now and then.
      out.push([0x68, ...littleEndian((random.next() & (random.once(12) ? 0x4_0fd5 : 0x0cd5) & (random.once(12) ? -1 : ~0x100)) | 2, 4)]);
      break;
    case 'div': case 'idiv':
      if (random.once(6)) break;
      if (form.size === 1) out.push([0x66, 0x98]); // CBW
      else out.push(form.name === 'idiv' ? [...(form.size === 2 ? [0x66] : form.size === 8 ? [0x48] : []), 0x99] : [0x31, 0xd2]); // CWD and its like, or XOR EDX, EDX
      break;
    case 'bt': case 'bts': case 'btr': case 'btc':
      if (instruction.isMemory !== 0 && instruction.operandKind[1] === OPERAND_REGISTER && !random.once(8)) {
        const register = instruction.operandNumber[1] as number;
        if (register === RSP || register === instruction.base) break;
        load(register, random.below(512) - (bits === 64 && form.size === 8 ? 0 : 256));
      }
      break;
    default: break;
  }
  return out;
}

/** The code of the units one after the other, branches and relative addresses put in. */
export function assemble(units: readonly Unit[]): number[] {
  const starts = [0];
  for (const unit of units) starts.push((starts.at(-1) as number) + unit.parts.reduce((sum, part) => sum + part.bytes.length, 0));
  const code: number[] = [];
  units.forEach((unit, i) => {
    for (const { bytes, branch, absolute, relative } of unit.parts) {
      const from = code.length;
      code.push(...bytes);
      if (branch !== undefined) {
        const target = starts[Math.min(units.length, i + 1 + branch.over)] as number;
        const distance = target - code.length;
        littleEndian(branch.bytes === 1 ? Math.min(distance, 127) : distance, branch.bytes).forEach((byte, k) => { code[code.length - branch.bytes + k] = byte; });
      } else if (absolute !== undefined) {
        littleEndian(CODE_AT + (starts[Math.min(units.length, i + 1 + absolute.over)] as number), 4).forEach((byte, k) => { code[from + absolute.at + k] = byte; });
      } else if (relative !== undefined) {
        littleEndian(relative.target - (CODE_AT + code.length), 4).forEach((byte, k) => { code[from + relative.at + k] = byte; });
      }
    }
  });
  return code;
}

/** The units that begin no later than `rip`, where the program ended: they ran, or were jumped over. */
export function unitsBefore(units: readonly Unit[], rip: number): Unit[] {
  let at = CODE_AT;
  return units.filter((unit) => {
    const begins = at <= rip;
    at += unit.parts.reduce((sum, part) => sum + part.bytes.length, 0);
    return begins;
  });
}
