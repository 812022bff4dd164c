/** What pairs of runs in turn say about a ratio. */
export interface PairedRatio {
  /** Geometric mean of the ratios. */
  readonly ratio: number;
  /** Ends of its 95 % interval, by Student's distribution of the logarithms. */
  readonly low: number;
  readonly high: number;
}

// Two-sided 95 % quantiles of Student's distribution, for 1 to 30 degrees of freedom; beyond them the normal one's.
const STUDENT = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06,
  2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL = 1.96;

/** Of at least two pairs; `ours[i]` and `theirs[i]` ran one after the other. */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): PairedRatio {
  if (ours.length !== theirs.length || ours.length < 2) throw new RangeError(`${ours.length} and ${theirs.length} runs are no pairs`);
  const logs = ours.map((value, i) => Math.log(value / theirs[i]!));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1);
  const half = (STUDENT[logs.length - 2] ?? NORMAL) * Math.sqrt(variance / logs.length);
  return { ratio: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) };
}
