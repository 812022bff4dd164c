import { beforeEach, describe, expect, it } from 'vitest';
import type { IoHandler, Size } from './abi.ts';
import { MemoryMap, PortMap } from './address-map.ts';
import { Bus } from './io-bus.ts';
import { SlotTable } from './slot-table.ts';

/** Answers with its offset and notes what it was asked. */
class Probe implements IoHandler {
  readonly asked: string[] = [];
  readonly register: DataView = new DataView(new ArrayBuffer(64));

  read(offset: number, size: Size): number {
    this.asked.push(`read ${size} at ${offset}`);
    return size === 1 ? this.register.getUint8(offset) : size === 2 ? this.register.getUint16(offset, true) : this.register.getInt32(offset, true);
  }

  write(offset: number, size: Size, value: number): void {
    this.asked.push(`write ${size} at ${offset}: ${value.toString(16)}`);
  }
}

let table: SlotTable;
let faults: string[];
beforeEach(() => {
  faults = [];
  table = new SlotTable((owner, label) => faults.push(`${owner}: ${label}`));
});

describe.each([
  ['ports', () => new Bus(table, new PortMap(table))],
  ['memory', () => new Bus(table, new MemoryMap(table))],
])('the bus of %s', (_name, create) => {
  let bus: Bus;
  let probe: Probe;
  beforeEach(() => {
    bus = create();
    probe = new Probe();
  });

  it('reads all-ones where nobody is, and drops writes', () => {
    expect([bus.read(0x80, 1), bus.read(0x80, 2), bus.read(0x80, 4)]).toEqual([0xff, 0xffff, 0xffff_ffff]);
    bus.write(0x80, 4, 1);
    expect(bus.open).toBeGreaterThan(0);
    expect([bus.reads, bus.writes]).toEqual([0, 0]);
  });

  it('gives handlers offsets, and unsigned results to the processor', () => {
    bus.spaceFor('uart').claim('regs', 8, probe).map(0x3f8);
    probe.register.setUint32(4, 0xfedc_ba98, true);
    expect(bus.read(0x3fc, 4)).toBe(0xfedc_ba98);
    bus.write(0x3fd, 1, 0xab);
    expect(probe.asked).toEqual(['read 4 at 4', 'write 1 at 5: ab']);
  });

  it('splits what is wider than the handler takes, low part first', () => {
    bus.spaceFor('uart').claim('regs', 8, probe, [1]).map(0x3f8);
    probe.register.setUint32(0, 0x4433_2211, true);
    expect(bus.read(0x3f8, 4)).toBe(0x4433_2211);
    bus.write(0x3f8, 4, 0xd4c3_b2a1);
    expect(probe.asked.slice(4)).toEqual(['write 1 at 0: a1', 'write 1 at 1: b2', 'write 1 at 2: c3', 'write 1 at 3: d4']);
  });

  it('splits an access that runs from one region into the next or into nothing', () => {
    const second = new Probe();
    bus.spaceFor('first').claim('regs', 2, probe).map(0x100);
    bus.spaceFor('second').claim('regs', 1, second).map(0x102);
    probe.register.setUint16(0, 0x2211, true);
    second.register.setUint8(0, 0x33);
    expect(bus.read(0x100, 4)).toBe(0xff33_2211);
  });

  it('cuts a narrow read out of a wide register and drops a narrow write', () => {
    bus.spaceFor('apic').claim('regs', 16, probe, [4]).map(0x40);
    probe.register.setUint32(8, 0x8877_6655, true);
    expect([bus.read(0x4b, 1), bus.read(0x48, 2), bus.read(0x4a, 2)]).toEqual([0x88, 0x6655, 0x8877]);
    bus.write(0x48, 2, 0x1234);
    expect(probe.asked).toEqual(['read 4 at 8', 'read 4 at 8', 'read 4 at 8']);
  });

  it('carries wide accesses whole to handlers that take them, and in dwords to the others', () => {
    const wide = Object.assign(new Probe(), {
      readWide: (offset: number, bytes: number, into: DataView): void => {
        for (let i = 0; i < bytes; i++) into.setUint8(i, offset + i);
      },
    });
    bus.spaceFor('hpet').claim('regs', 64, wide).map(0x1000);
    bus.spaceFor('other').claim('regs', 64, probe).map(0x2000);
    const view = new DataView(new ArrayBuffer(16));
    bus.readWide(0x1008, 8, view);
    expect(view.getBigUint64(0, true)).toBe(0x0f0e_0d0c_0b0a_0908n);
    expect(wide.asked).toEqual([]);
    bus.writeWide(0x2010, 8, view);
    expect(probe.asked).toEqual(['write 4 at 16: b0a0908', 'write 4 at 20: f0e0d0c']);
  });

  it('refuses an overlap, names both sides, and leaves everything as it was', () => {
    bus.spaceFor('pic').claim('regs', 4, new Probe()).map(0x20);
    const region = bus.spaceFor('late').claim('regs', 4, probe);
    region.map(0x30);
    expect(() => region.map(0x22)).toThrow(expect.objectContaining({ code: 'E_OVERLAP', device: 'late', message: 'late.regs: 0x22 to 0x25 is taken by pic.regs' }));
    expect(region.base).toBe(0x30);
    bus.read(0x31, 1);
    expect(probe.asked).toEqual(['read 1 at 1']);
  });

  it('moves a region, also onto part of its old place, and unmaps it', () => {
    const region = bus.spaceFor('bar').claim('bar0', 16, probe);
    region.map(0x100);
    region.map(0x108);
    expect(bus.read(0x100, 1)).toBe(0xff);
    expect(bus.read(0x110, 1)).toBe(0);
    expect(probe.asked).toEqual(['read 1 at 8']);
    region.unmap();
    expect([bus.read(0x110, 1), region.base]).toEqual([0xff, -1]);
  });

  it('serves many regions alike, those behind the first dozen too', () => {
    const probes = Array.from({ length: 40 }, () => new Probe());
    probes.toReversed().forEach((each, i) => bus.spaceFor(`d${i}`).claim('regs', 4, each).map(0x1000 - 0x10 * i));
    probes.forEach((each, i) => each.register.setUint8(3, i + 1));
    expect(probes.map((_each, i) => bus.read(0x1000 - 0x10 * (39 - i) + 3, 1))).toEqual(probes.map((_each, i) => i + 1));
  });

  it('cuts off all regions of a device whose handler throws', () => {
    let asked = 0;
    const broken: IoHandler = {
      read: () => {
        asked++;
        throw new Error('bug');
      },
      write: () => undefined,
    };
    bus.spaceFor('bad').claim('one', 1, broken).map(0x10);
    bus.spaceFor('bad').claim('two', 1, probe).map(0x20);
    expect([bus.read(0x10, 1), bus.read(0x10, 1), bus.read(0x20, 1)]).toEqual([0xff, 0xff, 0xff]);
    expect([asked, probe.asked.length]).toEqual([1, 0]);
    expect(faults).toEqual(['bad: bad.one']);
  });

  it('takes everything back from a device that is torn down', () => {
    const region = bus.spaceFor('gone').claim('regs', 4, probe);
    region.map(0x10);
    bus.release('gone');
    expect(bus.read(0x10, 1)).toBe(0xff);
    expect(() => region.map(0x10)).toThrow(expect.objectContaining({ code: 'E_PHASE' }));
  });

  it('refuses a second claim of one name and sizes that make no sense', () => {
    const space = bus.spaceFor('d');
    space.claim('regs', 4, probe);
    expect(() => space.claim('regs', 4, probe)).toThrow(expect.objectContaining({ code: 'E_NAME' }));
    expect(() => space.claim('none', 0, probe)).toThrow(RangeError);
    expect(() => space.claim('odd', 4, probe, [])).toThrow(RangeError);
    expect(() => space.claim('far', 4, probe).map(-1)).toThrow(RangeError);
  });
});

describe('the ends of an address space', () => {
  it('reaches the last port, and finds nothing behind it', () => {
    const bus = new Bus(table, new PortMap(table));
    const probe = new Probe();
    bus.spaceFor('last').claim('regs', 1, probe).map(0xffff);
    expect([bus.read(0xffff, 1), bus.read(0xffff, 4)]).toEqual([0, 0xffff_ff00]);
    expect(() => bus.spaceFor('over').claim('regs', 2, probe).map(0xffff)).toThrow(RangeError);
  });

  it('keeps addresses above 4 GiB apart from those below', () => {
    const bus = new Bus(table, new MemoryMap(table));
    const high = new Probe();
    bus.spaceFor('high').claim('regs', 16, high).map(2 ** 40 + 0xfee0_0000);
    bus.read(0xfee0_0004, 4);
    expect(high.asked).toEqual([]);
    bus.read(2 ** 40 + 0xfee0_0004, 4);
    expect(high.asked).toEqual(['read 4 at 4']);
  });
});
