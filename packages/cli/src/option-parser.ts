import { findNearest } from './nearest-word.ts';
import { UsageError } from './usage-error.ts';

/** One option of a command. */
export interface Option<T> {
  /** How the help names its value; null: it has none. */
  readonly hint: string | null;
  /** The value may be left out, and is then the empty text; given, it is joined with `=`. */
  readonly optional?: boolean;
  /** It may be given more than once: the value is a list. */
  readonly repeated?: boolean;
  readonly summary: string;
  /** Throws RangeError with what was expected. */
  parse(text: string): T;
}
export type OptionTable = Readonly<Record<string, Option<unknown>>>;
export type OptionValues<Table extends OptionTable> = { readonly [Name in keyof Table]?: Table[Name] extends Option<infer T> ? T : never };

export interface ParsedArguments<Table extends OptionTable> {
  readonly values: OptionValues<Table>;
  readonly operands: readonly string[];
  /** --help or -h was among them; then nothing else was checked. */
  readonly help: boolean;
}

export function flag(summary: string): Option<true> {
  return { hint: null, summary, parse: () => true };
}

export function text(hint: string, summary: string): Option<string> {
  return value(hint, summary, (given) => given);
}

export function value<T>(hint: string, summary: string, parse: (text: string) => T): Option<T> {
  return { hint, summary, parse };
}

/** May be given more than once. */
export function list(hint: string, summary: string): Option<readonly string[]> {
  return { hint, summary, repeated: true, parse: (given) => [given] };
}

export function choice<const Word extends string>(words: readonly Word[], summary: string): Option<Word> {
  return value(words.join('|'), summary, (given) => {
    const word = words.find((one) => one === given);
    if (word === undefined) throw new RangeError(`expected ${words.join(' or ')}, got ${JSON.stringify(given)}`);
    return word;
  });
}

/** Options as `--name`, `--name VALUE` or `--name=VALUE`, operands between them, `--` before operands with dashes. Throws UsageError. */
export function parseArguments<Table extends OptionTable>(table: Table, args: readonly string[]): ParsedArguments<Table> {
  const end = args.indexOf('--');
  const before = end < 0 ? args : args.slice(0, end);
  if (before.some((arg) => arg === '--help' || arg === '-h')) return { values: {}, operands: [], help: true };
  const values: Record<string, unknown> = {};
  const operands: string[] = [];
  for (let i = 0; i < before.length; i++) {
    const arg = before[i]!;
    if (!arg.startsWith('-') || arg === '-') {
      operands.push(arg);
      continue;
    }
    const equals = arg.indexOf('=');
    const name = (equals < 0 ? arg : arg.slice(0, equals)).replace(/^--/, '');
    const option = findOption(table, name, arg);
    if (Object.hasOwn(values, name) && option.repeated !== true) throw new UsageError(`--${name} is given twice`);
    let given = equals < 0 ? null : arg.slice(equals + 1);
    if (option.hint === null && given !== null) throw new UsageError(`--${name} takes no value, got ${JSON.stringify(given)}`);
    if (option.hint !== null && option.optional !== true && given === null) {
      given = before[++i] ?? null;
      if (given === null) throw new UsageError(`--${name} needs a value: --${name} ${option.hint}`);
      if (given.startsWith('--')) throw new UsageError(`--${name} needs a value: --${name} ${option.hint} (if ${given} is meant to be it, write --${name}=${given})`);
    }
    const parsed = parseValue(name, option, given ?? '');
    values[name] = option.repeated === true ? [...((values[name] as unknown[] | undefined) ?? []), ...(parsed as unknown[])] : parsed;
  }
  if (end >= 0) operands.push(...args.slice(end + 1));
  return { values: values as OptionValues<Table>, operands, help: false };
}

function findOption(table: OptionTable, name: string, arg: string): Option<unknown> {
  if (arg.startsWith('--') && Object.hasOwn(table, name)) return table[name]!;
  const nearest = findNearest(name.replace(/^-+/, ''), Object.keys(table));
  throw new UsageError(`unknown option ${arg.startsWith('--') ? `--${name}` : arg}${nearest === null ? '' : `; did you mean --${nearest}?`}`);
}

function parseValue(name: string, option: Option<unknown>, given: string): unknown {
  try {
    return option.parse(given);
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(`--${name}: ${error.message}`, { cause: error });
    throw error;
  }
}
