export interface Pic8259ChipState {
  readonly lines: number;
  readonly edges: number;
  readonly mask: number;
  readonly inService: number;
  readonly level: number;
  readonly base: number;
  readonly lowest: number;
  readonly step: number;
  readonly flags: number;
}

// Bits of the first byte of the initialisation sequence and of the commands (8259A data sheet, figures 7 and 8).
const ICW1 = 0x10;
const ICW1_NEEDS_ICW4 = 0x01;
const ICW1_SINGLE = 0x02;
const ICW4_AUTO_EOI = 0x02;
const ICW4_SPECIAL_NESTED = 0x10;
const OCW3 = 0x08;
const OCW3_POLL = 0x04;
const CASCADE = 2; // the input of the master that the slave drives

const FLAG_NEEDS_ICW4 = 1;
const FLAG_SINGLE = 2;
const FLAG_AUTO_EOI = 4;
const FLAG_SPECIAL_NESTED = 8;
const FLAG_SPECIAL_MASK = 16;
const FLAG_ROTATE = 32; // in automatic EOI mode
const FLAG_READ_SERVICE = 64;
const FLAG_POLL = 128;

/** One 8259A. The inputs that `level` (the chipset's ELCR) names follow their line, others latch its rising edge. */
export class Pic8259Chip {
  #lines = 0;
  #edges = 0; // latched, and still high: a line that falls before the acknowledge takes its request back
  #mask = 0;
  #inService = 0;
  #level = 0;
  #base = 0;
  #lowest = 7; // the input of lowest priority; the next one has the highest
  #step = 0; // the initialisation word that comes next (2, 3, 4), 0 outside the sequence
  #flags = 0;
  /** Commands that end the highest input in service, and those that name one. */
  plainEnds = 0;
  specificEnds = 0;

  /** All lines are low afterwards: whoever drives them tells those that are not. */
  reset(): void {
    this.#lines = 0;
    this.#edges = 0;
    this.#mask = 0xff; // the chip comes up with anything; firmware leaves everything masked
    this.#inService = 0;
    this.#level = 0;
    this.#base = 0;
    this.#lowest = 7;
    this.#step = 0;
    this.#flags = 0;
  }

  get level(): number {
    return this.#level;
  }

  set level(inputs: number) {
    this.#level = inputs;
    this.#edges &= ~inputs;
  }

  get vectorBase(): number {
    return this.#base;
  }

