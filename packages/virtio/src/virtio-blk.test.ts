import type { Device, DeviceContext, IoHandler, Size } from '@vm/core';
import { memoryDisk } from '@vm/block';
import { PciBus } from '@vm/pci';
import { expect, it } from 'vitest';
import { beginDriver, packedDriver, PlainMemory, RING, splitDriver } from './small-driver.ts';
import { virtioBlk } from './virtio-blk.ts';

const HEADER = 0x8000, STATUS = 0x8fff, DATA = 0x9000;

/** A device with its driver's rules kept, by way of the window that its configuration space offers. */
function setup(packed = false, writable = true) {
  const memory = new PlainMemory(0x2_0000);
  const contents = Uint8Array.from({ length: 8192 }, (_, i) => i >> 9);
  const disk = { ...memoryDisk(contents), writable };
  const bus = new PciBus();
  const handlers = new Map<string, IoHandler>();
  const messages: number[] = [];
  const levels = new Map<number, boolean>();
  const ctx = {
    name: 'blk', signal: new AbortController().signal, log: () => {}, dma: memory, host: { block: () => disk }, msi: { send: (_address: number, data: number) => messages.push(data) },
    mmio: { claim: (name: string, bytes: number, handler: IoHandler) => (handlers.set(name, handler), { base: -1, bytes, map: () => {}, unmap: () => {} }) },
    lines: { connect: (pin: number) => ({ set: (high: boolean) => void levels.set(pin, high) }) },
  } as unknown as DeviceContext<'mmio' | 'lines' | 'msi' | 'dma' | 'host'>;
  const slot = bus.slot(4);
  const make = (): Device => {
    const device = virtioBlk.create(ctx, { slot, block: 'x', serial: 'serial', packed });
    void device.powerUp?.('cold');
    return device;
  };
  const device = make();
  const window = (): IoHandler => handlers.get('bar4')!;
  const read = (offset: number, size: Size): number => window().read(offset, size);
  const write = (offset: number, size: Size, value: number): void => window().write(offset, size, value);
  const begin = (): void => {
    bus.writeConfig(0x2004, 2, 6);
    beginDriver(write, 0x3000_0000 + (writable ? 0x200 : 0), packed, [RING]);
  };
  const driver = (packed ? packedDriver : splitDriver)(memory, 16);
  const request = async (type: number, sector: number, data: { bytes: number; write?: boolean } | null): Promise<number> => {
    memory.write(HEADER, 4, type);
    memory.write(HEADER + 8, 4, sector);
    memory.write(HEADER + 12, 4, 0);
    memory.write(STATUS, 1, 0xee);
    driver.offer([{ gpa: HEADER, bytes: 16 }, ...(data === null ? [] : [{ gpa: DATA, ...data }]), { gpa: STATUS, bytes: 1, write: true }]);
    write(0x3000, 2, 0);
    await new Promise((resolve) => setImmediate(resolve));
    return memory.read(STATUS, 1);
  };
  return { memory, contents, device, make, read, write, begin, driver, request, levels, messages };
}

it.each([false, true])('reads, writes, flushes, zeroes and tells its name; packed rings: %s', async (packed) => {
  const { memory, contents, read, begin, driver, request, levels } = setup(packed);
  begin();
  expect([read(0x14, 1), read(0x2000, 4), read(0x2024, 4) > 0]).toEqual([15, 16, true]);
  expect(await request(0, 3, { bytes: 1024, write: true })).toBe(0);
  expect([memory.read(DATA, 1), memory.read(DATA + 1023, 1), driver.take()[0]!.written]).toEqual([3, 4, 1025]);
  expect([levels.get(16), read(0x1000, 1), levels.get(16), read(0x1000, 1)]).toEqual([true, 1, false, 0]);
  memory.bytes.fill(0xab, DATA, DATA + 512);
  expect(await request(1, 15, { bytes: 512 })).toBe(0);
  expect([contents[15 * 512], contents[8191], contents[15 * 512 - 1]]).toEqual([0xab, 0xab, 14]);
  expect(await request(4, 0, null)).toBe(0);
  expect(await request(8, 0, { bytes: 20, write: true })).toBe(0);
  expect(Buffer.from(memory.bytes.subarray(DATA, DATA + 7)).toString('latin1')).toBe('serial\0');
  memory.bytes.fill(0, DATA, DATA + 16);
  memory.write(DATA, 4, 15);
  memory.write(DATA + 8, 4, 1);
  expect([await request(13, 0, { bytes: 16 }), contents[8191]]).toEqual([0, 0]);
  driver.take();
});

