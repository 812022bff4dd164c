import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import { GuestWords } from './guest-words.ts';
import { placeMessage, type SlotMemory, takeMessage } from './message-slot.ts';
import { SLOT_BYTES } from './spec.ts';

interface State {
  readonly type: number; // of the message in the slot
  readonly mark: boolean; // in its header
  readonly posted: number;
  readonly queue: readonly number[]; // the host's
  readonly host: 'idle' | 'test' | 'mark' | 'again' | 'header' | 'type';
  readonly guest: 'test' | 'clear' | 'look' | 'end';
  readonly saw: boolean; // the mark, before it emptied the slot
  readonly asked: boolean; // an EOM that the host has not heard
  readonly taken: readonly number[];
}

interface Protocol {
  readonly rechecks: boolean; // the host looks at the slot again after it has set the mark
  readonly marksHeader: boolean; // a message is placed with the mark when more waits; the host's timers do without
  readonly clearsFirst: boolean; // the guest looks for the mark after it has emptied the slot
}
const PROTOCOL: Protocol = { rechecks: true, marksHeader: true, clearsFirst: true };

/** What can come next, one access to shared memory at a time. */
function steps(s: State, messages: number, { rechecks, marksHeader, clearsFirst }: Protocol): State[] {
  const next: State[] = [];
  const first = s.queue[0]!;
  switch (s.host) {
    case 'idle':
      if (s.posted < messages) next.push({ ...s, posted: s.posted + 1, queue: [...s.queue, s.posted + 1], host: 'test' });
      if (s.asked) next.push({ ...s, asked: false, host: s.queue.length > 0 ? 'test' : 'idle' });
      break;
    case 'test': next.push({ ...s, host: s.type === 0 ? 'header' : 'mark' }); break;
    case 'mark': next.push({ ...s, mark: true, host: rechecks ? 'again' : 'idle' }); break;
    case 'again': next.push({ ...s, host: s.type === 0 ? 'header' : 'idle' }); break;
    case 'header': next.push({ ...s, mark: marksHeader && s.queue.length > 1, host: 'type' }); break;
    default: next.push({ ...s, type: first, queue: s.queue.slice(1), host: s.queue.length > 1 ? 'test' : 'idle' });
  }
  switch (s.guest) {
    case 'test': if (s.type !== 0) next.push({ ...s, taken: [...s.taken, s.type], guest: clearsFirst ? 'clear' : 'look' }); break;
    case 'clear': next.push({ ...s, type: 0, guest: clearsFirst ? 'look' : s.saw ? 'end' : 'test' }); break;
    case 'look': next.push(clearsFirst ? { ...s, guest: s.mark ? 'end' : 'test' } : { ...s, saw: s.mark, guest: 'clear' }); break;
    default: next.push({ ...s, asked: true, guest: 'test' });
  }
  return next;
}

/** All states that can be reached, and those in which nothing can happen any more. */
function explore(messages: number, protocol: Protocol) {
  const start: State = { type: 0, mark: false, posted: 0, queue: [], host: 'idle', guest: 'test', saw: false, asked: false, taken: [] };
  const seen = new Set<string>([JSON.stringify(start)]);
  const open = [start];
  const last: State[] = [];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const next = steps(state, messages, protocol);
    if (next.length === 0) last.push(state);
    for (const one of next) {
      const key = JSON.stringify(one);
      if (!seen.has(key)) open.push(one);
      seen.add(key);
    }
  }
  return { states: seen.size, last };
}

it('loses no message in any interleaving of the two sides, and keeps their order (INT-09, INT-13, INT-14, IRQ-86, IRQ-87, IRQ-88, IRQ-89)', () => {
  for (const [messages, marksHeader] of [1, 2, 3, 4].flatMap((count) => [[count, true], [count, false]] as const)) {
    const { states, last } = explore(messages, { ...PROTOCOL, marksHeader });
    const all = Array.from({ length: messages }, (_, i) => i + 1);
    expect(states).toBeGreaterThan(messages * 5);
    expect(last.length).toBeGreaterThan(0);
    for (const one of last) expect(one).toMatchObject({ taken: all, queue: [], type: 0, asked: false });
  }
});

it('would lose one if either side did it in another order: the exploration finds that (INT-14, IRQ-89)', () => {
  for (const wrong of [{ rechecks: false }, { clearsFirst: false }]) {
    const { last } = explore(2, { ...PROTOCOL, ...wrong });
    expect(last.some(({ taken, queue }) => taken.length === 1 && queue.length === 1)).toBe(true);
  }
});

/** The guest's slot, where `before` runs before each of its accesses or the host's. */
function watched(memory: SlotMemory, before: (access: number) => void): SlotMemory {
  let access = 0;
  const at = <T>(run: () => T): T => {
    before(access++);
    return run();
  };
  return {
    load: (where) => at(() => memory.load(where)), store: (where, value) => at(() => memory.store(where, value)), or: (where, bits) => at(() => memory.or(where, bits)),
    read: (where, bytes) => at(() => memory.read(where, bytes)), write: (where, from) => at(() => memory.write(where, from)),
  };
}

