/** Page tables of both sides, as data of the image. */
import { CR4_PAE, CR4_PSE, PTE_GLOBAL, PTE_LARGE, PTE_PCD, PTE_PRESENT, PTE_USER, PTE_WRITABLE } from '@vm/x86';
import type { LegacyFormat } from '../processor-model.ts';
import { FLAT_MEMORY, FLAT_MEMORY_END, HOST_BASE, IMAGE, IO_APIC, LOW_MEMORY, LOW_MEMORY_BYTES, PROGRAM_PAGES, PROGRAMS, SWITCH_PAGE } from './memory-map.ts';

const PAGE = 0x1000;
const LARGE = 0x20_0000;
const HUGE = 0x40_0000;
const KERNEL = PTE_PRESENT | PTE_WRITABLE;
const USER = KERNEL | PTE_USER;

export interface MonitorTables {
  readonly bytes: Uint8Array;
  /** Physical addresses. */
  readonly hostRoot: number;
  readonly legacyRoot: number;
  readonly legacyFormat: LegacyFormat;
  /** Bits of CR4 for the legacy tables. */
  readonly legacyCr4: number;
  /** Entries for the two pages of the switch. */
  readonly entries: { readonly host: number; readonly legacy: number | null; readonly legacyBytes: 4 | 8 };
  /** The entry that maps the image at its own address while the machine starts. */
  readonly startEntry: number;
}

/** `at` is where they will lie; `programs` where the pages of the host's programs are. */
export function buildTables(at: number, programs: number, legacyFormat: LegacyFormat): MonitorTables {
  const pages: Uint32Array[] = [];
  const table = (): number => pages.push(new Uint32Array(1024)) - 1;
  const addressOf = (index: number): number => at + index * PAGE;
  const set = (index: number, entry: number, value: number, bytes: 4 | 8 = 8): void => void (pages[index]![entry * (bytes / 4)] = value);
  const [root, high, highPages, low, lowPages, switchPages, programPointers, programPages] = [table(), table(), table(), table(), table(), table(), table(), table()] as [number, number, number, number, number, number, number, number];
  set(root, Number(HOST_BASE >> 39n), addressOf(high) | KERNEL);
  set(high, 0, addressOf(highPages) | KERNEL);
  for (let i = 0; i < 512; i++) set(highPages, i, (i * LARGE) | KERNEL | PTE_LARGE | PTE_GLOBAL);
  // The I/O APIC.
  const devices = table();
  set(high, 3, addressOf(devices) | KERNEL);
  set(devices, (IO_APIC % 2 ** 30) / LARGE, (IO_APIC | KERNEL | PTE_LARGE | PTE_PCD) >>> 0);
  set(root, 0, addressOf(low) | USER);
  set(low, 0, addressOf(lowPages) | USER);
  set(lowPages, 0, addressOf(switchPages) | KERNEL);
  set(lowPages, IMAGE / LARGE, IMAGE | KERNEL | PTE_LARGE);
  // Where ring 3 of the guest may run in compatibility mode.
  for (let address = FLAT_MEMORY; address < FLAT_MEMORY_END; address += LARGE) set(lowPages, address / LARGE, address | USER | PTE_LARGE);
  set(low, PROGRAMS / 2 ** 30, addressOf(programPointers) | USER);
  set(programPointers, 0, addressOf(programPages) | USER);
  for (let i = 0; i < PROGRAM_PAGES; i++) set(programPages, i, (programs + i * PAGE) | USER);
  const host = { hostRoot: addressOf(root), legacyFormat, startEntry: addressOf(lowPages) + (IMAGE / LARGE) * 8 };
  const hostEntry = addressOf(switchPages) + (SWITCH_PAGE / PAGE) * 8;
  if (legacyFormat === 'unpaged') return { ...host, bytes: bytesOf(pages), legacyRoot: 0, legacyCr4: 0, entries: { host: hostEntry, legacy: null, legacyBytes: 4 } };
  const legacyBytes = legacyFormat === 'pae' ? 8 : 4;
  const legacyRoot = table();
  let directory = legacyRoot;
  if (legacyFormat === 'pae') {
    directory = table();
    set(legacyRoot, 0, addressOf(directory) | PTE_PRESENT);
  }
  const legacyLow = table();
  set(directory, 0, addressOf(legacyLow) | USER, legacyBytes);
  for (let page = 0; page < LOW_MEMORY_BYTES / PAGE; page++) {
    const address = page * PAGE;
    if (address < SWITCH_PAGE || address >= SWITCH_PAGE + 2 * PAGE) set(legacyLow, page, (LOW_MEMORY + address) | USER, legacyBytes);
  }
  const large = legacyFormat === 'pae' ? LARGE : HUGE;
  for (let address = FLAT_MEMORY; address < FLAT_MEMORY_END; address += large) set(directory, address / large, address | USER | PTE_LARGE, legacyBytes);
  return {
    ...host, bytes: bytesOf(pages), legacyRoot: addressOf(legacyRoot), legacyCr4: legacyFormat === 'pae' ? CR4_PAE : CR4_PSE,
    entries: { host: hostEntry, legacy: addressOf(legacyLow) + (SWITCH_PAGE / PAGE) * legacyBytes, legacyBytes },
  };
}

function bytesOf(pages: readonly Uint32Array[]): Uint8Array {
  const bytes = new Uint8Array(pages.length * PAGE);
  pages.forEach((page, i) => bytes.set(new Uint8Array(page.buffer), i * PAGE));
  return bytes;
}
