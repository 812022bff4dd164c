// Who may import whom. Layer 0 imports nothing; layer 1 imports layer 0 and the pairs below; layer 2 (engines and devices)
// imports layers 0 and 1 and never its like; layer 3 imports anything below and beside it; tools are for tests only.
import { join } from 'node:path';
import { isTest, listPackages, listSources, readSource } from '../workspace.mjs';

const PAIRS = ['@vm/virtio -> @vm/pci'];

export function checkLayers() {
  const packages = listPackages();
  const problems = [...checkManifests(packages.map(({ manifest }) => manifest)), ...packages.flatMap(checkImports)];
  return [{ name: 'layers', problems }];
}

/** The dependencies that package.json files declare. */
export function checkManifests(manifests) {
  const byName = new Map(manifests.map((manifest) => [manifest.name, manifest]));
  const problems = [];
  for (const manifest of manifests) {
    const from = manifest.vm?.layer;
    if (![0, 1, 2, 3, 'tool'].includes(from)) problems.push(`${manifest.name}: "vm": { "layer": 0 to 3 or "tool" } is missing`);
    for (const name of runtimeDependencies(manifest)) {
      const to = byName.get(name);
      if (to === undefined) {
        if (from < 2 && !(manifest.vm?.externals ?? []).includes(name)) problems.push(`${manifest.name}: layer ${from} may not depend on ${name}`);
      } else if (!mayImport(from, to.vm?.layer) && !PAIRS.includes(`${manifest.name} -> ${name}`)) {
        problems.push(`${manifest.name} (layer ${from}) may not depend on ${name} (layer ${to.vm?.layer})`);
      }
    }
  }
  return problems;
}

function mayImport(from, to) {
  if (to === 'tool') return false;
  if (from === 'tool') return to < 3;
  return from === 3 ? to <= 3 : to < from;
}

function runtimeDependencies(manifest) {
  return Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies, ...manifest.optionalDependencies });
}

const IMPORT = /^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm;

/** What the sources really import. */
function checkImports({ folder, manifest }) {
  const problems = [];
  const declared = new Set(runtimeDependencies(manifest));
  const pure = manifest.vm?.layer < 2 || manifest.name.startsWith('@vm/device-');
  const nodeFiles = new Set((manifest.vm?.nodeEntries ?? []).map((file) => join(folder, file)));
  for (const file of listSources(join(folder, 'src'))) {
    if (isTest(file)) continue;
    for (const [, typeOnly, specifier] of readSource(file).matchAll(IMPORT)) {
      if (specifier.startsWith('.') || specifier.startsWith('#')) continue; // its own files
      if (specifier.startsWith('node:')) {
        if (pure && !nodeFiles.has(file)) problems.push(`${file} imports ${specifier}; it has to run without Node.js`);
        continue;
      }
      const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
      if (!declared.has(name)) problems.push(`${file} imports ${name}, which its package does not declare`);
      if (name === '@vm/core' && specifier !== '@vm/core/exit' && typeOnly === undefined && (manifest.vm?.layer === 1 || manifest.vm?.layer === 2)) {
        problems.push(`${file} imports ${specifier} at run time; plug-ins use "import type"`);
      }
    }
  }
  return problems;
}
