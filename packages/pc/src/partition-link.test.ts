import { createVirtualClock } from '@vm/testkit';
import { expect, it } from 'vitest';
import type { Partition, SyntheticMessage } from '@vm/apic';
import { findFrame, type LinkChannel, type LinkFrame } from './link-frame.ts';
import { PartitionLink } from './partition-link.ts';

const FULL = 0x13, NOT_READY = 0x18, NO_CONNECTION = 0x12;
const AT = { processor: 0, source: 2 };

/** One end: a partition whose sources answer what `status` says, and the channel's side of it. */
function setup() {
  const clock = createVirtualClock();
  const targets = new Map<number, (message: SyntheticMessage) => number>();
  const events = new Map<number, (flag: number) => number>();
  const arrived: string[] = [];
  const state = { status: 0 };
  const partition = {
    connectMessages: (connection: number, target: (message: SyntheticMessage) => number) => void targets.set(connection, target),
    connectEvents: (connection: number, target: { signal(flag: number): number }) => void events.set(connection, (flag) => target.signal(flag)),
    disconnect: (connection: number) => void (targets.delete(connection), events.delete(connection)),
    post: (processor: number, source: number, { type, payload, sender }: SyntheticMessage) => (state.status === 0 && arrived.push(`${processor}/${source} from ${sender}: ${type} ${payload.join(',')}`), state.status),
    signal: (_processor: number, source: number, flag: number) => (state.status === 0 && arrived.push(`${source} flag ${flag}`), state.status),
  };
  const sent: LinkFrame[] = [];
  let take: ((frame: unknown) => void) | null = null;
  const channel: LinkChannel = { send: (frame) => void sent.push(frame), listen: (listener) => (take = listener) };
  const link = new PartitionLink({ partition: partition as unknown as Partition, machine: { clock } }, channel);
  const post = (connection: number, first = 1): number => targets.get(connection)?.({ type: 7, payload: Uint8Array.of(first, 2) }) ?? NO_CONNECTION;
  return { clock, link, sent, arrived, state, post, signal: (connection: number, flag: number) => events.get(connection)!(flag), give: (frame: unknown) => take?.(frame) };
}

it('sends what the guest posts and signals, and refuses what is too much to be on the way', () => {
  const { link, sent, post, signal, give } = setup();
  link.outgoing(5);
  expect([post(5), signal(5, 3), post(6)]).toEqual([0, 0, NO_CONNECTION]);
  expect(sent).toEqual([{ kind: 'message', connection: 5, type: 7, payload: [1, 2] }, { kind: 'event', connection: 5, flag: 3 }]);
  expect(Array.from({ length: 16 }, () => post(5))).toEqual([...Array.from({ length: 15 }, () => 0), FULL]);
  give({ kind: 'taken', connection: 5, count: 2 });
  expect([post(5), post(5), post(5)]).toEqual([0, 0, FULL]);
});

it('hands on what comes, in order, and says how much has arrived', () => {
  const { link, sent, arrived, give } = setup();
  link.incoming(9, AT);
  give({ kind: 'message', connection: 9, type: 7, payload: [1] });
  give({ kind: 'event', connection: 9, flag: 100 });
  expect(arrived).toEqual(['0/2 from 9: 7 1', '2 flag 100']);
  expect(sent).toEqual([{ kind: 'taken', connection: 9, count: 1 }]);
});

it('keeps what finds its source full or not switched on, and tries again while the machine runs', () => {
  for (const status of [FULL, NOT_READY]) {
    const { link, clock, sent, arrived, state, give } = setup();
    link.incoming(9, AT);
    state.status = status;
    for (const first of [1, 2, 3]) give({ kind: 'message', connection: 9, type: 7, payload: [first] });
    give({ kind: 'event', connection: 9, flag: 4 });
    give({ kind: 'event', connection: 9, flag: 4 });
    clock.advance(5e6);
    expect([arrived, sent]).toEqual([[], []]);
    state.status = 0;
    clock.advance(1e6);
    expect(arrived).toEqual(['0/2 from 9: 7 1', '0/2 from 9: 7 2', '0/2 from 9: 7 3', '2 flag 4']);
    expect(sent).toEqual([{ kind: 'taken', connection: 9, count: 3 }]);
  }
});

it('takes no more from the other end than that may send, and nothing for connections that there are not', () => {
  const { link, state, give, arrived } = setup();
  link.incoming(9, AT);
  state.status = FULL;
  for (let i = 0; i < 20; i++) give({ kind: 'message', connection: 9, type: 7, payload: [i] });
  give({ kind: 'message', connection: 8, type: 7, payload: [] });
  give('nonsense');
  give({ kind: 'taken', connection: 77, count: 3 });
  expect([link.counts.refused, arrived]).toEqual([6, []]);
});

it('is closed, and leaves nothing behind', () => {
  const { link, clock, state, give, post, arrived } = setup();
  link.outgoing(5);
  link.incoming(9, AT);
  state.status = FULL;
  give({ kind: 'message', connection: 9, type: 7, payload: [] });
  link.close();
  state.status = 0;
  clock.advance(5e6);
  give({ kind: 'message', connection: 9, type: 7, payload: [] });
  expect([arrived, post(5)]).toEqual([[], NO_CONNECTION]);
});

it('reads frames of another program with suspicion', () => {
  const good = { kind: 'message', connection: 1, type: 1, payload: [0, 255] };
  expect(findFrame(good)).toEqual(good);
  const bad: unknown[] = [
    null, 5, [], {}, { ...good, connection: -1 }, { ...good, connection: 2 ** 32 }, { ...good, connection: 0.5 }, { ...good, type: 0 }, { ...good, type: 2 ** 31 }, { ...good, payload: 'text' },
    { ...good, payload: [256] }, { ...good, payload: Array.from({ length: 241 }, () => 0) }, { kind: 'event', connection: 1, flag: 2048 }, { kind: 'event', connection: 1 }, { kind: 'taken', connection: 1, count: Number.NaN }, { kind: 'other', connection: 1 },
  ];
  expect(bad.map(findFrame)).toEqual(bad.map(() => null));
});
