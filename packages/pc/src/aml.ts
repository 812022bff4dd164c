/** An encoder for the little of the ACPI machine language that this machine's tables need (ACPI 6.5, chapter 20). */

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const METHOD_OP = 0x14;
const EXTENDED_PREFIX = 0x5b;
const FIRST_LOCAL = 0x60;
const FIRST_ARGUMENT = 0x68;
const STORE_OP = 0x70;
const AND_OP = 0x7b;
const REGION_OP = 0x80; // after the extended prefix
const FIELD_OP = 0x81;
const DEVICE_OP = 0x82;
const NOTIFY_OP = 0x86;
const IF_OP = 0xa0;
const RETURN_OP = 0xa4;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;

/** Bytes of a term. */
export type Aml = readonly number[];

export function integer(value: number): Aml {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value <= 0xff) return [BYTE_PREFIX, value];
  if (value <= 0xffff) return [WORD_PREFIX, value & 0xff, value >>> 8];
  if (value <= 0xffff_ffff) return [DWORD_PREFIX, value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
  throw new RangeError(`aml: integer expected below 2**32, got ${value}`);
}

export function text(value: string): Aml {
  return [STRING_PREFIX, ...ascii(value), 0];
}

/** A compressed identifier such as PNP0501 (ACPI 6.5, 19.3.4). */
export function eisaId(id: string): Aml {
  if (!/^[A-Z]{3}[0-9A-F]{4}$/.test(id)) throw new RangeError(`aml: identifier expected like PNP0501, got ${id}`);
  const [a, b, c] = ascii(id).map((char) => char - 0x40) as [number, number, number];
  const product = Number.parseInt(id.slice(3), 16);
  const maker = (a << 10) | (b << 5) | c;
  // Stored with the most significant byte first.
  return [DWORD_PREFIX, maker >>> 8, maker & 0xff, product >>> 8, product & 0xff];
}

export function name(path: string, value: Aml): Aml {
  return [NAME_OP, ...encodePath(path), ...value];
}

export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return [SCOPE_OP, ...withLength([...encodePath(path), ...terms.flat()])];
}

export function device(path: string, ...terms: readonly Aml[]): Aml {
  return [EXTENDED_PREFIX, DEVICE_OP, ...withLength([...encodePath(path), ...terms.flat()])];
}

/** A method of up to 7 arguments; with 8 more, one call after the other. */
export function method(path: string, parameters: number, ...terms: readonly Aml[]): Aml {
  return [METHOD_OP, ...withLength([...encodePath(path), parameters, ...terms.flat()])];
}

export function reference(path: string): Aml {
  return encodePath(path);
}

/** Stores the first argument of a method. */
export function storeArgument(path: string): Aml {
  return [STORE_OP, FIRST_ARGUMENT, ...encodePath(path)];
}

export function store(value: Aml, target: Aml): Aml {
  return [STORE_OP, ...value, ...target];
}

/** The first local variable of a method. */
export const LOCAL: Aml = [FIRST_LOCAL];

export function and(a: Aml, b: Aml): Aml {
  return [AND_OP, ...a, ...b, ZERO_OP]; // the result goes nowhere but into the expression
}

/** Tells the driver of a device: 0 to look at what is behind it, 1 to look at it, 3 to let go of it (ACPI 6.5, 5.6.6). */
export function notify(path: string, what: number): Aml {
  return [NOTIFY_OP, ...encodePath(path), ...integer(what)];
}

const SYSTEM_IO = 1;
const DWORD_ACCESS = 3;
const REGISTER_BITS = 32; // up to 63 a length is one byte, and here it does not count itself

/** Ports as registers of 4 bytes each, by name. */
export function portRegisters(region: string, base: number, names: readonly string[]): Aml {
  const fields = names.flatMap((one) => [...encodePath(one), REGISTER_BITS]);
  return [
    EXTENDED_PREFIX, REGION_OP, ...encodePath(region), SYSTEM_IO, ...integer(base), ...integer(4 * names.length),
    EXTENDED_PREFIX, FIELD_OP, ...withLength([...encodePath(region), DWORD_ACCESS, ...fields]),
  ];
}

