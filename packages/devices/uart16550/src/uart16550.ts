import type { Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size } from '@vm/core';
import * as spec from './spec.ts';

/** The receiving end of the port, for the host. */
export interface SerialInput {
  /** Takes bytes from the start of `bytes` while there is room and returns how many. After a refusal `ready` follows. */
  receive(bytes: Uint8Array): number;
  /**
   * The guest raises RTS and has the receive interrupt on, as a driver does when somebody opened the port. Bytes sent
   * before are at the mercy of its start-up, which clears the FIFOs.
   */
  readonly listening: boolean;
}

export interface Uart16550Config {
  readonly base?: number; // default 0x3f8
  readonly pin?: number; // default 4
  /** A byte that the guest sent. Called in the middle of a guest instruction. */
  readonly output: (byte: number) => void;
  /** Hands out the receiving end, once, when the device is made. */
  readonly connect?: (input: SerialInput) => void;
  /** There is room again after `receive` refused bytes, or the guest began to listen. */
  readonly ready?: () => void;
}

/** The lines of a modem that is there and ready. */
const CARRIER = spec.MSR_CTS | spec.MSR_DSR | spec.MSR_DCD;

/** A PC16550D whose transmitter takes no time: the holding register is empty again before the next instruction. */
class Uart16550 implements Device, IoHandler {
  #enable = 0;
  #fifoControl = 0;
  #lineControl = 0;
  #modemControl = 0;
  #lineErrors = 0;
  #modemStatus: number = CARRIER;
  #scratch = 0;
  #divisor = 0;
  #transmitEmpty = false; // the interrupt cause, not the state: that is always true
  #head = 0;
  #count = 0;
  readonly #fifo: Uint8Array = new Uint8Array(spec.FIFO_BYTES);
  #refused = false;
  #listening = false;
  readonly #line: Line;
  readonly #output: (byte: number) => void;
  readonly #ready: () => void;

  constructor(ctx: DeviceContext<'pio' | 'lines'>, config: Uart16550Config) {
    this.#line = ctx.lines.connect(config.pin ?? 4);
    this.#output = config.output;
    this.#ready = config.ready ?? (() => {});
    ctx.pio.claim('registers', 8, this, [1]).map(config.base ?? 0x3f8);
    const isListening = (): boolean => this.#listening;
    config.connect?.({
      receive: (bytes) => this.#receive(bytes),
      get listening() {
        return isListening();
      },
    });
  }

  powerUp(): void {
    this.#enable = 0;
    this.#fifoControl = 0;
    this.#lineControl = 0;
    this.#modemControl = 0;
    this.#lineErrors = 0;
    this.#modemStatus = CARRIER;
    this.#scratch = 0;
    this.#divisor = 0;
    this.#transmitEmpty = false;
    this.#clearFifo();
    this.#noteListening();
    this.#update();
  }

