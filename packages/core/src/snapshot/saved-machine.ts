import type { Nanos, Plain } from '../abi.ts';
import type { DeviceManifest } from '../abi.ts';
import type { ProcessorState } from '../engine.ts';
import { VmError } from '../errors.ts';
import { type DeviceState } from '../lifecycle.ts';
import { crc32 } from './crc32.ts';
import { decodePlain, encodePlain } from './plain-code.ts';

/** How pages of RAM are packed. Whoever saves with one needs it again to load. */
export interface PageCodec {
  readonly name: string;
  /** `pages` is RAM itself: not to be kept. */
  pack(pages: Uint8Array): Uint8Array;
  /** Gives so many bytes and throws otherwise. */
  unpack(packed: Uint8Array, bytes: number): Uint8Array;
  /** As that of zlib; absent: core's own, which is slower. */
  crc32?(bytes: Uint8Array, before: number): number;
  /** Faster than a loop over them. Absent: core's own loop. */
  isZero?(bytes: Uint8Array): boolean;
}
/** Takes what is saved, piece by piece; a piece is its to keep. */
export type SnapshotSink = (bytes: Uint8Array) => void | Promise<void>;

export interface SnapshotHead {
  readonly ramBytes: number; // with the firmware behind it
  readonly firmwareBytes: number;
  readonly nanos: Nanos; // machine time
  readonly processor: ProcessorState;
  readonly processors: number; // of one, as layouts had it before there were more, nothing is written
  readonly codec: string; // '' : pages as they are
  /** What the composer wants to know again. */
  readonly about: Plain;
}
export interface SavedPages {
  readonly first: number; // number of the page in RAM
  readonly pages: number;
  readonly packed: Uint8Array;
}
/** A saved machine whose checksums are right. What the states say is still anybody's. */
export interface SavedMachine {
  readonly head: SnapshotHead;
  readonly devices: readonly DeviceState[];
  readonly interrupts: Plain;
  readonly processor: Plain;
  readonly pages: readonly SavedPages[]; // of a page that is there twice the last one counts
}

const MAGIC = Uint8Array.of(0x89, 0x56, 0x4d, 0x53, 0x0d, 0x0a, 0x1a, 0x01); // the last byte is the version of this layout
const NOTHING = new Uint8Array(0);
const FRAME_BYTES = 12; // kind, length of the payload, checksum of both and the payload
const MOST_PAYLOAD = 1 << 28;
const PAGE_BYTES = 4096;
/** LATER_PAGES take the place of PAGES that were packed while the machine still ran. */
const HEAD = 1, DEVICE = 2, INTERRUPTS = 3, PROCESSOR = 4, PAGES = 5, END = 6, LATER_PAGES = 7;
const KINDS_IN_ORDER: readonly number[] = [HEAD, DEVICE, INTERRUPTS, PROCESSOR, PAGES, LATER_PAGES, END];
const IN_ANY_NUMBER: readonly number[] = [DEVICE, PAGES, LATER_PAGES];

/** Writes a saved machine, frame by frame. */
export class SnapshotWriter {
  #frames = 0;
  readonly #sink: SnapshotSink;
  readonly #codec: PageCodec | null;

  constructor(sink: SnapshotSink, codec: PageCodec | null) {
    this.#sink = sink;
    this.#codec = codec;
  }

  async begin({ processors, ...head }: Omit<SnapshotHead, 'codec'>): Promise<void> {
    await this.#sink(MAGIC.slice());
    await this.#frame(HEAD, encodePlain({ ...head, processor: { ...head.processor }, codec: this.#codec?.name ?? '', ...(processors === 1 ? {} : { processors }) }));
  }

  device({ name, id, version, state }: DeviceState): Promise<void> {
    try {
      return this.#frame(DEVICE, encodePlain({ name, id, version, state }));
    } catch (cause) {
      throw new VmError('E_DEVICE', `${name}: save gave what is no plain data: ${(cause as Error).message}`, { cause, device: name });
    }
  }

  interrupts(state: Plain): Promise<void> {
    return this.#frame(INTERRUPTS, encodePlain(state));
  }

  processor(state: Plain): Promise<void> {
    return this.#frame(PROCESSOR, encodePlain(state));
  }

