import type { CrashStep } from './crash-cuts.ts';

interface State {
  readonly steps: number;
  readonly flushed: boolean;
  readonly contents: Uint8Array;
}

/** What a disk held while the steps of its file were recorded, so that it can be said what a crash may leave of it. */
export class CrashStates {
  readonly #steps: readonly CrashStep[];
  readonly #states: State[] = [];

  /** `contents` were there before the first of the steps that follow. */
  constructor(steps: readonly CrashStep[], contents: Uint8Array) {
    this.#steps = steps;
    this.flushed(contents);
  }

  get count(): number {
    return this.#states.length;
  }

  /** From now on it may hold this; it is copied. */
  stored(contents: Uint8Array): void {
    this.#states.push({ steps: this.#steps.length, flushed: false, contents: new Uint8Array(contents) });
  }

  /** From now on it holds this, or what comes later. */
  flushed(contents: Uint8Array): void {
    this.#states.push({ steps: this.#steps.length, flushed: true, contents: new Uint8Array(contents) });
  }

  /** What each sector may be of when so many steps had begun. Disks that gather stores are a few states ahead of their steps: `ahead`. */
  allowed(upTo: number, ahead = 0): readonly Uint8Array[] {
    const first = this.#states.findLastIndex(({ flushed, steps }) => flushed && steps <= upTo);
    const next = this.#states.findIndex(({ steps }) => steps >= upTo);
    return this.#states.slice(first, (next < 0 ? this.#states.length : next) + 1 + ahead).map(({ contents }) => contents);
  }
}

/** The first sector that is in none of the disks; -1 when each is in one. */
export function strangeSector(got: Uint8Array, allowed: readonly Uint8Array[], sectorBytes = 512): number {
  for (let at = 0; at < got.length; at += sectorBytes) if (!allowed.some((one) => isSame(got, one, at, Math.min(got.length, at + sectorBytes)))) return at / sectorBytes;
  return -1;
}

function isSame(a: Uint8Array, b: Uint8Array, from: number, end: number): boolean {
  for (let at = from; at < end; at++) if (a[at] !== b[at]) return false;
  return true;
}
