/** Random guests for the model machine: few frames, few addresses, so that everything meets everything. */
import { ModelMachine, ROLE_ALL } from './model-machine.ts';
import type { ModelOptions, Step } from './model-machine.ts';
import type { IdealAccess } from './ideal-tlb.ts';
import { MODE_32, MODE_LONG, MODE_PAE } from './role.ts';

export const GUEST_FRAMES = 40;
const TABLE_FRAMES = 12;
const SMALL = [0, 1, 2] as const;
const STEPS = 400;

/** xorshift32: the same numbers for the same seed everywhere. */
export function createRandom(seed: number): (below: number) => number {
  let x = (seed * 2_654_435_761) >>> 0 || 1;
  return (below) => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x % below;
  };
}

/** `steps` steps; with `mixed`, processors change their mode. */
export function writeGuest(seed: number, steps: number, processors: number, mixed: boolean): Step[] {
  const random = createRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const first = pick([MODE_32, MODE_PAE, MODE_LONG]);
  const mode: number[] = Array.from({ length: processors }, () => first);
  const table = (): number => 1 + random(TABLE_FRAMES);
  const frame = (): number => (random(3) === 0 ? table() : random(12) === 0 ? GUEST_FRAMES + random(4) : random(GUEST_FRAMES));
  const directories = (): number[] => Array.from({ length: 4 }, () => (random(6) === 0 ? -1 : table()));
  const role = (kind: number): number => kind | (random(4) === 0 ? random(128) & ROLE_ALL & ~3 : ROLE_ALL);
  const entry = (kind: number): { low: number; high: number } => {
    if (random(8) === 0) return { low: 0, high: 0 };
    const half = (): number => {
      let low = 1 | (random(6) === 0 ? 0 : 2) | (random(5) === 0 ? 0 : 4) | (random(3) === 0 ? 0x60 : 0) | (random(16) === 0 ? 0x100 : 0);
      // Large pages begin at frame 0 or beyond RAM, so they cover tables.
      low |= random(7) === 0 ? 0x80 | (random(4) === 0 ? 0x40_0000 : 0) : frame() << 12;
      if (random(16) === 0) low &= ~1;
      return low >>> 0;
    };
    if (kind === MODE_32) return { low: half(), high: half() };
    return { low: half(), high: random(10) === 0 ? 0x8000_0000 : random(60) === 0 ? 0x0010_0000 : random(60) === 0 ? 0x0000_1000 : 0 };
  };
  const address = (kind: number): bigint => {
    const low = BigInt(pick(SMALL) * 4096 + pick(SMALL) * 2 ** 21 + pick([0, 1]) * 2 ** 30);
    return kind === MODE_LONG && random(4) === 0 ? low | 0xffff_8000_0000_0000n : low;
  };
  const word = (): number => pick([0, 1, 2, 2, 1, 0, 256, 3]);
  const access = (): IdealAccess => ({ kind: pick(['read', 'read', 'write', 'write', 'fetch'] as const), user: random(3) === 0, open: random(8) === 0 });
  const list: Step[] = [];
  for (let processor = 0; processor < processors; processor++) list.push({ op: 'role', processor, role: role(first), root: table() * 4096, directories: directories() });
  // Tables that mostly lead somewhere.
  for (let at = 1; at <= TABLE_FRAMES; at++) {
    for (const index of [0, 1, 2, 256]) {
      const low = (table() << 12) | 7;
      list.push({ op: 'dma', address: at * 4096 + index * 8, low, high: first === MODE_32 ? (table() << 12) | 7 : 0 });
    }
  }
  while (list.length < steps) {
    const processor = random(processors);
    const kind = mode[processor] as number;
    const what = random(100);
    if (what < 72) list.push({ op: 'access', processor, address: address(kind), access: access(), word: word(), ...entry(kind) });
    else if (what < 80) list.push({ op: 'dma', address: (random(4) === 0 ? random(GUEST_FRAMES) : table()) * 4096 + word() * 8, ...entry(kind) });
    else if (what < 88) list.push({ op: 'page', processor, address: address(kind) });
    else if (what < 96) list.push({ op: 'switch', processor, root: pick([1, 2, 3, table()]) * 4096, directories: directories() });
    else if (what < 98) list.push({ op: 'flush', processor });
    else {
      if (mixed) mode[processor] = pick([MODE_32, MODE_PAE, MODE_LONG]);
      list.push({ op: 'role', processor, role: role(mode[processor] as number), root: table() * 4096, directories: directories() });
    }
  }
  return list;
}

/** Policies and sizes that are tried, by name. */
export const GUEST_CASES: readonly (readonly [name: string, options: Omit<ModelOptions, 'frames'>])[] = [
  ['flush', { policy: 'flush' }],
  ['cached, everything tracked from the first', { policy: 'cached', threshold: 0 }],
  ['cached, with a threshold that is passed', { policy: 'cached', threshold: 4 }],
  ['cached, with a threshold that is not passed', { policy: 'cached', threshold: 1000 }],
  ['cached, with a threshold that adapts', { policy: 'cached', threshold: 'adaptive' }],
  ['cached, with searches', { policy: 'cached', discovery: 'search' }],
  ['diff', { policy: 'diff' }],
  ['diff, with a threshold', { policy: 'diff', discovery: 'threshold', threshold: 4 }],
  ['diff, with little room, few spaces and few tags', { policy: 'diff', tables: 24, spaces: 3, tags: 3 }],
  ['cached, with little room, few spaces and few tags', { policy: 'cached', tables: 24, spaces: 3, tags: 3, threshold: 3 }],
];


export interface Failure { readonly at: number; readonly text: string }

export function runGuest(options: ModelOptions, steps: readonly Step[]): Failure | null {
  const machine = new ModelMachine(options);
  for (const [at, step] of steps.entries()) {
    const text = machine.run(step);
    if (text !== null) return { at, text };
  }
  return null;
}

/** Leaves out all steps that a failure does not need. */
export function shrink(options: ModelOptions, steps: readonly Step[]): { readonly steps: readonly Step[]; readonly failure: Failure } | null {
  let failure = runGuest(options, steps);
  if (failure === null) return null;
  let left = steps.slice(0, failure.at + 1);
  for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < left.length;) {
      const shorter = [...left.slice(0, from), ...left.slice(from + size)];
      const again = runGuest(options, shorter);
      if (again === null) from += size;
      else {
        failure = again;
        left = shorter.slice(0, again.at + 1);
      }
    }
  }
  return { steps: left, failure };
}

export const showSteps = (steps: readonly Step[]): string => steps.map((step) => JSON.stringify(step, (_key, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value))).join('\n');

/** Runs guests of the seeds from `from` to `to`; a text with the shortest run that fails, or null. */
export function tryGuests(options: Omit<ModelOptions, 'frames'>, processors: number, from: number, to: number): string | null {
  const all: ModelOptions = { tables: 128, ...options, frames: GUEST_FRAMES, processors, lastStores: processors > 1 };
  for (let seed = from; seed <= to; seed++) {
    const steps = writeGuest(seed, STEPS, processors, seed % 2 === 0);
    if (runGuest(all, steps) === null) continue;
    const small = shrink(all, steps);
    return `seed ${seed}: ${small?.failure.text}\n${showSteps(small?.steps ?? [])}`;
  }
  return null;
}
