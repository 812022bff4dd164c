/**
 * Random programs on the 8259 pair and the I/O APIC, ours and QEMU's. Where the two differ the data sheets decide, and these programs keep away:
 * - An edge whose line falls before it is acknowledged is no request any more (8259A, "the IR inputs must remain high"); QEMU's stays, and so does
 *   that of the slave at the master.
 * - Special fully nested mode lets the slave in again, and nothing below it; QEMU lets everything in that is not in service itself.
 * - An unspecific end in special mask mode leaves masked services alone; QEMU ends them.
 * - An input that is level-triggered from now on asks while it is high, and its old edge is forgotten: QEMU's controllers keep the edge.
 * - NMI, SMI and INIT are edges at an I/O APIC; QEMU remembers them as levels.
 * - Special mask mode takes effect at once; QEMU's chip looks again by the next other command.
 */
import { IoApic, Pic8259 } from '@vm/apic';
import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { IO_APIC, MASTER, QemuChips, SLAVE } from './qemu-chips.ts';
import { randomNumbers } from './random-numbers.ts';

const LONG = process.env['VM_LONG'] === '1';
const FIRST = Number(process.env['VM_SEED'] ?? 1);
const PROGRAMS = LONG ? 400 : 12;
const STEPS = 400;

/** What a program does to QEMU's chips, and what ours have answered to the same. */
class Program {
  readonly commands: string[] = [];
  readonly answers: number[] = [];

  add(command: string, answer: number = 0): void {
    this.commands.push(command);
    this.answers.push(answer);
  }

  async compare(chips: QemuChips, seed: number): Promise<void> {
    const found = await chips.run(this.commands);
    const at = found.findIndex((answer, i) => answer !== this.answers[i]);
    const before = this.commands.slice(Math.max(0, at - 40), at + 1).map((command, i) => `${command} -> ${found[Math.max(0, at - 40) + i]!.toString(16)}`);
    expect(at < 0 ? null : { seed, at, ours: this.answers[at]!.toString(16), qemu: found[at]!.toString(16), before }).toBe(null);
  }
}

type Pair = Pick<Pic8259, 'read' | 'write' | 'setLine'>;
const CHIPS = ['slave', 'master'] as const; // begun anew in this order, the slave is quiet when the master looks
type ChipName = (typeof CHIPS)[number];

/** Does the pair forget an edge by these operations that it has not acknowledged? QEMU's chips would keep it. */
function losesEdge(pair: Pic8259, operations: (pair: Pair) => unknown): boolean {
  const copy = new Pic8259(() => {});
  copy.load(pair.save());
  const taken = { master: 0, slave: 0 };
  const before = pair.save();
  operations({
    read: (chip, register) => {
      const polled = (copy.save()[chip].flags & 0x80) !== 0;
      const answer = copy.read(chip, register);
      if (polled && answer >= 0x80) taken[chip] |= 1 << (answer & 7);
      return answer;
    },
    write: (chip, register, value) => copy.write(chip, register, value),
    setLine: (line, high) => copy.setLine(line, high),
  });
  const after = copy.save();
  return CHIPS.some((chip) => (before[chip].edges & ~after[chip].edges & ~taken[chip]) !== 0);
}

