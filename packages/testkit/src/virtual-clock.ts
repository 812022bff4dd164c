import type { Clock, Nanos, Timer } from '@vm/core';

interface Slot {
  due: Nanos;
  readonly fire: (due: Nanos) => void;
}

/** Machine time that moves only when a test moves it. */
export interface VirtualClock extends Clock {
  /** Moves time, firing each timer at its time. */
  advance(ns: Nanos): void;
}

export function createVirtualClock(start: Nanos = 0): VirtualClock {
  const slots: Slot[] = [];
  let now = start;
  const timer = (fire: (due: Nanos) => void): Timer => {
    const slot: Slot = { due: Infinity, fire };
    slots.push(slot);
    return {
      arm(due) {
        if (Number.isNaN(due)) throw new RangeError('timer: due expected a number, got NaN');
        slot.due = due;
      },
      disarm() {
        slot.due = Infinity;
      },
      get due() {
        return slot.due;
      },
    };
  };
  return {
    now: () => now,
    timer,
    advance(ns) {
      const end = now + ns;
      for (;;) {
        let next: Slot | null = null;
        for (const slot of slots) if (slot.due <= end && (next === null || slot.due < next.due)) next = slot;
        if (next === null) break;
        const { due } = next;
        now = Math.max(now, due);
        next.due = Infinity;
        next.fire(due);
      }
      now = end;
    },
  };
}
