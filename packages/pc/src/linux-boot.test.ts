import type { GuestMemory } from '@vm/core';
import { describe, expect, it } from 'vitest';
import { parseBzImage } from './bzimage.ts';
import { type LinuxBoot, loadLinux, placeLinux } from './linux-boot.ts';
import { MiB } from './memory-map.ts';

interface ImageFields {
  readonly version?: number;
  readonly relocatable?: boolean;
  readonly entry64?: boolean;
  readonly initBytes?: number;
  readonly kernelBytes?: number;
}

/** A bzImage with two setup sectors whose kernel is a run of 0xcc. */
function makeImage({ version = 0x20f, relocatable = true, entry64 = true, initBytes = 32 * MiB, kernelBytes = 4096 }: ImageFields = {}): Uint8Array {
  const image = new Uint8Array(3 * 512 + kernelBytes).fill(0xcc, 3 * 512);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 2);
  view.setUint32(0x1f4, kernelBytes / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint16(0x200, 0x6aeb, true); // jmp over the header, which ends at 0x26c
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, version, true);
  view.setUint8(0x211, 1);
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint32(0x230, 2 * MiB, true);
  view.setUint8(0x234, relocatable ? 1 : 0);
  view.setUint16(0x236, entry64 ? 3 : 2, true);
  view.setUint32(0x238, 2047, true);
  view.setUint32(0x258, 16 * MiB, true);
  view.setUint32(0x260, initBytes, true);
  return image;
}

function load(ramBytes: number, boot: LinuxBoot) {
  const ram = new Uint8Array(ramBytes);
  const view = new DataView(ram.buffer);
  const memory: GuestMemory = {
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
  };
  const state = loadLinux(memory, [{ gpa: 0, offset: 0, bytes: ramBytes }], boot);
  return { state, ram, u32: (gpa: number) => view.getUint32(gpa, true) };
}

describe('64-bit entry', () => {
  const initrd = Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff);
  const { state, ram, u32 } = load(64 * MiB, { kernel: makeImage(), initrd, commandLine: 'console=ttyS0', rsdp: 0xe_0000 });

  it('starts at 0x200 of the preferred address in long mode with interrupts off', () => {
    expect([state.rip, state.rsi, state.rflags]).toEqual([16 * MiB + 0x200, 0x7000, 2]);
    expect([state.cr0, state.cr4, state.efer]).toEqual([0x8000_0011, 0x20, 0x500]);
    expect([state.cs.selector, state.cs.attributes & 0x60_0000, state.data.selector]).toEqual([0x10, 0x20_0000, 0x18]);
    expect(ram.subarray(16 * MiB, 16 * MiB + 4096).every((byte) => byte === 0xcc)).toBe(true);
    expect(ram[16 * MiB + 4096]).toBe(0);
  });

  it('maps the first 4 GiB to themselves', () => {
    const translate = (address: number): number => {
      const pdpt = u32(state.cr3) & ~0xfff;
      const directory = u32(pdpt + Math.floor(address / 2 ** 30) * 8) & ~0xfff;
      const entry = u32(directory + (Math.floor(address / 2 ** 21) % 512) * 8);
      expect(entry & 0x83).toBe(0x83);
      return ((entry & ~0x1f_ffff) >>> 0) + (address % 2 ** 21);
    };
    for (const address of [0, 0x7000, 16 * MiB + 0x200, 0x7fff_ffff, 0xfee0_0020, 0xffff_ffff]) expect(translate(address)).toBe(address);
  });

  it('has descriptors that say what the segments are loaded with', () => {
    expect([u32(0x510), u32(0x514)]).toEqual([0xffff, 0xaf9b00]);
    expect([u32(0x518), u32(0x51c)]).toEqual([0xffff, 0xcf9300]);
    expect(state.cs.attributes).toBe(0xaf9b00 & 0xf0ff00);
    expect(state.data.attributes).toBe(0xcf9300 & 0xf0ff00);
  });

  it('fills the zero page: header, loader, initrd, command line, memory map, root pointer', () => {
    const page = 0x7000;
    expect([u32(page + 0x202), ram[page + 0x210]]).toEqual([0x5372_6448, 0xff]);
    const initrdAt = 64 * MiB - 8192;
    expect([u32(page + 0x218), u32(page + 0x21c)]).toEqual([initrdAt, 5000]);
    expect([...ram.subarray(initrdAt, initrdAt + 5000)]).toEqual([...initrd]);
    expect(new TextDecoder().decode(ram.subarray(u32(page + 0x228), u32(page + 0x228) + 14))).toBe('console=ttyS0\0');
    expect([u32(page + 0x070), u32(page + 0x214)]).toEqual([0xe_0000, 16 * MiB]);
    const entries = Array.from({ length: ram[page + 0x1e8]! }, (_, i) => [0, 8, 16].map((field) => u32(page + 0x2d0 + i * 20 + field)));
    expect(entries).toEqual([[0, 0x9_fc00, 1], [0x9_fc00, 0x400, 2], [0xe_0000, 0x2_0000, 2], [0x10_0000, 63 * MiB, 1]]);
  });
});

