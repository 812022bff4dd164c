/**
 * The list of the interpreter's cases, found by decoding every opcode under every prefix that changes the form, so that it
 * cannot disagree with the decoder. It is made at build time and stored beside the module.
 */
import { createInstruction, decode, DECODE_OK, METHOD_VECTOR_INDEX, ROWS, VEX_MAPS } from '@vm/x86';
import { EMITTERS } from './emitters.ts';
import { formOf } from './form.ts';
import { HandlerTable, NEAR, packForm } from './handler-table.ts';
import type { Handler } from './interpreter-module.ts';

/** Every form that the decoder can produce and an emitter exists for, in a fixed order: functions of their own come last. */
export function enumerateHandlers(long: boolean): Handler[] {
  const found = new Map<string, Handler>();
  const seen = new Set<number>();
  const instruction = createInstruction();
  const bytes = new Uint8Array(32);
  const note = (): void => {
    const packed = packForm(instruction, false);
    if (seen.has(packed)) return;
    seen.add(packed);
    const form = formOf(instruction, long);
    const emitter = EMITTERS[form.name];
    if (emitter === undefined || found.has(form.key)) return;
    found.set(form.key, { form, emitter });
    if (HandlerTable.isDirectBranch(instruction)) found.set(form.key + NEAR, { form: { ...form, key: form.key + NEAR }, emitter });
  };
  const tryEncoding = (prefix: readonly number[], opcode: readonly number[], modrm: number): boolean => {
    bytes.fill(0);
    bytes.set(prefix, 0);
    bytes.set(opcode, prefix.length);
    const at = prefix.length + opcode.length;
    bytes[at] = modrm;
    // A shorter instruction is a prefix or an escape, which is seen elsewhere.
    if (decode(long ? 64 : 32, bytes, 0, 15, instruction) !== DECODE_OK || instruction.length < at) return true;
    note();
    if (long && instruction.isMemory !== 0 && instruction.modrm < 0) {
      bytes[at + 7] = 0x11; // moffs64 above 4 GiB
      if (decode(64, bytes, 0, 15, instruction) === DECODE_OK) note();
    }
    return instruction.modrm >= 0; // else the byte after the opcode does not matter
  };
  for (const prefix of prefixesOf(long)) {
    for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
      for (let opcode = 0; opcode < 256; opcode++) {
        for (const modrm of usesWholeModrm(map, opcode) ? EVERY_MODRM : EACH_REG) if (!tryEncoding(prefix, [...map, opcode], modrm)) break;
      }
    }
  }
  // Behind a VEX prefix a row says nearly everything about its encodings; outside 64-bit code R and X have to be ones.
  const either = (wanted: number): readonly number[] => (wanted < 0 ? [0, 1] : [wanted]);
  for (const row of ROWS) {
    if (row.map < VEX_MAPS) continue;
    // Gathers ask for three different registers and a SIB byte.
    const [vvvv, modrms] = row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX) ? [0x70, [0x14]] : [0x78, EACH_REG];
    for (const address of [[], [0x67]]) {
      for (const wide of either(row.vexWide)) {
        for (const length of either(row.vexLength)) {
          const prefix = [...address, 0xc4, 0xe0 | (row.map - VEX_MAPS), (wide << 7) | vvvv | (length << 2) | VEX_PREFIXES.indexOf(row.prefix)];
          for (const modrm of modrms) if (!tryEncoding(prefix, [row.opcode], modrm)) break;
        }
      }
    }
  }
  const isApart = (handler: Handler): number => (handler.emitter.apart === true ? 1 : 0);
  return [...found.values()].sort((a, b) => isApart(a) - isApart(b) || (a.form.key < b.form.key ? -1 : 1));
}

/** Every combination of the prefixes that change the form. */
function prefixesOf(long: boolean): number[][] {
  const all: number[][] = [];
  for (const mandatory of [[], [0xf3], [0xf2]]) {
    for (const size of [[], [0x66]]) for (const address of [[], [0x67]]) for (const rex of long ? [[], [0x48]] : [[]]) all.push([...address, ...size, ...mandatory, ...rex]);
  }
  return all;
}
/** What VEX.pp stands for. */
const VEX_PREFIXES: readonly string[] = ['np', '66', 'f3', 'f2'];
const regs = (from: number): number[] => Array.from({ length: 8 }, (_, reg) => from | (reg << 3));
/** Each reg field in memory and in register form. */
const EACH_REG: readonly number[] = [...regs(0), ...regs(0xc0)];
/** Each reg field in memory form, and all register forms. */
const EVERY_MODRM: readonly number[] = [...regs(0), ...Array.from({ length: 64 }, (_, low) => 0xc0 | low)];
/** x87 and the groups of which single register forms are instructions of their own. */
const usesWholeModrm = (map: readonly number[], opcode: number): boolean =>
  map.length === 0 ? opcode >= 0xd8 && opcode <= 0xdf : map.length === 1 && (opcode === 0x01 || opcode === 0x1e || opcode === 0xae);
