export { type AcpiMachine, type AcpiTables, buildAcpiTables } from './acpi-tables.ts';
export { bootGuest, Guest, type GuestOptions } from './boot-guest.ts';
export { type BootableVcpu, type BootEntry, type BootSegment, type BootState, prepareEntry } from './boot-state.ts';
export { type BzImage, parseBzImage } from './bzimage.ts';
export type { TypingMode } from './console-input.ts';
export type { WaitOptions } from './console-output.ts';
export { type LinuxBoot, type LinuxPlacement, loadLinux, placeLinux } from './linux-boot.ts';
export { buildE820, type E820Entry } from './memory-map.ts';
export { createPc, type Pc, type PcOptions, type PcSerial } from './pc.ts';