  setLine(input: number, high: boolean): void {
    const bit = 1 << input;
    if (high) {
      if ((this.#lines & bit) === 0 && (this.#level & bit) === 0) this.#edges |= bit;
      this.#lines |= bit;
    } else {
      this.#lines &= ~bit;
      this.#edges &= ~bit;
    }
  }

  /** The input that may interrupt now, -1 if none. */
  pending(): number {
    const wanted = this.#requests() & ~this.#mask;
    if (wanted === 0) return -1;
    const blocking = (this.#flags & FLAG_SPECIAL_MASK) !== 0 ? this.#inService & ~this.#mask : this.#inService;
    for (let i = 1; i <= 8; i++) {
      const input = (this.#lowest + i) & 7;
      const bit = 1 << input;
      // Special fully nested mode: the slave may interrupt again while an interrupt of its own is served.
      const nests = input === CASCADE && (this.#flags & FLAG_SPECIAL_NESTED) !== 0;
      if ((wanted & bit) !== 0 && ((blocking & bit) === 0 || nests)) return input;
      if ((blocking & bit) !== 0) return -1;
    }
    return -1;
  }

  /** The acknowledge cycle: the input, or -1 for a spurious one (which reads as input 7 and is not in service). */
  acknowledge(): number {
    const input = this.pending();
    if (input < 0) return -1;
    const bit = 1 << input;
    this.#edges &= ~bit;
    if ((this.#flags & FLAG_AUTO_EOI) === 0) this.#inService |= bit;
    else if ((this.#flags & FLAG_ROTATE) !== 0) this.#lowest = input;
    return input;
  }

  /** Either register: behind a poll command the next read is an acknowledge cycle, whichever it is (data sheet, poll command). */
  read(register: number): number {
    if ((this.#flags & FLAG_POLL) !== 0) {
      this.#flags &= ~FLAG_POLL;
      const input = this.acknowledge();
      return input < 0 ? 0 : 0x80 | input;
    }
    if (register === 1) return this.#mask;
    return (this.#flags & FLAG_READ_SERVICE) !== 0 ? this.#inService : this.#requests();
  }

  writeCommand(value: number): void {
    if ((value & ICW1) !== 0) {
      this.#edges = 0;
      this.#mask = 0;
      this.#inService = 0;
      this.#lowest = 7;
      this.#step = 2;
      this.#flags = ((value & ICW1_NEEDS_ICW4) !== 0 ? FLAG_NEEDS_ICW4 : 0) | ((value & ICW1_SINGLE) !== 0 ? FLAG_SINGLE : 0);
    } else if ((value & OCW3) !== 0) {
      if ((value & OCW3_POLL) !== 0) this.#flags |= FLAG_POLL;
      if ((value & 0x02) !== 0) this.#setFlag(FLAG_READ_SERVICE, (value & 0x01) !== 0);
      if ((value & 0x40) !== 0) this.#setFlag(FLAG_SPECIAL_MASK, (value & 0x20) !== 0);
    } else {
      this.#endOrRotate(value >>> 5, value & 7);
    }
  }

  writeData(value: number): void {
    switch (this.#step) {
      case 2:
        this.#base = value & 0xf8;
        if ((this.#flags & FLAG_SINGLE) === 0) this.#step = 3;
        else this.#step = (this.#flags & FLAG_NEEDS_ICW4) !== 0 ? 4 : 0;
        break;
      case 3: // which input the slave uses: fixed by the board
        this.#step = (this.#flags & FLAG_NEEDS_ICW4) !== 0 ? 4 : 0;
        break;
      case 4:
        this.#setFlag(FLAG_AUTO_EOI, (value & ICW4_AUTO_EOI) !== 0);
        this.#setFlag(FLAG_SPECIAL_NESTED, (value & ICW4_SPECIAL_NESTED) !== 0);
        this.#step = 0;
        break;
      default:
        this.#mask = value;
    }
  }

  save(): Pic8259ChipState {
    return {
      lines: this.#lines, edges: this.#edges, mask: this.#mask, inService: this.#inService, level: this.#level,
      base: this.#base, lowest: this.#lowest, step: this.#step, flags: this.#flags,
    };
  }

  load(state: Pic8259ChipState): void {
    this.#lines = state.lines & 0xff;
    this.#edges = state.edges & state.lines & 0xff;
    this.#mask = state.mask & 0xff;
    this.#inService = state.inService & 0xff;
    this.#level = state.level & 0xff;
    this.#base = state.base & 0xf8;
    this.#lowest = state.lowest & 7;
    this.#step = state.step >= 2 && state.step <= 4 ? state.step : 0;
    this.#flags = state.flags & 0xff;
  }

  #requests(): number {
    return this.#edges | (this.#lines & this.#level);
  }

  #setFlag(flag: number, on: boolean): void {
    this.#flags = on ? this.#flags | flag : this.#flags & ~flag;
  }

  /** Operation command word 2: end of interrupt, and rotation of the priorities (data sheet, figure 8). */
  #endOrRotate(code: number, input: number): void {
    switch (code) {
      case 0: this.#setFlag(FLAG_ROTATE, false); break;
      case 4: this.#setFlag(FLAG_ROTATE, true); break;
      case 1:
        this.plainEnds++;
        this.#endHighest();
        break;
      case 5: {
        this.plainEnds++;
        const ended = this.#endHighest();
        if (ended >= 0) this.#lowest = ended;
        break;
      }
      case 3:
        this.specificEnds++;
        this.#inService &= ~(1 << input);
        break;
      case 7:
        this.specificEnds++;
        this.#inService &= ~(1 << input);
        this.#lowest = input;
        break;
      case 6: this.#lowest = input; break;
      default: break; // 2: no operation
    }
  }

  #endHighest(): number {
    const serving = (this.#flags & FLAG_SPECIAL_MASK) !== 0 ? this.#inService & ~this.#mask : this.#inService;
    for (let i = 1; i <= 8; i++) {
      const input = (this.#lowest + i) & 7;
      if ((serving & (1 << input)) === 0) continue;
      this.#inService &= ~(1 << input);
      return input;
    }
    return -1;
  }
}
