import { type GuestMemory, type Ram, VmError } from '@vm/core';
import { PAGE_READ_ONLY } from '@vm/core/exit';
import { copyImage } from './boot-images.ts';
import { HIGH_START, PAGE_BYTES } from './memory-map.ts';

const LOW_MOST = 0x4_0000; // of a ROM below 1 MiB: to where a bridge's shadow RAM would begin
const MOST_BYTES = 0x80_0000;
const TOP = 2 ** 32;

/** Throws VmError E_IMAGE when this can be no ROM of a PC. */
export function checkRom(rom: Uint8Array): void {
  if (rom.length > 0 && rom.length % PAGE_BYTES === 0 && rom.length <= MOST_BYTES) return;
  throw new VmError('E_IMAGE', `ROM: expected pages of 4 KiB, as in 64 KiB, and at most 8 MiB; got ${rom.length} bytes`);
}

/** The ROM ends at 4 GiB, and again, with its last 256 KiB at most, at 1 MiB. Throws VmError E_MEMORY. */
export function loadRom(memory: GuestMemory, ram: Ram, rom: Uint8Array, shadow: boolean): void {
  const low = rom.subarray(Math.max(0, rom.length - LOW_MOST));
  const lowAt = HIGH_START - low.length;
  copyImage(memory, TOP - rom.length, rom, 'ROM');
  copyImage(memory, lowAt, low, 'ROM');
  if (shadow) return;
  const attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / PAGE_BYTES);
  for (let at = lowAt; at < HIGH_START; at += PAGE_BYTES) attributes[(ram.offsetOf(at) - ram.base) / PAGE_BYTES]! |= PAGE_READ_ONLY;
}
