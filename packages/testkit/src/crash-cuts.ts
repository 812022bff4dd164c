/** What was done to a file. */
export type CrashStep = { readonly at: number; readonly from: Uint8Array } | { readonly resize: number } | 'flush';

/** A file that can be watched: `ImageFile` of @vm/vhd-crypt is one. */
export interface RecordableFile {
  write(at: number, from: Uint8Array): Promise<void>;
  resize(bytes: number): Promise<void>;
  flush(): Promise<void>;
}

/** A file that keeps in mind what was done to it. */
export function recordSteps<File extends RecordableFile>(file: File): { readonly file: File; readonly steps: CrashStep[] } {
  const steps: CrashStep[] = [];
  return {
    steps,
    file: {
      ...file,
      async write(at: number, from: Uint8Array) {
        steps.push({ at, from: from.slice() });
        await file.write(at, from);
      },
      async resize(bytes: number) {
        steps.push({ resize: bytes });
        await file.resize(bytes);
      },
      async flush() {
        steps.push('flush');
        await file.flush();
      },
    },
  };
}

/** What was in the file at the moment of a crash. */
export interface CrashCut {
  /** Steps that had been begun. */
  readonly upTo: number;
  /** Those that were stored, some of them in part. */
  readonly kept: readonly CrashStep[];
}
export interface CutOptions {
  /** Steps between two barriers may be stored in any order, so a crash keeps any set of them: all sets of at most this many steps are tried, and of larger ones as many at random as these would be. Default: 7. */
  readonly wholeSets?: number;
  readonly seed?: number;
}

const SECTOR = 512;

/** Every moment at which a crash can come, and what it can leave then. A sector is stored whole or not at all; a longer write may be stored in part. */
export function* crashCuts(steps: readonly CrashStep[], { wholeSets = 7, seed = 1 }: CutOptions = {}): Generator<CrashCut> {
  const random = randomOf(seed);
  let barrier = 0;
  yield { upTo: 0, kept: [] };
  for (let upTo = 1; upTo <= steps.length; upTo++) {
    const last = steps[upTo - 1]!;
    if (last === 'flush') {
      barrier = upTo;
      continue;
    }
    const stored = steps.slice(0, barrier);
    const before = steps.slice(barrier, upTo - 1);
    // Sets without the last step have been had when it was not there.
    if (before.length < wholeSets) for (let set = 0; set < 2 ** before.length; set++) yield { upTo, kept: [...stored, ...before.filter((_, i) => (set >>> i) % 2 === 1), last] };
    else {
      yield { upTo, kept: [...stored, last] };
      yield { upTo, kept: [...stored, ...before, last] };
      for (let i = 2; i < 2 ** wholeSets; i++) yield { upTo, kept: [...stored, ...before.filter(() => random() < 0.5), last] };
    }
    for (const part of partsOf(last, random)) {
      yield { upTo, kept: [...stored, ...before, ...part] };
      yield { upTo, kept: [...stored, ...part] };
    }
  }
}

/** The first sector, the last one, every other one, and half of them at random. */
function partsOf(step: CrashStep, random: () => number): CrashStep[][] {
  if (step === 'flush' || 'resize' in step || step.from.length <= SECTOR) return [];
  const sectors: CrashStep[] = [];
  for (let begin = 0; begin < step.from.length; ) {
    const end = Math.min(step.from.length, (Math.floor((step.at + begin) / SECTOR) + 1) * SECTOR - step.at);
    sectors.push({ at: step.at + begin, from: step.from.subarray(begin, end) });
    begin = end;
  }
  return [sectors.slice(0, 1), sectors.slice(-1), sectors.filter((_, i) => i % 2 === 1), sectors.filter(() => random() < 0.5)];
}

/** The steps of a cut done to a file as it was before. */
export async function replayCut(file: RecordableFile, kept: readonly CrashStep[]): Promise<void> {
  for (const step of kept) {
    if (step === 'flush') continue;
    if ('resize' in step) await file.resize(step.resize);
    else await file.write(step.at, step.from);
  }
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
