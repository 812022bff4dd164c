import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fakeLamp, writeFakePlugin } from './fake-plugin.ts';
import { findPlugin, nameOf, scanDirectories } from './scan.ts';

let root = '';
beforeEach(() => void (root = mkdtempSync(join(tmpdir(), 'vm-scan-'))));
afterEach(() => rmSync(root, { recursive: true }));
const at = (...parts: string[]): string => join(root, ...parts);

describe('scanDirectories', () => {
  it('lists a plug-in that was dropped into the directory, and runs no code of it', async () => {
    const global = globalThis as { scanned?: boolean };
    writeFakePlugin(at('lamp'), { 'lamp.js': 'globalThis.scanned = true; process.exit(1);' });
    mkdirSync(at('notes'));
    writeFileSync(at('README.md'), 'no folder');
    const { plugins, problems } = await scanDirectories([root]);
    expect(plugins.map(nameOf)).toEqual(['example.lamp@1.0.0']);
    expect(problems).toEqual([]);
    expect(global.scanned).toBe(undefined);
  });

  it('one hostile description is told with file, path and rule, and the others are listed', async () => {
    writeFakePlugin(at('good'), { 'lamp.js': fakeLamp() });
    writeFakePlugin(at('entry'), { 'lamp.js': fakeLamp() }, { entry: '../../../etc/passwd' });
    for (const name of ['deep', 'huge', 'link', 'fifo', 'proto', 'folder', 'text']) mkdirSync(at(name));
    writeFileSync(at('deep', 'device.json'), `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`);
    writeFileSync(at('huge', 'device.json'), '');
    truncateSync(at('huge', 'device.json'), 2 ** 31);
    symlinkSync('/etc/passwd', at('link', 'device.json'));
    writeFileSync(at('proto', 'device.json'), '{"__proto__": {"id": "example.x"}}');
    mkdirSync(at('folder', 'device.json'));
    writeFileSync(at('text', 'device.json'), 'not JSON');
    symlinkSync(at('good'), at('linked-folder'));
    const { plugins, problems } = await scanDirectories([root]);
    expect(plugins.map(({ folder }) => folder)).toEqual([at('good')]);
    expect(problems.map(({ file, path, rule }) => [file, path, rule])).toEqual([
      [at('deep', 'device.json'), '', 'depth'],
      [at('entry', 'device.json'), '/entry', 'pattern'],
      [at('folder', 'device.json'), '', 'file'],
      [at('huge', 'device.json'), '', 'size'],
      [at('link', 'device.json'), '', 'link'],
      [at('proto', 'device.json'), '/__proto__', 'name'],
      [at('text', 'device.json'), '', 'json'],
    ]);
    expect(({} as { id?: string }).id).toBe(undefined);
  });

  it('says which directory is not there', async () => {
    await expect(scanDirectories([at('none')])).rejects.toThrow(`device directory ${at('none')}: there is no such folder`);
  });
});

describe('findPlugin', () => {
  it('takes the newest version that fits, or the one that was taken before', async () => {
    for (const version of ['1.0.0', '1.10.0', '1.9.0', '2.0.0']) writeFakePlugin(at(version), { 'lamp.js': fakeLamp() }, { version });
    const { plugins } = await scanDirectories([root]);
    expect(nameOf(findPlugin(plugins, 'example.lamp', '^1'))).toBe('example.lamp@1.10.0');
    expect(nameOf(findPlugin(plugins, 'example.lamp', '^1', new Set(['example.lamp@1.9.0'])))).toBe('example.lamp@1.9.0');
    expect(() => findPlugin(plugins, 'example.lamp', '^3')).toThrow('example.lamp: no version fits ^3; there are 2.0.0, 1.10.0, 1.9.0, 1.0.0');
    expect(() => findPlugin(plugins, 'example.lamb', '*')).toThrow('no device directory has a plug-in example.lamb; there are example.lamp');
    expect(() => findPlugin(plugins, 'example.lamp', 'new')).toThrow('expected a version');
  });

  it('does not choose between two folders that say they are the same', async () => {
    for (const folder of ['a', 'b']) writeFakePlugin(at(folder), { 'lamp.js': fakeLamp() });
    const { plugins, problems } = await scanDirectories([root]);
    expect(problems).toMatchObject([{ file: at('b', 'device.json'), path: '/version', rule: 'unique' }]);
    expect(() => findPlugin(plugins, 'example.lamp', '*')).toThrow(`is in two folders: ${at('a')} and ${at('b')}`);
  });
});
