import type { Plain } from '@vm/core';
import { SOURCES, TIMERS } from './spec.ts';
import { MOST_OF_HOST, type SyntheticControllerState } from './synthetic-controller.ts';
import type { SyntheticTimerState } from './synthetic-timer.ts';

export interface SyntheticFaceState {
  readonly assist: readonly [number, number];
  readonly controller: SyntheticControllerState;
  readonly timers: readonly SyntheticTimerState[];
}

/** Saved registers of a synthetic interrupt controller, looked through. Throws TypeError. */
export function readSyntheticFace(state: Plain): SyntheticFaceState {
  const { assist, controller, timers } = membersOf(state);
  const { control, events, messages, sources, queues } = membersOf(controller);
  if (!isWord(control)) throw new TypeError('synthetic controller: control expected a number');
  if (!Array.isArray(queues) || queues.length !== SOURCES) throw new TypeError(`synthetic controller: expected ${SOURCES} queues`);
  if (!Array.isArray(timers) || timers.length !== TIMERS) throw new TypeError(`synthetic controller: expected ${TIMERS} timers`);
  return {
    assist: words('assist', assist, 2) as unknown as readonly [number, number],
    controller: {
      control, events: words('events', events, 2), messages: words('messages', messages, 2), sources: words('sources', sources, SOURCES),
      queues: (queues as readonly Plain[]).map(readQueue),
    },
    timers: (timers as readonly Plain[]).map(readTimer),
  };
}

function readQueue(state: Plain): SyntheticControllerState['queues'][number] {
  if (!Array.isArray(state) || state.length > MOST_OF_HOST) throw new TypeError(`synthetic controller: a queue expected ${MOST_OF_HOST} messages at most`);
  return (state as readonly Plain[]).map((one) => {
    const { type, payload, sender } = membersOf(one);
    if (!isWord(type) || !isWord(sender) || !(payload instanceof Uint8Array) || payload.length > 240) throw new TypeError('synthetic controller: expected a message');
    return { type, payload, sender };
  });
}

function readTimer(state: Plain): SyntheticTimerState {
  const { config, countLow, countHigh, expiration, waiting } = membersOf(state);
  if (!isWord(config) || !isWord(countLow) || !isWord(countHigh) || typeof expiration !== 'number' || !Number.isFinite(expiration) || typeof waiting !== 'boolean') throw new TypeError('synthetic timer: expected its registers');
  return { config, countLow, countHigh, expiration, waiting };
}

export function words(name: string, value: Plain | undefined, count: number): readonly number[] {
  if (!Array.isArray(value) || value.length !== count || value.some((one) => !isWord(one as Plain))) throw new TypeError(`synthetic controller: ${name} expected ${count} numbers`);
  return value as readonly number[];
}

export function membersOf(value: Plain | undefined): Readonly<Record<string, Plain>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) throw new TypeError('synthetic controller: expected members');
  return value as Readonly<Record<string, Plain>>;
}

function isWord(value: Plain | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