it('enters in protected mode when the kernel has no 64-bit entry', () => {
  const { state } = load(64 * MiB, { kernel: makeImage({ entry64: false }) });
  expect([state.rip, state.rsi, state.cr0, state.cr4, state.efer]).toEqual([16 * MiB, 0x7000, 0x11, 0, 0]);
  expect(state.cs.attributes & 0x60_0000).toBe(0x40_0000);
  expect(() => load(64 * MiB, { kernel: makeImage({ entry64: false }), entry: 64 })).toThrow(/no 64-bit entry/);
});

describe('placement', () => {
  it('puts a kernel where it wants to be, aligned, because it moves there anyway', () => {
    const image = parseBzImage(makeImage({ initBytes: 8 * MiB }));
    expect(placeLinux(image, 64 * MiB, 0)).toEqual({ kernelAt: 16 * MiB, initrdAt: 0 });
    expect(placeLinux({ ...image, preferredAddress: 15 * MiB }, 64 * MiB, 0).kernelAt).toBe(16 * MiB);
    expect(placeLinux({ ...image, preferredAddress: 0 }, 64 * MiB, 0).kernelAt).toBe(2 * MiB);
    expect(() => placeLinux(image, 16 * MiB, 0)).toThrow(/needs RAM up to 24 MiB/);
  });

  it('puts a kernel that cannot move at 1 MiB', () => {
    const image = parseBzImage(makeImage({ relocatable: false }));
    expect(placeLinux(image, 64 * MiB, 0).kernelAt).toBe(MiB);
    expect(() => placeLinux(image, 47 * MiB, 0)).toThrow(/needs RAM up to 48 MiB/);
  });

  it('keeps the initrd within the reach of the kernel', () => {
    const image = parseBzImage(makeImage());
    expect(placeLinux({ ...image, initrdLast: 0x37ff_ffff }, 2048 * MiB, 1000).initrdAt).toBe(0x37ff_f000);
    expect(() => placeLinux({ ...image, initrdLast: 0x37ff_ffff }, 2048 * MiB, 900 * MiB)).toThrow(/^initrd: too large: the kernel ends at \d+ MiB and the initrd has 900 MiB, and this kernel wants it below 896 MiB$/);
  });

  it('refuses RAM that does not hold kernel and initrd', () => {
    const kernel = makeImage({ initBytes: 8 * MiB });
    expect(() => load(23 * MiB, { kernel })).toThrow(expect.objectContaining({ code: 'E_MEMORY' }));
    expect(() => load(30 * MiB, { kernel, initrd: new Uint8Array(7 * MiB) })).toThrow(/too little RAM: the kernel ends at 24 MiB and the initrd has 7 MiB/);
  });
});

describe('images', () => {
  const broken = (change: (image: Uint8Array) => Uint8Array | void): (() => unknown) => () => {
    const image = makeImage();
    return parseBzImage(change(image) ?? image);
  };

  it.each<[string, RegExp, (image: Uint8Array) => Uint8Array | void]>([
    ['is empty', /at least 1024 bytes, got 0/, () => new Uint8Array(0)],
    ['is gzip data', /got gzip data/, () => Uint8Array.from({ length: 2048 }, (_, i) => [0x1f, 0x8b][i] ?? 0)],
    ['has no signature', /boot signature/, (image) => void (image[0x1fe] = 0)],
    ['has no header', /no Linux setup header/, (image) => void (image[0x202] = 0)],
    ['is too old', /2\.05 is older than 2\.06/, (image) => void image.set([5, 2], 0x206)],
    ['is a zImage', /zImage/, (image) => void (image[0x211] = 0)],
    ['is cut off', /cut off: 5632 bytes expected, 5600 are there/, (image) => image.subarray(0, 5600)],
    ['has only setup', /cut off/, (image) => image.subarray(0, 1024)],
  ])('that %s is refused with the reason', (_what, message, change) => {
    expect(broken(change)).toThrow(message);
    expect(broken(change)).toThrow(expect.objectContaining({ code: 'E_IMAGE' }));
  });

  it('may say more setup sectors than there are bytes', () => {
    expect(broken((image) => void (image[0x1f1] = 0xff))).toThrow(/cut off/);
  });
});

it('refuses a command line that the kernel would cut', () => {
  expect(() => load(64 * MiB, { kernel: makeImage(), commandLine: 'x'.repeat(2048) })).toThrow(/takes 2047 bytes, got 2048/);
  expect(() => load(64 * MiB, { kernel: makeImage(), commandLine: 'a\0b' })).toThrow(/zero byte/);
});
