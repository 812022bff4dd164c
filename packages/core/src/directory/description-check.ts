import deviceSchema from './device.schema.json' with { type: 'json' };
import type { DeviceDescription, PropertyDescription, ResourceNumber } from './description.ts';
import { checkValue } from './properties.ts';
import { checkSchema, type Schema, type SchemaProblem } from './schema-check.ts';

/** The rules of device.json as JSON Schema, for editors and other readers. */
export const DEVICE_SCHEMA: Schema = deviceSchema;

/** All that is wrong with a description, by the schema and by what it cannot say. */
export function checkDescription(value: unknown): readonly SchemaProblem[] {
  const problems = [...checkSchema(DEVICE_SCHEMA, value)];
  if (problems.length > 0) return problems;
  const description = value as DeviceDescription;
  const tell = (path: string, rule: string, text: string): void => void problems.push({ path, rule, text });
  if (!Object.hasOwn(description.files, description.entry)) tell('/entry', 'files', `${description.entry} is not among its files`);
  const { oldestState, state } = description;
  if (oldestState !== undefined && oldestState > state) tell('/oldestState', 'order', `expected ${state} or less, got ${oldestState}`);
  for (const [name, property] of Object.entries(description.properties ?? {})) checkProperty(property, description.needs, `/properties/${name}`, tell);
  checkResources(description, tell);
  return problems;
}

type Tell = (path: string, rule: string, text: string) => void;

const MEMBERS: Readonly<Record<PropertyDescription['type'], readonly string[]>> = { integer: ['min', 'max', 'step'], boolean: [], text: ['maxLength'], block: [], choice: ['values'] };

function checkProperty(property: PropertyDescription, needs: readonly string[], path: string, tell: Tell): void {
  const own = MEMBERS[property.type];
  for (const name of Object.values(MEMBERS).flat()) if (Object.hasOwn(property, name) && !own.includes(name)) tell(`${path}/${name}`, 'member', `it does not go with type ${property.type}`);
  if (property.type === 'choice' && property.values === undefined) return tell(path, 'required', 'values is missing');
  if ((property.min ?? -Infinity) > (property.max ?? Infinity)) tell(`${path}/min`, 'order', `expected ${property.max} or less, got ${property.min}`);
  if (property.type === 'block' && !needs.includes('host')) tell(`${path}/type`, 'needs', 'host is not among its needs');
  if (property.type === 'block' && property.default !== undefined) return tell(`${path}/default`, 'member', 'it does not go with type block');
  if (property.default === undefined) return;
  const wrong = checkValue(property, property.default);
  if (wrong !== null) tell(`${path}/default`, 'range', wrong);
}

const CAPABILITY_OF = { ports: 'pio', memory: 'mmio' } as const;

function checkResources({ needs, properties = {}, resources = {}, coalescable = [] }: DeviceDescription, tell: Tell): void {
  const checkNumber = (number: ResourceNumber, path: string): void => {
    if (typeof number === 'number') return;
    const property = Object.hasOwn(properties, number.property) ? properties[number.property]! : null;
    if (property === null) tell(`${path}/property`, 'property', `there is no property ${number.property}`);
    else if (property.type !== 'integer' || (property.min ?? -1) < 0) tell(`${path}/property`, 'property', `${number.property} is no integer of 0 or more`);
  };
  const names = new Set<string>();
  for (const kind of ['ports', 'memory'] as const) {
    const ranges = resources[kind] ?? [];
    if (ranges.length > 0 && !needs.includes(CAPABILITY_OF[kind])) tell(`/resources/${kind}`, 'needs', `${CAPABILITY_OF[kind]} is not among its needs`);
    for (const [i, { name, base, bytes }] of ranges.entries()) {
      const path = `/resources/${kind}/${i}`;
      if (names.has(name)) tell(`${path}/name`, 'unique', `two ranges are named ${name}`);
      names.add(name);
      checkNumber(base, `${path}/base`);
      checkNumber(bytes, `${path}/bytes`);
    }
  }
  const lines = resources.lines ?? [];
  if (lines.length > 0 && !needs.includes('lines')) tell('/resources/lines', 'needs', 'lines is not among its needs');
  for (const [i, { pin }] of lines.entries()) checkNumber(pin, `/resources/lines/${i}/pin`);
  for (const [i, { range }] of coalescable.entries()) if (!names.has(range)) tell(`/coalescable/${i}/range`, 'range', `no range is named ${range}`);
}
