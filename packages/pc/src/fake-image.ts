/** Images and memory for tests of the loaders. */
import type { GuestMemory, Ram } from '@vm/core';
import { MiB } from './memory-map.ts';

export interface FakeSegment {
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes?: number;
  readonly type?: number; // default: PT_LOAD
}

export interface FakeElf {
  readonly bits?: 32 | 64;
  readonly entry?: number;
  readonly segments?: readonly FakeSegment[];
  readonly pvh?: number;
  readonly pvhOwner?: string;
}

/** An executable whose first segment is full of 1, the second of 2 and so on; notes stand in a segment of their own. */
export function makeElf({ bits = 64, entry = 16 * MiB, segments = [{ address: 16 * MiB, fileBytes: 4096 }], pvh, pvhOwner = 'Xen\0' }: FakeElf = {}): Uint8Array {
  const long = bits === 64;
  const [headerBytes, each] = long ? [64, 56] : [52, 32];
  const notes = pvh === undefined ? [] : [note('GNU\0', 18, new Uint8Array(20)), note(pvhOwner, 18, Uint8Array.of(pvh, pvh >>> 8, pvh >>> 16, pvh >>> 24, ...(long ? [0, 0, 0, 0] : [])))];
  const noteBytes = Uint8Array.from(notes.flatMap((one) => [...one]));
  const all = [...segments, ...(pvh === undefined ? [] : [{ address: 0, fileBytes: noteBytes.length, type: 4 }])];
  const start = headerBytes + all.length * each;
  const file = new Uint8Array(start + all.reduce((sum, { fileBytes }) => sum + fileBytes, 0));
  const view = new DataView(file.buffer);
  const word = (at: number, value: number): void => (long ? view.setBigUint64(at, BigInt(value), true) : view.setUint32(at, value, true));
  file.set([0x7f, 0x45, 0x4c, 0x46, long ? 2 : 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, long ? 62 : 3, true);
  word(24, entry);
  word(long ? 32 : 28, headerBytes);
  view.setUint16(long ? 54 : 42, each, true);
  view.setUint16(long ? 56 : 44, all.length, true);
  let offset = start;
  all.forEach(({ address, fileBytes, memoryBytes = fileBytes, type = 1 }, i) => {
    const at = headerBytes + i * each;
    view.setUint32(at, type, true);
    [offset, 0xc000_0000 + address, address, fileBytes, memoryBytes].forEach((value, field) => word(at + (long ? 8 : 4) + field * (long ? 8 : 4), value));
    if (type === 4) file.set(noteBytes, offset);
    else file.fill(i + 1, offset, offset + fileBytes);
    offset += fileBytes;
  });
  return file;
}

function note(owner: string, kind: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + Math.ceil(owner.length / 4) * 4 + Math.ceil(value.length / 4) * 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, owner.length, true);
  view.setUint32(4, value.length, true);
  view.setUint32(8, kind, true);
  bytes.set(new TextEncoder().encode(owner), 12);
  bytes.set(value, 12 + Math.ceil(owner.length / 4) * 4);
  return bytes;
}

/** RAM full of 0xee, as a machine that is reset has it. */
export interface FakeRam {
  readonly memory: GuestMemory;
  readonly ranges: Ram['ranges'];
  readonly ram: Uint8Array;
  u32(gpa: number): number;
  u64(gpa: number): number;
  text(gpa: number): string; // up to its zero
}

export function makeRam(ramBytes: number): FakeRam {
  const ram = new Uint8Array(ramBytes).fill(0xee);
  const view = new DataView(ram.buffer);
  return {
    ram,
    ranges: [{ gpa: 0, offset: 0, bytes: ramBytes }],
    memory: {
      read: (gpa, size) => (size === 4 ? view.getUint32(gpa, true) : size === 2 ? view.getUint16(gpa, true) : view.getUint8(gpa)),
      write: (gpa, size, value) => (size === 4 ? view.setUint32(gpa, value, true) : size === 2 ? view.setUint16(gpa, value, true) : view.setUint8(gpa, value)),
      copyOut: () => false,
      copyIn: (gpa, from) => {
        if (gpa + from.length > ramBytes) return false;
        ram.set(from, gpa);
        return true;
      },
      readWindow: () => null,
      writeWindow: () => null,
      commit: () => {},
    },
    u32: (gpa) => view.getUint32(gpa, true),
    u64: (gpa) => Number(view.getBigUint64(gpa, true)),
    text: (gpa) => new TextDecoder().decode(ram.subarray(gpa, ram.indexOf(0, gpa))),
  };
}
