const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** Milliseconds of a text such as `90`, `90s`, `1.5m`, `500ms`. Without a unit it is seconds. Throws RangeError. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|min|m|h)?$/.exec(text);
  const milliseconds = match === null ? NaN : Number(match[1]) * UNITS[match[2] ?? 's']!;
  // The host's timers count milliseconds in 31 bits.
  if (!(milliseconds >= 1 && milliseconds < 2 ** 31)) throw new RangeError(`expected a time such as 90s, 500ms or 5m, got ${JSON.stringify(text)}`);
  return milliseconds;
}

/** For people: `850 ms`, `12.3 s`, `3 min 20 s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 120_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}
