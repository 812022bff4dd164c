import { bench } from '@vm/testkit';
import { expect, it } from 'vitest';
import { type SyntheticLoop, syntheticTest } from './synthetic-test.ts';

function make() {
  const done: string[] = [];
  const messages = new Map<number, (message: { type: number; payload: Uint8Array }) => number>();
  const events = new Map<number, { signal(flag: number): number }>();
  const loop: SyntheticLoop = {
    raise: (processor, source) => void done.push(`raise ${processor} ${source}`),
    post: (processor, source, { type, payload }) => (done.push(`post ${processor} ${source} ${type} ${payload.length}`), 0),
    signal: (processor, source, flag) => (done.push(`signal ${processor} ${source} ${flag}`), 0),
    connectMessages: (connection, target) => void messages.set(connection, target),
    connectEvents: (connection, target) => void events.set(connection, target),
    disconnect: (connection) => {
      messages.delete(connection);
      events.delete(connection);
    },
  };
  return { t: bench(syntheticTest, { loop: () => loop }), done, messages, events };
}

it('raises sources, and leads connections of messages and events back to them', () => {
  const { t, done, messages, events } = make();
  t.out(0x3000, 0x0003_0105, 4);
  t.out(0x3000, 0x2004_0203, 4);
  t.out(0x3000, 0x2106_0304, 4);
  messages.get(0x20)!({ type: 9, payload: new Uint8Array(3) });
  events.get(0x21)!.signal(0);
  expect(done).toEqual(['raise 1 5', 'post 2 3 9 3', 'signal 3 4 33']);
  t.out(0x3000, 0x2005_0203, 4);
  t.out(0x3000, 0x2107_0304, 4);
  expect([messages.size, events.size, t.in(0x3000, 4)]).toEqual([0, 0, 0]);
});

it('takes double words only, and no operation that it does not know', () => {
  const { t, done } = make();
  t.out(0x3000, 3);
  t.out(0x3000, 0x0103, 2);
  t.out(0x3000, 0x00ff_0000, 4);
  t.out(0x3000, 0x0001_0000, 4);
  t.out(0x3000, 0x0002_0000, 4);
  expect(done).toEqual([]);
});

it('makes its connections again from its state, and drops them at a reset', () => {
  const { t, messages, events } = make();
  t.out(0x3000, 0x2004_0203, 4);
  t.out(0x3000, 0x2106_0304, 4);
  const state = t.save();
  t.reset();
  expect([messages.size, events.size]).toEqual([0, 0]);
  const other = t.restore(state);
  expect([messages.size, events.size, other.save()]).toEqual([1, 1, state]);
  for (const bad of [null, 'x', [1.5], [-1]]) expect(() => t.restore(bad)).toThrow(TypeError);
});
