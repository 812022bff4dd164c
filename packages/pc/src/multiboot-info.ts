import { type E820Entry, LOW_END } from './memory-map.ts';
import { notMultiboot } from './multiboot-header.ts';

/** A module in memory. */
export interface LoadedModule {
  readonly start: number;
  readonly end: number;
  readonly text: string; // its own command line
}

export interface MultibootInfo {
  readonly at: number; // where it will lie: it points into itself
  readonly most: number; // bytes
  readonly commandLine: string;
  readonly modules: readonly LoadedModule[];
  readonly memoryMap: readonly E820Entry[];
  /** RAM from 1 MiB on without a hole. */
  readonly upperBytes: number;
}

// Multiboot Specification 0.6.96, section 3.3.
const INFO_BYTES = 116;
const MODULE_BYTES = 16;
const MAP_ENTRY_BYTES = 24;
const HAS_MEMORY = 1 << 0;
const HAS_COMMAND_LINE = 1 << 2;
const HAS_MODULES = 1 << 3;
const HAS_MAP = 1 << 6;
const HAS_LOADER_NAME = 1 << 9;
const LOADER_NAME = 'vm';

/** The information block with all that it points to but the modules themselves. Throws VmError E_IMAGE when it gets too large. */
export function buildMultibootInfo(info: MultibootInfo): Uint8Array {
  const modulesAt = INFO_BYTES;
  const mapAt = modulesAt + info.modules.length * MODULE_BYTES;
  const texts = [info.commandLine, LOADER_NAME, ...info.modules.map(({ text }) => text)].map(encode);
  const places: number[] = [];
  let end = mapAt + info.memoryMap.length * MAP_ENTRY_BYTES;
  for (const text of texts) {
    places.push(info.at + end);
    end += text.length;
  }
  if (end > info.most) throw notMultiboot(`command lines: ${info.most} bytes is the most there is room for, with them it would be ${end}`);
  const bytes = new Uint8Array(end);
  const view = new DataView(bytes.buffer);
  const set = (at: number, value: number): void => view.setUint32(at, value, true);
  set(0, HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_MAP | HAS_LOADER_NAME);
  set(4, Math.floor(LOW_END / 1024));
  set(8, Math.floor(info.upperBytes / 1024));
  set(16, places[0]!);
  set(20, info.modules.length);
  set(24, info.at + modulesAt);
  set(44, info.memoryMap.length * MAP_ENTRY_BYTES);
  set(48, info.at + mapAt);
  set(64, places[1]!);
  info.modules.forEach(({ start, end: moduleEnd }, i) => {
    const at = modulesAt + i * MODULE_BYTES;
    set(at, start);
    set(at + 4, moduleEnd);
    set(at + 8, places[2 + i]!);
  });
  info.memoryMap.forEach(({ base, bytes: length, type }, i) => {
    const at = mapAt + i * MAP_ENTRY_BYTES;
    set(at, MAP_ENTRY_BYTES - 4); // this field is not counted
    view.setBigUint64(at + 4, BigInt(base), true);
    view.setBigUint64(at + 12, BigInt(length), true);
    set(at + 20, type);
  });
  texts.forEach((text, i) => bytes.set(text, places[i]! - info.at));
  return bytes;
}

/** With a zero at its end. */
function encode(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  if (bytes.indexOf(0) < bytes.length - 1) throw notMultiboot('command lines: one has a zero byte inside');
  return bytes;
}
