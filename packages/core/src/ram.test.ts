import { describe, expect, it } from 'vitest';
import type { LinearMemory } from './engine.ts';
import { PAGE_CLEAN, PAGE_CODE, PAGE_READ_ONLY, PAGE_TABLE } from './exit.ts';
import { RamAccess } from './guest-memory.ts';
import { createRam } from './ram.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A layout can be looked at without the memory that it describes. */
function sparse(wasmPages: number): LinearMemory {
  const bytes = wasmPages * 0x1_0000;
  return { buffer: bytes <= 64 * MIB ? new ArrayBuffer(bytes) : new ArrayBuffer(2 * MIB) };
}

describe('the layout of RAM', () => {
  it('lies above the reserve and the attributes, at the start of a page', () => {
    const ram = createRam(16 * MIB, 12_345, sparse);
    expect(ram.attributesOffset).toBe(16_384);
    expect(ram.base % 0x1_0000).toBe(0);
    expect(ram.base).toBeGreaterThanOrEqual(ram.attributesOffset + 16 * MIB / 4096);
    expect(ram.memory.buffer.byteLength).toBe(ram.base + 16 * MIB);
    expect(ram.ranges).toEqual([{ gpa: 0, offset: ram.base, bytes: 16 * MIB }]);
  });

  it('continues above 4 GiB what does not fit below the hole for devices', () => {
    const ram = createRam(3 * GIB + 256 * MIB, 0x1_0000, sparse);
    expect(ram.ranges).toEqual([
      { gpa: 0, offset: ram.base, bytes: 3 * GIB },
      { gpa: 4 * GIB, offset: ram.base + 3 * GIB, bytes: 256 * MIB },
    ]);
    const places = [0, 3 * GIB - 1, 3 * GIB, 4 * GIB - 1, 4 * GIB, 4 * GIB + 256 * MIB - 1, 4 * GIB + 256 * MIB, 2 ** 51];
    expect(places.map((gpa) => ram.offsetOf(gpa) - ram.base)).toEqual([0, 3 * GIB - 1, -1 - ram.base, -1 - ram.base, 3 * GIB, 3 * GIB + 256 * MIB - 1, -1 - ram.base, -1 - ram.base]);
  });

  it('refuses more than a 32-bit linear memory holds, and says how much it holds', () => {
    expect(() => createRam(4 * GIB, 16 * MIB, sparse)).toThrow(expect.objectContaining({ code: 'E_MEMORY', message: expect.stringContaining('leaves 4079 MiB') as string }));
    expect(() => createRam(5_000, 0, sparse)).toThrow(expect.objectContaining({ code: 'E_MEMORY' }));
    expect(() => createRam(0, 0, sparse)).toThrow(expect.objectContaining({ code: 'E_MEMORY' }));
  });

  it('ends at 4 GiB with the firmware, which is in no range and cannot be stored to', () => {
    const ram = createRam(MIB, 100, sparse, 0x2_0000);
    expect(ram.ranges).toEqual([{ gpa: 0, offset: ram.base, bytes: MIB }]);
    expect([MIB - 1, MIB, 4 * GIB - 0x2_0001, 4 * GIB - 0x2_0000, 4 * GIB - 1, 4 * GIB].map((gpa) => ram.offsetOf(gpa) - ram.base))
      .toEqual([MIB - 1, -1 - ram.base, -1 - ram.base, MIB, MIB + 0x1_ffff, -1 - ram.base]);
    const attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / 4096);
    expect([attributes[255], attributes[256], attributes.at(-1)]).toEqual([0, PAGE_READ_ONLY, PAGE_READ_ONLY]);
    const large = createRam(3 * GIB + MIB, 100, sparse, 4096);
    expect([4 * GIB - 1, 4 * GIB].map((gpa) => large.offsetOf(gpa) - large.base)).toEqual([3 * GIB + MIB + 4095, 3 * GIB]);
    expect(new RamAccess(large).readWindow(4 * GIB - 1, 2)).toBe(null);
    for (const bytes of [100, -4096, 16 * MIB]) expect(() => createRam(MIB, 100, sparse, bytes)).toThrow(/firmware: expected a multiple of 4096/);
  });

  it('is a WebAssembly memory unless told otherwise', () => {
    const ram = createRam(MIB, 100);
    expect(ram.memory.buffer.byteLength).toBe(ram.base + MIB);
    expect(Object.prototype.toString.call(ram.memory)).toBe('[object WebAssembly.Memory]');
  });
});

describe('guest memory', () => {
  const ram = createRam(MIB, 100, sparse);
  const memory = new RamAccess(ram);

  it('is little endian, and all-ones beyond its end', () => {
    memory.write(0x1000, 4, 0xdead_beef);
    expect([memory.read(0x1000, 4), memory.read(0x1001, 2), memory.read(0x1003, 1)]).toEqual([0xdead_beef, 0xadbe, 0xde]);
    memory.write(MIB - 2, 4, 0x1234_5678);
    expect([memory.read(MIB - 2, 4), memory.read(MIB - 2, 2), memory.read(MIB, 1)]).toEqual([0xffff_ffff, 0, 0xff]);
  });

  it('copies all of a range or nothing', () => {
    expect(memory.copyIn(0x2000, Uint8Array.of(1, 2, 3))).toBe(true);
    const into = new Uint8Array(3);
    expect(memory.copyOut(0x2000, into)).toBe(true);
    expect([...into]).toEqual([1, 2, 3]);
    expect(memory.copyIn(MIB - 1, Uint8Array.of(7, 7))).toBe(false);
    expect(memory.read(MIB - 1, 1)).toBe(0);
    expect(memory.readWindow(MIB - 1, 2)).toBeNull();
    expect(memory.writeWindow(-1, 1)).toBeNull();
  });

  it('tells the watchers of a page about stores to it, and only those that watch its bits', () => {
    const small = createRam(MIB, 100, sparse);
    const access = new RamAccess(small);
    const seen: string[] = [];
    small.watch(PAGE_CODE | PAGE_TABLE, { written: (offset, bytes) => seen.push(`code ${(offset - small.base).toString(16)} ${bytes}`) });
    small.watch(PAGE_CLEAN, { written: (offset, bytes) => seen.push(`clean ${(offset - small.base).toString(16)} ${bytes}`) });
    const attributes = new Uint8Array(small.memory.buffer, small.attributesOffset, MIB / 4096);
    attributes[3] = PAGE_CODE;
    attributes[5] = PAGE_CLEAN;
    access.write(0x2ffc, 4, 1);
    access.write(0x2ffe, 4, 1);
    access.write(0x3000, 1, 1);
    access.copyIn(0x4ff0, new Uint8Array(32));
    const window = access.writeWindow(0x3000, 8)!;
    window.fill(9);
    expect(seen).toEqual(['code 2ffe 4', 'code 3000 1', 'clean 4ff0 32']);
    access.commit(0x3000, 8);
    expect(seen.at(-1)).toBe('code 3000 8');
  });
});
