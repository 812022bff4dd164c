/** What drivers do to devices, as code of 32 bits: many accesses close to each other. */
import { type Assembler, CONDITION_E, CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBX, RCX, RDI, RDX } from '@vm/x86';
import { IDE, PCI, PIC, PIT, RTC, UART, VIRTIO, VIRTIO_WINDOW } from './worker-devices.ts';

export const DEVICES = { IDE, PCI, PIC, PIT, RTC, UART, VIRTIO };

export interface Sequence {
  readonly name: string;
  readonly device: keyof typeof DEVICES;
  readonly accesses: number;
  write(code: Assembler): void;
}
export const out = (code: Assembler, port: number, value: number): Assembler => code.mov(r32(RAX), value).mov(r32(RDX), port).out(r16(RDX), r8(RAX));
const read = (code: Assembler, port: number): Assembler => code.mov(r32(RDX), port).in(r8(RAX), r16(RDX));
const BUFFER = 0x18_0000;
/** Of the registers of a virtio device: bytes, offset, value; a value of -1 is a read. */
const VIRTIO_SETUP: readonly (readonly [bytes: 1 | 2 | 4, offset: number, value: number])[] = [
  [1, 0x14, 0], [1, 0x14, -1], [1, 0x14, 1], [1, 0x14, 3], [4, 0x00, 0], [4, 0x04, -1], [4, 0x00, 1], [4, 0x04, -1], [4, 0x08, 0], [4, 0x0c, 0], [4, 0x08, 1], [4, 0x0c, 1], [1, 0x14, 11], [1, 0x14, -1],
  [2, 0x10, 0xffff], [2, 0x16, 0], [2, 0x18, -1], [2, 0x18, 128], [2, 0x1a, 0xffff], [4, 0x20, BUFFER], [4, 0x24, 0], [4, 0x28, BUFFER + 0x1000], [4, 0x2c, 0], [4, 0x30, BUFFER + 0x2000], [4, 0x34, 0], [2, 0x1c, 1], [1, 0x14, 15],
];
export const SEQUENCES: readonly Sequence[] = [
  {
    name: '8259 pair: set up', device: 'PIC', accesses: 10,
    write: (code) => { for (const [port, value] of [[0x20, 0x11], [0x21, 0x20], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x28], [0xa1, 2], [0xa1, 1], [0x21, 0xfb], [0xa1, 0xff]] as const) out(code, port, value); },
  },
  { name: 'three counters of the PIT', device: 'PIT', accesses: 9, write: (code) => { for (const [i, mode] of [0x34, 0x74, 0xb6].entries()) out(out(out(code, 0x43, mode), 0x40 + i, 0x9c), 0x40 + i, 0x2e); } },
  { name: 'date of the CMOS clock', device: 'RTC', accesses: 14, write: (code) => { for (const index of [0, 2, 4, 6, 7, 8, 9]) read(out(code, 0x70, index), 0x71); } },
  {
    name: 'UART: set up, 16 bytes', device: 'UART', accesses: 25,
    write: (code) => {
      for (const [offset, value] of [[1, 0], [3, 0x80], [0, 1], [1, 0], [3, 3], [2, 7], [4, 3]] as const) out(code, 0x3f8 + offset, value);
      for (let i = 0; i < 16; i++) out(code, 0x3f8, 0x20 + i);
      read(read(code, 0x3fd), 0x3fa);
    },
  },
  {
    name: 'IDE: identify a disk, polled', device: 'IDE', accesses: 266,
    write: (code) => {
      out(code, 0x3f6, 2);
      for (const [offset, value] of [[6, 0xe0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [7, 0xec]] as const) out(code, 0x1f0 + offset, value);
      read(code.label('busy'), 0x1f7).test(r8(RAX), 8).jcc(CONDITION_E, 'busy');
      read(code.push(r32(RCX)).mov(r32(RCX), 256).mov(r32(RDI), BUFFER).mov(r32(RDX), 0x1f0).cld().rep().size(2).ins().pop(r32(RCX)), 0x1f7);
    },
  },
  {
    name: 'PCI: look into 32 slots', device: 'PCI', accesses: 64,
    write: (code) => {
      code.mov(r32(RBX), 0x8000_0000 | 0).label('slot').mov(r32(RAX), r32(RBX)).mov(r32(RDX), 0xcf8).out(r16(RDX), r32(RAX)).mov(r32(RDX), 0xcfc).in(r32(RAX), r16(RDX));
      code.add(r32(RBX), 0x800).test(r32(RBX), 0x1_0000).jcc(CONDITION_E, 'slot');
    },
  },
  {
    name: 'virtio: set up with one queue', device: 'VIRTIO', accesses: VIRTIO_SETUP.length,
    write: (code) => {
      const sized = { 1: r8, 2: r16, 4: r32 } as const;
      code.mov(r32(RBX), VIRTIO_WINDOW | 0);
      for (const [bytes, offset, value] of VIRTIO_SETUP) {
        const at = mem(bytes, { base: RBX, displacement: offset });
        if (value < 0) code.mov(sized[bytes](RAX), at);
        else code.mov(r32(RAX), value).mov(at, sized[bytes](RAX));
      }
    },
  },
  { name: 'UART: 16 bytes, each after a look at its status', device: 'UART', accesses: 32, write: (code) => { for (let i = 0; i < 16; i++) out(read(code.label(`wait${i}`), 0x3fd).test(r8(RAX), 0x20).jcc(CONDITION_E, `wait${i}`), 0x3f8, 0x20 + i); } },
];

/** The sequence `rounds` times, then HLT. `apart`: something between two of them that no block does, as in a guest whose drivers do other things too. */
export function repeated(sequence: Sequence, rounds: number, origin: number, apart: boolean = false): Uint8Array {
  const code = createAssembler(32, { origin }).mov(r32(RCX), rounds).label('round');
  sequence.write(code);
  if (apart) code.sti();
  return code.dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt().bytes();
}
