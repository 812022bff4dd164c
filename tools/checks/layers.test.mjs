import { describe, expect, it } from 'vitest';
import { checkManifests } from './layers.mjs';

const core = { name: '@vm/core', vm: { layer: 0 } };
const apic = { name: '@vm/apic', vm: { layer: 1 }, dependencies: { '@vm/core': '*' } };
const uart = { name: '@vm/device-uart', vm: { layer: 2 }, dependencies: { '@vm/core': '*', '@vm/apic': '*' } };
const kit = { name: '@vm/testkit', vm: { layer: 'tool' }, dependencies: { '@vm/core': '*', '@vm/apic': '*' } };

describe('the layers of package.json files', () => {
  it('accepts dependencies that point downwards', () => {
    expect(checkManifests([core, apic, uart, kit])).toEqual([]);
  });

  it('refuses a device that depends on a device, and a model that depends on a model', () => {
    const second = { name: '@vm/device-second', vm: { layer: 2 }, dependencies: { '@vm/device-uart': '*' } };
    const model = { name: '@vm/model', vm: { layer: 1 }, dependencies: { '@vm/apic': '*' } };
    expect(checkManifests([core, apic, uart, second, model])).toEqual([
      '@vm/device-second (layer 2) may not depend on @vm/device-uart (layer 2)',
      '@vm/model (layer 1) may not depend on @vm/apic (layer 1)',
    ]);
  });

  it('refuses tools at run time, and packages from outside below layer 2 unless they are declared', () => {
    const bad = { name: '@vm/bad', vm: { layer: 1 }, dependencies: { '@vm/testkit': '*', lodash: '*' } };
    const good = { name: '@vm/good', vm: { layer: 1, externals: ['noble'] }, dependencies: { noble: '*' } };
    expect(checkManifests([core, apic, kit, bad, good])).toEqual(['@vm/bad (layer 1) may not depend on @vm/testkit (layer tool)', '@vm/bad: layer 1 may not depend on lodash']);
  });

  it('refuses a package without a layer', () => {
    expect(checkManifests([{ name: '@vm/lost' }])).toHaveLength(1);
  });
});
