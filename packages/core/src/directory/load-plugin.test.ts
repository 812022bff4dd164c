import { appendFileSync, mkdtempSync, readdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeLamp, writeFakePlugin } from './fake-plugin.ts';
import { loadPlugin } from './load-plugin.ts';
import { type DevicePlugin, readDescription } from './scan.ts';

let root = '';
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'vm-load-'))));
afterEach(() => rmSync(root, { recursive: true }));

async function plugin(files: Readonly<Record<string, string>>, changes: Readonly<Record<string, unknown>> = {}): Promise<DevicePlugin> {
  const read = await readDescription(writeFakePlugin(join(root, 'lamp'), files, changes));
  expect(read).toHaveProperty('digest');
  return read as DevicePlugin;
}
const load = async (files: Readonly<Record<string, string>>, changes: Readonly<Record<string, unknown>> = {}): Promise<unknown> => loadPlugin(await plugin(files, changes));

describe('loadPlugin', () => {
  it('imports the entry and what it imports, from bytes whose digests were compared', async () => {
    const module = await load({ 'lamp.js': fakeLamp().replace('export', "import { port } from './parts/port.js';\nexport").replace('0x80', 'port'), 'parts/port.js': 'export const port = 0x80;' });
    expect(module).toMatchObject({ manifest: { id: 'example.lamp' } });
  });

  it('a file that is not listed cannot be imported', async () => {
    writeFakePlugin(join(root, 'lamp'), { 'hidden.js': 'export const port = 1;' });
    await expect(load({ 'lamp.js': `import './hidden.js';${fakeLamp()}` })).rejects.toMatchObject({ code: 'E_PLUGIN' });
  });

  it('a byte that changed is refused before anything runs, with the names of plug-in and file', async () => {
    const lamp = await plugin({ 'lamp.js': fakeLamp() });
    appendFileSync(join(root, 'lamp/lamp.js'), ' ');
    await expect(loadPlugin(lamp)).rejects.toMatchObject({ code: 'E_INTEGRITY', message: expect.stringMatching(/^example\.lamp@1\.0\.0: [^\n]*\n {2}lamp\.js: expected sha256-[0-9a-f]{64}, got sha256-/) });
    unlinkSync(join(root, 'lamp/lamp.js'));
    await expect(loadPlugin(lamp)).rejects.toThrow('lamp.js: there is no such file (rule missing)');
    symlinkSync('/etc/passwd', join(root, 'lamp/lamp.js'));
    await expect(loadPlugin(lamp)).rejects.toThrow('lamp.js: lamp.js is a symbolic link (rule link)');
  });

  it('a description that changed after the scan is refused', async () => {
    const lamp = await plugin({ 'lamp.js': fakeLamp() });
    writeFileSync(join(root, 'lamp/device.json'), '{}');
    await expect(loadPlugin(lamp)).rejects.toThrow('device.json: it has changed since it was read');
  });

  it('a symbolic link among the folders of a file is refused', async () => {
    const lamp = await plugin({ 'lamp.js': fakeLamp(), 'parts/port.js': '' });
    rmSync(join(root, 'lamp/parts'), { recursive: true });
    symlinkSync(root, join(root, 'lamp/parts'));
    await expect(loadPlugin(lamp)).rejects.toThrow('parts/port.js: parts is a symbolic link (rule link)');
  });

  it('code that throws at import, exports something else, or says something else of itself is refused with its name', async () => {
    await expect(load({ 'lamp.js': "throw new Error('no');" })).rejects.toThrow('example.lamp@1.0.0: importing lamp.js failed: no');
    await expect(load({ 'lamp.js': 'export const (' })).rejects.toThrow('example.lamp@1.0.0: importing lamp.js failed');
    await expect(load({ 'lamp.js': fakeLamp().replace('export const lamp', 'export const other') })).rejects.toThrow('lamp.js exports no device module named lamp');
    await expect(load({ 'lamp.js': fakeLamp({ needs: ['pio', 'dma'] }) })).rejects.toThrow('example.lamp@1.0.0: needs is dma, pio in its code and pio in its device.json');
    await expect(load({ 'lamp.js': fakeLamp({ id: 'example.other' }) })).rejects.toThrow('id is example.other in its code and example.lamp in its device.json');
    await expect(load({ 'lamp.js': fakeLamp() }, { abi: 999 })).rejects.toMatchObject({ code: 'E_ABI' });
  });

  it('leaves nothing behind', async () => {
    const { TMPDIR } = process.env;
    process.env['TMPDIR'] = root;
    try {
      await load({ 'lamp.js': fakeLamp() });
      await expect(load({ 'lamp.js': 'throw 1' })).rejects.toThrow();
    } finally {
      if (TMPDIR === undefined) delete process.env['TMPDIR'];
      else process.env['TMPDIR'] = TMPDIR;
    }
    expect(readdirSync(root)).toEqual(['lamp']);
  });
});
