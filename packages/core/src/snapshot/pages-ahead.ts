/** RAM packed while the machine runs, so that it stands still for what has been stored to since. */
import type { Engine } from '../engine.ts';
import { VmError } from '../errors.ts';
import type { HostPort } from '../host-port.ts';
import type { MachineRam } from '../ram.ts';
import type { MachineParts } from './machine-parts.ts';
import { MOST_PAGES, PAGE_BYTES, piecesOf } from './ram-pages.ts';
import { type PageCodec, packPages, type SnapshotWriter } from './saved-machine.ts';

const MOST_ROUNDS = 4; // through RAM
const FEW_PAGES = 256; // that another round would not be worth

/** For a `save`. To be closed then, or without one: until that all stores are noted, and what is packed is kept. */
export class PagesAhead {
  readonly codec: PageCodec | null;
  readonly #engine: Engine;
  readonly #ram: MachineRam;
  /** A byte a page, 1: stored to since it was packed. */
  readonly #stored: Uint8Array;
  /** Of each group of pages. */
  readonly #frames: Uint8Array[][] = [];
  #closed = false;
  #standing = 0;

  /** Use `Machine.packAhead`. */
  constructor(engine: Engine, ram: MachineRam, codec: PageCodec | null) {
    this.#engine = engine;
    this.#ram = ram;
    this.codec = codec;
    this.#stored = ram.stored = new Uint8Array(ram.bytes / PAGE_BYTES).fill(1);
  }

  /** Pages that `save` has had to pack while the machine stood still. */
  get standing(): number { return this.#standing; }

  isOf(ram: MachineRam): boolean { return !this.#closed && ram === this.#ram; }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ram.stored = null;
    this.#frames.length = 0;
    this.#engine.endLog?.();
  }

  /** Ends early where rounds do not leave less and less. The guest has its slices between two groups. */
  async pack(host: HostPort): Promise<void> {
    let before = Infinity;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const left = this.#collect();
      if (round > 0 && (left <= FEW_PAGES || left > before / 2)) return;
      before = left;
      for (let from = 0; from < this.#stored.length; from += MOST_PAGES) {
        const to = Math.min(from + MOST_PAGES, this.#stored.length);
        const at = this.#stored.indexOf(1, from);
        if (at < 0 || at >= to) continue;
        // Forgotten first: who stores while this is read is noted again.
        this.#stored.fill(0, from, to);
        this.#frames[from / MOST_PAGES] = Array.from(piecesOf(this.#ram, this.codec, from, to), ([first, bytes]) => packPages(first, bytes, this.codec));
        await new Promise<void>((resolve) => host.soon(resolve));
      }
    }
  }

  /** How many pages have been stored to, with what processors have. */
  #collect(): number {
    const { base } = this.#ram;
    this.#engine.dirtyPages?.((gpa, bytes) => {
      const first = (this.#ram.offsetOf(gpa) - base) / PAGE_BYTES;
      this.#stored.fill(1, first, first + bytes / PAGE_BYTES);
    });
    let count = 0;
    for (let page = 0; page < this.#stored.length; page++) count += this.#stored[page] as number;
    return count;
  }

  /** While the machine stands still. */
  async write(writer: SnapshotWriter): Promise<void> {
    const { memory, base, bytes } = this.#ram;
    const all = new Uint8Array(memory.buffer, base, bytes);
    this.#standing = this.#collect();
    for (const group of this.#frames) for (const frame of group) await writer.put(frame);
    for (let first = this.#stored.indexOf(1); first >= 0; ) {
      const end = this.#stored.indexOf(0, first);
      const to = Math.min(first + MOST_PAGES, end < 0 ? this.#stored.length : end);
      await writer.laterPages(first, all.subarray(first * PAGE_BYTES, to * PAGE_BYTES));
      first = this.#stored.indexOf(1, to);
    }
  }
}

/** null: this engine does not tell what its processors store, or not at present. Throws VmError E_PHASE while there is another one. */
export async function packAhead({ engine, ram }: MachineParts, codec: PageCodec | null, host: HostPort): Promise<PagesAhead | null> {
  if (ram.stored !== null) throw new VmError('E_PHASE', 'the pages of this machine are packed ahead already');
  if (engine.logStores?.() !== true) return null;
  const ahead = new PagesAhead(engine, ram, codec);
  try {
    await ahead.pack(host);
  } catch (error) {
    ahead.close();
    throw error;
  }
  return ahead;
}
