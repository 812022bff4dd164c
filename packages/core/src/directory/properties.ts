import type { DeviceDescription, PropertyDescription, PropertyValue } from './description.ts';
import { escapePointer, type SchemaProblem, show } from './schema-check.ts';

/** What is wrong with a value of a property, in words; null: nothing. */
export function checkValue({ type, min = -Infinity, max = Infinity, step = 1, maxLength = 256, values = [] }: PropertyDescription, value: unknown): string | null {
  switch (type) {
    case 'boolean': return typeof value === 'boolean' ? null : `expected true or false, got ${show(value)}`;
    case 'choice': return typeof value === 'string' && values.includes(value) ? null : `expected ${values.join(' or ')}, got ${show(value)}`;
    case 'block':
    case 'text':
      if (typeof value !== 'string' || value.length > maxLength) return `expected a text of ${maxLength} characters or fewer, got ${show(value)}`;
      return value.includes('\0') ? 'expected a text without NUL' : null;
    case 'integer': {
      if (!Number.isSafeInteger(value)) return `expected an integer, got ${show(value)}`;
      const number = value as number;
      if (number < min || number > max) return `expected ${range(min, max)}, got ${number}`;
      return number % step === 0 ? null : `expected a multiple of ${step}, got ${number}`;
    }
  }
}

/** The whole set of properties of a device: what was chosen, and defaults for the rest. */
export function chooseProperties(description: DeviceDescription, chosen: Readonly<Record<string, unknown>>): {
  readonly values: Readonly<Record<string, PropertyValue>>;
  readonly problems: readonly SchemaProblem[];
} {
  const known = description.properties ?? {};
  const problems: SchemaProblem[] = [];
  for (const name of Object.keys(chosen)) {
    if (Object.hasOwn(known, name)) continue;
    problems.push({ path: `/${escapePointer(name)}`, rule: 'property', text: `${description.id} has no such property; it has ${Object.keys(known).join(', ') || 'none'}` });
  }
  const values = Object.entries(known).map(([name, property]): [string, PropertyValue] => {
    const given = Object.hasOwn(chosen, name) ? chosen[name] : property.default;
    const wrong = given === undefined ? 'it has no default, choose a value' : checkValue(property, given);
    if (wrong !== null) problems.push({ path: `/${name}`, rule: given === undefined ? 'required' : 'range', text: wrong });
    return [name, given as PropertyValue];
  });
  return { values: Object.freeze(Object.fromEntries(values)), problems };
}

/** How a value is restricted, for people. */
export function describeValues({ type, min = -Infinity, max = Infinity, step = 1, maxLength = 256, values = [] }: PropertyDescription): string {
  switch (type) {
    case 'boolean': return 'true or false';
    case 'choice': return values.join(' or ');
    case 'block': return 'a disk, as --disk of vm boot takes it';
    case 'text': return `a text of ${maxLength} characters or fewer`;
    case 'integer': return `${range(min, max)}${step > 1 ? `, a multiple of ${step}` : ''}`;
  }
}

function range(min: number, max: number): string {
  if (min === -Infinity && max === Infinity) return 'an integer';
  if (max === Infinity) return `${min} or more`;
  return min === -Infinity ? `${max} or less` : `${min} to ${max}`;
}
