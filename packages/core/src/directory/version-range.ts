/**
 * Versions and ranges of them, as package managers write them: `1.2.3`, `^1.2`, `~1.2.3`, `>=1 <2`, `1.x`, `*`, and `||` between.
 * A version with a suffix such as 1.2.3-beta comes before 1.2.3, and is taken only by a range that names it exactly.
 */
interface Version {
  readonly numbers: readonly number[];
  readonly suffix: string;
}

const PART = /^(\^|~|>=|<=|>|<|=)?(\*|x|(\d{1,9})(?:\.(\d{1,9}|x|\*)(?:\.(\d{1,9}|x|\*)(-[0-9A-Za-z.-]{1,32})?)?)?)$/;

/** Null: the text is no range. */
export function parseRange(text: string): ((version: string) => boolean) | null {
  const alternatives = text.split('||').map((one) => one.trim().split(/\s+/).map(parsePart));
  if (alternatives.flat().includes(null)) return null;
  return (version) => alternatives.some((parts) => parts.every((part) => part!(version)));
}

/** Negative, 0 or positive, as a sort wants it. */
export function compareVersions(a: string, b: string): number {
  return compare(parse(a), parse(b));
}

function parsePart(part: string): ((version: string) => boolean) | null {
  const match = PART.exec(part);
  if (match === null) return null;
  const [, sign = '', , major, minor, patch, suffix = ''] = match;
  if (major === undefined) return (version) => (sign === '' || sign === '=') && !version.includes('-');
  const given = [major, minor, patch].map((word) => (word === undefined || word === 'x' || word === '*' ? null : Number(word)));
  const known = given.includes(null) ? given.indexOf(null) : 3;
  const low: Version = { numbers: given.map((number) => number ?? 0), suffix };
  if (suffix !== '') return (version) => compare(parse(version), low) === 0 && (sign === '' || sign === '=');
  const end = { '^': next(low, Math.min(leading(low), known - 1)), '~': next(low, Math.min(1, known - 1)), '': next(low, known - 1), '=': next(low, known - 1), '<=': next(low, known - 1), '>': next(low, known - 1) };
  const below = (version: Version, limit: Version): boolean => compare(version, limit) < 0;
  return (text) => {
    const version = parse(text);
    if (version.suffix !== '') return false;
    switch (sign) {
      case '>=': return !below(version, low);
      case '<': return below(version, low);
      case '>': return !below(version, end['>']);
      case '<=': return below(version, end['<=']);
      default: return !below(version, low) && below(version, end[sign as '^' | '~' | '' | '=']);
    }
  };
}

/** Place of the first number that is not 0: changes below it are promised to be compatible. */
function leading({ numbers }: Version): number {
  const first = numbers.findIndex((number) => number > 0);
  return first < 0 ? 2 : first;
}

function next({ numbers }: Version, place: number): Version {
  return { numbers: numbers.map((number, i) => (i < place ? number : i === place ? number + 1 : 0)), suffix: '' };
}

function parse(text: string): Version {
  const dash = text.indexOf('-');
  return { numbers: (dash < 0 ? text : text.slice(0, dash)).split('.').map(Number), suffix: dash < 0 ? '' : text.slice(dash) };
}

function compare(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) if (a.numbers[i] !== b.numbers[i]) return (a.numbers[i] ?? 0) - (b.numbers[i] ?? 0);
  if (a.suffix === b.suffix) return 0;
  return a.suffix === '' ? 1 : b.suffix === '' ? -1 : a.suffix < b.suffix ? -1 : 1;
}
