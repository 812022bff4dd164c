import { describe, expect, it } from 'vitest';
import { CodeWriter, I32 } from './code-writer.ts';
import { ModuleWriter } from './module-writer.ts';

const BR_IF = 0x0d, IF = 0x04, CUSTOM = 0, CODE = 10;
const SIGNATURE = { parameters: [I32], results: [] } as const;

/** The sections of a module with their contents, and a reader of numbers in them. */
function sections(bytes: Uint8Array): { id: number; content: Uint8Array }[] {
  const found = [];
  for (const reader = numbers(bytes, 8); reader.at < bytes.length;) {
    const id = reader.next();
    const length = reader.next();
    found.push({ id, content: bytes.subarray(reader.at, reader.at += length) });
  }
  return found;
}
function numbers(bytes: Uint8Array, from = 0): { at: number; next(): number } {
  return {
    at: from,
    next() {
      for (let value = 0, shift = 0; ; shift += 7) {
        const byte = bytes[this.at++]!;
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value;
      }
    },
  };
}

/** Two functions behind an import; the second is put together from two writers, and has locals. */
function moduleOf(seldom: boolean): Uint8Array {
  const module = new ModuleWriter({ minimumPages: 1, maximumPages: 1, shared: false });
  module.import('imported', SIGNATURE);
  const plain = module.declare(SIGNATURE, 'plain');
  const hinted = module.declare(SIGNATURE, 'hinted');
  module.define(plain, [], new CodeWriter());
  const inner = new CodeWriter();
  const label = inner.block();
  inner.get(0);
  if (seldom) inner.brSeldomIf(label);
  else inner.brIf(label);
  inner.end();
  const outer = new CodeWriter();
  outer.get(0);
  if (seldom) outer.ifSeldom();
  else outer.if();
  outer.const32(300).drop().end().append(inner);
  module.define(hinted, Array.from({ length: 3 }, () => I32), outer);
  return module.finish();
}

describe('a module', () => {
  it('says which branches are seldom taken, where they are', () => {
    const parts = sections(moduleOf(true));
    const custom = parts.find(({ id }) => id === CUSTOM)!;
    const hints = numbers(custom.content);
    const name = custom.content.subarray(1, 1 + hints.next());
    expect(new TextDecoder().decode(name)).toBe('metadata.code.branch_hint');
    hints.at += name.length;
    expect([hints.next(), hints.next(), hints.next()]).toEqual([1, 2, 2]); // of one function, the one behind the import and the plain one, two
    const [first, , , second] = Array.from({ length: 6 }, () => hints.next());
    expect(hints.at).toBe(custom.content.length);

    const code = parts.find(({ id }) => id === CODE)!;
    const bodies = numbers(code.content);
    bodies.next();
    const plain = bodies.next();
    bodies.at += plain;
    bodies.next();
    expect([code.content[bodies.at + first!], code.content[bodies.at + second!]]).toEqual([IF, BR_IF]);
    expect(parts.indexOf(custom)).toBe(parts.indexOf(code) - 1);
  });

  it('has no such section when there is nothing to say', () => {
    expect(sections(moduleOf(false)).some(({ id }) => id === CUSTOM)).toBe(false);
  });

  it('is valid either way', () => {
    for (const seldom of [true, false]) expect(() => new WebAssembly.Module(moduleOf(seldom))).not.toThrow();
  });
});
