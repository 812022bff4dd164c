import { widenDestination } from './apic-bus.ts';
import {
  COMMAND_ASSERT, IOAPIC_EOI, IOAPIC_ID_VALID, IOAPIC_REG_ARBITRATION, IOAPIC_REG_ID, IOAPIC_REG_TABLE, IOAPIC_REG_VERSION,
  IOAPIC_SELECT, IOAPIC_WINDOW, MODE_EXTINT, MODE_LOWEST, RTE_LEVEL, RTE_LOGICAL, RTE_MASKED, RTE_MODE, RTE_REMOTE_IRR, RTE_VECTOR, RTE_WRITABLE,
} from './spec.ts';

/** What the I/O APIC needs of the bus to the local APICs. `ApicBus` fits. */
export interface IoApicPorts {
  send(destination: number, command: number): number;
}

export interface IoApicState {
  readonly id: number;
  readonly select: number;
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly lines: readonly boolean[];
}

const PINS = 24;
const VERSION = 0x11;

/** NMI, INIT and SMI are edges whatever the entry says (data sheet 3.2.4). */
function isLevel(entry: number): boolean {
  return (entry & RTE_LEVEL) !== 0 && (entry & RTE_MODE) <= MODE_LOWEST;
}

/** The I/O APIC 82093AA with 24 pins. Lines are logical: asserted is asserted, whatever polarity an entry names. */
export class IoApic {
  #id = 0;
  #select = 0;
  readonly #low: Uint32Array = new Uint32Array(PINS);
  readonly #high: Uint32Array = new Uint32Array(PINS);
  readonly #lines: Uint8Array = new Uint8Array(PINS);
  readonly #ports: IoApicPorts;
  readonly #version: number;

  /** Version 0x20 adds the EOI register and version 0x11, the default, has none. */
  constructor(ports: IoApicPorts, version: number = VERSION) {
    this.#ports = ports;
    this.#version = version;
    this.reset();
  }

  /** All lines are low afterwards: whoever drives them tells those that are not. */
  reset(): void {
    this.#lines.fill(0);
    this.#id = 0;
    this.#select = 0;
    this.#low.fill(RTE_MASKED);
    this.#high.fill(0);
  }

  get pins(): number {
    return PINS;
  }

  setLine(pin: number, asserted: boolean): void {
    const rising = asserted && this.#lines[pin] === 0;
    this.#lines[pin] = asserted ? 1 : 0;
    const entry = this.#low[pin]!;
    if (isLevel(entry)) this.#service(pin);
    else if (rising && (entry & RTE_MASKED) === 0) this.#deliver(pin); // an edge at a masked pin is lost (data sheet 3.2.4)
  }

  /** A local APIC ended a level-triggered interrupt. Matches by vector: the guest may have retargeted the entry meanwhile. */
  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < PINS; pin++) {
      const entry = this.#low[pin]!;
      if ((entry & RTE_VECTOR) === vector && isLevel(entry)) this.#low[pin] = entry & ~RTE_REMOTE_IRR;
    }
    for (let pin = 0; pin < PINS; pin++) {
      if ((this.#low[pin]! & RTE_VECTOR) === vector) this.#service(pin);
    }
  }

  /** A local APIC may accept now what it refused before: pending levels are offered again. */
  retry(): void {
    for (let pin = 0; pin < PINS; pin++) this.#service(pin);
  }

  read(offset: number): number {
    if (offset === IOAPIC_SELECT) return this.#select;
    return offset === IOAPIC_WINDOW ? this.#readRegister(this.#select) : 0;
  }

  write(offset: number, value: number): void {
    if (offset === IOAPIC_SELECT) this.#select = value & 0xff;
    else if (offset === IOAPIC_WINDOW) this.#writeRegister(this.#select, value);
    else if (offset === IOAPIC_EOI && this.#version >= 0x20) this.endOfInterrupt(value & 0xff);
  }

  save(): IoApicState {
    return { id: this.#id, select: this.#select, low: [...this.#low], high: [...this.#high], lines: Array.from(this.#lines, (line) => line !== 0) };
  }

  load(state: IoApicState): void {
    this.#id = state.id & IOAPIC_ID_VALID;
    this.#select = state.select & 0xff;
    for (let pin = 0; pin < PINS; pin++) {
      this.#low[pin] = (state.low[pin] ?? RTE_MASKED) & (RTE_WRITABLE | RTE_REMOTE_IRR);
      this.#high[pin] = (state.high[pin] ?? 0) & 0xffff_0000;
      this.#lines[pin] = state.lines[pin] === true ? 1 : 0;
    }
  }

  #readRegister(register: number): number {
    if (register === IOAPIC_REG_ID || register === IOAPIC_REG_ARBITRATION) return this.#id;
    if (register === IOAPIC_REG_VERSION) return (((PINS - 1) << 16) | this.#version) >>> 0;
    const pin = (register - IOAPIC_REG_TABLE) >> 1;
    if (pin < 0 || pin >= PINS) return 0;
    return (register & 1) === 0 ? this.#low[pin]! : this.#high[pin]!;
  }

  #writeRegister(register: number, value: number): void {
    if (register === IOAPIC_REG_ID) this.#id = value & IOAPIC_ID_VALID;
    const pin = (register - IOAPIC_REG_TABLE) >> 1;
    if (pin < 0 || pin >= PINS) return;
    if ((register & 1) !== 0) {
      this.#high[pin] = value & 0xffff_0000;
    } else {
      // Linux ends a level interrupt of a version 0x11 chip by making the pin edge-triggered for a moment: remote IRR falls.
      const kept = isLevel(value) ? this.#low[pin]! & RTE_REMOTE_IRR : 0;
      this.#low[pin] = (value & RTE_WRITABLE) | kept;
    }
    this.#service(pin);
  }

  #service(pin: number): void {
    const entry = this.#low[pin]!;
    if (!isLevel(entry) || (entry & (RTE_MASKED | RTE_REMOTE_IRR)) !== 0 || this.#lines[pin] === 0) return;
    // Remote IRR first: an acceptance may run back into this chip. Nobody accepted: the line stays pending.
    this.#low[pin] = entry | RTE_REMOTE_IRR;
    if (this.#deliver(pin) === 0) this.#low[pin] = this.#low[pin]! & ~RTE_REMOTE_IRR;
  }

  #deliver(pin: number): number {
    const entry = this.#low[pin]!;
    // An ExtINT entry asks the processor to fetch the vector from the 8259, which reaches it over LINT0 instead.
    if ((entry & RTE_MODE) === MODE_EXTINT) return 0;
    const command = (entry & (RTE_VECTOR | RTE_MODE | RTE_LOGICAL)) | (isLevel(entry) ? RTE_LEVEL : 0) | COMMAND_ASSERT;
    return this.#ports.send(widenDestination(this.#high[pin]! >>> 24, (entry & RTE_LOGICAL) !== 0), command);
  }
}
