import type { Plain } from '@vm/core';

export type Fields = Readonly<Record<string, Plain>>;

/** The fields of one part of the saved state. What is not there is found out by the readers below. */
export function readFields(state: Plain | undefined, part: string): Fields {
  if (typeof state !== 'object' || state === null || Array.isArray(state) || state instanceof Uint8Array) throw new TypeError(`i8042: ${part} expected fields`);
  return state as Fields;
}

export function readByte(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== 'number') throw new TypeError(`i8042: ${name} expected a number`);
  return value & 0xff;
}

export function readBytes(fields: Fields, name: string): Uint8Array {
  const value = fields[name];
  if (!(value instanceof Uint8Array)) throw new TypeError(`i8042: ${name} expected bytes`);
  return value;
}
