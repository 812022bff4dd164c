import type { DeviceModule, IoHandler, Size } from '@vm/core';
import type { AccessQueue } from '@vm/core/engine';

export const PORTS = 0x60;
export const PLAIN_PORTS = 0x70;
export const WINDOW = 0xd000_0000;
const REGISTERS = 8;

/** Registers that do more than take part in the sum. */
export const INTERRUPT = 4, SOON = 5, LATE = 6;
/** A write makes it look at RAM, or store there. */
export const LOOK = 1, STORE = 2;
/** Guest-physical, where it does. */
export const SHARED = 0x20_0100;

export interface Board {
  /** Everything that devices were asked, with the time. */
  readonly trace: string[];
  interrupt(): void;
}

type Effect = { readonly timer: number } | { readonly store: number } | 'interrupt';

/**
 * A device whose every register depends on all that was done before, and when. It takes lists as a device in a worker does: each access
 * has its own time, effects come with the answer, and the list ends behind one that the processor may have to hear of.
 */
export function summing(name: string, board: Board, ports: number, window: number, isQueued: boolean, sharesMemory: boolean): DeviceModule<void, 'pio' | 'mmio' | 'clock' | 'dma'> {
  return {
    manifest: { abi: 1, id: `test.${name}`, version: '0.0.0', state: 0, needs: ['pio', 'mmio', 'clock', 'dma'] },
    create: (ctx) => {
      let sum = 1;
      let time = 0;
      const effects: Effect[] = [];
      const add = (...values: readonly number[]): number => {
        for (const value of values) sum = (Math.imul(sum ^ value, 0x0100_0193) + 0x9e37) >>> 0;
        return sum;
      };
      const timer = ctx.clock.timer((due) => {
        add(due);
        board.trace.push(`${name} ${ctx.clock.now()} timer`);
        board.interrupt();
      });
      const access = (isWrite: boolean, offset: number, size: Size, value: number): number => {
        const register = (offset % REGISTERS) & ~(size - 1);
        const answer = add(isWrite ? 1 : 0, register, size, value, time);
        board.trace.push(`${name} ${time} ${isWrite ? 'write' : 'read'} ${register} ${size} ${isWrite ? value : answer}`);
        if (isWrite && register === LOOK && sharesMemory) add(ctx.dma.read(SHARED + (value & 0x7c), 4));
        if (isWrite && register === STORE && sharesMemory) effects.push({ store: value });
        if (isWrite && register === INTERRUPT && value % 2 === 1) effects.push('interrupt');
        if (isWrite && register === SOON) effects.push({ timer: time + 10 * (value % 64) });
        if (isWrite && register === LATE) effects.push({ timer: time + 100_000 });
        return answer;
      };
      const apply = (): void => {
        for (const effect of effects.splice(0)) {
          if (effect === 'interrupt') board.interrupt();
          else if ('store' in effect) ctx.dma.write(SHARED + (effect.store & 0x7c), 4, sum);
          else timer.arm(effect.timer);
        }
      };
      const list: { isWrite: boolean; offset: number; size: Size; value: number; now: number }[] = [];
      let told = false;
      const queue: AccessQueue = {
        most: 64,
        sharesMemory,
        get told() { return told; },
        run: (count, until) => {
          told = false;
          for (let i = 0; i < count; i++) {
            const one = list[i]!;
            time = one.now;
            one.value = access(one.isWrite, one.offset, one.size, one.value);
            if (effects.every((effect) => effect !== 'interrupt' && 'timer' in effect && effect.timer > until)) continue;
            apply();
            told = true;
            return i + 1;
          }
          apply();
          return count;
        },
        result: (index) => (list[index]!.size === 4 ? list[index]!.value : list[index]!.value & (list[index]!.size === 2 ? 0xffff : 0xff)),
      };
      const handler = {
        read: (offset: number, size: Size) => {
          time = ctx.clock.now();
          const answer = access(false, offset, size, 0);
          apply();
          return size === 4 ? answer : answer & (size === 2 ? 0xffff : 0xff);
        },
        write: (offset: number, size: Size, value: number) => {
          time = ctx.clock.now();
          access(true, offset, size, value);
          apply();
        },
        ...(isQueued ? { queue, enqueue: (index: number, offset: number, size: Size, isWrite: boolean, value: number, now: number) => { list[index] = { isWrite, offset, size, value, now }; } } : {}),
      } satisfies IoHandler;
      ctx.pio.claim('ports', REGISTERS, handler).map(ports);
      if (window > 0) ctx.mmio.claim('window', 4096, handler).map(window);
      return {};
    },
  };
}
