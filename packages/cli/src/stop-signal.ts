import { EXIT_SIGNAL } from './exit-code.ts';

const NUMBERS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

/** Set by the first signal that ends programs: work stops at the next place where nothing is half done. The second ends at once. */
export interface StopSignal {
  readonly aborted: boolean;
  /** Of the signal that came; null when none did. */
  readonly exitCode: number | null;
  readonly stopped: Promise<void>;
}

/** Runs work that a signal stops. */
export async function untilStopped<T>(work: (signal: StopSignal) => Promise<T>): Promise<T> {
  let exitCode: number | null = null;
  let resolveStopped: () => void;
  const stopped = new Promise<void>((resolve) => (resolveStopped = resolve));
  const listen = (name: NodeJS.Signals): void => {
    if (exitCode !== null) process.exit(exitCode);
    exitCode = EXIT_SIGNAL + NUMBERS[name]!;
    resolveStopped();
  };
  const names = Object.keys(NUMBERS) as NodeJS.Signals[];
  for (const name of names) process.on(name, listen);
  try {
    return await work({
      get aborted() {
        return exitCode !== null;
      },
      get exitCode() {
        return exitCode;
      },
      stopped,
    });
  } finally {
    for (const name of names) process.off(name, listen);
  }
}
