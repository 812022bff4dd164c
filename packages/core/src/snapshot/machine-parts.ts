import type { Plain } from '../abi.ts';
import type { MachineClock } from '../clock.ts';
import type { Engine, InterruptFabric } from '../engine.ts';
import { VmError } from '../errors.ts';
import type { DeviceState } from '../lifecycle.ts';
import type { Processors } from '../processor-turns.ts';
import type { MachineRam } from '../ram.ts';
import type { PagesAhead } from './pages-ahead.ts';
import { piecesOf, readPages } from './ram-pages.ts';
import { type PageCodec, type SavedMachine, type SnapshotSink, SnapshotWriter } from './saved-machine.ts';

export interface SaveOptions {
  readonly codec?: PageCodec; // default: pages as they are, without those that are all zeros
  readonly about?: Plain; // comes back from `readSnapshot`
  readonly ahead?: PagesAhead | null; // of `packAhead`, whose codec counts then
}
export interface RestoreOptions {
  readonly bytes: Uint8Array; // what `save` wrote
  readonly codec?: PageCodec; // that it was saved with
  /** It is to be another machine than the saved one: what has to be unique begins anew. */
  readonly fork?: boolean;
}
/** What of a machine is saved beside its devices. */
export interface MachineParts {
  readonly engine: Engine;
  readonly clock: MachineClock;
  readonly fabric: InterruptFabric;
  readonly processors: Processors;
  readonly ram: MachineRam;
  readonly firmwareBytes: number;
}

/** Only while all of it stands still. */
export async function writeMachine({ engine, clock, fabric, processors, ram, firmwareBytes }: MachineParts, states: readonly DeviceState[], sink: SnapshotSink, { codec, about = null, ahead = null }: SaveOptions): Promise<void> {
  const { processorState } = engine;
  if (processorState === undefined || processors.all[0]!.save === undefined) throw new VmError('E_ENGINE', `${engine.id} cannot save processors`);
  if (ahead !== null && !ahead.isOf(ram)) throw new RangeError('ahead: expected pages of this machine, packed and not closed');
  const pack = ahead === null ? (codec ?? null) : ahead.codec;
  const writer = new SnapshotWriter(sink, pack);
  await writer.begin({ ramBytes: ram.bytes, firmwareBytes, nanos: clock.now(), processor: processorState, processors: processors.all.length, about });
  for (const state of states) await writer.device(state);
  await writer.interrupts(fabric.save?.() ?? null);
  await writer.processor(processors.save());
  if (ahead !== null) await ahead.write(writer);
  else for (const [first, bytes] of piecesOf(ram, pack)) await writer.pages(first, bytes);
  await writer.end();
}

/** After the devices; `isDirty`: RAM may be something else than zeros. Throws VmError E_STATE. */
export function loadMachine({ fabric, processors, ram }: MachineParts, saved: SavedMachine, { codec, fork = false }: RestoreOptions, isDirty: boolean): void {
  fabric.reset();
  refusing('interrupts', () => fabric.load?.(saved.interrupts));
  readPages(ram, saved, codec ?? null, isDirty);
  refusing('processor', () => processors.load(saved.processor, fork));
}

function refusing(part: string, load: () => void): void {
  try {
    load();
  } catch (cause) {
    throw new VmError('E_STATE', `the saved machine cannot go on here: ${part}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}
