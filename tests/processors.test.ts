/** Several processors under a program without an operating system that tries what they send to each other and share. */
import { readFileSync } from 'node:fs';
import { findOracle, itWithOracle } from '@vm/testkit/oracle';
import { testDevices } from '@vm/pc';
import type { ShadowMode, TranslatorMode } from '@vm/vcpu-wasm';
import { describe, expect, it } from 'vitest';
import { build, inElf32 } from './bare-build.ts';
import { type ProgramEnd, runProgram } from './bare-guest.ts';
import { runInQemu } from './bare-qemu.ts';
import { SavedGuest } from './saved-guest.ts';

const CHECKS = 24;
const GOOD = new RegExp(`SUMMARY: ${CHECKS} tests, 0 unexpected failures`);
const RAM = 64 * 2 ** 20;
const hasObjcopy = findOracle('objcopy') !== null;

type Width = 32 | 64;
const programOf = (width: Width): string => build('processors', width, ['start.S', 'processors.S', 'processors.c']);
const environment = (processors: number): Uint8Array => new TextEncoder().encode(`NR_CPUS=${processors}\n`);

type Run = Pick<ProgramEnd, 'code' | 'output' | 'instructions' | 'shares'>;
async function run(width: Width, processors: number, translator?: TranslatorMode, shadow?: ShadowMode): Promise<Run> {
  const engine = { ...(translator === undefined ? {} : { translator }), ...(shadow === undefined ? {} : { shadow, auditShadow: true }) };
  const { code, output, instructions, shares } = await runProgram(programOf(width), `NR_CPUS=${processors}\n`, { processors }, engine);
  return { code, output, instructions, shares };
}

describe('a program on several processors', () => {
  for (const width of [32, 64] as const) {
    for (const processors of [1, 2, 4, 8]) {
      itWithOracle(it, 'gcc', `of ${width} bits starts ${processors}, and finds all well`, async () => {
        const { output, code, shares } = await run(width, processors);
        expect(output).not.toContain('FAIL');
        expect(output).toMatch(GOOD);
        expect(code).toBe(0);
        expect(shares.every((share) => share > 10_000)).toBe(true);
      });
    }

    itWithOracle(it, 'gcc', `of ${width} bits runs the same instructions however it is run, and twice the same`, async () => {
      const runs = [await run(width, 3), await run(width, 3), await run(width, 3, 'off'), await run(width, 3, 'eager')];
      for (const other of runs) expect(other).toEqual(runs[0]);
      expect(runs[0]!.output).toMatch(GOOD);
    });

    for (const shadow of ['flush', 'cached', 'diff'] as const) {
      itWithOracle(it, 'gcc', `of ${width} bits finds the same with shadow tables that all share: ${shadow}`, async () => {
        const { output, code } = await run(width, 4, undefined, shadow);
        expect(output).toMatch(GOOD);
        expect(code).toBe(0);
      });
    }

    if (width === 32 || hasObjcopy) {
      itWithOracle(it, 'qemu-system-x86_64', `of ${width} bits says the same on QEMU`, async (qemu) => {
        const path = width === 32 ? programOf(32) : inElf32(programOf(64));
        expect(await runInQemu(qemu, path, 4, 'NR_CPUS=4\n')).toBe((await run(width, 4)).output);
      });
    }

    itWithOracle(it, 'gcc', `of ${width} bits goes on from what was saved of it as if nothing had been`, async () => {
      const board = () => ({ processors: 3, ramBytes: RAM, kernel: readFileSync(programOf(width)), entry: 'multiboot' as const, modules: [{ bytes: environment(3), text: 'env' }], devices: [testDevices({ exit: () => {}, shutdown: () => {}, echoBytes: true })] });
      const [moments, end] = [[100_000, 900_000, 2_000_010, 2_300_010, 3_700_000], 5_500_000] as const;
      await using whole = await SavedGuest.boot(board());
      await whole.runTo(end);
      const expected = await whole.digest();
      await using broken = await SavedGuest.boot(board());
      for (const moment of moments) await broken.roundTrip(moment);
      await broken.runTo(end);
      expect(await broken.digest()).toEqual(expected);
    });
  }

  itWithOracle(it, 'gcc', 'is not restored with another number of them', async () => {
    const board = (processors: number) => ({ processors, ramBytes: RAM, kernel: readFileSync(programOf(32)), entry: 'multiboot' as const, modules: [{ bytes: environment(2), text: 'env' }], devices: [testDevices({ exit: () => {}, shutdown: () => {}, echoBytes: true })] });
    await using guest = await SavedGuest.boot(board(2));
    await guest.runTo(1e6);
    const saved = await guest.save();
    for (const [processors, words] of [[1, 'one processor'], [4, '4 processors']] as const) {
      await expect(SavedGuest.boot(board(processors), saved)).rejects.toThrow(`the saved machine cannot go on here: it has 2 processors, and this machine ${words}`);
    }
  });
});
