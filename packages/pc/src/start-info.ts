import type { E820Entry } from './memory-map.ts';

export interface StartInfo {
  readonly at: number; // where it will lie: it points into itself
  readonly commandLineAt: number;
  readonly initrdAt: number; // 0: none
  readonly initrdBytes: number;
  readonly rsdp: number;
  readonly memoryMap: readonly E820Entry[];
}

// struct hvm_start_info (Xen, public/arch-x86/hvm/start_info.h), version 1.
const MAGIC = 0x336e_c578;
const VERSION = 1;
const HEADER_BYTES = 56;
const MODULE_BYTES = 32;
const MEMORY_ENTRY_BYTES = 24;

/** What the PVH entry gets: its own list of modules and the memory map follow it. */
export function buildStartInfo(info: StartInfo): Uint8Array {
  const modules = info.initrdAt === 0 ? 0 : 1;
  const modulesAt = HEADER_BYTES;
  const mapAt = modulesAt + modules * MODULE_BYTES;
  const bytes = new Uint8Array(mapAt + info.memoryMap.length * MEMORY_ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  const setAddress = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(12, modules, true);
  setAddress(16, modules === 0 ? 0 : info.at + modulesAt);
  setAddress(24, info.commandLineAt);
  setAddress(32, info.rsdp);
  setAddress(40, info.at + mapAt);
  view.setUint32(48, info.memoryMap.length, true);
  if (modules > 0) {
    setAddress(modulesAt, info.initrdAt);
    setAddress(modulesAt + 8, info.initrdBytes);
  }
  info.memoryMap.forEach(({ base, bytes: length, type }, i) => {
    const at = mapAt + i * MEMORY_ENTRY_BYTES;
    setAddress(at, base);
    setAddress(at + 8, length);
    view.setUint32(at + 16, type, true);
  });
  return bytes;
}
