import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const under = (folder: string): string[] => readdirSync(join(ROOT, folder)).map((name) => `${folder}/${name}`);
const sourcesOf = (folder: string): string[] => readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter((file) => /\.[jt]s$/.test(file) && !/\.test\.[jt]s$/.test(file) && !/node_modules|dist/.test(file)).map((file) => `${folder}/${file}`);

const FOLDERS = [...under('packages/devices'), 'packages/virtio', 'packages/pci', 'packages/apic', ...under('examples/plug-ins')];
const SECTIONS = ['What it models', 'Configuration', 'Registers', 'Threats', 'State history'];

interface Found {
  readonly id: string;
  readonly state: number;
}
/** What the manifests in the sources of a folder say. */
function devicesOf(folder: string): readonly Found[] {
  return sourcesOf(folder).flatMap((file) => Array.from(read(file).matchAll(/manifest: \{ abi: 1, id: '([^']+)', version: '[^']+', state: (\d+)/g), ([, id, state]) => ({ id: id!, state: Number(state) })));
}

describe('the README of a device', () => {
  it.each(FOLDERS)('%s: has what it models, its configuration, registers and threats, and each state that it writes', (folder) => {
    const readme = read(`${folder}/README.md`);
    const titles = Array.from(readme.matchAll(/^## (.*)$/gm), ([, title]) => title!);
    const places = SECTIONS.map((section) => titles.findIndex((title) => title.startsWith(section)));
    expect([Math.min(...places) >= 0, places]).toEqual([true, places.toSorted((a, b) => a - b)]);
    const history = readme.slice(readme.indexOf('## State history'));
    const devices = devicesOf(folder);
    expect(devices.length).toBeGreaterThan(0);
    for (const { id, state } of devices) {
      if (state === 0) continue;
      const row = devices.filter((one) => one.state > 0).length === 1 ? new RegExp(`^\\| (\`${id}\` \\| )?${state} \\|`, 'm') : new RegExp(`^\\| \`(${id}|${camel(id)})\` \\| ${state} \\|`, 'm');
      expect(history, `${id} writes state ${state}`).toMatch(row);
    }
  });
});

describe('core', () => {
  it('names no device: one more is a line of the machine that has it, and none of core (DEV-01)', () => {
    const ids = FOLDERS.flatMap(devicesOf).map(({ id }) => id);
    expect(ids.length).toBeGreaterThan(15);
    for (const file of sourcesOf('packages/core/src')) {
      const text = read(file);
      for (const id of ids) expect(text.includes(id), `${file} names ${id}`).toBe(false);
      expect(text.match(/from '@vm\/(?!core)[^']*'/), file).toBeNull();
    }
  });
});

/** vm.virtio-blk is virtioBlk in the code. */
function camel(id: string): string {
  return id.replace(/^[^.]*\./, '').replaceAll(/-(\w)/g, (_dash, letter: string) => letter.toUpperCase());
}
