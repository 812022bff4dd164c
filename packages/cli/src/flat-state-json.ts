import { GENERAL_REGISTERS, SEGMENT_REGISTERS } from '@vm/vcpu-wasm/flat';
import type { FlatRegion, FlatRegisters, FlatResult } from '@vm/vcpu-wasm/flat';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** What a state file may hold beside registers. */
export interface StateFile {
  readonly registers: FlatRegisters;
  readonly memory: readonly FlatRegion[];
}

const NUMBERS = [...GENERAL_REGISTERS, ...SEGMENT_REGISTERS, 'rip', 'rflags', 'fsBase', 'gsBase', 'x87Control', 'x87Status', 'x87Tag', 'mxcsr', 'cr2'];
const LISTS = ['xmm', 'ymmHigh', 'x87', 'memory', 'registers'];
/** What a printed state has beside registers: it may be the state of the next run as it is. */
const RESULTS: ReadonlySet<string> = new Set(['stop', 'exception', 'errorCode', 'instructions']);
/** Names of the registers in 16- and 32-bit code. */
const SHORT_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', 'ip', 'flags'].flatMap((name) => [[name, `r${name}`], [`e${name}`, `r${name}`]]),
);

/** A number as JSON can hold it: a number, or a text such as `0x1f` where more than 53 bits are needed. Throws UsageError. */
export function parseNumber(where: string, value: unknown): bigint {
  const text = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? String(value) : typeof value === 'string' ? value.replaceAll('_', '') : '';
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text)) throw new UsageError(`${where}: expected a number such as 4096 or "0x1000", got ${JSON.stringify(value)}`);
  const number = BigInt(text);
  if (number >= 2n ** 64n) throw new UsageError(`${where}: expected at most 64 bits, got ${text}`);
  return number;
}

/** Reads the text of a state file: registers by name, at the top or under `registers`, and `memory`. Throws UsageError. */
export function parseStateFile(text: string): StateFile {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--state: ${(error as Error).message}`, { cause: error });
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file)) throw new UsageError('--state: expected an object with names of registers');
  const registers: Record<string, unknown> = {};
  let memory: FlatRegion[] = [];
  const { registers: nested = {}, ...rest } = file as { readonly registers?: unknown };
  if (typeof nested !== 'object' || nested === null || Array.isArray(nested)) throw new UsageError('--state: registers: expected an object with names of registers');
  for (const [given, value] of [...Object.entries(rest), ...Object.entries(nested)]) {
    const name = SHORT_NAMES[given] ?? given;
    if (RESULTS.has(name)) continue;
    if (Object.hasOwn(registers, name)) throw new UsageError(`--state: ${name} is there twice`);
    if (NUMBERS.includes(name)) registers[name] = parseNumber(name, value);
    else if (name === 'xmm' || name === 'ymmHigh') registers[name] = listOf(name, value, 16).map((lanes, i) => listOf(`${name}[${i}]`, lanes, 2).map((lane) => parseNumber(`${name}[${i}]`, lane)));
    else if (name === 'x87') registers[name] = listOf(name, value, 8).map((one, i) => ({ mantissa: memberOf(`x87[${i}]`, one, 'mantissa'), exponent: memberOf(`x87[${i}]`, one, 'exponent') }));
    else if (name === 'memory') memory = listOf(name, value, Infinity).map((one, i) => parseRegion(`memory[${i}]`, one));
    else {
      const nearest = findNearest(name, [...NUMBERS, ...LISTS]);
      throw new UsageError(`--state: nothing is named ${name}${nearest === null ? '' : `; did you mean ${nearest}?`}`);
    }
  }
  return { registers: registers as FlatRegisters, memory };
}

function listOf(where: string, value: unknown, most: number): readonly unknown[] {
  if (!Array.isArray(value) || value.length > most) throw new UsageError(`${where}: expected a list${most === Infinity ? '' : ` of at most ${most}`}`);
  return value;
}
function memberOf(where: string, value: unknown, name: string): bigint {
  if (typeof value !== 'object' || value === null) throw new UsageError(`${where}: expected an object with ${name}`);
  return parseNumber(`${where}.${name}`, (value as Record<string, unknown>)[name]);
}
function parseRegion(where: string, value: unknown): FlatRegion {
  const at = memberOf(where, value, 'at');
  const { bytes, readOnly } = value as { readonly bytes?: unknown; readonly readOnly?: unknown };
  return { at, bytes: parseBytes(`${where}.bytes`, bytes), readOnly: readOnly === true };
}
function parseBytes(where: string, value: unknown): Uint8Array | number {
  if (typeof value === 'number') return Number(parseNumber(where, value));
  if (Array.isArray(value)) return Uint8Array.from(value, (byte) => Number(parseNumber(where, byte)) & 0xff);
  if (typeof value !== 'string' || !/^([0-9a-f]{2})*$/i.test(value)) throw new UsageError(`${where}: expected hexadecimal digits in pairs, a list of bytes, or a count of zeros`);
  return Buffer.from(value, 'hex');
}

/** The state after a run as JSON can hold it, numbers as hexadecimal texts. */
export function formatResult({ read, ...result }: FlatResult, memory: readonly FlatRegion[]): string {
  const regions = memory.map(({ at, bytes }) => ({ at: hex(at), bytes: Buffer.from(read(at, typeof bytes === 'number' ? bytes : bytes.length)).toString('hex') }));
  const plain = (name: string, value: unknown): unknown => {
    if (typeof value === 'bigint') return hex(value);
    return typeof value === 'number' && !COUNTS.has(name) ? hex(value) : value;
  };
  return JSON.stringify({ ...result, memory: regions }, plain, 2);
}
/** Numbers that people count with. */
const COUNTS: ReadonlySet<string> = new Set(['exception', 'instructions']);
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
