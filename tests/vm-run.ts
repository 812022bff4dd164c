import type { Result } from './vm-program.ts';

/** What a run of `vm boot --stats=json` was, without what the host's time decides. */
export interface Run {
  readonly code: number | null;
  readonly output: string;
  readonly instructions: number;
  /** All counters but those of the host's time. */
  readonly counters: Readonly<Record<string, number>>;
}

const HOST_COUNTERS = ['loop.slices', 'loop.busyNanos'];
/** What is translated, and how often it is entered, depends on the ends of slices; the guest does not. */
const TRANSLATOR = 'cpu.translator.';

export function runOf({ code, output, errors }: Result): Run {
  const { instructions, counters } = JSON.parse(errors.slice(errors.indexOf('{"elapsed'))) as { readonly instructions: number; readonly counters: Record<string, number> };
  for (const name of Object.keys(counters)) if (HOST_COUNTERS.includes(name) || name.startsWith(TRANSLATOR)) delete counters[name];
  return { code, output, instructions, counters };
}