it('refuses what is not on the disk, what has odd lengths, and what it does not know', async () => {
  const { begin, request, driver } = setup();
  begin();
  expect([await request(0, 16, { bytes: 512, write: true }), await request(0, 15, { bytes: 1024, write: true }), await request(0, 0, { bytes: 100, write: true }), await request(99, 0, null)]).toEqual([1, 1, 1, 2]);
  expect(driver.take()).toHaveLength(4);
  const other = setup(false, false);
  other.begin();
  expect([await other.request(1, 0, { bytes: 512 }), other.contents[0]]).toEqual([1, 0]);
});

it('forgets what is under way at a reset, and touches no memory afterwards', async () => {
  const { memory, write, begin, driver, read } = setup();
  begin();
  memory.bytes.fill(0, HEADER, HEADER + 16);
  memory.write(STATUS, 1, 0xee);
  driver.offer([{ gpa: HEADER, bytes: 16 }, { gpa: DATA, bytes: 512, write: true }, { gpa: STATUS, bytes: 1, write: true }]);
  memory.bytes.fill(0x77, DATA, DATA + 512);
  write(0x3000, 2, 0);
  write(0x14, 1, 0);
  await new Promise((resolve) => setImmediate(resolve));
  expect([read(0x14, 1), memory.read(STATUS, 1), memory.read(DATA, 1), driver.take()]).toEqual([0, 0xee, 0x77, []]);
});

it('asks for a reset when a ring is out of order, and stays quiet until then', async () => {
  const { begin, driver, write, read, request } = setup();
  begin();
  driver.offer([{ gpa: 0x7fff_0000, bytes: 16 }]);
  write(0x3000, 2, 0);
  expect([read(0x14, 1), read(0x1000, 1)]).toEqual([15 | 0x40, 2]);
  expect(await request(0, 0, { bytes: 512, write: true })).toBe(0xee);
  write(0x14, 1, 0);
  expect(read(0x14, 1)).toBe(0);
});

it('does not take features that it did not offer, nor none', () => {
  const { write, read } = setup();
  write(8, 4, 0);
  write(12, 4, 0x8000_0000);
  write(0x14, 1, 11);
  expect(read(0x14, 1)).toBe(3);
  write(12, 4, 0);
  write(0x14, 1, 11);
  expect(read(0x14, 1)).toBe(3); // without VERSION_1
});

it('answers what needs no disk before the processor goes on, so that no run depends on the host', () => {
  const { memory, begin, driver, write } = setup();
  begin();
  const [id, unknown, read] = [8, 99, 0];
  for (const [type, status] of [[id, 0], [unknown, 2], [read, 1]] as const) {
    memory.bytes.fill(0, HEADER, HEADER + 16);
    memory.write(HEADER, 4, type);
    memory.write(STATUS, 1, 0xee);
    // A read of 20 bytes is none of sectors.
    driver.offer([{ gpa: HEADER, bytes: 16 }, { gpa: DATA, bytes: 20, write: true }, { gpa: STATUS, bytes: 1, write: true }]);
    write(0x3000, 2, 0);
    expect(memory.read(STATUS, 1)).toBe(status);
  }
});

it('saved in the middle of a request, it does that again', async () => {
  const { memory, device, make, begin, driver, write } = setup();
  begin();
  memory.bytes.fill(0, HEADER, HEADER + 16);
  driver.offer([{ gpa: HEADER, bytes: 16 }, { gpa: DATA, bytes: 512, write: true }, { gpa: STATUS, bytes: 1, write: true }]);
  write(0x3000, 2, 0);
  const state = structuredClone(device.save!());
  write(0x14, 1, 0); // the first one is no more
  const other = make();
  other.load!(state, 1);
  memory.write(STATUS, 1, 0xee);
  other.start!();
  await new Promise((resolve) => setImmediate(resolve));
  expect([memory.read(STATUS, 1), driver.take().length]).toEqual([0, 1]);
  for (const hostile of [null, { transport: null, underWay: [] }, { transport: {}, underWay: [-1] }, { transport: { queues: [{}], wanted: [0, 0], status: 0 }, underWay: [] }]) expect(() => make().load!(hostile, 1)).toThrow(TypeError);
});
