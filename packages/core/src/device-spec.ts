import type { Capability, Device, DeviceContext, DeviceManifest, DeviceModule } from './abi.ts';
import { VmError } from './errors.ts';

export const ABI = 1;
const NAME = /^[a-z][a-z0-9-]{0,31}$/;

/** One device of a composition: an instance name, and a module with its configuration. Made by `device`. */
export interface DeviceSpec {
  readonly name: string;
  readonly manifest: DeviceManifest;
  /** `fail`: how what stands for a device elsewhere tells that it is no more, outside of its handlers, timers and hooks. */
  create(ctx: DeviceContext<Capability>, fail: (where: string, error: unknown) => void): Device;
}

/** Puts a device into a composition; `config` is what its module asks for. */
export function device<Config, C extends Capability>(
  name: string,
  module: DeviceModule<Config, C>,
  ...config: void extends Config ? [] : [config: Config]
): DeviceSpec {
  return { name, manifest: module.manifest, create: (ctx) => module.create(ctx, config[0] as Config) };
}

/** Refuses a device before any of its code runs. */
export function checkSpec({ name, manifest }: DeviceSpec, taken: ReadonlySet<string>, offered: ReadonlySet<string>): void {
  if (!NAME.test(name)) throw new VmError('E_NAME', `device name: expected lower-case letters, digits and dashes, got "${name}"`, { device: name });
  if (taken.has(name)) throw new VmError('E_NAME', `there are two devices named ${name}`, { device: name });
  if (manifest.abi !== ABI) throw new VmError('E_ABI', `${name}: ${manifest.id} is made for ABI ${manifest.abi as number}, this is ABI ${ABI}`, { device: name });
  const missing = manifest.needs.filter((need) => !offered.has(need));
  if (missing.length > 0) throw new VmError('E_CAPABILITY', `${name}: ${manifest.id} needs ${missing.join(', ')}, which this machine has not`, { device: name });
}

/** State that can be saved but not loaded, or the reverse, would only be found out on the day it is needed. */
export function checkHooks({ name, manifest }: DeviceSpec, made: Device): void {
  const complete = made.save !== undefined && made.load !== undefined;
  const absent = made.save === undefined && made.load === undefined;
  if (manifest.state > 0 ? complete : absent) return;
  throw new VmError('E_MANIFEST', `${name}: state version ${manifest.state} expects ${manifest.state > 0 ? 'save and load' : 'neither save nor load'}`, { device: name });
}