export function when(condition: Aml, ...terms: readonly Aml[]): Aml {
  return [IF_OP, ...withLength([...condition, ...terms.flat()])];
}

export function returns(value: Aml): Aml {
  return [RETURN_OP, ...value];
}

export function packageOf(...elements: readonly Aml[]): Aml {
  return [PACKAGE_OP, ...withLength([elements.length, ...elements.flat()])];
}

export function buffer(bytes: Aml): Aml {
  return [BUFFER_OP, ...withLength([...integer(bytes.length), ...bytes])];
}

/** A resource template of small descriptors (ACPI 6.5, 6.4.2), closed by its end tag. */
export function resources(...descriptors: readonly Aml[]): Aml {
  return buffer([...descriptors.flat(), 0x79, 0x00]); // a zero checksum is always right
}

/** Ports at a fixed place, decoded with 16 address bits. */
export function ports(base: number, count: number): Aml {
  return [0x47, 0x01, base & 0xff, base >>> 8, base & 0xff, base >>> 8, 0x01, count];
}

/** Memory at a fixed place (6.4.3.4). */
export function memory(base: number, bytes: number): Aml {
  return [0x86, 0x09, 0, 1, ...words(base & 0xffff, base >>> 16, bytes & 0xffff, bytes >>> 16)];
}

const BUS_NUMBERS = 2;
const PORTS = 1;
const MEMORY = 0;
const FIXED_PRODUCER = 0x0c; // both ends are fixed, and the range is handed on to what lies behind

/** What a bridge hands on (ACPI 6.5, 6.4.3.5): numbers of buses, ports, memory. The end is included. */
export function busNumbers(first: number, last: number): Aml {
  return [0x88, 0x0d, 0, BUS_NUMBERS, FIXED_PRODUCER, 0, ...words(0, first, last, 0, last - first + 1)];
}

export function portWindow(first: number, last: number): Aml {
  return [0x88, 0x0d, 0, PORTS, FIXED_PRODUCER, 3, ...words(0, first, last, 0, last - first + 1)];
}

export function memoryWindow(first: number, last: number): Aml {
  return [0x87, 0x17, 0, MEMORY, FIXED_PRODUCER, 1, ...[0, first, last, 0, last - first + 1].flatMap((value) => words(value & 0xffff, value >>> 16))];
}

function words(...values: readonly number[]): number[] {
  return values.flatMap((value) => [value & 0xff, (value >>> 8) & 0xff]);
}

/** An edge-triggered, active-high interrupt of ISA. */
export function interrupt(line: number): Aml {
  const mask = 1 << line;
  return [0x22, mask & 0xff, mask >>> 8];
}

/** Names are four characters, filled with underscores; `\` is the root, dots separate (20.2.2). */
function encodePath(path: string): Aml {
  const root = path.startsWith('\\') ? [0x5c] : [];
  const segments = path.slice(root.length).split('.').filter((segment) => segment !== '');
  for (const segment of segments) if (!/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment)) throw new RangeError(`aml: name expected, got ${path}`);
  const bytes = segments.flatMap((segment) => ascii(segment.padEnd(4, '_')));
  if (segments.length === 0) return [...root, 0x00];
  if (segments.length === 1) return [...root, ...bytes];
  if (segments.length === 2) return [...root, DUAL_NAME_PREFIX, ...bytes];
  return [...root, MULTI_NAME_PREFIX, segments.length, ...bytes];
}

/** A package length counts itself (20.2.4): 6 bits alone, or 4 bits followed by up to three bytes. */
function withLength(content: Aml): Aml {
  if (content.length + 1 < 0x40) return [content.length + 1, ...content];
  for (let extra = 1; extra <= 3; extra++) {
    const length = content.length + 1 + extra;
    if (length >= 2 ** (4 + 8 * extra)) continue;
    const lead = [(extra << 6) | (length & 0xf)];
    for (let i = 0; i < extra; i++) lead.push((length >>> (4 + 8 * i)) & 0xff);
    return [...lead, ...content];
  }
  throw new RangeError('aml: a package of more than 256 MiB');
}

function ascii(value: string): number[] {
  return Array.from(value, (char) => char.charCodeAt(0));
}
