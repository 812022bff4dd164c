import { resolve } from 'node:path';
import type { SnapshotSink } from '@vm/core/snapshot';
import type { Guest } from '@vm/pc';
import type { ControlRequest } from './control-socket.ts';
import type { KeyOrigin } from './disk-descriptor.ts';
import { keySource } from './disk-opener.ts';
import { unattendedKey, workOnDisks } from './machine-disk-work.ts';
import type { MachineHotPlug } from './machine-hot-plug.ts';
import type { MachineVcpu } from './machine-vcpu.ts';
import { PAGE_CODEC, writeSnapshotFile } from './snapshot-file.ts';
import { describeOrigin } from './snapshot-origin.ts';
import { SwitchedVcpu } from './switched-engine.ts';
import { UsageError } from './usage-error.ts';

export interface MachineControlServices {
  readonly guest: Guest<MachineVcpu>;
  /** Absent: nobody could put the machine together again. */
  readonly hotPlug: MachineHotPlug | null;
  /** Of the saved machine that this one goes on with. */
  readonly instance: string | null;
  quit(): void;
}

export const CONTROL_COMMANDS = ['pause', 'resume', 'snapshot', 'counters', 'quit', 'devices', 'add', 'remove', 'disk', 'engine', 'screenshot'] as const;
export type ControlCommand = (typeof CONTROL_COMMANDS)[number];

/** What a control socket can have a running machine do. */
export class MachineControl {
  #release: (() => void) | null = null; // of a pause
  readonly #services: MachineControlServices;

  constructor(services: MachineControlServices) {
    this.#services = services;
  }

  /** Throws UsageError for what cannot be done. */
  async handle(request: ControlRequest): Promise<unknown> {
    const { guest } = this.#services;
    switch (request.command as ControlCommand) {
      case 'pause':
        this.#release ??= guest.hold();
        await guest.standing();
        return { nanos: guest.machine.clock.now(), instructions: guest.machine.retired };
      case 'resume':
        this.#release?.();
        this.#release = null;
        return null;
      case 'snapshot': return this.#save(request['file'], unattendedKey(request['key']));
      case 'counters': return guest.machine.counters.read();
      case 'quit':
        setImmediate(() => this.#services.quit()); // after the answer
        return null;
      case 'devices': return this.#hotPlug(request.command).list();
      case 'add': return this.#hotPlug(request.command).add(request);
      case 'remove': return this.#hotPlug(request.command).remove(request);
      case 'disk': return workOnDisks(this.#hotPlug(request.command).live, request);
      case 'engine': return this.#move(request['engine']);
      case 'screenshot': throw new UsageError('screenshot: this machine has no display, and its console is text');
      default: throw new UsageError(`unknown command ${JSON.stringify(request.command)}; there are ${CONTROL_COMMANDS.join(', ')}`);
    }
  }

  /** To the engine of that name, or none: which it is. */
  async #move(to: unknown): Promise<unknown> {
    const { guest } = this.#services;
    const { vcpu } = guest.machine;
    if (!(vcpu instanceof SwitchedVcpu)) throw new UsageError('engine: a machine with --clock virtual stays with its engine');
    if (to === undefined) return { engine: vcpu.group.name };
    if (to !== 'wasm' && to !== 'kvm') throw new UsageError(`engine: expected wasm or kvm, got ${JSON.stringify(to)}`);
    const begin = performance.now();
    const release = guest.hold();
    try {
      await guest.standing();
      vcpu.group.move(to);
    } catch (error) {
      throw new UsageError(`engine: ${(error as Error).message}`, { cause: error });
    } finally {
      release();
    }
    return { engine: vcpu.group.name, milliseconds: Math.round(performance.now() - begin) };
  }

  #hotPlug(command: string): MachineHotPlug {
    const { hotPlug } = this.#services;
    if (hotPlug === null) throw new UsageError(`${command}: devices cannot come and go while this machine runs`);
    return hotPlug;
  }

  async #save(file: unknown, key: KeyOrigin | undefined): Promise<unknown> {
    const { guest, hotPlug, instance } = this.#services;
    if (typeof file !== 'string' || file === '') throw new UsageError('snapshot: expected a file');
    if (hotPlug === null) throw new UsageError('snapshot: this machine was not made by vm boot, which could not make it again');
    const path = resolve(file);
    const keys = key === undefined ? null : keySource(key);
    const begin = performance.now();
    const ahead = await guest.machine.packAhead(PAGE_CODEC);
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    // The disks are looked at while the machine stands still.
    const stands = performance.now();
    const release = guest.hold();
    let standing: number;
    try {
      await guest.standing();
      const save = (sink: SnapshotSink): Promise<void> => guest.save((piece) => ((bytes += piece.length), sink(piece)), { codec: PAGE_CODEC, about: describeOrigin(hotPlug.origin, instance), ahead });
      // What is packed already is in memory anyway, and needs nobody to stand still until it is written.
      const work = (): Promise<void> => (ahead === null ? writeSnapshotFile(path, save, keys) : save((piece) => void pieces.push(piece)));
      await [...hotPlug.live.values()].reduce<() => Promise<void>>((rest, disk) => () => disk.quietly(rest), work)();
    } finally {
      release();
      standing = performance.now() - stands;
      ahead?.close();
    }
    if (ahead !== null) await writeSnapshotFile(path, async (sink) => { for (const piece of pieces) await sink(piece); }, keys);
    // Also with encrypted disks: what the guest has read of them is in its memory.
    return { file: path, bytes, encrypted: key !== undefined, milliseconds: Math.round(performance.now() - begin), standingMilliseconds: Math.round(standing), ...(ahead === null ? {} : { pagesWhileStanding: ahead.standing }) };
  }
}
