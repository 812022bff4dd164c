import { beforeEach, describe, expect, it } from 'vitest';
import { MachineClock } from './clock.ts';

let source = 0;
let earlier: number[] = [];
let clock: MachineClock;
beforeEach(() => {
  source = 1_000_000;
  earlier = [];
  clock = new MachineClock(() => source, (due) => earlier.push(due));
});

describe('machine time', () => {
  it('starts at 0 and stands still while the machine does', () => {
    expect(clock.now()).toBe(0);
    clock.thaw();
    source += 500;
    expect(clock.now()).toBe(500);
    clock.freeze();
    source += 9_999;
    expect(clock.now()).toBe(500);
    clock.thaw();
    source += 1;
    expect(clock.now()).toBe(501);
  });
});

describe('timers', () => {
  it('fire in the order of their times, equals in the order of creation', () => {
    const fired: string[] = [];
    const timers = ['a', 'b', 'c', 'd'].map((name) => clock.timer((due) => fired.push(`${name} ${due}`)));
    clock.thaw();
    [30, 20, 20, 99].forEach((due, i) => timers[i]!.arm(due));
    source += 40;
    clock.fireDue();
    expect(fired).toEqual(['b 20', 'c 20', 'a 30']);
    expect(timers.map((timer) => timer.due)).toEqual([Infinity, Infinity, Infinity, 99]);
    expect(clock.nextDue).toBe(99);
  });

  it('keep their period without drift when they arm themselves from the time they were due', () => {
    const fired: number[] = [];
    const timer = clock.timer((due) => {
      fired.push(due);
      timer.arm(due + 100);
    });
    clock.thaw();
    timer.arm(100);
    source += 350;
    clock.fireDue();
    expect(fired).toEqual([100, 200, 300]);
  });

  it('can be moved and disarmed, by other timers as well', () => {
    const fired: string[] = [];
    const second = clock.timer(() => fired.push('second'));
    const first = clock.timer(() => {
      fired.push('first');
      second.disarm();
    });
    clock.thaw();
    first.arm(500);
    second.arm(20);
    first.arm(10);
    source += 50;
    clock.fireDue();
    expect(fired).toEqual(['first']);
    expect(clock.nextDue).toBe(Infinity);
  });

  it('announce only a time before all others', () => {
    const timers = [0, 1, 2].map(() => clock.timer(() => undefined));
    timers[0]!.arm(50);
    timers[1]!.arm(60);
    timers[2]!.arm(40);
    timers[2]!.arm(70);
    timers[0]!.arm(45);
    expect(earlier).toEqual([50, 40, 45]);
    expect(clock.nextDue).toBe(45);
  });

  it('that arm themselves in the past do not keep the machine for ever', () => {
    let fires = 0;
    const timer = clock.timer(() => {
      fires++;
      timer.arm(0);
    });
    clock.thaw();
    timer.arm(0);
    clock.fireDue();
    expect(fires).toBe(4096);
  });

  it('refuse a time that is none', () => {
    expect(() => clock.timer(() => undefined).arm(Number.NaN)).toThrow(RangeError);
  });
});
