import type { Device, DeviceContext, GuestMemory, IoHandler, Plain, Size } from '@vm/core';
import { PciBus } from '@vm/pci';
import { describe, expect, it } from 'vitest';
import { beginDriver, packedDriver, PlainMemory, RING, type SmallDriver, splitDriver } from './small-driver.ts';
import { type ConsoleEnd, virtioConsole } from './virtio-console.ts';

const APART = 0x8000; // the rings of two queues
const DATA = 0x3_0000;
const MULTIPORT = 2;

function setup(packed = false, multiport = false) {
  const memory = new PlainMemory(0x4_0000);
  const shifted = (by: number): GuestMemory => ({ read: (gpa: number, size: Size) => memory.read(gpa + by, size), write: (gpa: number, size: Size, value: number) => memory.write(gpa + by, size, value) }) as GuestMemory;
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
    const places = Array.from({ length: multiport ? 4 : 2 }, (_, i) => ({ descriptors: RING.descriptors + i * APART, driver: RING.driver + i * APART, device: RING.device + i * APART }));
    beginDriver(write, 0x3000_0001 | (multiport ? MULTIPORT : 0), packed, places);
  };
  const driverOf = packed ? packedDriver : splitDriver;
  const [receive, transmit, controlReceive, controlTransmit] = [0, 1, 2, 3].map((i) => driverOf(shifted(i * APART), 16)) as [SmallDriver, SmallDriver, SmallDriver, SmallDriver];
  const notify = (queue: number): void => write(0x3000 + 4 * queue, 2, queue);
  const put = (text: string, at = DATA): void => [...text].forEach((char, i) => memory.write(at + i, 1, char.charCodeAt(0)));
  const get = (bytes: number, at = DATA): string => Array.from({ length: bytes }, (_, i) => String.fromCharCode(memory.read(at + i, 1))).join('');
  /** The driver says so on the control queue. */
  const say = (port: number, event: number, value: number, bytes = 8): void => {
    memory.write(DATA + 0x1000, 4, port);
    memory.write(DATA + 0x1004, 4, event | (value << 16));
    controlTransmit.offer([{ gpa: DATA + 0x1000, bytes }]);
    notify(3);
  };
  /** What the device has said there since the last question, in buffers of `offered`: port, event, value. */
  let told = 0;
  const offered = (count: number): void => {
    for (let i = 0; i < count; i++) controlReceive.offer([{ gpa: DATA + 0x2000 + 8 * i, bytes: 8, write: true }]);
    told = 0;
    notify(2);
  };
  const heard = (): number[][] => controlReceive.take().map(({ written }) => {
    expect(written).toBe(8);
    const at = DATA + 0x2000 + 8 * told++;
    return [memory.read(at, 4), memory.read(at + 4, 2), memory.read(at + 6, 2)];
  });
  return { device, make, memory, read, begin, say, offered, heard, receive, transmit, notify, put, get, sent, host: () => end!, ready: () => ready };
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
    const before = t.ready();
    expect(t.host().receive(bytesOf('abcdef'))).toBe(6);
    expect([t.get(6), t.receive.take().map(({ written }) => written)]).toEqual(['abcdef', [4, 2]]);
    expect([t.host().receive(bytesOf('more')), t.ready()]).toEqual([0, before]);
    t.receive.offer([{ gpa: DATA, bytes: 4, write: true }]);
    t.notify(0);
    expect([t.ready(), t.host().receive(bytesOf('more')), t.get(4)]).toEqual([before + 1, 4, 'more']);
  });

  it('takes nothing before its driver is there, and tells the size of its terminal', () => {
    const t = setup();
    expect([t.host().listening, t.host().receive(bytesOf('x'))]).toEqual([false, 0]);
    t.begin();
    expect([t.host().listening, t.ready()]).toEqual([true, 1]);
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
    const whole = state as Readonly<Record<string, Plain>>;
    for (const bad of [null, {}, { transport: whole['transport']! }, { ...whole, transport: null }, { ...whole, starved: 1 }, { ...whole, opened: 0 }, { ...whole, owed: 8 }, { ...whole, owed: 0.5 }]) expect(() => other.load!(bad as Plain, 1)).toThrow();
  });

  it.each([false, true])('agrees with a driver that knows of several ports on the one that there is, and keeps what is typed until it is open; packed rings: %s', (packed) => {
    const t = setup(packed, true);
    t.begin();
    t.receive.offer([{ gpa: DATA, bytes: 16, write: true }]);
    t.notify(0);
    t.offered(3);
    expect([t.host().listening, t.host().receive(bytesOf('early'))]).toEqual([false, 0]);
    t.say(0xffff_ffff, 0, 1); // DEVICE_READY
    expect(t.heard()).toEqual([[0, 1, 1]]); // DEVICE_ADD
    t.say(0, 3, 1); // PORT_READY
    expect(t.heard()).toEqual([[0, 4, 1], [0, 6, 1]]); // CONSOLE_PORT, PORT_OPEN
    expect([t.host().listening, t.host().receive(bytesOf('early'))]).toEqual([false, 0]);
    const before = t.ready();
    t.say(0, 6, 1); // PORT_OPEN
    expect([t.host().listening, t.ready() - before, t.host().receive(bytesOf('early')), t.get(5)]).toEqual([true, 1, 5, 'early']);
    t.say(0, 6, 0);
    expect(t.host().listening).toBe(false);
  });

  it('says what it owes when the driver has buffers for it, after a restore too, and nothing twice', () => {
    const t = setup(false, true);
    t.begin();
    t.say(0, 0, 1);
    t.say(0, 3, 1);
    t.say(0, 3, 1);
    const state = t.device.save!();
    t.make().load!(state, 2);
    t.offered(2);
    expect(t.heard()).toEqual([[0, 1, 1], [0, 4, 1]]);
    t.offered(2);
    expect(t.heard()).toEqual([[0, 6, 1]]);
  });

  it('takes no notice of messages that are short, of other ports or of no meaning', () => {
    const t = setup(false, true);
    t.begin();
    t.offered(4);
    t.say(0, 6, 1, 7);
    t.say(1, 6, 1);
    t.say(1, 3, 1);
    t.say(0, 0, 0);
    t.say(0, 3, 0);
    t.say(0, 99, 1);
    expect([t.heard(), t.host().listening]).toEqual([[], false]);
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
