import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Plain } from '@vm/core';
import { encodePlain, type PageCodec, readSnapshot, type RestoreOptions } from '@vm/core/snapshot';
import { bootGuest, type Guest, type GuestOptions } from '@vm/pc';
import { type ShadowMode, type TranslatorMode, wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';

export const NANOS_PER_INSTRUCTION = 10;
const ZEROS = Buffer.alloc(1 << 20);
/** Pages as they are, with the host's own checksum: the fastest. */
export const PLAIN_PAGES: PageCodec = { name: 'plain', pack: (pages) => pages, unpack: (packed) => packed, crc32: (bytes, before) => crc32(bytes, before), isZero: (bytes) => bytes.length <= ZEROS.length && ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0 };

/**
 * Hands pages over where they are, for a machine that is gone when the next one reads them: what a saved machine says of everything but
 * its memory passes as bytes, and memory is copied once.
 */
function handedPages(): PageCodec {
  const handed: Uint8Array[] = [];
  return {
    ...PLAIN_PAGES,
    name: 'handed',
    pack: (pages) => new Uint8Array(Uint32Array.of(handed.push(pages) - 1).buffer),
    unpack: (packed) => handed[new DataView(packed.buffer, packed.byteOffset).getUint32(0, true)]!,
  };
}

/** All that can be told of a guest, by its parts. */
export interface GuestDigest {
  readonly nanos: number;
  readonly instructions: number;
  readonly output: string;
  readonly devices: Readonly<Record<string, string>>;
  readonly interrupts: string;
  readonly processor: Readonly<Record<string, string>>;
  readonly memory: string;
}

export interface SavedBoard extends Omit<GuestOptions<WasmVcpu>, 'engine' | 'clock' | 'onOutput' | 'restore'> {
  readonly shadow?: ShadowMode; // default: off
}

/** A guest under the virtual clock that can be replaced at any instant by one that goes on from what was saved of it. */
export class SavedGuest {
  #guest: Guest<WasmVcpu>;
  #output = '';
  readonly #board: SavedBoard;

  /** Use `boot`. */
  constructor(board: SavedBoard, guest: Guest<WasmVcpu>) {
    this.#board = board;
    this.#guest = guest;
  }

  /** `printed`: what a restored one has printed before. */
  static async boot(board: SavedBoard, restore: Uint8Array | null = null, translator?: TranslatorMode, printed = ''): Promise<SavedGuest> {
    const late: { self: SavedGuest | null; early: string } = { self: null, early: printed };
    const guest = await bootGuest(optionsOf(board, restore === null ? null : { bytes: restore, codec: PLAIN_PAGES }, translator, (text) => {
      if (late.self === null) late.early += text;
      else late.self.#output += text;
    }));
    late.self = new SavedGuest(board, guest);
    late.self.#output = late.early;
    return late.self;
  }

  get guest(): Guest<WasmVcpu> { return this.#guest; }
  get instructions(): number { return this.#guest.machine.retired; }
  get output(): string { return this.#output; }

  /** Runs to the first instruction at or after that machine time, and stands there until the function that it returns is called. */
  async runTo(nanos: number): Promise<() => void> {
    const { machine } = this.#guest;
    const release = await new Promise<() => void>((resolve) => machine.clock.timer(() => resolve(this.#guest.hold())).arm(nanos));
    await this.#guest.standing();
    return release;
  }

  async save(codec = PLAIN_PAGES): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    await this.#guest.save((piece) => void pieces.push(piece), { codec });
    return Buffer.concat(pieces);
  }

  /** Runs to that time, saves, and goes on in a new machine. `handed`: its memory does not become bytes on the way. */
  async roundTrip(nanos: number, translator?: TranslatorMode, handed = false): Promise<void> {
    await this.runTo(nanos);
    const codec = handed ? handedPages() : PLAIN_PAGES;
    const bytes = await this.save(codec);
    await this.#guest[Symbol.asyncDispose]();
    this.#guest = await bootGuest(optionsOf(this.#board, { bytes, codec }, translator, (text) => (this.#output += text)));
  }

  /** All that can be told of a guest that stands still. */
  async digest(): Promise<GuestDigest> {
    const { head, devices, interrupts, processor, pages } = readSnapshot(await this.save(), PLAIN_PAGES);
    const memory = createHash('sha256');
    for (const { first, packed } of pages) memory.update(`${first} `).update(packed);
    return {
      nanos: head.nanos,
      instructions: this.instructions,
      output: this.#output,
      devices: Object.fromEntries(devices.map(({ name, state }) => [name, digestOf(state)])),
      interrupts: digestOf(interrupts),
      // Whether stores to a page pass the TLB also depends on what of it is decoded, and that is not saved.
      processor: Object.assign({}, ...processorsOf(processor).map((one, i) => partsOf(one, i === 0 ? '' : `${i} `))) as Record<string, string>,
      memory: memory.digest('hex'),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#guest[Symbol.asyncDispose]();
  }
}

/** One, or several and their turns. */
function processorsOf(saved: Plain): Plain[] {
  const { turns, processors } = saved as Readonly<Record<string, Plain>>;
  return processors === undefined ? [saved] : [...(processors as Plain[]), turns!];
}
function partsOf(processor: Plain, prefix: string): Record<string, string> {
  return Object.fromEntries(Object.entries(processor as Readonly<Record<string, Plain>>).filter(([name]) => name !== 'translations').map(([name, value]) => [prefix + name, digestOf(value)]));
}

function optionsOf({ shadow = 'off', ...board }: SavedBoard, restore: RestoreOptions | null, translator: TranslatorMode | undefined, output: (text: string) => void): GuestOptions<WasmVcpu> {
  const decoder = new TextDecoder('latin1');
  return {
    ...board,
    // Shadow tables are made anew from the guest's; a guest that relies on translations it has never given up could tell.
    engine: wasmEngine({ shadow, ...(translator === undefined ? {} : { translator }) }),
    clock: { kind: 'virtual', nanosPerInstruction: NANOS_PER_INSTRUCTION },
    onOutput: (bytes) => output(decoder.decode(bytes)),
    ...(restore === null ? {} : { restore }),
  };
}

function digestOf(state: Plain): string {
  const bytes = encodePlain(state);
  return bytes.length < 64 ? Buffer.from(bytes).toString('hex') : createHash('sha256').update(bytes).digest('hex');
}

/** Instants up to a time, in order, the same for the same seed. */
export function instants(seed: number, count: number, from: number, to: number): number[] {
  let state = seed >>> 0;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return from + Math.floor((state / 2 ** 32) * (to - from));
  }).sort((a, b) => a - b);
}