  read(offset: number, _size: Size): number {
    switch (offset) {
      case spec.DATA: return (this.#lineControl & spec.LCR_DIVISOR) !== 0 ? this.#divisor & 0xff : this.#takeByte();
      case spec.IER: return (this.#lineControl & spec.LCR_DIVISOR) !== 0 ? this.#divisor >>> 8 : this.#enable;
      case spec.IIR: return this.#takeCause();
      case spec.LCR: return this.#lineControl;
      case spec.MCR: return this.#modemControl;
      case spec.LSR: {
        const status = this.#lineErrors | spec.LSR_TRANSMIT_EMPTY | (this.#count > 0 ? spec.LSR_DATA_READY : 0);
        this.#lineErrors = 0; // reading clears
        this.#update();
        return status;
      }
      case spec.MSR: {
        const status = this.#modemStatus;
        this.#modemStatus &= ~spec.MSR_DELTAS; // reading clears
        this.#update();
        return status;
      }
      default: return this.#scratch;
    }
  }

  /** The receive buffer gives its next byte, the identification its next cause; what reading a status clears is gone after the first. */
  isSteady(offset: number): boolean { return offset !== spec.DATA && offset !== spec.IIR; }

  write(offset: number, _size: Size, value: number): void {
    switch (offset) {
      case spec.DATA:
        if ((this.#lineControl & spec.LCR_DIVISOR) !== 0) this.#divisor = (this.#divisor & 0xff00) | value;
        else this.#transmit(value);
        return;
      case spec.IER:
        if ((this.#lineControl & spec.LCR_DIVISOR) !== 0) {
          this.#divisor = (this.#divisor & 0xff) | (value << 8);
          return;
        }
        // Enabling it while the holding register is empty raises it anew; Linux tests for chips that forget this.
        if ((value & ~this.#enable & spec.IER_TRANSMIT_EMPTY) !== 0) this.#transmitEmpty = true;
        this.#enable = value & spec.IER_VALID;
        this.#noteListening();
        break;
      case spec.IIR:
        if (((value ^ this.#fifoControl) & spec.FCR_ENABLE) !== 0 || (value & spec.FCR_CLEAR_RECEIVE) !== 0) this.#clearFifo();
        this.#fifoControl = (value & spec.FCR_ENABLE) !== 0 ? value & 0xc9 : 0;
        break;
      case spec.LCR:
        this.#lineControl = value;
        return;
      case spec.MCR:
        this.#modemControl = value & spec.MCR_VALID;
        this.#setModemInputs();
        this.#noteListening();
        break;
      case spec.SCR:
        this.#scratch = value;
        return;
      default:
        return; // line and modem status are read-only
    }
    this.#update();
  }

  save(): Plain {
    return {
      enable: this.#enable,
      fifoControl: this.#fifoControl,
      lineControl: this.#lineControl,
      modemControl: this.#modemControl,
      lineErrors: this.#lineErrors,
      modemStatus: this.#modemStatus,
      scratch: this.#scratch,
      divisor: this.#divisor,
      transmitEmpty: this.#transmitEmpty ? 1 : 0,
      received: Uint8Array.from({ length: this.#count }, (_, i) => this.#fifo[(this.#head + i) % spec.FIFO_BYTES]!),
    };
  }

  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const number = (name: string, mask: number): number => {
      const value = fields[name];
      if (typeof value !== 'number') throw new TypeError(`uart16550: ${name} expected a number`);
      return value & mask;
    };
    const { received } = fields;
    if (!(received instanceof Uint8Array) || received.length > spec.FIFO_BYTES) throw new TypeError('uart16550: received expected at most 16 bytes');
    this.#enable = number('enable', spec.IER_VALID);
    this.#fifoControl = number('fifoControl', 0xc9);
    this.#lineControl = number('lineControl', 0xff);
    this.#modemControl = number('modemControl', spec.MCR_VALID);
    this.#lineErrors = number('lineErrors', spec.LSR_ERRORS);
    this.#modemStatus = number('modemStatus', 0xff);
    this.#scratch = number('scratch', 0xff);
    this.#divisor = number('divisor', 0xffff);
    this.#transmitEmpty = number('transmitEmpty', 1) !== 0;
    this.#fifo.set(received);
    this.#head = 0;
    this.#count = received.length;
    this.#noteListening();
    this.#update();
  }

  #transmit(byte: number): void {
    if ((this.#modemControl & spec.MCR_LOOP) === 0) this.#output(byte);
    else if (this.#count < this.#capacity()) this.#putByte(byte);
    else this.#lineErrors |= spec.LSR_OVERRUN;
    this.#transmitEmpty = true;
    this.#update();
  }

  #receive(bytes: Uint8Array): number {
    // In loop-back the receiver is cut off from the wire: the bytes wait outside.
    const room = (this.#modemControl & spec.MCR_LOOP) !== 0 ? 0 : this.#capacity() - this.#count;
    const taken = Math.min(room, bytes.length);
    for (let i = 0; i < taken; i++) this.#putByte(bytes[i]!);
    if (taken < bytes.length) this.#refused = true;
    if (taken > 0) this.#update();
    return taken;
  }

  #capacity(): number {
    return (this.#fifoControl & spec.FCR_ENABLE) !== 0 ? spec.FIFO_BYTES : 1;
  }

  #putByte(byte: number): void {
    this.#fifo[(this.#head + this.#count) % spec.FIFO_BYTES] = byte;
    this.#count++;
  }

  #takeByte(): number {
    if (this.#count === 0) return 0;
    const byte = this.#fifo[this.#head]!;
    this.#head = (this.#head + 1) % spec.FIFO_BYTES;
    this.#count--;
    this.#update();
    this.#offerRoom();
    return byte;
  }

  #clearFifo(): void {
    this.#head = 0;
    this.#count = 0;
    this.#offerRoom();
  }

  #offerRoom(): void {
    if (!this.#refused || this.#count > 0 || (this.#modemControl & spec.MCR_LOOP) !== 0) return;
    this.#refused = false;
    this.#ready();
  }

  #noteListening(): void {
    const before = this.#listening;
    this.#listening = (this.#enable & spec.IER_RECEIVED) !== 0 && (this.#modemControl & (spec.MCR_RTS | spec.MCR_LOOP)) === spec.MCR_RTS;
    if (this.#listening && !before) this.#ready();
  }

  #setModemInputs(): void {
    let inputs: number = CARRIER;
    const control = this.#modemControl;
    if ((control & spec.MCR_LOOP) !== 0) {
      inputs = ((control & spec.MCR_DTR) !== 0 ? spec.MSR_DSR : 0) | ((control & spec.MCR_RTS) !== 0 ? spec.MSR_CTS : 0)
        | ((control & spec.MCR_OUT1) !== 0 ? spec.MSR_RI : 0) | ((control & spec.MCR_OUT2) !== 0 ? spec.MSR_DCD : 0);
    } else {
      this.#offerRoom();
    }
    const changed = inputs ^ (this.#modemStatus & 0xf0);
    // The deltas lie four bits below their lines; the ring indicator reports only its end.
    let deltas = (changed >>> 4) & ~spec.MSR_RI_ENDED;
    if ((changed & spec.MSR_RI) !== 0 && (inputs & spec.MSR_RI) === 0) deltas |= spec.MSR_RI_ENDED;
    this.#modemStatus = inputs | (this.#modemStatus & spec.MSR_DELTAS) | deltas;
  }

  #cause(): number {
    if ((this.#enable & spec.IER_LINE_STATUS) !== 0 && this.#lineErrors !== 0) return spec.CAUSE_LINE_STATUS;
    if ((this.#enable & spec.IER_RECEIVED) !== 0 && this.#count > 0) {
      const fifos = (this.#fifoControl & spec.FCR_ENABLE) !== 0;
      // Bytes from the host come all at once, so fewer than the trigger level count as a time-out without waiting.
      return fifos && this.#count < spec.TRIGGER_LEVELS[this.#fifoControl >>> spec.FCR_TRIGGER_SHIFT]! ? spec.CAUSE_RECEIVE_TIMEOUT : spec.CAUSE_RECEIVED;
    }
    if ((this.#enable & spec.IER_TRANSMIT_EMPTY) !== 0 && this.#transmitEmpty) return spec.CAUSE_TRANSMIT_EMPTY;
    if ((this.#enable & spec.IER_MODEM_STATUS) !== 0 && (this.#modemStatus & spec.MSR_DELTAS) !== 0) return spec.CAUSE_MODEM_STATUS;
    return spec.CAUSE_NONE;
  }

  #takeCause(): number {
    const cause = this.#cause();
    if (cause === spec.CAUSE_TRANSMIT_EMPTY) {
      this.#transmitEmpty = false; // reading clears this cause only
      this.#update();
    }
    return cause | ((this.#fifoControl & spec.FCR_ENABLE) !== 0 ? spec.IIR_FIFOS : 0);
  }

  #update(): void {
    const gate = this.#modemControl & (spec.MCR_OUT2 | spec.MCR_LOOP);
    this.#line.set(gate === spec.MCR_OUT2 && this.#cause() !== spec.CAUSE_NONE);
  }
}

/** A 16550A serial port. */
export const uart16550: DeviceModule<Uart16550Config, 'pio' | 'lines'> = {
  manifest: { abi: 1, id: 'vm.uart16550', version: '0.0.0', state: 1, needs: ['pio', 'lines'] },
  create: (ctx, config) => new Uart16550(ctx, config),
};
