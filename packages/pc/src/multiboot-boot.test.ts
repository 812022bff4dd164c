import { describe, expect, it } from 'vitest';
import { type FakeElf, makeElf, makeRam } from './fake-image.ts';
import { checkKernel, loadKernel } from './kernel-boot.ts';
import { MiB } from './memory-map.ts';
import type { MultibootModule } from './multiboot-boot.ts';

const MAGIC = 0x1bad_b002;
const INFO = 0x9_0000;

/** Puts a header where the first segment begins; its flags, and what follows the checksum. */
function withHeader(file: Uint8Array, at: number, flags = 0, ...place: number[]): Uint8Array {
  const view = new DataView(file.buffer, file.byteOffset);
  [MAGIC, flags, -(MAGIC + flags), ...place].forEach((word, i) => view.setUint32(at + i * 4, word, true));
  return file;
}

function makeImage(elf: FakeElf = {}, flags = 0): Uint8Array {
  const options = { bits: 32, entry: 4 * MiB + 0x40, segments: [{ address: 4 * MiB, fileBytes: 4096, memoryBytes: 2 * MiB }], ...elf } as const;
  const file = makeElf(options);
  return withHeader(file, file.length - options.segments.reduce((sum, { fileBytes }) => sum + fileBytes, 0), flags);
}

interface Given { readonly image?: Uint8Array; readonly commandLine?: string; readonly modules?: readonly MultibootModule[]; readonly ramBytes?: number }

function load({ image = makeImage(), commandLine = 'prog -x', modules = [], ramBytes = 16 * MiB }: Given = {}) {
  const fake = makeRam(ramBytes);
  return { ...fake, state: loadKernel(fake.memory, fake.ranges, { kernel: image, entry: 'multiboot', commandLine, modules }) };
}

/** Runs what the entry begins with: the value that each register has got at the jump to the image. */
function entryRegisters({ state, ram }: ReturnType<typeof load>): { readonly eax: number; readonly ebx: number; readonly ecx: number } {
  const from = ram.subarray(state.rip, state.rip + 0x100);
  const view = new DataView(from.buffer, from.byteOffset);
  const jump = from.findIndex((byte, i) => byte === 0xff && from[i + 1] === 0xe1); // jmp ecx
  const value = (opcode: number): number => view.getUint32(from.lastIndexOf(opcode, jump - 1) + 1, true);
  return { eax: value(0xb8), ebx: value(0xbb), ecx: value(0xb9) };
}

