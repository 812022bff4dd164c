// The packages of this workspace, as the checks see them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT } from './bootstrap.mjs';

const FOLDERS = ['packages', 'packages/devices', 'examples'];

/** `{ folder, manifest }` of every package, folder relative to the root. */
export function listPackages() {
  const found = [];
  for (const parent of FOLDERS) {
    for (const name of existsSync(join(ROOT, parent)) ? readdirSync(join(ROOT, parent)).sort() : []) {
      const file = join(ROOT, parent, name, 'package.json');
      if (existsSync(file)) found.push({ folder: join(parent, name), manifest: JSON.parse(readFileSync(file, 'utf8')) });
    }
  }
  return found;
}

/** Source files under a folder, relative to the root. */
export function listSources(folder) {
  const found = [];
  const walk = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name === 'dist') continue;
      if (entry.isDirectory()) walk(join(path, entry.name));
      else if (/\.(ts|mts|mjs)$/.test(entry.name)) found.push(relative(ROOT, join(path, entry.name)));
    }
  };
  if (existsSync(join(ROOT, folder))) walk(join(ROOT, folder));
  return found.sort();
}

export function isTest(file) {
  return /\.test\.(ts|mjs)$/.test(file);
}

export function readSource(file) {
  return readFileSync(join(ROOT, file), 'utf8');
}
