import { describe, expect, it } from 'vitest';
import { ExtendedSpace } from './extended-space.ts';
import { InterruptEnds } from './interrupt-ends.ts';
import { VectorQueue } from './vector-queue.ts';

const FEATURE = 0x40, CONTROL = 0x41, SEOI = 0x42, IER = 0x48;
const ENABLES = 1, SELECTED = 2;

function setup(levels: readonly number[] = []) {
  const queue = new VectorQueue();
  const ended: number[] = [];
  const word = { mark: 0 };
  const assist = {
    endsItself: () => false, ended: () => {},
    offer: () => ((word.mark = 1), true),
    withdraw: () => {
      const used = word.mark === 0;
      word.mark = 0;
      return used;
    },
  };
  const ends = new InterruptEnds(queue, assist, (vector) => void ended.push(vector));
  const space = new ExtendedSpace(queue, ends);
  const serve = (vector: number): void => {
    ends.settle();
    queue.accept(vector, levels.includes(vector));
    ends.acknowledge(vector);
  };
  return { queue, ends, ended, word, space, serve };
}

describe('the end of a chosen vector', () => {
  it('says what it can, and takes no notice of writes until they are switched on (INT-17, IRQ-120)', () => {
    const { space, serve, queue } = setup();
    expect([space.read(FEATURE), space.read(CONTROL), space.read(SEOI), space.read(IER)]).toEqual([3, 0, 0, 0xffff_ffff]);
    serve(0x41);
    space.write(SEOI, 0x41);
    space.write(IER + 2, 0);
    expect([queue.highestInService(), space.read(IER + 2)]).toEqual([0x41, 0xffff_ffff]);
    space.write(CONTROL, SELECTED);
    space.write(SEOI, 0x41);
    expect(queue.highestInService()).toBe(-1);
    space.write(CONTROL, 0xffff_ffff);
    expect(space.read(CONTROL)).toBe(ENABLES | SELECTED);
  });

  it('ends one in the middle, an absent one not, and a level at the I/O APIC (INT-15, INT-16, IRQ-116, IRQ-118, IRQ-119)', () => {
    const { space, serve, queue, ends, ended } = setup([0x51]);
    space.write(CONTROL, SELECTED);
    for (const vector of [0x31, 0x51, 0x81]) serve(vector);
    space.write(SEOI, 0x51);
    expect([queue.highestInService(), queue.processorPriority(), ends.counts.level]).toEqual([0x81, 0x80, 1]);
    space.write(SEOI, 0x51);
    expect([queue.countInService(), ends.counts.spurious]).toEqual([2, 1]);
    ends.end('model');
    ends.end('model');
    expect(ended).toEqual([0x51, 0x81, 0x31]);
  });

  it('finds a lazily offered vector already ended, or takes the offer back (IRQ-117)', () => {
    for (const used of [true, false]) {
      const { space, serve, word, ended, ends } = setup();
      space.write(CONTROL, SELECTED);
      serve(0x61);
      if (used) word.mark = 0;
      space.write(SEOI, 0x61);
      expect(ended).toEqual([0x61]);
      expect([word.mark, ends.counts.spurious]).toEqual([0, used ? 1 : 0]);
    }
  });
});

describe('enabling of vectors', () => {
  it('hides a vector from requests and services, and shows it again (IRQ-121)', () => {
    const { space, queue } = setup();
    space.write(CONTROL, ENABLES);
    space.write(IER + 2, ~(1 << 1));
    queue.accept(0x41, false);
    expect(queue.deliverable()).toBe(-1);
    space.write(CONTROL, 0);
    expect(queue.deliverable()).toBe(0x41);
  });

  it('keeps an end without an exit with the vector that it was offered for (IRQ-121, IRQ-117)', () => {
    const { space, serve, word, ended } = setup();
    space.write(CONTROL, ENABLES);
    serve(0x31);
    serve(0x41);
    word.mark = 0; // the guest has ended 0x41
    space.write(IER + 2, ~(1 << 1));
    expect(ended).toEqual([0x41]);
  });

  it('comes back from its saved state (INT-18)', () => {
    const { space } = setup(), other = setup().space;
    space.write(CONTROL, ENABLES | SELECTED);
    space.write(IER, 0x00ff_0000);
    expect(space.read(IER)).toBe(0x00ff_ffff);
    other.load(space.save());
    expect(other.save()).toEqual(space.save());
    other.reset();
    expect([other.read(CONTROL), other.read(IER)]).toEqual([0, 0xffff_ffff]);
  });
});
