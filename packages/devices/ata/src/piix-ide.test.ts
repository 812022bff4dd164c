import { memoryDisk } from '@vm/block';
import type { Device, DeviceContext, IoHandler, Size } from '@vm/core';
import { PciBus } from '@vm/pci';
import { expect, it } from 'vitest';
import { piixIde } from './piix-ide.ts';

const RAM_BYTES = 0x1_0000;
const DATA = 0, ERROR = 1, COUNT = 2, DEVICE = 6, STATUS = 7;

function setup(writable = true) {
  const contents = Uint8Array.from({ length: 300 * 512 }, (_, i) => (i >> 9) & 0xff);
  const disk = { ...memoryDisk(contents), writable };
  const ram = new Uint8Array(RAM_BYTES);
  const bus = new PciBus();
  const handlers = new Map<string, IoHandler>();
  const levels = new Map<number, boolean>();
  const part = (gpa: number, bytes: number): Uint8Array | null => (gpa + bytes <= RAM_BYTES ? ram.subarray(gpa, gpa + bytes) : null);
  const ctx = {
    name: 'ide', signal: new AbortController().signal, log: () => {}, host: { block: () => disk },
    pio: { claim: (name: string, bytes: number, handler: IoHandler) => (handlers.set(name, handler), { base: -1, bytes, map: () => {}, unmap: () => {} }) },
    lines: { connect: (pin: number) => ({ set: (high: boolean) => void levels.set(pin, high) }) },
    dma: {
      read: (gpa: number) => (part(gpa, 4) === null ? 0xffff_ffff : new DataView(ram.buffer).getUint32(gpa, true)),
      copyIn: (gpa: number, from: Uint8Array) => (part(gpa, from.length)?.set(from), part(gpa, from.length) !== null),
      copyOut: (gpa: number, into: Uint8Array) => (part(gpa, into.length) === null ? false : (into.set(part(gpa, into.length)!), true)),
    },
  } as unknown as DeviceContext<'pio' | 'lines' | 'dma' | 'host'>;
  const config = { slot: bus.slot(1, 1), isaSlot: bus.slot(1), drives: [{ block: 'x', serial: 'a serial' }] };
  const make = (): Device => {
    const device = piixIde.create(ctx, config);
    void device.powerUp?.('cold');
    return device;
  };
  const device = make();
  const read = (offset: number, size: Size = 1): number => handlers.get('command0')!.read(offset, size);
  const write = (offset: number, value: number, size: Size = 1): void => handlers.get('command0')!.write(offset, size, value);
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const command = async (code: number, lba = 0, count = 1): Promise<void> => {
    write(DEVICE, 0xe0 | (lba >>> 24));
    for (let i = 0; i < 4; i++) write(COUNT + i, 0); // what commands of 48 bits take for the high halves
    [count & 0xff, lba & 0xff, (lba >> 8) & 0xff, (lba >> 16) & 0xff].forEach((value, i) => write(COUNT + i, value));
    write(STATUS, code);
    await settle();
  };
  const take = (words: number): number[] => Array.from({ length: words }, () => read(DATA, 2));
  const master = (): IoHandler => handlers.get('bar4')!;
  const startDma = async (toMemory: boolean, entries: readonly (readonly [gpa: number, bytes: number])[]): Promise<void> => {
    bus.writeConfig(0x904, 2, 5);
    const view = new DataView(ram.buffer);
    entries.forEach(([gpa, bytes], i) => {
      view.setUint32(0x100 + 8 * i, gpa, true);
      view.setUint32(0x104 + 8 * i, ((bytes & 0xffff) | (i === entries.length - 1 ? 0x8000_0000 : 0)) >>> 0, true);
    });
    master().write(4, 4, 0x100);
    master().write(2, 1, 6);
    master().write(0, 1, toMemory ? 9 : 1);
    await settle();
  };
  return { bus, contents, ram, device, make, read, write, command, take, master, startDma, settle, levels, control: handlers.get('control0')! };
}

it('identifies itself, and is alone on its channel', async () => {
  const { bus, command, take, read, write, levels } = setup();
  expect([bus.readConfig(0x800, 4), bus.readConfig(0x900, 4), bus.readConfig(0x940, 4)]).toEqual([0x7110_8086, 0x7111_8086, 0x8000_8000]);
  await command(0xec);
  expect([read(STATUS), levels.get(14)]).toEqual([0x58, false]);
  const words = take(256);
  expect([words[60], words[10], words[100], read(STATUS)]).toEqual([300, 0x6120, 300, 0x50]);
  write(DEVICE, 0xb0);
  expect([read(STATUS), read(COUNT)]).toEqual([0, 0]);
});

