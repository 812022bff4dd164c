import { expect } from 'vitest';
import { itWithGuest } from './guest-image.ts';
import { type GuestDigest, instants, SavedGuest } from './saved-guest.ts';

const MiB = 2 ** 20;
const SEED = Number(process.env['VM_SEED'] ?? Date.now() % 2 ** 31);
const COUNT = Number(process.env['VM_SAVES'] ?? 10_000);
const PARTS = 20;
const END = 20e9; // of machine time: the prompt

itWithGuest('linux-image-cloud-amd64', 'a boot of Linux to its prompt, saved and restored at 10,000 random instants, is the boot never interrupted', async ({ kernelBytes, initrdBytes }) => {
  const board = { ramBytes: 96 * MiB, kernel: kernelBytes, initrd: initrdBytes, commandLine: 'console=ttyS0' };
  // Looked at on the way too, so that a difference is found near its cause.
  const ends = Array.from({ length: PARTS }, (_, i) => Math.floor((END * (i + 1)) / PARTS));
  const expected: GuestDigest[] = [];
  await using whole = await SavedGuest.boot(board);
  for (const end of ends) {
    const release = await whole.runTo(end);
    expected.push(await whole.digest());
    release();
  }
  await using parts = await SavedGuest.boot(board);
  const times = instants(SEED, COUNT, 0, END);
  let next = 0;
  for (const [i, end] of ends.entries()) {
    for (; next < times.length && times[next]! < end; next++) await parts.roundTrip(times[next]!, next % 20 === 7 ? 'off' : undefined);
    const release = await parts.runTo(end);
    expect(await parts.digest(), `VM_SEED=${SEED}, up to save ${next}`).toEqual(expected[i]);
    release();
    console.log(`${next} of ${COUNT} saves (VM_SEED=${SEED})`);
  }
  expect(expected.at(-1)!.output).toContain('# ');
}, 24 * 3600_000);
