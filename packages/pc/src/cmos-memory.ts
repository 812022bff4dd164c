// Sizes of memory as a BIOS keeps them (RBIL, CMOS.LST; from 0x34 on as QEMU and Bochs use it).
const BASE_KIB = 0x15;
const EXTENDED_KIB = 0x17; // from 1 MiB on, up to 64 MiB
const EXTENDED_KIB_FOUND = 0x30;
const UNITS_ABOVE_16_MIB = 0x34; // of 64 KiB
const UNITS_ABOVE_4_GIB = 0x5b;
const UNIT_BYTES = 0x1_0000;
const KIB = 1024;
const MIB = 2 ** 20;

/** What firmware finds in the memory of the real-time clock about RAM below and above 4 GiB. */
export function cmosMemory(lowBytes: number, highBytes: number): Readonly<Record<number, number>> {
  const extendedKib = Math.min(0xffff, Math.max(0, lowBytes - MIB) / KIB);
  const word = (at: number, value: number): Record<number, number> => ({ [at]: value & 0xff, [at + 1]: (value >>> 8) & 0xff });
  const units = Math.floor(highBytes / UNIT_BYTES);
  return {
    ...word(BASE_KIB, 640),
    ...word(EXTENDED_KIB, extendedKib),
    ...word(EXTENDED_KIB_FOUND, extendedKib),
    ...word(UNITS_ABOVE_16_MIB, Math.max(0, lowBytes - 16 * MIB) / UNIT_BYTES),
    ...word(UNITS_ABOVE_4_GIB, units),
    [UNITS_ABOVE_4_GIB + 2]: (units >>> 16) & 0xff,
  };
}