it('reads and writes by PIO, with an interrupt for each sector', async () => {
  const { command, take, read, write, contents, levels, settle } = setup();
  await command(0x20, 5, 2);
  expect([levels.get(14), read(STATUS), levels.get(14)]).toEqual([true, 0x58, false]);
  expect(take(256).every((word) => word === 0x0505)).toBe(true);
  expect([levels.get(14), read(STATUS), take(256)[255], read(STATUS)]).toEqual([true, 0x58, 0x0606, 0x50]);
  await command(0x30, 299, 1);
  expect([levels.get(14), read(STATUS)]).toEqual([false, 0x58]);
  for (let i = 0; i < 128; i++) write(DATA, 0x1234_5678, 4);
  await settle();
  expect([levels.get(14), read(STATUS), contents[299 * 512], contents.at(-1), contents[299 * 512 - 1]]).toEqual([true, 0x50, 0x78, 0x12, 298 & 0xff]);
});

it('transfers by bus master, over tables of several parts', async () => {
  const { command, startDma, ram, master, read, contents } = setup();
  await command(0xc8, 7, 2);
  await startDma(true, [[0x1000, 512], [0x3000, 512]]);
  expect([ram[0x1000], ram[0x31ff], ram[0x1200], master().read(2, 1) & 7, read(STATUS)]).toEqual([7, 8, 0, 4, 0x50]);
  master().write(0, 1, 0);
  ram.fill(0x99, 0x1000, 0x1200);
  await command(0x35, 9, 1);
  await startDma(false, [[0x1000, 512]]);
  expect([contents[9 * 512], contents[10 * 512], read(STATUS)]).toEqual([0x99, 10, 0x50]);
  master().write(0, 1, 0);
  for (const table of [[[0x1000, 512]], [[0xffff_0000, 0]]] as const) {
    await command(0xc8, 7, 2);
    await startDma(true, table);
    expect([master().read(2, 1) & 3, read(STATUS), read(ERROR)]).toEqual([2, 0x51, 4]);
    master().write(0, 1, 0);
  }
});

it('aborts what it does not know and what is not on the disk, and refuses stores to a disk that can only be read', async () => {
  const { command, read } = setup(false);
  const outcomes: number[][] = [];
  for (const [code, lba, count] of [[0xa1, 0, 1], [0x20, 300, 1], [0x20, 299, 2], [0x30, 0, 1], [0xc4, 0, 1], [0xe7, 0, 1]] as const) {
    await command(code, lba, count);
    outcomes.push([read(STATUS), read(ERROR)]);
  }
  expect(outcomes).toEqual([[0x51, 4], [0x51, 0x10], [0x51, 0x10], [0x51, 4], [0x51, 4], [0x50, 0]]);
});

it('a reset ends a transfer that is under way, which touches no memory afterwards', async () => {
  const { command, write, read, control, take, settle } = setup();
  await command(0xec);
  take(256);
  write(DEVICE, 0xe0);
  write(COUNT, 1);
  write(STATUS, 0x20);
  expect(read(STATUS)).toBe(0x80);
  control.write(0, 1, 4);
  control.write(0, 1, 0);
  await settle();
  expect([read(STATUS), read(ERROR), read(COUNT), take(1)]).toEqual([0x50, 1, 1, [0xffff]]);
});

it('comes back from its saved state in the middle of a transfer, also while the host works', async () => {
  const { command, take, device, make, write, settle } = setup();
  await command(0x20, 5, 2);
  take(10);
  let other = make();
  other.load!(structuredClone(device.save!()), 1);
  expect([...new Set(take(246))]).toEqual([0x0505]);
  expect(take(1)).toEqual([0x0606]);
  await command(0xec);
  take(256);
  write(COUNT, 1);
  write(COUNT + 1, 8);
  write(STATUS, 0x20);
  const state = structuredClone(other.save!());
  other = make();
  other.load!(state, 1);
  other.start!();
  await settle();
  expect(take(1)).toEqual([0x0808]);
  for (const hostile of [null, { channels: [] }, { function: (state as { function: null }).function, bridge: (state as { bridge: null }).bridge, channels: [{}, {}] }]) expect(() => make().load!(hostile, 1)).toThrow(TypeError);
});

it('survives every access of a guest that means no good', async () => {
  const seed = Number(process.env['VM_SEED'] ?? 3);
  console.log(`seed ${seed}`);
  let state = seed >>> 0;
  const random = (below: number): number => Math.floor(((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * below);
  const { bus, read, write, master, control, settle, make, device } = setup();
  bus.writeConfig(0x904, 2, 5);
  const codes = [0x20, 0x24, 0x30, 0x34, 0xc4, 0xc5, 0xc8, 0xca, 0x25, 0x35, 0xec, 0xe7, 0xef, 0xc6, 0x90];
  for (let i = 0; i < 20_000; i++) {
    const size = ([1, 2, 4] as const)[random(3)]!;
    const offset = random(3) === 0 ? 0 : random(8);
    if (random(8) === 0) write(STATUS, codes[random(codes.length)]!);
    else if (random(2) === 0) write(offset, random(4) === 0 ? 1 : random(2 ** (8 * size)), size);
    else expect(read(offset, size)).toBeLessThan(2 ** (8 * size));
    if (random(6) === 0) master().write(random(4) * 4, size, random(2 ** (8 * size)));
    if (random(40) === 0) control.write(0, 1, random(8));
    if (random(20) === 0) await settle();
  }
  make().load!(structuredClone(device.save!()), 1);
});
