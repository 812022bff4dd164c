import { describe, expect, it } from 'vitest';
import { type EoiAssist, InterruptEnds } from './interrupt-ends.ts';
import { VectorQueue } from './vector-queue.ts';

function setup({ automatic = [] as number[], lazy = false, levels = [] as number[] } = {}) {
  const queue = new VectorQueue();
  const ended: number[] = [];
  const word = { mark: false };
  const assist: EoiAssist = {
    endsItself: (vector) => automatic.includes(vector),
    ended: () => {},
    offer: () => (word.mark = lazy),
    withdraw: () => {
      const used = !word.mark;
      word.mark = false;
      return used;
    },
  };
  const ends = new InterruptEnds(queue, assist, (vector) => void ended.push(vector));
  const request = (vector: number): void => {
    ends.settle();
    queue.accept(vector, levels.includes(vector));
  };
  const acknowledge = (): number => {
    ends.settle();
    const vector = queue.deliverable();
    if (vector >= 0) ends.acknowledge(vector);
    return vector;
  };
  return { queue, ends, ended, word, automatic, request, acknowledge, counts: ends.counts };
}

describe('vectors that end themselves', () => {
  it('are never in service, and leave the priority as it was (INT-01, INT-02, IRQ-94)', () => {
    const { request, acknowledge, queue, counts } = setup({ automatic: [0x51] });
    request(0x51);
    expect(acknowledge()).toBe(0x51);
    expect([queue.highestInService(), queue.processorPriority()]).toEqual([-1, 0]);
    expect(counts).toMatchObject({ automatic: 1, memory: 0, model: 0, synthetic: 0 });
  });

  it('let an equal class and a lower one follow at once (INT-02, INT-08, IRQ-95)', () => {
    const { request, acknowledge } = setup({ automatic: [0x51, 0x52] });
    for (const vector of [0x51, 0x52, 0x31]) request(vector);
    expect([acknowledge(), acknowledge(), acknowledge()]).toEqual([0x52, 0x51, 0x31]);
  });

  it('leave an end that the guest writes nevertheless to the vector below, or count it (INT-04, IRQ-96)', () => {
    const { request, acknowledge, ends, ended, counts } = setup({ automatic: [0x51] });
    request(0x31);
    acknowledge();
    request(0x51);
    acknowledge();
    ends.end('synthetic');
    ends.end('synthetic');
    expect(ended).toEqual([0x31]);
    expect(counts.spurious).toBe(1);
  });

  it('need an end when the source changed its mind after they were served (INT-05, IRQ-97)', () => {
    const { request, acknowledge, automatic, ends, ended, queue } = setup();
    request(0x51);
    acknowledge();
    automatic.push(0x51);
    expect(queue.highestInService()).toBe(0x51);
    ends.end('model');
    expect(ended).toEqual([0x51]);
  });

  it('are never levels: the I/O APIC has to hear of those (INT-07, IRQ-98)', () => {
    const { request, acknowledge, ends, counts } = setup({ automatic: [0x51], levels: [0x51] });
    request(0x51);
    acknowledge();
    ends.end('memory');
    expect(counts).toMatchObject({ automatic: 0, level: 1 });
  });

  it('may come again and again from their own handler, and never nest (INT-19)', () => {
    const { request, acknowledge, counts } = setup({ automatic: [0x51] });
    for (let i = 0; i < 100; i++) {
      request(0x51);
      expect(acknowledge()).toBe(0x51);
    }
    expect(acknowledge()).toBe(-1);
    expect(counts).toMatchObject({ automatic: 100, nesting: 0 });
  });

  it('leave an offer for the vector below them (IRQ-100)', () => {
    const { request, acknowledge, word, ended, ends } = setup({ automatic: [0x51], lazy: true });
    request(0x31);
    acknowledge();
    request(0x51);
    acknowledge();
    expect(word.mark).toBe(true);
    word.mark = false;
    ends.settle();
    expect(ended).toEqual([0x31]);
  });
});

describe('ends without an exit', () => {
  it('are offered for an edge when nothing else is requested, never for a level (IRQ-101, IRQ-112)', () => {
    const { request, acknowledge, word } = setup({ lazy: true, levels: [0x61] });
    request(0x31);
    request(0x51);
    acknowledge();
    expect(word.mark).toBe(false); // 0x31 waits for the end
    request(0x61);
    acknowledge();
    expect(word.mark).toBe(false);
    const single = setup({ lazy: true });
    single.request(0x51);
    single.acknowledge();
    expect(single.word.mark).toBe(true);
  });

  it('end the upper of two, and the lower by the next store (IRQ-103)', () => {
    const { request, acknowledge, word, ends, ended, counts } = setup({ lazy: true });
    request(0x31);
    acknowledge();
    request(0x51);
    acknowledge();
    word.mark = false;
    ends.end('synthetic');
    expect(ended).toEqual([0x51, 0x31]);
    expect(counts).toMatchObject({ lazy: 1, synthetic: 1, spurious: 0 });
  });

  it('are taken back for a lower arrival, and make it deliverable when they were used before (IRQ-102, IRQ-104, IRQ-105)', () => {
    for (const used of [false, true]) {
      const { request, acknowledge, word } = setup({ lazy: true });
      request(0x51);
      acknowledge();
      if (used) word.mark = false;
      request(0x41);
      expect(word.mark).toBe(false);
      expect(acknowledge()).toBe(used ? 0x41 : -1);
    }
  });
});

it('ends a chosen vector: priority falls only with the highest (INT-15, INT-16)', () => {
  const { request, acknowledge, queue, ends, ended } = setup();
  for (const vector of [0x41, 0x61]) {
    request(vector);
    acknowledge();
  }
  request(0x50);
  ends.endSelected(0x61);
  expect([queue.processorPriority(), acknowledge()]).toEqual([0x40, 0x50]);
  ends.endSelected(0x41);
  expect(queue.processorPriority()).toBe(0x50);
  ends.endSelected(0x41);
  expect(ends.counts.spurious).toBe(1);
  expect(ended).toEqual([0x61, 0x41]);
});
