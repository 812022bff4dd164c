/** The part of JSON Schema (2020-12) that descriptions use. The schema itself is ours; the value is hostile. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly propertyNames?: Schema;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly minProperties?: number;
  readonly maxProperties?: number;
}
export interface SchemaProblem {
  readonly path: string; // JSON pointer
  readonly rule: string; // keyword
  readonly text: string;
}

const MOST_PROBLEMS = 10;
const MOST_SHOWN = 40; // characters of a value

/** All that is wrong, up to ten problems. */
export function checkSchema(root: Schema, value: unknown): readonly SchemaProblem[] {
  const problems: SchemaProblem[] = [];
  new SchemaWalk(root, problems).check(root, value, '');
  return problems;
}

class SchemaWalk {
  readonly #root: Schema;
  readonly #problems: SchemaProblem[];

  constructor(root: Schema, problems: SchemaProblem[]) {
    this.#root = root;
    this.#problems = problems;
  }

  check(schema: Schema, value: unknown, path: string): void {
    if (schema.$ref !== undefined) this.check(this.#root.$defs![schema.$ref.slice('#/$defs/'.length)]!, value, path);
    const types = schema.type === undefined ? null : [schema.type].flat();
    if (types !== null && !types.some((type) => isOfType(value, type))) return this.#tell(path, 'type', `expected ${types.join(' or ')}, got ${show(value)}`);
    if (schema.enum !== undefined && !schema.enum.includes(value)) this.#tell(path, 'enum', `expected ${schema.enum.join(', ')}, got ${show(value)}`);
    if (typeof value === 'number') this.#checkNumber(schema, value, path);
    else if (typeof value === 'string') this.#checkString(schema, value, path);
    else if (Array.isArray(value)) this.#checkArray(schema, value, path);
    else if (isRecord(value)) this.#checkObject(schema, value, path);
  }

  #checkNumber({ minimum, maximum }: Schema, value: number, path: string): void {
    if (minimum !== undefined && value < minimum) this.#tell(path, 'minimum', `expected ${minimum} or more, got ${value}`);
    if (maximum !== undefined && value > maximum) this.#tell(path, 'maximum', `expected ${maximum} or less, got ${value}`);
  }

  #checkString({ minLength, maxLength, pattern }: Schema, value: string, path: string): void {
    if (minLength !== undefined && value.length < minLength) return this.#tell(path, 'minLength', `expected ${minLength} characters or more, got ${value.length}`);
    if (maxLength !== undefined && value.length > maxLength) return this.#tell(path, 'maxLength', `expected ${maxLength} characters or fewer, got ${value.length}`);
    if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) this.#tell(path, 'pattern', `expected ${pattern}, got ${show(value)}`);
  }

  #checkArray({ items, minItems, maxItems, uniqueItems }: Schema, value: readonly unknown[], path: string): void {
    if (minItems !== undefined && value.length < minItems) this.#tell(path, 'minItems', `expected ${minItems} or more, got ${value.length}`);
    if (maxItems !== undefined && value.length > maxItems) return this.#tell(path, 'maxItems', `expected ${maxItems} or fewer, got ${value.length}`);
    if (uniqueItems === true && new Set(value).size < value.length) this.#tell(path, 'uniqueItems', 'one of them is there twice');
    if (items !== undefined) value.forEach((item, i) => this.check(items, item, `${path}/${i}`));
  }

  #checkObject(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): void {
    const names = Object.keys(value);
    const { minProperties, maxProperties, additionalProperties = true } = schema;
    if (minProperties !== undefined && names.length < minProperties) this.#tell(path, 'minProperties', `expected ${minProperties} or more, got ${names.length}`);
    if (maxProperties !== undefined && names.length > maxProperties) return this.#tell(path, 'maxProperties', `expected ${maxProperties} or fewer, got ${names.length}`);
    for (const name of schema.required ?? []) if (!Object.hasOwn(value, name)) this.#tell(path, 'required', `${name} is missing`);
    for (const name of names) {
      const at = `${path}/${escapePointer(name)}`;
      if (schema.propertyNames !== undefined) this.check(schema.propertyNames, name, at);
      const known = schema.properties !== undefined && Object.hasOwn(schema.properties, name) ? schema.properties[name]! : null;
      if (known !== null) this.check(known, value[name], at);
      else if (additionalProperties === false) this.#tell(at, 'additionalProperties', 'there is no such member');
      else if (additionalProperties !== true) this.check(additionalProperties, value[name], at);
    }
  }

  #tell(path: string, rule: string, text: string): void {
    if (this.#problems.length < MOST_PROBLEMS) this.#problems.push({ path, rule, text });
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'integer': return Number.isSafeInteger(value);
    case 'array': return Array.isArray(value);
    case 'object': return isRecord(value);
    case 'null': return value === null;
    default: return typeof value === type;
  }
}

/** A member's name in a JSON pointer (RFC 6901), without what a terminal would act upon. */
export function escapePointer(name: string): string {
  return JSON.stringify(name.length > MOST_SHOWN ? `${name.slice(0, MOST_SHOWN)}...` : name).slice(1, -1).replaceAll('~', '~0').replaceAll('/', '~1');
}

/** A hostile value in a message. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return 'an array';
  if (isRecord(value)) return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}...` : value).replaceAll(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
  return String(value);
}
