import { crc32 as zlibCrc } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Plain } from '../abi.ts';
import { crc32 } from './crc32.ts';
import { decodePlain, encodePlain } from './plain-code.ts';

const SAMPLE: Plain = {
  nothing: null, yes: true, no: false, small: -5, large: 2 ** 40, part: 0.1, minus: -0, endless: Infinity, wide: -(2n ** 63n), text: 'ä\u0000€', bytes: Uint8Array.of(1, 2, 255),
  list: [1, 'two', [null, {}]], deep: { a: { b: { c: [] } } }, __proto__x: 1,
};

describe('plain data as bytes', () => {
  it('comes back as it was, the same bytes for the same data', () => {
    const bytes = encodePlain(SAMPLE);
    expect(decodePlain(bytes)).toEqual(SAMPLE);
    expect(Object.is((decodePlain(bytes) as { minus: number }).minus, -0)).toBe(true);
    expect(encodePlain(Object.fromEntries(Object.entries(SAMPLE as object).reverse()) as Plain)).toEqual(bytes);
  });

  it('grows over what it began with, whatever is written there', () => {
    for (const item of [1n, 1, 0.5, 'x', null] as const) {
      const list = Array.from({ length: 700 }, () => item);
      expect(decodePlain(encodePlain(list))).toEqual(list);
    }
  });

  it('makes no member that is not its own', () => {
    const bytes = encodePlain(Object.fromEntries([['__proto__', { polluted: true }]]));
    const back = decodePlain(bytes) as object;
    expect([Object.hasOwn(back, '__proto__'), 'polluted' in back, Object.getPrototypeOf(back) === Object.prototype]).toEqual([true, false, true]);
  });

  it('copies bytes out of a Buffer, whose slice() does not', () => {
    const from = Buffer.from(encodePlain(Uint8Array.of(7, 8)));
    const back = decodePlain(from) as Uint8Array;
    from.fill(0);
    expect([...back]).toEqual([7, 8]);
  });

  it('refuses what is no plain data', () => {
    for (const bad of [undefined, () => 0, Symbol('s'), 2n ** 63n]) expect(() => encodePlain({ bad } as never)).toThrow(/plain data has/);
    const loop: Record<string, Plain> = {};
    loop['self'] = loop;
    expect(() => encodePlain(loop)).toThrow(RangeError);
  });

  it('refuses every byte string that it did not write, and never breaks otherwise', () => {
    const seed = Number(process.env['VM_SEED'] ?? 1);
    const random = randomOf(seed);
    const good = encodePlain(SAMPLE);
    for (let i = 0; i < 20_000; i++) {
      const bytes = mutated(good, random);
      try {
        expect(encodePlain(decodePlain(bytes)), `VM_SEED=${seed}, case ${i}`).toEqual(bytes);
      } catch (error) {
        if (!(error instanceof RangeError)) throw new Error(`VM_SEED=${seed}, case ${i}: ${String(error)}`, { cause: error });
      }
    }
  });

  it('has the checksum of zlib, in one piece and in two', () => {
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
    expect(crc32(bytes)).toBe(zlibCrc(bytes));
    expect(crc32(bytes.subarray(99), crc32(bytes.subarray(0, 99)))).toBe(zlibCrc(bytes));
  });
});

function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function mutated(good: Uint8Array, random: (below: number) => number): Uint8Array {
  const bytes = good.slice(0, random(4) === 0 ? random(good.length) : good.length);
  for (let k = random(4); k >= 0 && bytes.length > 0; k--) bytes[random(bytes.length)] = random(2) === 0 ? random(256) : random(12);
  return bytes;
}
