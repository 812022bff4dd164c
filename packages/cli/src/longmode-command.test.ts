import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-longmode-'));
  writeFileSync(at('guest'), Uint8Array.of(0xf4));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});
const at = (name: string): string => join(folder, name);

async function vm(...args: string[]): Promise<{ readonly code: number; readonly errors: string }> {
  let errors = '';
  vi.spyOn(console, 'error').mockImplementation((text: string) => void (errors += `${text}\n`));
  return { code: await runCli(['longmode', ...args]), errors };
}

it('writes an image, a disk and a listing', async () => {
  expect(await vm('build', '--guest', at('guest'), '-o', at('image'), '--disk', at('disk'), '--listing', at('listing'), '--paging', 'pae')).toEqual({ code: 0, errors: '' });
  const disk = readFileSync(at('disk'));
  expect([disk.length % (16 * 63 * 512), disk[510], disk[511]]).toEqual([0, 0x55, 0xaa]);
  expect(disk.subarray(512, 4096).equals(readFileSync(at('image')).subarray(0, 4096 - 512))).toBe(true);
  const listing = readFileSync(at('listing'), 'utf8');
  expect(listing).toContain('; to legacy, pae, 64-bit code\n');
  expect(listing).toMatch(/^00090\w{3} {2}0f 22 c0 +mov cr0,eax$/m);
});

it('builds for a guest in real mode', async () => {
  expect(await vm('build', '--guest', at('guest'), '--kind', 'real', '-o', at('image'), '--listing', at('listing'))).toEqual({ code: 0, errors: '' });
  expect(readFileSync(at('listing'), 'utf8')).toContain('; into real mode, 16-bit code\n');
});

it('refuses what it cannot build, and leaves nothing behind', async () => {
  writeFileSync(at('empty'), '');
  const cases: readonly (readonly [string[], RegExp])[] = [
    [['make'], /expected build; got make/],
    [['build', '-o', at('image')], /--guest FILE is missing/],
    [['build', '--guest', at('guest')], /-o FILE is missing/],
    [['build', '--guest', at('nothing'), '-o', at('image')], /there is no such file/],
    [['build', '--guest', at('empty'), '-o', at('image')], /the guest has 0 bytes, and 1 to \d+ can be loaded/],
    [['build', '--guest', at('guest'), '-o', at('image'), '--hz', '5'], /--hz: expected a number from 19 to 10000/],
    [['build', '--guest', at('guest'), '-o', at('image'), '--keys', 'ver\\n'], /--keys is for a guest on a disk/],
    [['build', '--guest', at('guest'), '--kind', 'real', '--paging', 'pae', '-o', at('image')], /a guest in real mode has no page tables/],
    [['build', '--guest', at('guest'), '--kind', 'disk', '-o', at('image'), '--keys', 'é'], /there is no key for/],
    [['build', '--guest', at('guest'), '-o', join(folder, 'no', 'image')], /there is no such folder/],
  ];
  for (const [args, text] of cases) {
    const { code, errors } = await vm(...args);
    expect([code, errors]).toEqual([2, expect.stringMatching(text)]);
  }
  expect(existsSync(at('image'))).toBe(false);
});
