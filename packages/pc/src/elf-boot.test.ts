import { describe, expect, it } from 'vitest';
import { parseElf } from './elf.ts';
import { type FakeElf, makeElf, makeRam } from './fake-image.ts';
import { checkKernel, type KernelBoot, loadKernel } from './kernel-boot.ts';
import { MiB } from './memory-map.ts';

function load(ramBytes: number, boot: KernelBoot) {
  const fake = makeRam(ramBytes);
  return { ...fake, state: loadKernel(fake.memory, fake.ranges, boot) };
}

const TWO_SEGMENTS = [{ address: 18 * MiB, fileBytes: 100, memoryBytes: 2 * MiB }, { address: 16 * MiB, fileBytes: 5000 }] as const;

describe('segments', () => {
  it('go to their physical addresses, with zeros behind them over what RAM held', () => {
    const { ram } = load(32 * MiB, { kernel: makeElf({ segments: TWO_SEGMENTS }) });
    expect([ram[16 * MiB - 1], ram[16 * MiB], ram[16 * MiB + 4999], ram[16 * MiB + 5000]]).toEqual([0xee, 2, 2, 0xee]);
    expect([ram[18 * MiB + 99], ram[18 * MiB + 100], ram[20 * MiB - 1], ram[20 * MiB]]).toEqual([1, 0, 0, 0xee]);
    expect(ram.subarray(18 * MiB + 100, 20 * MiB).every((byte) => byte === 0)).toBe(true);
  });

  it('may lie in conventional memory, but not on the boot parameters or the firmware', () => {
    const at = (address: number) => () => load(32 * MiB, { kernel: makeElf({ entry: address, segments: [{ address, fileBytes: 4096 }] }) });
    expect(at(0x4_0000)().state.rip).toBe(0x4_0000);
    for (const address of [0, 0x7000, 0x2_f001, 0x9_f000, 0xe_0000]) expect(at(address)).toThrow(/lies on boot parameters or firmware/);
  });

  it('need RAM', () => {
    const kernel = makeElf({ segments: TWO_SEGMENTS });
    expect(() => load(19 * MiB, { kernel })).toThrow(expect.objectContaining({ code: 'E_MEMORY', message: 'too little RAM: the kernel needs RAM up to 20 MiB, below 4 GiB there are 19 MiB' }));
    expect(() => load(21 * MiB, { kernel, initrd: new Uint8Array(2 * MiB) })).toThrow(/the kernel ends at 20 MiB and the initrd has 2 MiB/);
  });
});

describe('the Linux entry of an ELF file', () => {
  it('of 64 bits is taken in long mode with a zero page', () => {
    const { state, u32, text } = load(32 * MiB, { kernel: makeElf({ entry: 16 * MiB + 8 }), initrd: Uint8Array.of(9), commandLine: 'quiet', rsdp: 0xe_0000 });
    expect([state.rip, state.rsi, state.cr0, state.efer]).toEqual([16 * MiB + 8, 0x7000, 0x8000_0011, 0x500]);
    expect([u32(0x7202), u32(0x7206) & 0xffff, u32(0x7070), u32(0x7218), u32(0x721c), text(u32(0x7228))]).toEqual([0x5372_6448, 0x020f, 0xe_0000, 32 * MiB - 4096, 1, 'quiet']);
    expect(u32(0x71e8) & 0xff).toBe(4);
  });

  it('of 32 bits is taken in protected mode without paging', () => {
    const { state } = load(32 * MiB, { kernel: makeElf({ bits: 32 }) });
    expect([state.rip, state.rsi, state.cr0, state.efer, state.cs.attributes & 0x60_0000]).toEqual([16 * MiB, 0x7000, 0x11, 0, 0x40_0000]);
  });
});

describe('the PVH entry', () => {
  const kernel = makeElf({ segments: TWO_SEGMENTS, pvh: 16 * MiB + 0x40 });

  it('is found among other notes and preferred', () => {
    expect(parseElf(kernel).pvhEntry).toBe(16 * MiB + 0x40);
    expect(parseElf(makeElf({ bits: 32, pvh: 16 * MiB })).pvhEntry).toBe(16 * MiB);
    expect(parseElf(makeElf({ pvh: 16 * MiB, pvhOwner: 'Xer\0' })).pvhEntry).toBe(null);
    expect(load(32 * MiB, { kernel }).state.rip).toBe(16 * MiB + 0x40);
    expect(load(32 * MiB, { kernel, entry: 64 }).state.rip).toBe(16 * MiB);
  });

  it('is taken in protected mode with the start info in EBX', () => {
    const { state } = load(32 * MiB, { kernel });
    expect([state.rbx, state.rsi, state.cr0, state.cr4, state.efer, state.rflags]).toEqual([0x8000, 0, 0x11, 0, 0, 2]);
    expect([state.cs.attributes & 0x60_0000, state.cs.limit, state.tr.base, state.tr.limit]).toEqual([0x40_0000, 0xffff_ffff, 0, 0x67]);
  });

  it('gets modules, command line, root pointer and memory map', () => {
    const { u32, u64, text } = load(32 * MiB, { kernel, initrd: new Uint8Array(5000), commandLine: 'console=ttyS0', rsdp: 0xe_0000 });
    const info = 0x8000;
    expect([u32(info), u32(info + 4), u32(info + 8), u32(info + 12)]).toEqual([0x336e_c578, 1, 0, 1]);
    const modules = u64(info + 16);
    expect([u64(modules), u64(modules + 8), u64(modules + 16)]).toEqual([32 * MiB - 8192, 5000, 0]);
    expect([text(u64(info + 24)), u64(info + 32)]).toEqual(['console=ttyS0', 0xe_0000]);
    const map = u64(info + 40);
    const entries = Array.from({ length: u32(info + 48) }, (_, i) => [u64(map + i * 24), u64(map + i * 24 + 8), u32(map + i * 24 + 16)]);
    expect(entries).toEqual([[0, 0x9_fc00, 1], [0x9_fc00, 0x400, 2], [0xe_0000, 0x2_0000, 2], [MiB, 31 * MiB, 1]]);
  });

  it('gets no modules without an initrd', () => {
    const { u32, u64 } = load(32 * MiB, { kernel });
    expect([u32(0x800c), u64(0x8010), u32(u64(0x8028) + 16)]).toEqual([0, 0, 1]);
  });
});

