import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from './cli.ts';

const CRC = fileURLToPath(new URL('../../../examples/plug-ins/crc-unit', import.meta.url));
let folder = '';
let printed: string[] = [];
let refused: string[] = [];
const at = (name: string): string => join(folder, name);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vm-devices-'));
  cpSync(CRC, at('devices/crc-unit'), { recursive: true });
  writeFileSync(at('rom'), new Uint8Array(4096));
  writeFileSync(at('vm.json'), JSON.stringify({ abi: 1, directories: ['devices'], boot: { rom: 'rom' }, machines: { main: { ram: '16M' }, other: { ram: '16M' } } }));
  vi.spyOn(console, 'log').mockImplementation((text: string) => void printed.push(text));
  vi.spyOn(console, 'error').mockImplementation((text: string) => void refused.push(text));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** The exit code, and what came on standard output and standard error. */
async function vm(...args: string[]): Promise<[code: number, output: string, errors: string]> {
  printed = [];
  refused = [];
  const code = await runCli(args);
  return [code, printed.join('\n'), refused.join('\n').replaceAll(`${folder}/`, '')];
}
const readJson = (name: string): unknown => JSON.parse(readFileSync(at(name), 'utf8'));
const change = (name: string, what: (text: string) => string): void => writeFileSync(at(name), what(readFileSync(at(name), 'utf8')));
const add = (...more: string[]): Promise<[number, string, string]> => vm('devices', 'add', at('vm.json'), 'example.crc-unit', '--grant', 'mmio', ...more);

