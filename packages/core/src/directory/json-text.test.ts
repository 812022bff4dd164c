import { describe, expect, it } from 'vitest';
import { readJsonText } from './json-text.ts';

const read = (text: string): ReturnType<typeof readJsonText> => readJsonText(new TextEncoder().encode(text));

describe('readJsonText', () => {
  it('reads JSON', () => {
    expect(read(' {"a": [1, {"b": "}]\\\\"}, "\\"{"], "c": {"a": null}} ')).toEqual({ value: { a: [1, { b: '}]\\' }, '"{'], c: { a: null } }, problem: null });
  });

  it('refuses what two readers could understand differently, naming the place', () => {
    expect(read('{"a": {"b": 1, "c": 2, "\\u0062": 3}}').problem).toEqual({ path: '/a/b', rule: 'unique', text: 'it is there twice' });
    expect(read('{"list": [1, {"x/y": {"__proto__": {}}}]}').problem).toEqual({ path: '/list/1/x~1y/__proto__', rule: 'name', text: 'this name is not allowed' });
    expect(read('{"\\u005f_proto__": 1}').problem).toMatchObject({ rule: 'name' });
    expect(readJsonText(Uint8Array.of(0x22, 0xff, 0x22)).problem).toMatchObject({ rule: 'utf-8' });
    expect(read('\uFEFF{}').problem).toMatchObject({ rule: 'json' });
  });

  it('refuses depth without following it, and is through with any text at once', () => {
    expect(read(`${'['.repeat(100_000)}${']'.repeat(100_000)}`).problem).toMatchObject({ path: '', rule: 'depth' });
    for (const text of ['"\\"'.repeat(60_000), '{"a":'.repeat(50_000), '\\'.repeat(200_000), '"'.repeat(131_071)]) expect(read(text).problem).not.toBe(null);
  });

  it('names of members cannot act upon a terminal', () => {
    expect(read('{"\\u001b[2J": 1, "\\u001b[2J": 2}').problem?.path).toBe('/\\u001b[2J');
  });
});