describe('an ELF file', () => {
  const change = (at: number, value: number, options: FakeElf = {}): Uint8Array => {
    const file = makeElf(options);
    file[at] = value;
    return file;
  };
  const HEADER = 64; // of 64 bits; the first program header follows

  it.each<[string, RegExp, Uint8Array]>([
    ['is cut off in its header', /cut off: 52 bytes expected, 20 are there/, makeElf().subarray(0, 20)],
    ['is cut off in its long header', /cut off: 64 bytes expected, 60 are there/, makeElf().subarray(0, 60)],
    ['is cut off in its program headers', /cut off: program headers up to 120, 100 bytes are there/, makeElf().subarray(0, 100)],
    ['is cut off in a segment', /cut off: the segment at 0x1000000 reaches to 4216, 4215 bytes are there/, makeElf().subarray(0, 4215)],
    ['is of another class', /not made for x86/, change(4, 3)],
    ['is big-endian', /not made for x86/, change(5, 2)],
    ['is for another machine', /machine 183 in a file of 64 bits/, change(18, 183)],
    ['is x86-64 in 32 bits', /machine 62 in a file of 32 bits/, change(18, 62, { bits: 32 })],
    ['is relocatable', /an executable is expected, it has type 1/, change(16, 1)],
    ['has no program headers', /0 program headers/, change(56, 0)],
    ['has short program headers', /program headers of 8 bytes/, change(54, 8)],
    ['has an impossible address', /0x10000001000000 at 88 is no address/, change(HEADER + 24 + 6, 0x10)],
    ['has nothing to load', /no segment to load/, makeElf({ segments: [{ address: 0, fileBytes: 4, type: 2 }] })],
    ['has more in the file than in memory', /4096 bytes in the file and 100 in memory/, makeElf({ segments: [{ address: 16 * MiB, fileBytes: 4096, memoryBytes: 100 }] })],
    ['has segments that overlap', /0x1000000 and 0x1000800 overlap/, makeElf({ segments: [{ address: 0x100_0800, fileBytes: 8 }, { address: 0x100_0000, fileBytes: 8, memoryBytes: 0x801 }] })],
    ['begins outside', /the entry at 0x2000000 is in no segment/, makeElf({ entry: 32 * MiB })],
    ['begins in zeros', /the entry at 0x1000010 is in no segment/, makeElf({ entry: 16 * MiB + 16, segments: [{ address: 16 * MiB, fileBytes: 16, memoryBytes: 32 }] })],
    ['has a PVH entry outside', /the PVH entry at 0x1800000 is in no segment/, makeElf({ pvh: 24 * MiB })],
  ])('that %s is refused with the reason', (_what, message, file) => {
    expect(() => checkKernel(file)).toThrow(message);
    expect(() => checkKernel(file)).toThrow(expect.objectContaining({ code: 'E_IMAGE' }));
  });

  it('with notes that are broken has no PVH entry', () => {
    const file = makeElf({ pvh: 16 * MiB });
    const notes = new DataView(file.buffer, file.length - 12 - 4 - 20 - 12 - 4 - 8);
    notes.setUint32(0, 0xffff_fff0, true);
    expect(parseElf(file).pvhEntry).toBe(null);
  });

  it('is refused for an entry that it has not', () => {
    expect(() => checkKernel(makeElf(), 32)).toThrow('kernel: an ELF file of 64 bits has no 32-bit entry');
    expect(() => checkKernel(makeElf({ bits: 32 }), 64)).toThrow('kernel: an ELF file of 32 bits has no 64-bit entry');
    expect(() => checkKernel(makeElf(), 'pvh')).toThrow('kernel: it has no PVH entry');
  });

  it('may be damaged anywhere without more than a refusal', () => {
    const whole = makeElf({ entry: MiB, segments: [{ address: MiB, fileBytes: 100 }, { address: MiB + 4096, fileBytes: 10, memoryBytes: 100 }], pvh: MiB });
    let refused = 0;
    for (let at = 0; at < 64 + 3 * 56; at++) {
      for (const value of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
        const file = whole.slice();
        file[at] = value;
        try {
          load(MiB + 8192, { kernel: file });
        } catch (error) {
          refused++;
          expect(error).toMatchObject({ code: expect.stringMatching(/^E_(IMAGE|MEMORY)$/) });
        }
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});