describe('a multiboot image', () => {
  it('is loaded by its program headers, with zeros behind', () => {
    const { ram } = load();
    expect([ram[4 * MiB - 1], ram[4 * MiB + 12], ram[4 * MiB + 4095], ram[4 * MiB + 4096], ram[6 * MiB - 1], ram[6 * MiB]]).toEqual([0xee, 1, 1, 0, 0, 0xee]);
  });

  it.each([32, 64] as const)('of %i bits is entered in protected mode with the magic number and the information', (bits) => {
    const loaded = load({ image: makeImage({ bits }) });
    const { state } = loaded;
    expect([state.cr0, state.efer, state.rflags, state.cs.base, state.cs.limit, state.data.base, state.data.limit]).toEqual([0x11, 0, 2, 0, 0xffff_ffff, 0, 0xffff_ffff]);
    expect(state.rip).toBeGreaterThanOrEqual(0xf_0000);
    expect(entryRegisters(loaded)).toEqual({ eax: 0x2bad_b002, ebx: INFO, ecx: 4 * MiB + 0x40 });
    expect(state.gdt.base).toBeGreaterThan(INFO);
  });

  it('gets memory, command line and memory map', () => {
    const { u32, u64, text } = load();
    expect([u32(INFO), u32(INFO + 4), u32(INFO + 8), text(u32(INFO + 16)), u32(INFO + 20), text(u32(INFO + 64))]).toEqual([0x24d, 639, 15 * 1024, 'prog -x', 0, 'vm']);
    const entries: number[][] = [];
    for (let at = u32(INFO + 48); at < u32(INFO + 48) + u32(INFO + 44); at += u32(at) + 4) entries.push([u32(at), u64(at + 4), u64(at + 12), u32(at + 20)]);
    expect(entries).toEqual([[20, 0, 0x9_fc00, 1], [20, 0x9_fc00, 0x400, 2], [20, 0xe_0000, 0x2_0000, 2], [20, MiB, 15 * MiB, 1]]);
  });

  it('gets small modules in low memory and large ones behind the image, on pages', () => {
    const modules = [{ bytes: new TextEncoder().encode('MEMSIZE=16\n'), text: 'env' }, { bytes: new Uint8Array(MiB).fill(7) }, { bytes: new Uint8Array(0), text: 'none' }];
    const { ram, u32, text } = load({ modules });
    const at = u32(INFO + 24);
    const list = modules.map((_, i) => [u32(at + i * 16), u32(at + i * 16 + 4) - u32(at + i * 16), text(u32(at + i * 16 + 8)), u32(at + i * 16 + 12)]);
    expect([u32(INFO + 20), list]).toEqual([3, [[0x9_1000, 11, 'env', 0], [6 * MiB, MiB, '', 0], [0x9_2000, 0, 'none', 0]]]);
    expect([new TextDecoder().decode(ram.subarray(0x9_1000, 0x9_100b)), ram[6 * MiB], ram[7 * MiB - 1]]).toEqual(['MEMSIZE=16\n', 7, 7]);
  });

  it('may use low memory to 0x90000, over interrupt vectors and all', () => {
    const low = load({ image: makeImage({ entry: 0x8018, segments: [{ address: 0, fileBytes: 0x200 }, { address: 0x8000, fileBytes: 0x8_8000 }] }) });
    expect([low.ram[0x100], low.ram[0x8_ffff], entryRegisters(low).ecx]).toEqual([1, 2, 0x8018]);
    const high = load();
    expect(high.u32(0x20) >>> 16).toBe(0xf000); // of the timer
    expect(low.ram.subarray(0xf_e000, 0xf_e100)).not.toEqual(high.ram.subarray(0xf_e000, 0xf_e100)); // it has the timer's line open
  });

  it('may say in its header where it goes', () => {
    const file = withHeader(new Uint8Array(0x1000).fill(5), 0x100, 0x1_0000, 0x20_0100, 0x20_0000, 0, 0x20_3000, 0x20_0400);
    const loaded = load({ image: file });
    expect([loaded.ram[0x20_0000], loaded.ram[0x20_0fff], loaded.ram[0x20_1000], loaded.ram[0x20_2fff], loaded.ram[0x20_3000]]).toEqual([5, 5, 0, 0, 0xee]);
    expect(entryRegisters(loaded).ecx).toBe(0x20_0400);
    const part = load({ image: withHeader(new Uint8Array(0x1000).fill(5), 0x100, 0x1_0000, 0x20_0000, 0x20_0000, 0x20_0200, 0, 0x20_0010) });
    expect([part.u32(0x20_0000), part.ram[0x20_01ff], part.ram[0x20_0200]]).toEqual([MAGIC, 5, 0xee]);
  });
});

