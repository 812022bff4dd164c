import type { Size } from '../abi.ts';

/** Checks of what a worker sent, which may be anything. They throw TypeError and RangeError. */
export function count(value: unknown, most: number): number {
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > most) throw new RangeError(`expected a whole number up to ${most}, got ${String(value)}`);
  return value as number;
}

export function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('a message that is none');
  return value as Readonly<Record<string, unknown>>;
}

/** Null: of any size. */
export function sizesOf(sizes: unknown): readonly Size[] | null {
  if (sizes !== null && !(Array.isArray(sizes) && sizes.length <= 3 && sizes.every((size) => size === 1 || size === 2 || size === 4))) throw new TypeError('sizes that are none');
  return sizes as readonly Size[] | null;
}
