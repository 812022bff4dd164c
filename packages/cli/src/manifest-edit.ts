import { writeWhole } from './host-file.ts';
import type { ManifestDevice, ManifestFile, VmManifest } from './machine-manifest.ts';

type Devices = readonly ManifestDevice[];

/** Writes a vm.json anew with another list of devices in one machine; everything else stays, in its order. */
export function writeDevices(file: ManifestFile, machine: string, change: (devices: Devices) => Devices): ManifestFile {
  const { manifest } = file;
  const before = manifest.machines[machine]!;
  const changed: VmManifest = { ...manifest, machines: { ...manifest.machines, [machine]: { ...before, devices: change(before.devices ?? []) } } };
  writeWhole(file.file, `${JSON.stringify(changed, null, 2)}\n`);
  return { ...file, manifest: changed };
}