function pairProgram(seed: number): Program {
  const random = randomNumbers(seed);
  const program = new Program();
  const pair = new Pic8259(() => {});
  const portOf = (chip: ChipName): number => (chip === 'master' ? 0x20 : 0xa0);
  const recorder: Pair = {
    read: (chip, register) => {
      const answer = pair.read(chip, register);
      program.add(`inb ${portOf(chip) + register}`, answer);
      return answer;
    },
    write: (chip, register, value) => {
      pair.write(chip, register, value);
      program.add(`outb ${portOf(chip) + register} ${value}`);
    },
    setLine: (line, high) => {
      pair.setLine(line, high);
      program.add(`set_irq_in ${line < 8 ? MASTER : SLAVE} unnamed-gpio-in ${line & 7} ${high ? 1 : 0}`);
    },
  };
  const lines = Array.from({ length: 16 }, (_, line) => line).filter((line) => line !== 2);
  for (const line of lines) recorder.setLine(line, false);
  const setLevels = (levels: number): void => {
    pair.level = levels;
    program.add(`outb 0x4d0 ${levels & 0xf8}`);
    program.add(`outb 0x4d1 ${(levels >>> 8) & 0xde}`);
  };
  setLevels(0); // what is left of other programs goes with the next word while it is an edge
  for (const chip of CHIPS) recorder.write(chip, 0, 0x11);
  setLevels(random(3) === 0 ? 0 : random(0x1_0000));
  const specialMask = { master: false, slave: false };
  for (const chip of CHIPS) {
    const automatic = random(4) === 0 && chip === 'master' ? 2 : 0;
    for (const [register, value] of [[0, 0x11], [1, random(256) & 0xf8], [1, chip === 'master' ? 4 : 2], [1, 1 | automatic]] as const) recorder.write(chip, register, value);
    recorder.write(chip, 0, 0x48); // no special mask
  }
  let done = 0;
  const attempt = (operations: (pair: Pair) => unknown): boolean => {
    if (losesEdge(pair, operations)) return false;
    operations(recorder);
    done++;
    return true;
  };
  for (let step = 0; step < STEPS; step++) {
    const chip = CHIPS[random(2)]!;
    const what = random(20);
    const [first, second] = [random(256), random(8)];
    if (what < 6) attempt((to) => to.setLine(lines[first % lines.length]!, (second & 1) === 0));
    else if (what < 8) attempt((to) => to.write(chip, 1, second < 3 ? 0 : first));
    else if (what < 11) {
      const code = first >>> 5;
      if (!specialMask[chip] || (code !== 1 && code !== 5)) attempt((to) => to.write(chip, 0, (code << 5) | second));
    } else if (what < 15) {
      attempt((to) => {
        to.write(chip, 0, 0x0c); // poll
        return to.read(chip, second & 1);
      });
    } else if (what === 15) {
      const { mask } = pair.save()[chip];
      const done = attempt((to) => {
        to.write(chip, 0, (second & 1) === 0 ? 0x68 : 0x48);
        to.write(chip, 1, mask); // QEMU looks again by that only
      });
      if (done) specialMask[chip] = (second & 1) === 0;
    } else if (what < 19) {
      attempt((to) => {
        to.write(chip, 0, 0x0a | (second & 1));
        return to.read(chip, 0);
      });
    } else attempt((to) => to.read(chip, 1));
  }
  expect(done).toBeGreaterThan(STEPS / 2);
  return program;
}

function ioApicProgram(seed: number): Program {
  const random = randomNumbers(seed);
  const program = new Program();
  const chip = new IoApic({ send: () => 1 }, 0x20);
  const BASE = 0xfec0_0000;
  const write = (offset: number, value: number): void => {
    chip.write(offset, value);
    program.add(`writel ${BASE + offset} ${value}`);
  };
  const read = (register: number): void => {
    write(0, register);
    program.add(`readl ${BASE + 0x10}`, chip.read(0x10));
  };
  const high = new Set<number>();
  const setLine = (pin: number, on: boolean): void => {
    chip.setLine(pin, on);
    if (on) high.add(pin);
    else high.delete(pin);
    program.add(`set_irq_in ${IO_APIC} unnamed-gpio-in ${pin} ${on ? 1 : 0}`);
  };
  const entries = new Map<number, number>();
  const pins = Array.from({ length: 23 }, (_, i) => i + 1); // at QEMU input 0 leads to pin 2
  for (const pin of pins) {
    setLine(pin, false);
    write(0, 0x10 + pin * 2);
    write(0x10, 0x1_0000);
    write(0, 0x11 + pin * 2);
    write(0x10, 0);
  }
  write(0, 0);
  write(0x10, 0);
  const few = 0x30 + random(3); // pins share vectors
  for (let step = 0; step < STEPS; step++) {
    const pin = pins[random(pins.length)]!;
    const what = random(20);
    if (what < 7) setLine(pin, random(2) === 0);
    else if (what < 12) {
      const before = entries.get(pin) ?? 0x1_0000;
      let value = (few + random(4)) | (random(2) << 8) | (random(2) << 11) | (random(2) << 13) | (random(2) << 14) | (random(2) << 15) | (random(4) === 0 ? 0x1_0000 : 0);
      if (high.has(pin)) value = (value & ~0x8000) | (before & 0x8000);
      entries.set(pin, value);
      write(0, 0x10 + pin * 2);
      write(0x10, value);
    } else if (what < 13) {
      write(0, 0x11 + pin * 2);
      write(0x10, (random(0x1_0000) << 16) >>> 0);
    } else if (what < 16) write(0x40, few + random(4));
    else if (what === 16) {
      write(0, 0);
      write(0x10, (random(16) << 24) >>> 0);
    } else if (what === 17) read(random(3));
    else read(0x10 + pin * 2 + random(2));
  }
  for (const pin of pins) read(0x10 + pin * 2);
  return program;
}

describe('random programs find the same as on QEMU', () => {
  for (const [name, programOf] of [['the pair of 8259A', pairProgram], ['the I/O APIC', ioApicProgram]] as const) {
    itWithOracle(it, 'qemu-system-x86_64', `at ${name}, from seed ${FIRST} (IRQ-65 to IRQ-74, IRQ-51 to IRQ-59)`, async (qemu) => {
      await using chips = new QemuChips(qemu);
      for (let seed = FIRST; seed < FIRST + PROGRAMS; seed++) await programOf(seed).compare(chips, seed);
    });
  }
});