describe('vm devices', () => {
  it('adds a device with its whole set of properties, and runs a machine with it', async () => {
    expect((await vm('devices', 'list', at('vm.json')))[1]).toBe('example.crc-unit 1.0.0  Checksums of what the guest writes to it');
    expect(await add('--set', 'base=0xd0001000')).toEqual([0, `${at('vm.json')}: main has crc-unit: example.crc-unit 1.0.0`, '']);
    expect(readJson('vm.json')).toMatchObject({ machines: { main: { devices: [{ name: 'crc-unit', id: 'example.crc-unit', version: '^1.0.0', properties: { base: 0xd000_1000, polynomial: 'crc32' } }] }, other: { ram: '16M' } } });
    expect(await vm('run', at('vm.json'), '--check')).toEqual([0, `${at('vm.json')}: main can run, with crc-unit`, '']);
  });

  it('asks for capabilities, and where nobody can answer says which option gives them', async () => {
    expect(await vm('devices', 'add', at('vm.json'), 'example.crc-unit')).toEqual([2, '', expect.stringContaining('--grant mmio does')]);
    expect(existsSync(at('vm.lock.json'))).toBe(false);
    expect(readJson('vm.json')).toMatchObject({ machines: { main: { ram: '16M' } } });
  });

  it('refuses wrong properties and names by name, and changes nothing', async () => {
    const before = readFileSync(at('vm.json'), 'utf8');
    expect((await add('--set', 'bsae=1'))[2]).toContain('has no property bsae; did you mean base?');
    expect((await add('--set', 'base=1'))[2]).toContain('base: expected 3489660928 to 3758092288, got 1 (rule range)');
    expect((await add('--set', 'polynomial=crc16'))[2]).toContain('polynomial: expected crc32 or crc32c, got "crc16" (rule range)');
    expect((await add('--name', 'X'))[2]).toContain('--name: expected lower-case letters');
    expect((await add('--version', '^2'))[2]).toContain('no version fits ^2; there are 1.0.0');
    expect((await add('--machine', 'othr'))[2]).toContain('there is no machine othr; did you mean other?');
    expect(readFileSync(at('vm.json'), 'utf8')).toBe(before);
  });

  it('finds two devices at one place before either is made, and two with different properties beside each other', async () => {
    await add();
    expect(await add()).toEqual([2, '', 'vm devices: vm.json: /machines/main/devices: crc-unit2 and crc-unit both take memory 0xd0000000 to 0xd000000f (rule conflict)']);
    expect((await add('--set', 'base=0xd0001000', '--set', 'polynomial=crc32c'))[0]).toBe(0);
    expect((await add('--machine', 'other'))[1]).toContain('other has crc-unit');
    expect((await vm('run', at('vm.json'), 'other', '--check'))[1]).toContain('other can run, with crc-unit');
  });

  it('a plug-in that takes a place of the board is refused with the name of the board\'s device', async () => {
    change('devices/crc-unit/device.json', (text) => text.replace('"min": 3489660928', '"min": 0').replace('"max": 3758092288', '"max": 4294963200'));
    expect((await add('--set', 'base=0xfec00000'))[2]).toContain('crc-unit and io-apic both take memory 0xfec00000 to 0xfec0000f');
    expect((await add('--set', 'base=0'))[2]).toContain('crc-unit and ram both take memory 0x0 to 0xf');
  });

  it('takes a device away again', async () => {
    await add();
    expect((await vm('devices', 'remove', at('vm.json'), 'crc-unti'))[2]).toContain('did you mean crc-unit?');
    expect((await vm('devices', 'remove', at('vm.json'), 'crc-unit'))[0]).toBe(0);
    expect(readJson('vm.json')).toMatchObject({ machines: { main: { devices: [] } } });
    expect(readJson('vm.lock.json')).toEqual({ lock: 1, devices: {} });
  });

  it('refuses a file whose bytes have changed, and a description that has', async () => {
    await add();
    change('devices/crc-unit/crc-unit.js', (text) => `${text}// more\n`);
    for (const args of [['run', at('vm.json')], ['run', at('vm.json'), '--check'], ['devices', 'verify', at('vm.json')]]) {
      expect(await vm(...args)).toEqual([2, '', expect.stringMatching(/crc-unit\.js: expected sha256-[0-9a-f]{64}, got sha256-[0-9a-f]{64} \(rule digest\)/)]);
    }
    expect((await vm('devices', 'seal', at('devices/crc-unit')))[0]).toBe(0);
    expect(await vm('run', at('vm.json'), '--check')).toEqual([2, '', expect.stringMatching(/example\.crc-unit@1\.0\.0 in .* has changed: its device\.json had the digest sha256-.*; vm devices verify vm\.json --accept takes it/)]);
    expect((await vm('devices', 'verify', at('vm.json')))[0]).toBe(1);
    expect((await vm('devices', 'verify', at('vm.json'), '--accept'))[0]).toBe(0);
    expect((await vm('run', at('vm.json'), '--check'))[0]).toBe(0);
  });

  it('a list of capabilities that has grown asks again', async () => {
    await add();
    change('devices/crc-unit/device.json', (text) => text.replace('"needs": ["mmio"]', '"needs": ["mmio", "dma"]').replace('"version": "1.0.0"', '"version": "1.1.0"'));
    expect((await vm('run', at('vm.json'), '--check'))[2]).toContain('example.crc-unit@1.1.0 in devices/crc-unit needs more than was agreed to: dma; vm devices verify vm.json --accept takes it, and asks');
    expect(await vm('devices', 'verify', at('vm.json'), '--accept')).toEqual([2, '', expect.stringContaining('example.crc-unit@1.1.0 wants capabilities that nobody has agreed to; --grant dma does')]);
    expect((await vm('devices', 'verify', at('vm.json'), '--accept', '--grant', 'dma'))[0]).toBe(0);
    expect(readJson('vm.lock.json')).toMatchObject({ devices: { 'example.crc-unit@1.1.0': { needs: ['dma', 'mmio'] } } });
  });

  it('properties that were chosen stay when the directory has other defaults later', async () => {
    await add();
    change('devices/crc-unit/device.json', (text) => text.replace('"default": "crc32"', '"default": "crc32c"'));
    await vm('devices', 'verify', at('vm.json'), '--accept');
    expect(readJson('vm.json')).toMatchObject({ machines: { main: { devices: [{ properties: { polynomial: 'crc32' } }] } } });
  });

  it('a list that somebody wrote by hand gets its properties and its lock from verify --accept', async () => {
    change('vm.json', (text) => text.replace('"main":{"ram":"16M"', '"main":{"ram":"16M","devices":[{"name":"crc","id":"example.crc-unit"}]'));
    expect((await vm('run', at('vm.json'), '--check'))[2]).toContain('example.crc-unit@1.0.0 in devices/crc-unit is new; it needs mmio');
    expect((await vm('devices', 'verify', at('vm.json'), '--accept', '--grant', 'all'))[0]).toBe(0);
    expect(readJson('vm.json')).toMatchObject({ machines: { main: { devices: [{ name: 'crc', properties: { base: 0xd000_0000, polynomial: 'crc32' } }] } } });
    expect((await vm('run', at('vm.json'), '--check'))[0]).toBe(0);
  });

  it('tells of folders that cannot be used, and of plug-ins that are not there', async () => {
    writeFileSync(at('devices/crc-unit/device.json'), '{"__proto__": 1}');
    expect(await vm('devices', 'list', at('vm.json'))).toEqual([1, 'no plug-ins', 'vm devices: devices/crc-unit/device.json: /__proto__: this name is not allowed (rule name)']);
    change('vm.json', (text) => text.replace('"main":{', '"main":{"devices":[{"name":"crc","id":"example.crc-unit"}],'));
    expect((await vm('run', at('vm.json')))[2]).toBe('vm run: vm.json: /machines/main/devices/0/id: no device directory has a plug-in example.crc-unit; there are none; 1 folder cannot be used: vm devices list vm.json (rule plug-in)');
  });
});
