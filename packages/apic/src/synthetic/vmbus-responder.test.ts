import { createVirtualClock } from '@vm/testkit';
import { expect, it } from 'vitest';
import { modelPartition } from './model-partition.ts';
import * as spec from './spec.ts';

const OFFERS = 16, SOURCE = 2, CONNECTION = 4;
const words = (...values: readonly number[]): number[] => [...new Uint8Array(Uint32Array.from(values).buffer)];

/** A guest whose bus is on its second processor, as its driver of VMBus has it. */
function guest() {
  const t = modelPartition(createVirtualClock(), { processors: 2, vmbusOffers: OFFERS });
  const one = t.processors[1]!;
  one.enableSources();
  one.set(spec.MSR_SINT0 + SOURCE, 0xf3 | spec.SINT_AUTO_EOI);
  /** Types of all messages that have come, as guests read them. */
  const read = (): number[] => {
    const found: number[] = [];
    for (let taken = one.take(SOURCE); taken !== null; taken = one.take(SOURCE)) {
      found.push(new DataView(taken.message.payload.buffer).getUint32(0, true));
      if (taken.more) one.set(spec.MSR_EOM, 0);
    }
    return found;
  };
  const say = (...values: readonly number[]): number => t.post(CONNECTION, 1, words(...values));
  return { ...t, one, read, say };
}
const CONTACT = [14, 0, 0x5_0003, 1, SOURCE, 0, 0, 0, 0, 0] as const;
const BURST = [...Array<number>(OFFERS).fill(1), 4];

it('agrees on a version, offers its channels in one burst and lets the guest go (IRQ-142)', () => {
  const { say, read, one, fabric } = guest();
  expect([say(...CONTACT), one.drain(), read()]).toEqual([0, [0xf3], [15]]);
  expect([say(3, 0), one.drain(), read()]).toEqual([0, [0xf3], BURST]);
  expect([one.drain(), Object.fromEntries(fabric.counts!())]).toMatchObject([[0xf3], { 'synthetic.messages.ends': OFFERS, 'vmbus.message.3': 1 }]);
  expect([say(16, 0), read()]).toEqual([0, [17]]);
});

it('loses nothing of the burst though the answer before it still lies in the slot', () => {
  const { say, read, fabric, memory } = guest();
  say(...CONTACT);
  say(3, 0); // another processor was quicker than the one that reads messages
  const other = modelPartition(createVirtualClock(), { processors: 2, vmbusOffers: OFFERS });
  new Uint8Array(other.memory.buffer).set(new Uint8Array(memory.buffer));
  other.fabric.load(structuredClone(fabric.save()));
  expect(other.fabric.save()).toEqual(fabric.save());
  expect(read()).toEqual([15, ...BURST]);
});

it('understands nothing else, and harms nobody', () => {
  const { say, read, post } = guest();
  expect([say(99, 0), say(), post(CONNECTION, 1, []), say(14, 0, 0, 77, 0, 0, 0, 0, 0, 0), say(3, 0), read()]).toEqual([0, 0, 0, 0, 0, []]);
});