/** One page that two threads may use. */
function sharedMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true } as { initial: number; maximum: number });
}

function words(memory: WebAssembly.Memory = sharedMemory()): GuestWords {
  return new GuestWords({ memory, offsetOf: (gpa) => gpa, written: () => {} });
}

it('hands over the second message wherever in between the accesses of one side the other acts (INT-09, INT-14, IRQ-89)', () => {
  const message = (type: number) => ({ type, payload: Uint8Array.of(type, type) });
  for (const guestFirst of [true, false]) {
    for (let point = 0; point < 12; point++) {
      const memory = words();
      placeMessage(memory, 0, message(1), false);
      const taken: number[] = [];
      let placed = false, asked = false, acted = false;
      const take = (from: SlotMemory): void => {
        const found = takeMessage(from, 0);
        if (found === null) return;
        expect([...found.message.payload]).toEqual([found.message.type, found.message.type]);
        taken.push(found.message.type);
        asked ||= found.more;
      };
      const place = (to: SlotMemory): void => void (placed = placeMessage(to, 0, message(2), false));
      const [first, second] = guestFirst ? [take, place] : [place, take];
      const other = (access: number): void => {
        if (access !== point) return;
        acted = true;
        second(memory);
      };
      first(watched(memory, other));
      if (!acted) second(memory);
      for (let i = 0; i < 2; i++) {
        if (!placed && asked) place(memory); // the host hears of nothing else
        take(memory);
      }
      expect(taken, `${guestFirst ? 'guest' : 'host'} ${point}`).toEqual([1, 2]);
    }
  }
});

it('hands over every message once and in order between two threads (INT-09, INT-13, INT-14, IRQ-88, IRQ-89)', async () => {
  const MESSAGES = 2_000, MOST_WAITING = 16, EOM = SLOT_BYTES; // a count of ends behind the slot
  const memory = sharedMemory();
  const shared = words(memory);
  const module = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
  let next = 1, heard = 0, deferred = 0;
  const queue: number[] = [];
  const ints = new Int32Array(memory.buffer);
  const flush = (): void => {
    while (queue.length > 0) {
      const type = queue[0]!;
      if (!placeMessage(shared, 0, { type, sender: type, payload: new Uint8Array(8).fill(type) }, queue.length > 1)) {
        deferred++;
        return;
      }
      Atomics.notify(ints, 0);
      queue.shift();
    }
  };
  const post = (): void => {
    queue.push(next++);
    flush();
  };
  while (queue.length < MOST_WAITING) post(); // before the guest runs
  const guest = new Worker(`
    const { parentPort, workerData } = require('node:worker_threads');
    (async () => {
      const { GuestWords } = await import(${module('./guest-words.ts')});
      const { takeMessage } = await import(${module('./message-slot.ts')});
      const { memory, messages, eom } = workerData;
      const words = new GuestWords({ memory, offsetOf: (gpa) => gpa, written: () => {} });
      const ends = new Int32Array(memory.buffer);
      let wrong = 0, asked = 0;
      for (let expected = 1; expected <= messages;) {
        const found = takeMessage(words, 0);
        if (found === null) {
          Atomics.wait(ends, 0, 0, 1); // leaves the processor to the host
          continue;
        }
        const { type, payload, sender } = found.message;
        if (type !== expected || sender !== expected || payload.length !== 8 || payload.some((one) => one !== (expected & 0xff))) wrong++;
        expected++;
        if (found.more) { asked++; Atomics.add(ends, eom >> 2, 1); Atomics.notify(ends, eom >> 2); }
      }
      parentPort.postMessage({ wrong, asked });
    })();
  `, { eval: true, workerData: { memory, messages: MESSAGES, eom: EOM } });
  const result = once(guest, 'message') as Promise<[{ wrong: number; asked: number }]>;
  let failed = false;
  guest.once('error', () => (failed = true));
  // As the controller: it looks at the slot when a message comes and when the guest asks, never by itself.
  while (!failed && (next <= MESSAGES || queue.length > 0)) {
    if (next <= MESSAGES && queue.length < MOST_WAITING) post();
    const asked = shared.load(EOM);
    if (asked !== heard) {
      heard = asked;
      flush();
    } else if (queue.length >= MOST_WAITING || next > MESSAGES) {
      Atomics.wait(ints, EOM >> 2, heard, 1); // likewise
      await new Promise((resolve) => void setImmediate(resolve));
    }
  }
  const [{ wrong, asked }] = await result;
  await guest.terminate();
  expect([wrong, shared.load(EOM)]).toEqual([0, asked]);
  expect(deferred).toBeGreaterThan(0);
}, 120_000);
