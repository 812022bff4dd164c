import { availableParallelism } from 'node:os';
import type { Capability, Device, DeviceContext, DeviceManifest } from '../abi.ts';
import type { DeviceSpec } from '../device-spec.ts';
import { VmError } from '../errors.ts';
import { DeviceWorker, type WorkerLimits } from './device-worker.ts';
import { RemoteServices } from './remote-services.ts';

/** Where a worker finds a device: an export of an ES module. */
export interface IsolatedModule {
  readonly url: URL | string;
  readonly export: string;
  /** Second argument of its `create`, as structured cloning copies it. */
  readonly config?: unknown;
}
export interface IsolationOptions extends Partial<WorkerLimits> {}

/** Not an interrupt controller: it answers the processor in the middle of its acknowledge cycle. */
const OFFERED: readonly Capability[] = ['pio', 'mmio', 'lines', 'msi', 'clock', 'dma', 'host', 'pci'];
const LIMITS: WorkerLimits = { answerMs: 5000, startMs: 30_000, hookMs: 60_000, heapMiB: 64 };

/**
 * A device in a worker of its own: its code never runs in this thread, and a worker that hangs, crashes or uses up its heap is cut off
 * like a device that throws. For Node.js. `manifest` is what was agreed to: a module with another one is refused.
 */
export function isolatedDevice(name: string, manifest: DeviceManifest, module: IsolatedModule, options: IsolationOptions = {}): DeviceSpec {
  const refused = manifest.needs.filter((need) => !OFFERED.includes(need));
  if (refused.length > 0) throw new VmError('E_CAPABILITY', `${name}: ${manifest.id} needs ${refused.join(', ')}, which a device in a worker cannot have`, { device: name });
  const limits = { ...LIMITS, ...options };
  return { name, manifest, create: (ctx, fail) => createRemote(name, manifest, module, limits, ctx, fail) };
}

type Hook = 'powerUp' | 'load' | 'start' | 'stop' | 'save' | 'powerDown' | 'tearDown';

function createRemote(name: string, manifest: DeviceManifest, module: IsolatedModule, limits: WorkerLimits, ctx: DeviceContext<Capability>, fail: (where: string, error: unknown) => void): Device {
  const spins = availableParallelism() > 1 ? 2000 : 0;
  const worker = new DeviceWorker({ name, manifest, url: String(module.url), export: module.export, config: module.config, spins }, limits, fail);
  worker.serve(new RemoteServices(ctx, worker));
  let hooks: readonly string[];
  try {
    hooks = worker.create();
  } catch (error) {
    void worker.end();
    throw error;
  }
  const has = (hook: Hook): boolean => hooks.includes(hook);
  return {
    ...(has('powerUp') ? { powerUp: (why) => worker.hook({ kind: 'hook', hook: 'powerUp', why }) } : {}),
    ...(has('load') ? { load: (state, version) => worker.load(state, version) } : {}),
    ...(has('start') ? { start: () => void worker.hook({ kind: 'hook', hook: 'start' }) } : {}),
    ...(has('save') ? { save: () => worker.save() } : {}),
    ...(has('powerDown') ? { powerDown: () => worker.hook({ kind: 'hook', hook: 'powerDown' }) } : {}),
    stop: async () => {
      if (has('stop')) await worker.hook({ kind: 'hook', hook: 'stop' });
    },
    tearDown: async () => {
      try {
        await worker.hook({ kind: 'hook', hook: 'tearDown' });
      } finally {
        await worker.end();
      }
    },
  } satisfies Device;
}
