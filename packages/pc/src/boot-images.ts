import { type GuestMemory, type Ram, VmError } from '@vm/core';
import { COMMAND_LINE_MOST, PAGE_BYTES } from './memory-map.ts';

/** The kernel ends at `kernelEnd`; the initrd goes as high as it may, page aligned. 0: there is none. Throws VmError E_MEMORY or E_IMAGE. */
export function placeInitrd(initrdBytes: number, kernelEnd: number, lowRamBytes: number, lastAddress: number): number {
  if (initrdBytes === 0) return 0;
  const top = Math.min(lowRamBytes, lastAddress + 1);
  const initrdAt = Math.floor((top - initrdBytes) / PAGE_BYTES) * PAGE_BYTES;
  if (initrdAt >= kernelEnd) return initrdAt;
  const sizes = `the kernel ends at ${inMiB(kernelEnd)} and the initrd has ${inMiB(initrdBytes)}`;
  if (top < lowRamBytes) throw new VmError('E_IMAGE', `initrd: too large: ${sizes}, and this kernel wants it below ${inMiB(top)}`);
  throw tooLittleRam(sizes, lowRamBytes);
}

/** With a zero at its end. Throws VmError E_IMAGE. */
export function encodeCommandLine(text: string, most: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  const limit = Math.min(most, COMMAND_LINE_MOST - 1);
  if (bytes.length > limit) throw new VmError('E_IMAGE', `command line: the kernel takes ${limit} bytes, got ${bytes.length}`);
  if (bytes.includes(0)) throw new VmError('E_IMAGE', 'command line: it has a zero byte inside');
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** RAM from address 0 on. */
export function lowRam(ranges: Ram['ranges']): number {
  return ranges.find((range) => range.gpa === 0)?.bytes ?? 0;
}

/** Throws VmError E_MEMORY where there is no RAM. */
export function copyImage(memory: GuestMemory, gpa: number, bytes: Uint8Array, what: string): void {
  if (!memory.copyIn(gpa, bytes)) throw new VmError('E_MEMORY', `${what}: there is no RAM for ${bytes.length} bytes at 0x${gpa.toString(16)}`);
}

export function tooLittleRam(why: string, lowRamBytes: number): VmError {
  return new VmError('E_MEMORY', `too little RAM: ${why}, below 4 GiB there are ${inMiB(lowRamBytes)}`);
}

export function inMiB(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
