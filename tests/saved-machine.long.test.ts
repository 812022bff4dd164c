import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { type GuestDigest, instants, type SavedBoard, SavedGuest } from './saved-guest.ts';

const MiB = 2 ** 20;
const SEED = Number(process.env['VM_SEED'] ?? Date.now() % 2 ** 31);
const COUNT = Number(process.env['VM_SAVES'] ?? 10_000);
/** A folder where a run is kept that is to be gone on with: the same seed and count find what is done already. */
const FOLDER = process.env['VM_PROGRESS'] ?? null;
const PARTS = 40;
const END = 20e9; // of machine time: the prompt
const EVERY_BYTE = 25; // of so many saves one takes memory through bytes as well; the others hand it over

/** What is known after a part: where it stands, and what it is compared with. */
interface Progress {
  readonly seed: number;
  readonly count: number;
  readonly expected: readonly GuestDigest[];
  readonly part: number;
  readonly next: number;
  readonly output: string;
}

itWithGuest('linux-image-cloud-amd64', 'a boot of Linux to its prompt, saved and restored at 10,000 random instants, is the boot never interrupted', async ({ kernelBytes, initrdBytes }) => {
  const board = { ramBytes: 96 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0' };
  const kept = readProgress();
  const ends = Array.from({ length: PARTS }, (_, i) => Math.floor((END * (i + 1)) / PARTS));
  const expected = kept?.progress.expected ?? (await runWhole(board, ends));
  await using parts = await SavedGuest.boot(board, kept?.saved ?? null, undefined, kept?.progress.output);
  const times = instants(SEED, COUNT, 0, END);
  let next = kept?.progress.next ?? 0;
  for (let part = kept?.progress.part ?? 0; part < PARTS; part++) {
    const end = ends[part]!;
    for (; next < times.length && times[next]! < end; next++) await parts.roundTrip(times[next]!, next % 20 === 7 ? 'off' : undefined, next % EVERY_BYTE !== 0);
    const release = await parts.runTo(end);
    expect(await parts.digest(), `VM_SEED=${SEED}, up to save ${next}`).toEqual(expected[part]);
    if (FOLDER !== null) await keepProgress(FOLDER, { seed: SEED, count: COUNT, expected, part: part + 1, next, output: parts.output }, parts);
    release();
    console.log(`${next} of ${COUNT} saves (VM_SEED=${SEED})`);
  }
  expect(expected.at(-1)!.output).toContain('# ');
}, 24 * 3600_000);

/** Looked at on the way too, so that a difference is found near its cause. */
async function runWhole(board: SavedBoard, ends: readonly number[]): Promise<readonly GuestDigest[]> {
  const digests: GuestDigest[] = [];
  await using whole = await SavedGuest.boot(board);
  for (const end of ends) {
    const release = await whole.runTo(end);
    digests.push(await whole.digest());
    release();
  }
  return digests;
}

/** The guest stands still. */
async function keepProgress(folder: string, progress: Progress, guest: SavedGuest): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${progress.part % 2}.vms`), await guest.save()); // the one before stays whole
  writeFileSync(join(folder, 'progress.tmp'), JSON.stringify(progress));
  renameSync(join(folder, 'progress.tmp'), join(folder, 'progress.json'));
}

function readProgress(): { readonly progress: Progress; readonly saved: Uint8Array } | null {
  if (FOLDER === null) return null;
  try {
    const progress = JSON.parse(readFileSync(join(FOLDER, 'progress.json'), 'utf8')) as Progress;
    return progress.seed === SEED && progress.count === COUNT ? { progress, saved: readFileSync(join(FOLDER, `${progress.part % 2}.vms`)) } : null;
  } catch {
    return null;
  }
}
