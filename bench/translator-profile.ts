import { row, type Row } from './registry.ts';

/** What the translator did from power-on to power-off, from what `vm boot --stats=json` says at its end. */
export function translatorProfile(title: string, errors: string): Row[] {
  const { instructions, counters } = JSON.parse(errors.slice(errors.indexOf('{"elapsed'))) as { readonly instructions: number; readonly counters: Readonly<Record<string, number>> };
  const count = (name: string): number => counters[`cpu.translator.${name}`] ?? NaN;
  const one = (name: string, unit: string, value: number): Row => row(`${title}, ${name}`, unit, 1, value);
  return [
    one('instructions, all in all', 'million', instructions / 1e6),
    one('of them translated', '%', (count('executed') / instructions) * 100),
    one('instructions an entry into translated code', '', count('executed') / count('entries')),
    ...['branch', 'address', 'instruction', 'budget', 'change'].map((reason) => one(`exits, ${reason}`, '% of entries', (count(`exits.${reason}`) / count('entries')) * 100)),
    one('accesses of translated code that the TLB answered', '%', (1 - count('exits.instruction') / count('accesses')) * 100),
    one('regions', '', count('regions')),
    one('time to write regions', 'us an instruction', count('microseconds') / count('instructions')),
    one('WebAssembly', 'bytes an instruction', count('bytes') / count('instructions')),
  ];
}