describe('a multiboot image is refused that', () => {
  const place = (...words: number[]) => withHeader(new Uint8Array(0x1000), 0x100, 0x1_0000, ...words);
  it.each<[string, RegExp, Uint8Array]>([
    ['is empty', /no multiboot header in its first 8 KiB$/, new Uint8Array(0)],
    ['has no header', /no multiboot header in its first 8 KiB$/, makeElf({ bits: 32 })],
    ['has a header too far behind', /no multiboot header/, withHeader(new Uint8Array(16384), 8192)],
    ['has a header of version 2', /but one of version 2/, (() => { const file = new Uint8Array(64); new DataView(file.buffer).setUint32(0, 0xe852_50d6, true); return file; })()],
    ['has a wrong checksum', /no multiboot header/, (() => { const file = makeImage(); file[file.length - 4096 + 8]! ^= 1; return file; })()],
    ['asks for something unknown', /flags 0x8$/, makeImage({}, 8)],
    ['is no ELF file', /it is no ELF file/, withHeader(new Uint8Array(64), 0)],
    ['is cut off', /cut off: the segment at 0x400000/, makeImage().subarray(0, -1)],
    ['is cut off in its header', /cut off in its header/, place().subarray(0, 0x100 + 16)],
    ['begins outside', /the entry at 0x0 is in no segment/, makeImage({ entry: 0 })],
    ['begins in its zeros', /the entry at 0x401000 is in no segment/, makeImage({ entry: 4 * MiB + 4096 })],
    ['has segments that overlap', /0x400000 and 0x400800 overlap/, makeImage({ segments: [{ address: 4 * MiB, fileBytes: 4096 }, { address: 4 * MiB + 2048, fileBytes: 8 }] })],
    ['lies on the boot information', /the segment at 0x8fff0 to 0x90ff0 lies on boot information/, makeImage({ entry: 0x8_fff0, segments: [{ address: 0x8_fff0, fileBytes: 4096 }] })],
    ['lies on the firmware', /lies on boot information or firmware/, makeImage({ entry: 0xf_fff0, segments: [{ address: 0xf_fff0, fileBytes: 4096 }] })],
    ['has a header before its beginning', /cannot be at 0x1fffff when loading begins at 0x200000/, place(0x1f_ffff, 0x20_0000, 0, 0, 0x20_0000)],
    ['has a beginning before its file', /cannot be at 0x200101/, place(0x20_0101, 0x20_0000, 0, 0, 0x20_0000)],
    ['loads more than there is', /cut off: 0x200000 to 0x201001 is to be loaded, 4096 bytes/, place(0x20_0100, 0x20_0000, 0x20_1001, 0, 0x20_0000)],
    ['ends before it begins', /cut off: 0x200000 to 0x1000/, place(0x20_0100, 0x20_0000, 0x1000, 0, 0x20_0000)],
    ['has zeros that end before they begin', /zeros end at 0x200001/, place(0x20_0100, 0x20_0000, 0, 0x20_0001, 0x20_0000)],
    ['is entered where nothing is loaded', /the entry at 0x201000 is not in what is loaded/, place(0x20_0100, 0x20_0000, 0, 0, 0x20_1000)],
  ])('%s', (_what, message, image) => {
    expect(() => load({ image })).toThrow(message);
    expect(() => load({ image })).toThrow(expect.objectContaining({ code: 'E_IMAGE' }));
  });

  it('does not fit RAM, or whose modules do not', () => {
    expect(() => load({ ramBytes: 5 * MiB })).toThrow(expect.objectContaining({ code: 'E_MEMORY', message: 'too little RAM: the image needs RAM up to 6 MiB, below 4 GiB there are 5 MiB' }));
    expect(() => load({ modules: [{ bytes: new Uint8Array(11 * MiB) }] })).toThrow(/too little RAM: module 1 reaches up to 17 MiB/);
    expect(() => load({ commandLine: 'x'.repeat(40_000) })).toThrow(/command lines: 32768 bytes is the most/);
    expect(() => load({ commandLine: 'a\0b' })).toThrow(/a zero byte inside/);
    const kernel = makeImage();
    const { memory, ranges } = makeRam(MiB);
    expect(() => loadKernel(memory, ranges, { kernel, entry: 'multiboot', initrd: new Uint8Array(1) })).toThrow(/given to it as a module/);
    expect(() => loadKernel(memory, ranges, { kernel, modules: [{ bytes: new Uint8Array(1) }] })).toThrow(/modules are for multiboot images/);
  });

  it('may be damaged anywhere, without more than a refusal', () => {
    const whole = makeImage();
    let refused = 0;
    for (let at = 0; at < 52 + 32 + 16; at++) {
      for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
        const image = whole.slice();
        image[at] = value;
        try {
          checkKernel(image, 'multiboot');
          load({ image });
        } catch (error) {
          refused++;
          expect(error).toMatchObject({ code: expect.stringMatching(/^E_(IMAGE|MEMORY)$/) });
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
