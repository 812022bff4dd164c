import { describe, expect, it } from 'vitest';
import { checkDescription } from './description-check.ts';
import type { DeviceDescription } from './description.ts';
import { readJsonText } from './json-text.ts';
import { chooseProperties } from './properties.ts';
import { claimsOf, findConflicts, findImpossible, formatConflict } from './resources.ts';

const LAMP = {
  abi: 1, id: 'example.lamp', version: '1.0.0', text: 'A lamp.', entry: 'lamp.js', export: 'lamp', state: 0, needs: ['pio', 'lines'],
  properties: {
    base: { type: 'integer', text: 'first port', min: 0, max: 0xfff8, step: 8, default: 0x300 },
    colour: { type: 'choice', text: 'its light', values: ['red', 'green'], default: 'red' },
  },
  resources: { ports: [{ name: 'switch', base: { property: 'base' }, bytes: 8 }], lines: [{ pin: 5 }] },
  coalescable: [{ range: 'switch', offset: 0, bytes: 1 }],
  files: { 'lamp.js': `sha256-${'0'.repeat(64)}` },
};
const check = (changes: object): string[] => checkDescription({ ...LAMP, ...changes }).map(({ path, rule }) => `${path} ${rule}`);

describe('checkDescription', () => {
  it('takes a whole description', () => {
    expect(checkDescription(LAMP)).toEqual([]);
  });

  it('names the path and the rule of what is wrong', () => {
    const wrong: [object, string][] = [
      [{ id: 'Lamp' }, '/id pattern'],
      [{ id: `a.${'b'.repeat(100)}` }, '/id maxLength'],
      [{ version: '1.0' }, '/version pattern'],
      [{ text: 'two\nlines' }, '/text pattern'],
      [{ text: 'a \u001b[2J text' }, '/text pattern'],
      [{ text: 'right to left \u202e' }, '/text pattern'],
      [{ entry: '../lamp.js' }, '/entry pattern'],
      [{ entry: '/etc/passwd' }, '/entry pattern'],
      [{ entry: 'lamp\0.js' }, '/entry pattern'],
      [{ entry: 'a/./lamp.js' }, '/entry pattern'],
      [{ entry: 'a\\lamp.js' }, '/entry pattern'],
      [{ entry: 'https://example.com/lamp.js' }, '/entry pattern'],
      [{ entry: 'other.js' }, '/entry files'],
      [{ export: 'default.x' }, '/export pattern'],
      [{ needs: ['pio', 'network'] }, '/needs/1 enum'],
      [{ needs: ['lines'] }, '/resources/ports needs'],
      [{ state: 1.5 }, '/state type'],
      [{ oldestState: 3 }, '/oldestState order'],
      [{ colour: 1 }, '/colour additionalProperties'],
      [{ files: {} }, '/files minProperties'],
      [{ files: { '../x.js': LAMP.files['lamp.js'] } }, '/files/..~1x.js pattern'],
      [{ files: { 'lamp.js': 'md5-0' } }, '/files/lamp.js pattern'],
      [{ properties: { base: { type: 'integer', text: 'x', values: ['a'] } } }, '/properties/base/values member'],
      [{ properties: { base: { type: 'integer', text: 'x', min: 0, max: 7, default: 8 } } }, '/properties/base/default range'],
      [{ properties: { base: { type: 'integer', text: 'x', min: 9, max: 7 } } }, '/properties/base/min order'],
      [{ properties: { base: { type: 'text', text: 'x' } } }, '/resources/ports/0/base/property property'],
      [{ properties: { base: { type: 'integer', text: 'x' } } }, '/resources/ports/0/base/property property'],
      [{ properties: { base: { type: 'choice', text: 'x' } } }, '/properties/base required'],
      [{ resources: { ports: [{ name: 'switch', base: -1, bytes: 1 }] } }, '/resources/ports/0/base minimum'],
      [{ resources: { ports: [{ name: 'switch', base: { property: 'toString' }, bytes: 1 }] } }, '/resources/ports/0/base/property property'],
      [{ coalescable: [{ range: 'nothing', offset: 0, bytes: 1 }] }, '/coalescable/0/range range'],
    ];
    for (const [changes, expected] of wrong) expect(check(changes), JSON.stringify(changes)).toContain(expected);
    for (const value of [null, 1, 'x', [], undefined]) expect(checkDescription(value)).toMatchObject([{ path: '', rule: 'type' }]);
    expect(checkDescription({}).map(({ rule }) => rule)).toEqual(Array.from({ length: 9 }, () => 'required'));
  });

  it('tells ten problems at most', () => {
    expect(check(Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`x${i}`, i])))).toHaveLength(10);
  });

  it('of a damaged or forged text says what is wrong, or takes it and all that follows from it, and never breaks', () => {
    const seed = Number(process.env['VM_SEED'] ?? 1);
    console.log(`seed ${seed}`);
    let state = seed >>> 0;
    const random = (most: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * most);
    };
    const whole = JSON.stringify(LAMP);
    const pieces = ['{', '}', '[', ']', '"', ',', ':', '\\', '-1', '1e999', '9007199254740993', 'null', 'true', '"__proto__"', '"toString"', '{"property":"base"}', '{"property":"hasOwnProperty"}', '\u0000', '"integer"', '"text"', '0.5', '[[[[', 'A'.repeat(300)];
    let taken = 0;
    let refused = 0;
    for (let i = 0; i < 4000; i++) {
      let text = whole;
      for (let j = random(3); j >= 0; j--) {
        const at = random(text.length);
        text = text.slice(0, at) + (random(3) === 0 ? '' : pieces[random(pieces.length)]!) + text.slice(at + random(random(2) === 0 ? 2 : 12));
      }
      const { value, problem } = readJsonText(new TextEncoder().encode(text));
      const problems = problem === null ? checkDescription(value) : [problem];
      for (const { path, text: told } of problems) expect(/\p{Cc}/u.test(path + told)).toBe(false);
      if (problems.length > 0) {
        refused++;
        continue;
      }
      taken++;
      const description = value as DeviceDescription;
      const { values, problems: missing } = chooseProperties(description, {});
      if (missing.length > 0) continue;
      const claims = claimsOf('lamp', description, values);
      if (findImpossible(claims) === null) expect(findConflicts([...claims, ...claims]).map(formatConflict).every((line) => line.includes('lamp'))).toBe(true);
    }
    expect(taken).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(1000);
  });
});
