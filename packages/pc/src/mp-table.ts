import { fillChecksum } from './checksum.ts';

/** What the table says about the machine; the names are those of `AcpiMachine`. */
export interface MpMachine {
  readonly processors: number; // local APIC ids 0 and following
  readonly localApic: number;
  readonly ioApic: number;
  readonly sciPin: number;
  /** Inputs of the I/O APIC of an interrupt pin (0 to 3) in a PCI slot. */
  readonly wireOf: (slot: number, pin: number) => number;
}

export interface MpTable {
  /** 16 bytes in the last kilobyte of base memory, where systems look. */
  readonly pointer: Uint8Array;
  readonly table: Uint8Array;
}

const REVISION = 4; // of version 1.4
const HEADER_BYTES = 44;
const POINTER_PARAGRAPHS = 1; // of 16 bytes

const PROCESSOR = 0, BUS = 1, IO_APIC = 2, IO_INTERRUPT = 3, LOCAL_INTERRUPT = 4;
const ENABLED = 1, BOOT_PROCESSOR = 2;
const LOCAL_APIC_VERSION = 0x14;
const IO_APIC_VERSION = 0x11;
const IO_APIC_ID = 0;
const SIGNATURE = 0x0f00;
const FEATURES = 0x0201; // a floating point unit and a local APIC
const PCI_BUS = 0, ISA_BUS = 1;
const PCI_SLOTS = 32;
const ISA_LINES = 16;
const CASCADE = 2;
const TIMER_INPUT = 2; // where line 0 arrives
const FIXED = 0, NMI = 1, EXTERNAL = 3;
const AS_THE_BUS_HAS_IT = 0;
const LEVEL_HIGH = 0x0d;
const EVERY_LOCAL_APIC = 0xff;

/** Processors, buses and wires for systems that do not read ACPI's tables (MultiProcessor Specification 1.4, chapter 4). */
export function buildMpTable(machine: MpMachine, at: number): MpTable {
  const { processors, localApic, ioApic, sciPin, wireOf } = machine;
  const entries: number[][] = [];
  for (let id = 0; id < processors; id++) {
    entries.push([PROCESSOR, id, LOCAL_APIC_VERSION, id === 0 ? ENABLED | BOOT_PROCESSOR : ENABLED, ...dword(SIGNATURE), ...dword(FEATURES), ...dword(0), ...dword(0)]);
  }
  entries.push([BUS, PCI_BUS, ...text('PCI', 6)], [BUS, ISA_BUS, ...text('ISA', 6)]);
  entries.push([IO_APIC, IO_APIC_ID, IO_APIC_VERSION, ENABLED, ...dword(ioApic)]);
  const wire = (flags: number, bus: number, source: number, input: number): void => void entries.push([IO_INTERRUPT, FIXED, flags, 0, bus, source, IO_APIC_ID, input]);
  for (let line = 0; line < ISA_LINES; line++) {
    if (line !== CASCADE) wire(line === sciPin ? LEVEL_HIGH : AS_THE_BUS_HAS_IT, ISA_BUS, line, line === 0 ? TIMER_INPUT : line);
  }
  for (let slot = 0; slot < PCI_SLOTS; slot++) {
    for (let pin = 0; pin < 4; pin++) wire(AS_THE_BUS_HAS_IT, PCI_BUS, (slot << 2) | pin, wireOf(slot, pin));
  }
  entries.push([LOCAL_INTERRUPT, EXTERNAL, 0, 0, ISA_BUS, 0, EVERY_LOCAL_APIC, 0], [LOCAL_INTERRUPT, NMI, 0, 0, ISA_BUS, 0, EVERY_LOCAL_APIC, 1]);
  const body = entries.flat();
  const bytes = HEADER_BYTES + body.length;
  const table = Uint8Array.from([
    ...text('PCMP', 4), ...word(bytes), REVISION, 0, ...text('VM', 8), ...text('PC', 12), ...dword(0), ...word(0), ...word(entries.length), ...dword(localApic), ...word(0), 0, 0, ...body,
  ]);
  fillChecksum(table, 7);
  // The last five bytes say that there is a table, and that the 8259 pair is wired to the local APIC of the boot processor.
  const pointer = Uint8Array.from([...text('_MP_', 4), ...dword(at), POINTER_PARAGRAPHS, REVISION, 0, 0, 0, 0, 0, 0]);
  fillChecksum(pointer, 10);
  return { pointer, table };
}

function text(value: string, length: number): number[] {
  return Array.from({ length }, (_, i) => (i < value.length ? value.charCodeAt(i) : 0x20));
}

function word(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff];
}

function dword(value: number): number[] {
  return [...word(value), ...word(value >>> 16)];
}