  pages(first: number, bytes: Uint8Array): Promise<void> { return this.put(packPages(first, bytes, this.#codec)); }
  laterPages(first: number, bytes: Uint8Array): Promise<void> { return this.put(packPages(first, bytes, this.#codec, LATER_PAGES)); }

  end(): Promise<void> {
    return this.#frame(END, encodePlain(this.#frames));
  }

  #frame(kind: number, payload: Uint8Array): Promise<void> { return this.put(frameOf(kind, payload, NOTHING, this.#codec)); }

  async put(frame: Uint8Array): Promise<void> {
    this.#frames++;
    await this.#sink(frame);
  }
}

/** A frame, for `SnapshotWriter.put`; nothing of RAM is kept. */
export function packPages(first: number, bytes: Uint8Array, codec: PageCodec | null, kind: number = PAGES): Uint8Array {
  const place = new Uint8Array(8);
  const view = new DataView(place.buffer);
  view.setUint32(0, first, true);
  view.setUint32(4, bytes.length / PAGE_BYTES, true);
  return frameOf(kind, place, codec?.pack(bytes) ?? bytes, codec);
}

/** The second part is copied once, and is large. */
function frameOf(kind: number, payload: Uint8Array, rest: Uint8Array, codec: PageCodec | null): Uint8Array {
  const frame = new Uint8Array(FRAME_BYTES + payload.length + rest.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, payload.length + rest.length, true);
  frame.set(payload, FRAME_BYTES);
  frame.set(rest, FRAME_BYTES + payload.length);
  view.setUint32(8, checksum(frame.subarray(0, 8), frame.subarray(FRAME_BYTES), codec), true);
  return frame;
}

/** Reads a saved machine and checks all of it. Throws VmError E_STATE that says what is wrong. */
export function readSnapshot(bytes: Uint8Array, codec: PageCodec | null = null): SavedMachine {
  if (bytes.length < MAGIC.length || MAGIC.some((byte, i) => i < MAGIC.length - 1 && bytes[i] !== byte)) throw damaged('this is no saved machine');
  const version = bytes[MAGIC.length - 1]!;
  if (version !== MAGIC.at(-1)) throw damaged(`its layout has version ${version}, and this program reads ${MAGIC.at(-1)!}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = { head: null as SnapshotHead | null, devices: [] as DeviceState[], interrupts: null as Plain, processor: null as Plain, pages: [] as SavedPages[] };
  let kind = 0;
  let frames = 0;
  let firstFree = 0; // page behind the last ones
  for (let at = MAGIC.length; kind !== END; frames++) {
    const left = bytes.length - at - FRAME_BYTES;
    if (left < 0) throw damaged(`it ends in frame ${frames}`);
    const next = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (length > Math.min(left, MOST_PAYLOAD)) throw damaged(`it ends in frame ${frames}`);
    const payload = bytes.subarray(at + FRAME_BYTES, at + FRAME_BYTES + length);
    if (checksum(bytes.subarray(at, at + 8), payload, codec) !== view.getUint32(at + 8, true)) throw damaged(`the checksum of frame ${frames} is wrong`);
    const [place, before] = [KINDS_IN_ORDER.indexOf(next), KINDS_IN_ORDER.indexOf(kind)];
    // Each kind after the one before.
    if (place < 0 || (IN_ANY_NUMBER.includes(next) ? place < before : place <= before) || (kind === 0 && next !== HEAD)) throw damaged(`frame ${frames} is of kind ${next}, which is out of place`);
    if (next !== kind) firstFree = 0;
    kind = next;
    at += FRAME_BYTES + length;
    if (kind === PAGES || kind === LATER_PAGES) {
      const pages = readPages(payload, frames);
      if (pages.first < firstFree) throw damaged(`frame ${frames}: its pages are there already`);
      firstFree = pages.first + pages.pages;
      found.pages.push(pages);
      continue;
    }
    const plain = plainOf(payload, frames);
    if (kind === HEAD) found.head = readHead(plain);
    else if (kind === DEVICE) found.devices.push(readDevice(plain, found.devices));
    else if (kind === INTERRUPTS) found.interrupts = plain;
    else if (kind === PROCESSOR) found.processor = plain;
    else if (plain !== frames) throw damaged('frames are missing');
    else if (at !== bytes.length) throw damaged('it goes on after its end');
  }
  const { head } = found;
  if (head!.codec !== '' && head!.codec !== codec?.name) throw damaged(`its pages are packed with ${head!.codec}, and ${codec === null ? 'nothing' : codec.name} is there to unpack them`);
  return { ...found, head: head! };
}

/** Why a machine of these devices cannot go on with what was saved: throws VmError E_STATE that names it. */
export function checkComposition(saved: SavedMachine, ramBytes: number, firmwareBytes: number, processor: ProcessorState | undefined, devices: readonly { readonly name: string; readonly manifest: DeviceManifest }[], processors = 1): void {
  const { head } = saved;
  const MiB = (bytes: number): string => `${bytes / 2 ** 20} MiB`;
  if (head.ramBytes !== ramBytes || head.firmwareBytes !== firmwareBytes) throw foreign(`it has ${MiB(head.ramBytes)} of RAM with ${MiB(head.firmwareBytes)} of firmware, and this machine ${MiB(ramBytes)} with ${MiB(firmwareBytes)}`);
  if (processor === undefined) throw foreign('this engine cannot load processors');
  if (head.processor.id !== processor.id || head.processor.version !== processor.version) throw foreign(`its processor is saved as ${head.processor.id} ${head.processor.version}, and this engine loads ${processor.id} ${processor.version}`);
  if (head.processor.model !== processor.model) throw foreign(`its processor is ${head.processor.model}, and that of this machine ${processor.model}`);
  if (head.processors !== processors) throw foreign(`it has ${countOf(head.processors)}, and this machine ${countOf(processors)}`);
  for (const { name, id, version } of saved.devices) {
    const here = devices.find((one) => one.name === name);
    if (here === undefined) throw foreign(`it has a device ${name} (${id}), and this machine has none of that name`, name);
    const { manifest } = here;
    if (manifest.id !== id) throw foreign(`its device ${name} is ${id}, and that of this machine ${manifest.id}`, name);
    if (version > manifest.state) throw foreign(`${name}: ${id} saved state version ${version}, and the present one knows ${manifest.state}`, name);
    if (version < (manifest.oldestState ?? manifest.state)) throw foreign(`${name}: ${id} saved state version ${version}, and the present one loads from ${manifest.oldestState ?? manifest.state} on`, name);
  }
  const added = devices.find(({ name }) => !saved.devices.some((one) => one.name === name));
  if (added !== undefined) throw foreign(`this machine has a device ${added.name} (${added.manifest.id}), which the saved one has not`, added.name);
}

function countOf(processors: number): string {
  return processors === 1 ? 'one processor' : `${processors} processors`;
}

function checksum(frame: Uint8Array, payload: Uint8Array, codec: PageCodec | null): number {
  const crc = codec?.crc32?.bind(codec) ?? crc32;
  return crc(payload, crc(frame, 0)) >>> 0;
}

function plainOf(payload: Uint8Array, frame: number): Plain {
  try {
    return decodePlain(payload);
  } catch (cause) {
    throw damaged(`frame ${frame}: ${(cause as Error).message}`, cause);
  }
}

function readHead(plain: Plain): SnapshotHead {
  const { ramBytes, firmwareBytes, nanos, processor, codec, about, processors = 1 } = membersOf(plain);
  const { id, version, model } = membersOf(processor);
  if (!isCount(ramBytes) || !isCount(firmwareBytes) || typeof nanos !== 'number' || !Number.isFinite(nanos) || nanos < 0 || typeof codec !== 'string') throw damaged('its head is malformed');
  if (typeof id !== 'string' || !isCount(version) || typeof model !== 'string' || !isCount(processors)) throw damaged('its head names no processor');
  return { ramBytes, firmwareBytes, nanos, processor: { id, version, model }, processors, codec, about: about ?? null };
}

function readDevice(plain: Plain, before: readonly DeviceState[]): DeviceState {
  const { name, id, version, state } = membersOf(plain);
  if (typeof name !== 'string' || typeof id !== 'string' || !isCount(version) || state === undefined) throw damaged('a device is malformed');
  if (before.some((one) => one.name === name)) throw damaged(`device ${name} is there twice`);
  return { name, id, version, state };
}

function readPages(payload: Uint8Array, frame: number): SavedPages {
  if (payload.length < 8) throw damaged(`frame ${frame}: pages without a place`);
  const view = new DataView(payload.buffer, payload.byteOffset);
  return { first: view.getUint32(0, true), pages: view.getUint32(4, true), packed: payload.subarray(8) };
}

function membersOf(plain: Plain | undefined): Readonly<Record<string, Plain>> {
  if (typeof plain !== 'object' || plain === null || Array.isArray(plain) || plain instanceof Uint8Array) throw damaged('members are missing');
  return plain as Readonly<Record<string, Plain>>;
}

function isCount(value: Plain | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function damaged(text: string, cause?: unknown): VmError {
  return new VmError('E_STATE', `the saved machine cannot be read: ${text}`, { cause });
}

function foreign(text: string, device?: string): VmError {
  return new VmError('E_STATE', `the saved machine cannot go on here: ${text}`, device === undefined ? {} : { device });
}
