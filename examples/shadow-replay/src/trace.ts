/**
 * What a guest did with its page tables, one event a line, numbers in hexadecimal:
 *
 *   r ROLE ROOT          how tables are read from now on (the bits of @vm/shadow-mmu), and the root
 *   c ROOT               CR3 was written
 *   f                    everything was flushed
 *   i ADDRESS            INVLPG
 *   k PHYSICAL LOW HIGH  an entry, when it was first seen
 *   s PHYSICAL LOW HIGH  an entry that somebody has stored to since
 *   t ADDRESS NEED       an access that the recording processor had no translation for
 *
 * Lines that begin with # are for people.
 */
export type TraceEvent =
  | { readonly op: 'role'; readonly role: number; readonly root: number }
  | { readonly op: 'switch'; readonly root: number }
  | { readonly op: 'flush' }
  | { readonly op: 'page'; readonly low: number; readonly high: number }
  | { readonly op: 'known' | 'store'; readonly at: number; readonly low: number; readonly high: number }
  | { readonly op: 'access'; readonly low: number; readonly high: number; readonly need: number };

export function parseTrace(text: string): TraceEvent[] {
  const events: TraceEvent[] = [];
  for (const [number, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [op, ...fields] = line.split(' ');
    const [first = 0, second = 0, third = 0] = fields.map((field) => Number.parseInt(field, 16));
    if (![first, second, third].every((value) => Number.isInteger(value))) throw new RangeError(`trace, line ${number + 1}: numbers expected, got ${line}`);
    const address = (fields[0] ?? '').padStart(16, '0');
    const low = Number.parseInt(address.slice(8), 16);
    const high = Number.parseInt(address.slice(0, 8), 16);
    switch (op) {
      case 'r': events.push({ op: 'role', role: first, root: second }); break;
      case 'c': events.push({ op: 'switch', root: first }); break;
      case 'f': events.push({ op: 'flush' }); break;
      case 'i': events.push({ op: 'page', low, high }); break;
      case 'k': events.push({ op: 'known', at: first, low: second, high: third }); break;
      case 's': events.push({ op: 'store', at: first, low: second, high: third }); break;
      case 't': events.push({ op: 'access', low, high, need: second }); break;
      default: throw new RangeError(`trace, line ${number + 1}: unknown event ${line}`);
    }
  }
  return events;
}
