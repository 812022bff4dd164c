import type { ErrorObject, ValidateFunction } from 'ajv';
import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';
import vmSchema from './vm.schema.json' with { type: 'json' };

const MOST_LINES = 10;

/** Throws UsageError with a line for each thing that is wrong: file, JSON pointer, what was expected, rule. */
export async function checkManifestShape(file: string, value: unknown): Promise<void> {
  // Only the commands that read a manifest wait for the validator.
  const { Ajv2020 } = await import('ajv/dist/2020.js');
  const validate: ValidateFunction = new Ajv2020({ allErrors: true, allowUnionTypes: true, verbose: true }).compile(vmSchema);
  if (validate(value)) return;
  const lines = new Set((validate.errors ?? []).filter(({ keyword }) => keyword !== 'propertyNames').map((error) => `${file}: ${describe(error)}`));
  throw new UsageError([...lines].slice(0, MOST_LINES).join('\n'));
}

function describe({ instancePath, keyword, params, data, parentSchema, propertyName, message }: ErrorObject): string {
  const at = (path: string, text: string): string => `${path === '' ? '/' : path}: ${text} (rule ${keyword})`;
  const given = data as unknown;
  if (propertyName !== undefined) return at(`${instancePath}/${JSON.stringify(propertyName).slice(1, -1)}`, `this name is not allowed: expected ${describeSchema(parentSchema)}`);
  switch (keyword) {
    case 'additionalProperties': {
      const name = String(params['additionalProperty']);
      const known = Object.keys((parentSchema?.['properties'] ?? {}) as object);
      const nearest = findNearest(name, known);
      return at(`${instancePath}/${JSON.stringify(name).slice(1, -1)}`, `there is no such member${nearest === null ? `; there are ${known.join(', ')}` : `; did you mean ${nearest}?`}`);
    }
    case 'required': return at(instancePath, `${String(params['missingProperty'])} is missing`);
    case 'enum': {
      const words = (params['allowedValues'] as unknown[]).map(String);
      const nearest = typeof given === 'string' ? findNearest(given, words) : null;
      return at(instancePath, `expected ${words.join(', ')}, got ${show(given)}${nearest === null ? '' : `; did you mean ${nearest}?`}`);
    }
    case 'type': return at(instancePath, `expected ${[params['type']].flat().join(' or ')}, got ${show(given)}`);
    case 'pattern': return at(instancePath, `expected ${describeSchema(parentSchema)}, got ${show(given)}`);
    default: return at(instancePath, `${message ?? 'it is not allowed'}, got ${show(given)}`);
  }
}

function describeSchema(schema: ErrorObject['parentSchema']): string {
  const text: unknown = schema?.['description'];
  return typeof text === 'string' ? text : `text like ${String(schema?.['pattern'])}`;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object' && value !== null) return 'an object';
  return JSON.stringify(value) ?? 'nothing';
}
