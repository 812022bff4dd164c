import type { IoBus } from '@vm/core/engine';
import { expect, it } from 'vitest';
import { EVENT_EXCEPTION, EVENT_IN, EventLog, LoggedBus } from './event-log.ts';

it('keeps the last events, oldest first', () => {
  const log = new EventLog();
  expect(log.list()).toEqual([]);
  for (let i = 0; i < 40; i++) log.add(EVENT_EXCEPTION, i, 0x8100_1000 + i, 0xffff_ffff, 14, 2);
  const events = log.list();
  expect(events).toHaveLength(32);
  expect(events[0]).toEqual({ kind: 'exception', instructions: 8, address: 0xffff_ffff_8100_1008n, bytes: 0, value: 14, errorCode: 2 });
  expect(events.at(-1)!.instructions).toBe(39);
});

it('notes what passes through a bus, a write before it is done', () => {
  const log = new EventLog();
  const seen: string[] = [];
  const bus: IoBus = {
    read: () => 0x61,
    write: () => void seen.push(log.list().at(-1)!.kind),
    readWide: (_address, _bytes, into) => into.setUint32(0, 7, true),
    writeWide: () => void seen.push(log.list().at(-1)!.kind),
  };
  const logged = new LoggedBus(bus, log, EVENT_IN, () => 5);
  expect(logged.read(0x3fd, 1)).toBe(0x61);
  logged.write(0x3f8, 2, 0x2e);
  const wide = new DataView(new ArrayBuffer(8));
  logged.readWide(0x10, 8, wide);
  logged.writeWide(0x18, 8, wide);
  expect(log.list().map(({ kind, address, bytes, value }) => [kind, address, bytes, value])).toEqual([
    ['in', 0x3fdn, 1, 0x61], ['out', 0x3f8n, 2, 0x2e], ['in', 0x10n, 8, 7], ['out', 0x18n, 8, 7],
  ]);
  expect(seen).toEqual(['out', 'out']);
});
