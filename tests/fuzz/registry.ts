import type { TranslatorMode } from '@vm/vcpu-wasm';

export interface FuzzRun {
  readonly minutes: number;
  readonly seed: number;
  /** What to leave out is the fuzzer's own affair: names that do not match. */
  readonly only: RegExp;
  /** How many cases everything has to have; null: enough when the time is. */
  readonly least: number | null;
  /** Batch by batch in turn; one may stand there more often than another. */
  readonly translators: readonly TranslatorMode[];
}
export interface Fuzzer {
  readonly summary: string;
  /** Tells what it finds as it goes. True when that was nothing. */
  run(options: FuzzRun): Promise<boolean>;
}

/** Every fuzzer by name, loaded when it is asked for. */
export const FUZZERS: Readonly<Record<string, () => Promise<Fuzzer>>> = {
  cpu: async () => (await import('./cpu.ts')).cpu,
  disk: async () => (await import('./disk.ts')).disk,
};
