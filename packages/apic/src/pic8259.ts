import { Pic8259Chip, type Pic8259ChipState } from './pic8259-chip.ts';

export interface Pic8259State {
  readonly master: Pic8259ChipState;
  readonly slave: Pic8259ChipState;
}

const CASCADE = 2;
const SPURIOUS = 7;
const ELCR_MASTER = 0xf8; // the timer, the keyboard and the cascade are always edge-triggered
const ELCR_SLAVE = 0xde; // so are the real-time clock and the coprocessor error

/** The two 8259A of a PC: lines 0 to 7 at the master, 8 to 15 at the slave behind input 2 of the master. */
export class Pic8259 {
  readonly #master: Pic8259Chip = new Pic8259Chip();
  readonly #slave: Pic8259Chip = new Pic8259Chip();
  #intr = false;
  readonly #output: (high: boolean) => void;

  /** `output` gets the level of the INTR wire whenever it changes. */
  constructor(output: (high: boolean) => void) {
    this.#output = output;
  }

  reset(): void {
    this.#master.reset();
    this.#slave.reset();
    this.#update();
  }

  setLine(line: number, high: boolean): void {
    if (line === CASCADE) return;
    if (line < 8) this.#master.setLine(line, high);
    else this.#slave.setLine(line - 8, high);
    this.#update();
  }

  /** The acknowledge cycle of the processor; a vector in every case, as the chip answers spurious ones too. */
  acknowledge(): number {
    const input = this.#master.acknowledge();
    if (input < 0) return this.#master.vectorBase | SPURIOUS;
    let vector = this.#master.vectorBase | input;
    if (input === CASCADE) {
      // A spurious interrupt of the slave still leaves input 2 of the master in service (8259A data sheet, spurious interrupts).
      const second = this.#slave.acknowledge();
      vector = this.#slave.vectorBase | (second < 0 ? SPURIOUS : second);
      // The slave takes its request back during the cycle and asks anew for what it still holds: an edge for the master.
      this.#master.setLine(CASCADE, false);
    }
    this.#update();
    return vector;
  }

  /** `register` 0: command, 1: data. */
  read(chip: 'master' | 'slave', register: number): number {
    const value = (chip === 'master' ? this.#master : this.#slave).read(register); // behind a poll command an acknowledge cycle
    this.#update();
    return value;
  }

  write(chip: 'master' | 'slave', register: number, value: number): void {
    const target = chip === 'master' ? this.#master : this.#slave;
    if (register === 1) target.writeData(value & 0xff);
    else target.writeCommand(value & 0xff);
    this.#update();
  }

  /** The edge/level control registers of the chipset, master in the low byte. */
  get level(): number {
    return this.#master.level | (this.#slave.level << 8);
  }

  set level(value: number) {
    this.#master.level = value & ELCR_MASTER;
    this.#slave.level = (value >>> 8) & ELCR_SLAVE;
    this.#update();
  }

  /** What both have been told of ends. */
  *counts(): Generator<readonly [name: string, count: number]> {
    yield ['ends.plain', this.#master.plainEnds + this.#slave.plainEnds];
    yield ['ends.specific', this.#master.specificEnds + this.#slave.specificEnds];
  }

  save(): Pic8259State {
    return { master: this.#master.save(), slave: this.#slave.save() };
  }

  load(state: Pic8259State): void {
    this.#master.load(state.master);
    this.#slave.load(state.slave);
    this.#update();
  }

  #update(): void {
    this.#master.setLine(CASCADE, this.#slave.pending() >= 0);
    const high = this.#master.pending() >= 0;
    if (high === this.#intr) return;
    this.#intr = high;
    this.#output(high);
  }
}
