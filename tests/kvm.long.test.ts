import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasApt } from '@vm/cli';
import { ENGINE_PROGRAMS, type EngineMode, firstParting, recordProgram } from '@vm/testkit';
import { itWithOracle } from '@vm/testkit/oracle';
import type { KvmEngineOptions } from '@vm/vcpu-kvm';
import { wasmEngine } from '@vm/vcpu-wasm';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { type NestedImage, nestedImage, runNested } from './nested-guest.ts';

// A PC of QEMU's translator has an AMD processor with its extension for virtual machines, whole: what runs in it has a KVM like that of
// a real host, on any host. There is no other way to try one in a test.

vi.setConfig({ testTimeout: 20 * 60_000 });
const folder = mkdtempSync(join(tmpdir(), 'vm-nested-'));
afterAll(() => rmSync(folder, { recursive: true }));
let image: Promise<NestedImage> | null = null;

/** What QEMU's translator does otherwise than a processor. */
const EXCUSED: Readonly<Record<string, string>> = {
  'max: control registers read back as they were written: pae': 'marks entries of the first level of PAE as accessed with nested paging, where KVM finds a reserved bit',
};

// With nested paging of the processor, and with the page tables that KVM keeps itself. Blocks behind exits take a processor that V8 has vectors for.
describe.each([['max', 'vm.compound'], ['qemu64,+svm', '']])('KVM in a machine of QEMU with -cpu %s %s', (cpu, words) => {
  itWithOracle(it, hasApt() ? 'qemu-system-x86_64' : 'apt-get', 'is the same as the software engine exit by exit, and boots a kernel to its shell', async (qemu) => {
    const told = await runNested(qemu, await (image ??= nestedImage(folder)), cpu, words);
    const find = (what: string): unknown => told.find(([name]) => name === what)?.[1];
    expect(find('probe')).toMatchObject({ usable: true, modes: { real: true, protected: true, paging: true, pae: true, long: true } });
    const processor = find('processor') as KvmEngineOptions;
    const records = new Map(told.filter(([name]) => name === 'record').map(([, value]) => value as readonly [string, string, readonly string[]]).map(([name, mode, lines]) => [`${name}: ${mode}`, lines]));
    for (const program of ENGINE_PROGRAMS) {
      for (const mode of program.modes) {
        const name = `${program.name}: ${mode}`;
        const parting = firstParting(await recordProgram(wasmEngine(processor), program, mode), records.get(name) ?? []);
        expect([name, EXCUSED[`${cpu}: ${name}`] === undefined ? parting : null]).toEqual([name, null]);
      }
    }
    const blocks = told.filter(([name]) => name === 'blocks').map(([, value]) => value as readonly [mode: string, blocks: number, parted: number]);
    expect(blocks.map(([mode, , parted]) => [mode, parted])).toEqual(words === '' ? [] : [['real', -1], ['protected', -1], ['long', -1]]);
    for (const [, count] of blocks) expect(count).toBeGreaterThan(30);
    const spared = (find('exits') as Readonly<Record<string, number>>)['compound.spared'] ?? 0;
    if (words !== '') expect(spared).toBeGreaterThan(100);
    expect(find('output')).toContain('NESTED-GUEST-IS-UP');
    expectSaved(find('saved'));
    expect([find('ended'), find('code')]).toEqual(['power-off', 0]);
  });
});

/** Of a guest that stores to memory all the while: what was packed before it stood still, and after. */
function expectSaved(saved: unknown): void {
  const { isSame, pages, standing } = saved as { readonly isSame: boolean; readonly pages: number; readonly standing: number };
  expect([isSame, standing > 0, standing < pages / 2]).toEqual([true, true, true]);
}

describe.each(['max', 'qemu64,+svm'])('two processors of KVM in threads, in a machine of QEMU with two, -cpu %s', (cpu) => {
  itWithOracle(it, hasApt() ? 'qemu-system-x86_64' : 'apt-get', 'boot a kernel that brings both of them up, to its shell', async (qemu) => {
    const told = await runNested(qemu, await (image ??= nestedImage(folder)), cpu, 'vm.threads', 2);
    const find = (what: string): unknown => told.find(([name]) => name === what)?.[1];
    expectSaved(find('saved'));
    expect(find('probe')).toMatchObject({ usable: true });
    expect(find('output')).toMatch(/NESTED-GUEST-IS-UP\s+.*2 CPUs\s+online 0-1\s/);
    const exits = told.filter(([name]) => name === 'exits').map(([, value]) => value as Readonly<Record<string, number>>);
    expect(exits.map((counts) => (counts['interrupts'] ?? 0) > 10)).toEqual([true, true]);
    expect([find('ended'), find('code')]).toEqual(['power-off', 0]);
  });
});

describe('the kernel\'s interrupt chip, in a machine of QEMU', () => {
  itWithOracle(it, hasApt() ? 'qemu-system-x86_64' : 'apt-get', 'has two processors in threads boot a kernel to its shell, and most of what they would exit for is none', async (qemu) => {
    const told = await runNested(qemu, await (image ??= nestedImage(folder)), 'max', 'vm.threads vm.chip', 2);
    const find = (what: string): unknown => told.find(([name]) => name === what)?.[1];
    expect(find('output')).toMatch(/NESTED-GUEST-IS-UP\s+.*2 CPUs\s+online 0-1\s/);
    const exits = told.filter(([name]) => name === 'exits').map(([, value]) => value as Readonly<Record<string, number>>);
    expect(exits.map(({ 'exits.hlt': halts = 0, 'exits.wrmsr': registers = 0 }) => [halts, registers < 100])).toEqual([[0, true], [0, true]]);
    expect([find('ended'), find('code')]).toEqual(['power-off', 0]);
  });
  itWithOracle(it, hasApt() ? 'qemu-system-x86_64' : 'apt-get', 'is the same as the software engine exit by exit, and boots a kernel to its shell in the machine\'s thread', async (qemu) => {
    const told = await runNested(qemu, await (image ??= nestedImage(folder)), 'qemu64,+svm', 'vm.chip');
    const find = (what: string): unknown => told.find(([name]) => name === what)?.[1];
    const records = told.filter(([name]) => name === 'record').map(([, value]) => value as readonly [string, EngineMode, readonly string[]]);
    expect(records.length).toBeGreaterThan(0);
    for (const [name, mode, lines] of records) {
      const program = ENGINE_PROGRAMS.find((one) => one.name === name)!;
      expect([name, mode, firstParting(await recordProgram(wasmEngine(find('processor') as KvmEngineOptions), program, mode), lines)]).toEqual([name, mode, null]);
    }
    expect(find('output')).toContain('NESTED-GUEST-IS-UP');
    expect([find('ended'), find('code')]).toEqual(['power-off', 0]);
  });
});
