import { VmError } from '@vm/core';

/** Where an image wants to be that does not leave it to program headers; all addresses are physical. */
export interface MultibootPlace {
  readonly fileOffset: number; // of the first byte that is loaded
  readonly loadAddress: number;
  readonly loadEnd: number;
  readonly zerosEnd: number; // they follow what is loaded
  readonly entry: number;
}

export interface MultibootHeader {
  readonly modulesOnPages: boolean;
  readonly place: MultibootPlace | null; // null: the program headers say it
}

// Multiboot Specification 0.6.96, section 3.1.
const MAGIC = 0x1bad_b002;
const MAGIC_2 = 0xe852_50d6; // of version 2, another protocol
const SEARCH_BYTES = 8192;
const HEADER_BYTES = 12;
const PLACE_BYTES = 20;
const FLAG_MODULES_ON_PAGES = 1 << 0;
const FLAG_MEMORY = 1 << 1;
const FLAG_VIDEO = 1 << 2; // a preference; there is no screen to set up
const FLAG_PLACE = 1 << 16;
const REQUIRED = 0xffff; // flags that a loader has to know

/** Throws VmError E_IMAGE when the file has no header of version 1, or one that asks for what there is not. */
export function parseMultibootHeader(file: Uint8Array): MultibootHeader {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const at = findHeader(view);
  const flags = view.getUint32(at + 4, true);
  const unknown = flags & REQUIRED & ~(FLAG_MODULES_ON_PAGES | FLAG_MEMORY | FLAG_VIDEO);
  if (unknown !== 0) throw notMultiboot(`its header asks for what this loader does not know: flags 0x${unknown.toString(16)}`);
  return { modulesOnPages: (flags & FLAG_MODULES_ON_PAGES) !== 0, place: (flags & FLAG_PLACE) === 0 ? null : readPlace(view, at) };
}

function findHeader(view: DataView): number {
  const last = Math.min(SEARCH_BYTES, view.byteLength) - HEADER_BYTES;
  let other = false;
  for (let at = 0; at <= last; at += 4) {
    const magic = view.getUint32(at, true);
    if (magic === MAGIC_2) other = true;
    if (magic === MAGIC && (magic + view.getUint32(at + 4, true) + view.getUint32(at + 8, true)) % 2 ** 32 === 0) return at;
  }
  throw notMultiboot(`no multiboot header in its first 8 KiB${other ? ', but one of version 2, which is another protocol' : ''}`);
}

function readPlace(view: DataView, at: number): MultibootPlace {
  if (at + HEADER_BYTES + PLACE_BYTES > view.byteLength) throw notMultiboot('it is cut off in its header');
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = Array.from({ length: 5 }, (_, i) => view.getUint32(at + HEADER_BYTES + i * 4, true)) as [number, number, number, number, number];
  const fileOffset = at - (headerAddress - loadAddress);
  const hex = (address: number): string => `0x${address.toString(16)}`;
  if (headerAddress < loadAddress || fileOffset < 0) throw notMultiboot(`its header at ${hex(at)} of the file cannot be at ${hex(headerAddress)} when loading begins at ${hex(loadAddress)}`);
  const end = loadEnd === 0 ? loadAddress + view.byteLength - fileOffset : loadEnd;
  if (end < loadAddress || fileOffset + end - loadAddress > view.byteLength) throw notMultiboot(`it is cut off: ${hex(loadAddress)} to ${hex(end)} is to be loaded, ${view.byteLength - fileOffset} bytes are there`);
  if (bssEnd !== 0 && bssEnd < end) throw notMultiboot(`its zeros end at ${hex(bssEnd)}, before its data at ${hex(end)}`);
  if (entry < loadAddress || entry >= end) throw notMultiboot(`the entry at ${hex(entry)} is not in what is loaded`);
  return { fileOffset, loadAddress, loadEnd: end, zerosEnd: bssEnd === 0 ? end : bssEnd, entry };
}

export function notMultiboot(why: string): VmError {
  return new VmError('E_IMAGE', `multiboot: ${why}`);
}
