import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DeviceManifest } from '../abi.ts';
import { ABI, type DeviceSpec } from '../device-spec.ts';
import type { PropertyValue } from '../directory/description.ts';
import { readPluginFiles } from '../directory/load-plugin.ts';
import { restrict } from '../directory/plugin-spec.ts';
import { writePrivateCopy } from '../directory/private-copy.ts';
import type { ResourceClaim } from '../directory/resources.ts';
import { type DevicePlugin, nameOf } from '../directory/scan.ts';
import { VmError } from '../errors.ts';
import { isolatedDevice, type IsolationOptions } from './isolated-device.ts';

/**
 * A plug-in of a directory as a device in a worker, with the resources of its description and no others. None of its code runs in this
 * thread: what is known of it is its description, and a module that says something else of itself is refused. Throws VmError E_INTEGRITY,
 * E_ABI or E_CAPABILITY.
 */
export async function isolatedPlugin(name: string, plugin: DevicePlugin, values: Readonly<Record<string, PropertyValue>>, claims: readonly ResourceClaim[], options: IsolationOptions = {}): Promise<DeviceSpec> {
  const { abi, id, version, state, oldestState, needs, entry, export: exported } = plugin.description;
  if (abi !== ABI) throw new VmError('E_ABI', `${nameOf(plugin)} is made for ABI ${abi}, this is ABI ${ABI}`);
  const files = await readPluginFiles(plugin);
  const manifest: DeviceManifest = { abi, id, version, state, needs, ...(oldestState === undefined ? {} : { oldestState }), ...(plugin.description.hotPluggable === true ? { wants: ['hot-remove'] } : {}) };
  const spec = (folder: string): DeviceSpec => isolatedDevice(name, manifest, { url: pathToFileURL(join(folder, ...entry.split('/'))), export: exported, config: values }, options);
  return {
    ...spec(''), // refuses what cannot be, before anything is written
    create: (ctx, fail) => {
      const folder = writePrivateCopy(files);
      try {
        return spec(folder).create(restrict(ctx, claims), fail);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}
