import type { Device, DeviceContext, GuestMemory, IoHandler, Plain, Size } from '@vm/core';
import { PciBus } from '@vm/pci';
import { describe, expect, it } from 'vitest';
import { beginDriver, packedDriver, PlainMemory, RING, splitDriver } from './small-driver.ts';
import { type ConsoleEnd, virtioConsole } from './virtio-console.ts';

const SECOND = 0x8000; // where the rings of the other queue are
const DATA = 0x1_8000;

function setup(packed = false) {
  const memory = new PlainMemory(0x2_0000);
  const shifted = { read: (gpa: number, size: Size) => memory.read(gpa + SECOND, size), write: (gpa: number, size: Size, value: number) => memory.write(gpa + SECOND, size, value) } as GuestMemory;
  const bus = new PciBus();
  const handlers = new Map<string, IoHandler>();
  const sent: string[] = [];
  let ready = 0;
  let end: ConsoleEnd | null = null;
  const ctx = {
    name: 'console', signal: new AbortController().signal, log: () => {}, dma: memory, msi: { send: () => {} },
    mmio: { claim: (name: string, bytes: number, handler: IoHandler) => (handlers.set(name, handler), { base: -1, bytes, map: () => {}, unmap: () => {} }) },
    lines: { connect: () => ({ set: () => {} }) },
  } as unknown as DeviceContext<'mmio' | 'lines' | 'msi' | 'dma'>;
  const slot = bus.slot(4);
  const make = (): Device => {
    const device = virtioConsole.create(ctx, { slot, packed, columns: 132, rows: 43, output: (bytes) => void sent.push(new TextDecoder().decode(bytes)), ready: () => void ready++, connect: (one) => (end = one) });
    void device.powerUp?.('cold');
    return device;
  };
  const device = make();
  const read = (offset: number, size: Size): number => handlers.get('bar4')!.read(offset, size);
  const write = (offset: number, size: Size, value: number): void => handlers.get('bar4')!.write(offset, size, value);
  const begin = (): void => {
    bus.writeConfig(0x2004, 2, 6);
    beginDriver(write, 0x3000_0001, packed, [RING, { descriptors: RING.descriptors + SECOND, driver: RING.driver + SECOND, device: RING.device + SECOND }]);
  };
  const driverOf = packed ? packedDriver : splitDriver;
  const [receive, transmit] = [driverOf(memory, 16), driverOf(shifted, 16)];
  const notify = (queue: number): void => write(0x3000 + 4 * queue, 2, queue);
  const put = (text: string, at = DATA): void => [...text].forEach((char, i) => memory.write(at + i, 1, char.charCodeAt(0)));
  const get = (bytes: number, at = DATA): string => Array.from({ length: bytes }, (_, i) => String.fromCharCode(memory.read(at + i, 1))).join('');
  return { device, make, memory, read, begin, receive, transmit, notify, put, get, sent, host: () => end!, ready: () => ready };
}
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('virtioConsole', () => {
  it.each([false, true])('hands over what the guest sends, from however many buffers; packed rings: %s', (packed) => {
    const t = setup(packed);
    t.begin();
    t.put('hello, world');
    t.transmit.offer([{ gpa: DATA, bytes: 5 }]);
    t.transmit.offer([{ gpa: DATA + 5, bytes: 2 }, { gpa: DATA + 7, bytes: 5 }]);
    t.notify(1);
    expect(t.sent).toEqual(['hello', ', world']);
    expect(t.transmit.take().map(({ written }) => written)).toEqual([0, 0]);
  });

  it.each([false, true])('fills the buffers of the guest, and says when there is room again; packed rings: %s', (packed) => {
    const t = setup(packed);
    t.begin();
    t.receive.offer([{ gpa: DATA, bytes: 4, write: true }]);
    t.receive.offer([{ gpa: DATA + 4, bytes: 100, write: true }]);
    expect(t.host().receive(bytesOf('abcdef'))).toBe(6);
    expect([t.get(6), t.receive.take().map(({ written }) => written)]).toEqual(['abcdef', [4, 2]]);
    expect([t.host().receive(bytesOf('more')), t.ready()]).toEqual([0, 0]);
    t.receive.offer([{ gpa: DATA, bytes: 4, write: true }]);
    t.notify(0);
    expect([t.ready(), t.host().receive(bytesOf('more')), t.get(4)]).toEqual([1, 4, 'more']);
  });

  it('takes nothing before its driver is there, and tells the size of its terminal', () => {
    const t = setup();
    expect(t.host().receive(bytesOf('x'))).toBe(0);
    expect([t.read(0x2000, 2), t.read(0x2002, 2), t.read(0x2004, 4)]).toEqual([132, 43, 1]);
  });

  it('goes on after a restore where it was, and refuses a state that it did not write', () => {
    const t = setup();
    t.begin();
    t.host().receive(bytesOf('x'));
    const state = t.device.save!();
    const other = t.make();
    other.load!(state, 1);
    expect(other.save!()).toEqual(state);
    const { transport } = state as Readonly<Record<string, Plain>>;
    for (const bad of [null, {}, { transport }, { transport: null, starved: true }, { transport, starved: 1 }]) expect(() => other.load!(bad as Plain, 1)).toThrow();
  });

  it('a guest that offers buffers of nothing, or too large ones, gets no further', () => {
    const t = setup();
    t.begin();
    t.transmit.offer([{ gpa: DATA, bytes: 0 }]);
    t.notify(1);
    t.transmit.offer([{ gpa: 0x7000_0000, bytes: 10 }]);
    t.notify(1);
    expect(t.sent.join('').length).toBeLessThanOrEqual(10);
    expect(t.host().receive(bytesOf('y'))).toBe(0);
  });
});
