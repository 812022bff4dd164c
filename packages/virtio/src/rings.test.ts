import { describe, expect, it } from 'vitest';
import { gather, type Ring, scatter } from './chain.ts';
import { PackedRing } from './packed-ring.ts';
import { packedDriver, PlainMemory, RING, splitDriver } from './small-driver.ts';
import { SplitRing } from './split-ring.ts';

const SIZE = 16;
const KINDS = [
  { name: 'split', Ring: SplitRing, driver: splitDriver },
  { name: 'packed', Ring: PackedRing, driver: packedDriver },
] as const;

function setup({ Ring, driver }: (typeof KINDS)[number], eventIndex = true) {
  const memory = new PlainMemory(0x1_0000);
  const place = { size: SIZE, ...RING, eventIndex, indirect: true };
  const ring: Ring = new Ring(memory, place);
  return { memory, ring, driver: driver(memory, SIZE), place };
}

describe.each(KINDS)('a $name ring', (kind) => {
  it('carries requests around the ring many times, in chains and by tables', () => {
    const { memory, ring, driver } = setup(kind);
    for (let i = 0; i < 200; i++) {
      memory.bytes.set([i, i + 1, i + 2], 0x8000);
      driver.offer([{ gpa: 0x8000, bytes: 2 }, { gpa: 0x8002, bytes: 1 }, { gpa: 0x9000, bytes: 2, write: true }, { gpa: 0x9010, bytes: 3, write: true }].slice(0, 4), i % 3 === 0);
      const chain = ring.pop()!;
      expect(chain).toMatchObject({ readableBytes: 3, writableBytes: 5 });
      expect(ring.pop()).toBeNull();
      const read = new Uint8Array(2);
      gather(memory, chain.readable, 1, read);
      expect([...read]).toEqual([(i + 1) & 0xff, (i + 2) & 0xff]);
      scatter(memory, chain.writable, 1, Uint8Array.of(i, 7, 8));
      expect([memory.read(0x9001, 1), memory.read(0x9010, 2)]).toEqual([i & 0xff, 0x0807]);
      ring.push(chain, 4);
      expect(driver.take()).toEqual([{ id: chain.id, written: 4 }]);
    }
    expect(ring.fault).toBeNull();
  });

  it('interrupts at the request that the driver waits for, and at no other', () => {
    const { ring, driver } = setup(kind);
    for (let round = 0; round < 20; round++) {
      driver.interruptAfter(3);
      const told: boolean[] = [];
      for (let i = 0; i < 4; i++) {
        driver.offer([{ gpa: 0x8000, bytes: 4, write: true }]);
        ring.push(ring.pop()!, 1);
        told.push(ring.takeInterrupt());
      }
      expect(told).toEqual([false, false, true, false]);
      expect([driver.take().length, ring.takeInterrupt()]).toEqual([4, false]);
    }
  });

  it('answers requests in another order than they came in', () => {
    const { ring, driver } = setup(kind);
    driver.offer([{ gpa: 0x8000, bytes: 1 }]);
    driver.offer([{ gpa: 0x8000, bytes: 1 }, { gpa: 0x8001, bytes: 1 }]);
    const [first, second] = [ring.pop()!, ring.pop()!];
    ring.push(second, 2);
    ring.push(first, 1);
    expect(driver.take()).toEqual([{ id: second.id, written: 2 }, { id: first.id, written: 1 }]);
  });

  it('goes on from its saved state, and finds requests that were under way', () => {
    const { memory, ring, driver, place } = setup(kind);
    driver.offer([{ gpa: 0x8000, bytes: 5 }]);
    const chain = ring.pop()!;
    const other: Ring = new kind.Ring(memory, place);
    other.load(ring.save());
    expect([other.pop(), other.at(chain.position)]).toEqual([null, chain]);
    other.push(chain, 0);
    driver.offer([{ gpa: 0x8000, bytes: 6 }]);
    expect([driver.take().length, other.pop()!.readableBytes]).toEqual([1, 6]);
  });

  it.each([
    ['a buffer that is not RAM', [{ gpa: 0xfff0, bytes: 17 }]],
    ['a buffer beyond all memory', [{ gpa: 0xffff_ffff, bytes: 0xffff_ffff }]],
    ['a buffer of no bytes', [{ gpa: 0x8000, bytes: 0 }]],
    ['a buffer to be read behind one to be written', [{ gpa: 0x8000, bytes: 1, write: true }, { gpa: 0x8000, bytes: 1 }]],
  ])('refuses %s, and then everything', (_name, buffers) => {
    for (const indirect of [false, true]) {
      const { ring, driver } = setup(kind);
      driver.offer(buffers, indirect);
      expect(ring.pop()).toBeNull();
      expect(ring.fault).not.toBeNull();
      driver.offer([{ gpa: 0x8000, bytes: 1 }]);
      expect(ring.pop()).toBeNull();
    }
  });

  it('ends with every ring that can be written, and never leaves RAM', () => {
    const seed = Number(process.env['VM_SEED'] ?? 1);
    console.log(`seed ${seed}`);
    let state = seed >>> 0;
    const random = (below: number): number => Math.floor(((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * below);
    let [chains, faults] = [0, 0];
    for (let round = 0; round < 3000; round++) {
      const { memory, ring } = setup(kind, random(2) === 0);
      for (let at = RING.descriptors; at < RING.descriptors + 0x400; at += 16) {
        memory.write(at, 4, random(4) === 0 ? random(2 ** 32) : random(0x1_0000));
        memory.write(at + 4, 4, random(20) === 0 ? random(2 ** 32) : 0);
        memory.write(at + 8, 4, random(8) === 0 ? random(2 ** 32) : 16 * (1 + random(7)));
        const flags = random(4) === 0 ? random(8) : 2;
        const words = kind.name === 'split' ? [flags, random(random(9) === 0 ? 0x1_0000 : SIZE)] : [random(0x1_0000), flags | (random(2) === 0 ? 0x80 : random(2) * 0x8000)];
        memory.write(at + 12, 2, words[0]!);
        memory.write(at + 14, 2, words[1]!);
      }
      memory.write(RING.driver + 2, 2, random(random(4) === 0 ? 0x1_0000 : SIZE));
      for (let i = 0; i < SIZE; i++) memory.write(RING.driver + 4 + 2 * i, 2, random(SIZE + 1));
      for (let i = 0; i < 2 * SIZE; i++) {
        const chain = ring.pop();
        if (chain === null) break;
        chains++;
        for (const { gpa, bytes } of [...chain.readable, ...chain.writable]) expect(gpa + bytes).toBeLessThanOrEqual(memory.bytes.length);
        ring.push(chain, random(chain.writableBytes + 1));
        ring.takeInterrupt();
      }
      if (ring.fault !== null) faults++;
    }
    expect([chains > 200, faults > 200]).toEqual([true, true]);
  });
});

it('a split chain that bites its tail ends', () => {
  const { memory, ring, driver } = setup(KINDS[0]);
  driver.offer([{ gpa: 0x8000, bytes: 1 }, { gpa: 0x8000, bytes: 1 }]);
  memory.write(RING.descriptors + 16 + 12, 2, 1); // the second goes on
  memory.write(RING.descriptors + 16 + 14, 2, 0); // with the first
  expect([ring.pop(), ring.fault]).toEqual([null, 'a chain that does not end']);
});
