/**
 * Random programs on the interval timer, ours and QEMU's. QEMU's clock runs between their steps for as long as it likes, and its HPET says how far it came. Where the two differ the data sheet of the 82C54 decides, and these programs keep away:
 * - A count is loaded by the tick after its store; QEMU counts from the store on. So counts may be a tick apart, and one more for tens of nanoseconds.
 * - A new count in modes 2 and 3 waits for the end of the period; QEMU takes it at once.
 * - Modes 1 and 5 wait for a trigger; QEMU's begin without. A gate that falls stops the count; QEMU's goes on.
 * - The output of modes 2 and 4 is high but for one tick; QEMU's is low but for one.
 * - Decimal counts, and odd ones in mode 3, which QEMU leaves out; the status bit of a count that is not loaded yet, which it has not.
 */
import { pit8254 } from '@vm/device-pit8254';
import { bench } from '@vm/testkit';
import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { QemuChips } from './qemu-chips.ts';
import { randomNumbers } from './random-numbers.ts';

const LONG = process.env['VM_LONG'] === '1';
const FIRST = Number(process.env['VM_SEED'] ?? 1);
const ROUNDS = LONG ? 3000 : 150;
const HPET = 0xfed0_0000, HPET_NANOS = 10, HPET_ON = `writel ${HPET + 0x10} 1`, HPET_COUNT = `readq ${HPET + 0xf0}`;
const COUNTER_2 = 0x61; // bit 0: its gate

describe('random programs find the same as on QEMU', () => {
  itWithOracle(it, 'qemu-system-x86_64', `at the interval timer, from seed ${FIRST}`, async (qemu) => {
    await using chips = await QemuChips.withClock(qemu);
    await chips.run([HPET_ON]);
    const random = randomNumbers(FIRST);
    const t = bench(pit8254, {});
    const counters = [0, 1, 2].map(() => ({ mode: -1, count: 0, access: 3 }));
    let compared = 0;
    const out = (port: number, value: number): string => {
      t.out(port, value);
      return `outb ${port} ${value}`;
    };
    /** What the counter may read, when ours reads `ours`: `slack` more or less, around the end of its period. */
    const isNear = (ours: number, qemus: number, period: number, slack: number): boolean => {
      const apart = Math.abs(ours - qemus);
      return Math.min(apart, period - apart) <= slack;
    };
    for (let round = 0; round < ROUNDS; round++) {
      await chips.pass();
      const [ticks = 0] = await chips.run([HPET_COUNT]);
      t.advance(ticks * HPET_NANOS - t.now());
      const which = random(3);
      const counter = counters[which]!;
      if (counter.mode >= 0) {
        const latch = random(2) === 0 ? (which << 6) : 0xc0 | (2 << which); // the count, or status and count
        const hasStatus = latch >= 0xc0;
        const bytes = counter.access === 3 ? 2 : 1;
        const reads = Array.from({ length: bytes + (hasStatus ? 1 : 0) }, () => `inb ${0x40 + which}`);
        const command = out(0x43, latch);
        const ours = reads.map(() => t.in(0x40 + which));
        const qemus = (await chips.run([command, ...reads])).slice(1);
        const label = `seed ${FIRST}, round ${round}, counter ${which}, mode ${counter.mode}, count ${counter.count}`;
        const slack = counter.mode === 3 ? 4 : 2;
        const value = (from: readonly number[]): number => (counter.access === 3 ? from.at(-2)! | (from.at(-1)! << 8) : from.at(-1)!);
        // In modes 2 and 3 counts go round with the period, in others with 16 bits.
        if (counter.access === 3) expect(isNear(value(ours), value(qemus), counter.mode === 2 || counter.mode === 3 ? counter.count : 0x1_0000, slack), `${label}: ${value(ours)} and ${value(qemus)}`).toBe(true);
        if (hasStatus) {
          // Where an output changes the two may be on different sides.
          const [mine, other] = [ours[0]! & 0xbf, qemus[0]! & 0xbf];
          const isClear = counter.access === 3 && (counter.mode === 0 || counter.mode === 3) && value(ours) > slack && value(ours) < counter.count - slack;
          const mask = isClear ? 0xbf : 0x3f;
          expect(mine & mask, `${label}: status`).toBe(other & mask);
          if (isClear) compared++;
        }
        compared++;
      }
      if (random(3) > 0) continue;
      counter.mode = [0, 2, 3, 4][random(4)]!;
      counter.access = random(4) === 0 ? 1 + random(2) : 3;
      const any = random(4) === 0 ? 0x1_0000 : 2000 + random(0x1_0000 - 2000);
      counter.count = counter.access === 1 ? 200 + (any % 56) : counter.access === 2 ? ((any >>> 8) || 8) << 8 : any;
      if (counter.mode === 3) counter.count &= ~1;
      const commands = [out(0x43, (which << 6) | (counter.access << 4) | (counter.mode << 1))];
      if (counter.access !== 2) commands.push(out(0x40 + which, counter.count & 0xff));
      if (counter.access !== 1) commands.push(out(0x40 + which, (counter.count >>> 8) & 0xff));
      if (which === 2) commands.push(out(COUNTER_2, 0), out(COUNTER_2, 1)); // the gate rises in the same moment: modes 2 and 3 begin anew
      await chips.run(commands);
    }
    expect(compared).toBeGreaterThan(ROUNDS / 2);
    expect(t.now()).toBeGreaterThan(ROUNDS * 100); // time did pass
  });
});
