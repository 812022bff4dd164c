import type { BlockBackend } from './abi.ts';
import type { DeviceSpec } from './device-spec.ts';
import { VmError } from './errors.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { RunLoop } from './run-loop.ts';

/** What of a machine takes part when a device comes or goes. */
export interface ChangedParts {
  readonly lifecycle: Lifecycle;
  readonly loop: RunLoop;
  readonly blocks: Record<string, BlockBackend>;
  /** It has come to a stop by itself. */
  hasEnded(): boolean;
}

/** Devices that come to a machine and go from it, one after the other. The processor stands meanwhile, all other devices stay as they are. */
export class DeviceChanges {
  #underWay: Promise<void> | null = null;
  #ran = false; // before the first of those that are under way
  readonly #lent = new Map<string, readonly string[]>(); // back ends that came with a device, by its name
  readonly #parts: ChangedParts;

  constructor(parts: ChangedParts) {
    this.#parts = parts;
  }

  /** Resolves when nothing comes or goes any more; null: nothing does. */
  get underWay(): Promise<void> | null { return this.#underWay; }

  add(spec: DeviceSpec, lent: Readonly<Record<string, BlockBackend>>): Promise<void> {
    return this.#change(async () => {
      const { lifecycle, blocks } = this.#parts;
      const names = Object.keys(lent);
      const taken = names.find((name) => Object.hasOwn(blocks, name));
      if (taken !== undefined) throw new VmError('E_NAME', `${spec.name}: there is a block back end named ${taken}`, { device: spec.name });
      Object.assign(blocks, lent);
      try {
        await lifecycle.add(spec, Object.values(lent));
        this.#lent.set(spec.name, names);
      } catch (error) {
        for (const name of names) delete blocks[name];
        throw error;
      }
    });
  }

  remove(name: string): Promise<void> {
    return this.#change(async () => {
      const { lifecycle, blocks } = this.#parts;
      const names = this.#lent.get(name) ?? [];
      try {
        await lifecycle.remove(name, names.map((one) => blocks[one]!));
      } finally {
        if (!lifecycle.has(name)) {
          this.#lent.delete(name);
          for (const one of names) delete blocks[one];
        }
      }
    });
  }

  /** The processor is parked right here, before anybody is waited for. */
  async #change(work: () => Promise<void>): Promise<void> {
    const { lifecycle, loop, hasEnded } = this.#parts;
    this.#ran ||= loop.started;
    const parked = loop.park();
    const before = this.#underWay;
    const done = (async () => {
      await before;
      await parked;
      if (lifecycle.phase !== 'running') throw new VmError('E_PHASE', `devices come and go while a machine runs or is paused; this one is ${lifecycle.phase}`);
      await work();
    })();
    const settled = done.catch(() => {}).then(() => {
      if (this.#underWay !== settled) return; // the next one goes on
      this.#underWay = null;
      const ran = this.#ran;
      this.#ran = false;
      if (ran && lifecycle.started && !hasEnded()) loop.start();
    });
    this.#underWay = settled;
    await settled;
    return done;
  }
}
