/** Answers what a guest asks devices and registers for, in the page that KVM_RUN came back with. */
import type { Size } from '@vm/core';
import type { IoBus, InterruptPort } from '@vm/core/engine';
import { RUN } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

const WINDOW_BYTES = 0x1000;
const F = RUN.fields;
const IO_DIRECTION = F['io.direction'][0], IO_SIZE = F['io.size'][0], IO_PORT = F['io.port'][0] >> 1, IO_COUNT = F['io.count'][0] >> 2, IO_DATA = F['io.data_offset'][0] >> 2;
const MMIO_LOW = F['mmio.phys_addr'][0] >> 2, MMIO_DATA = F['mmio.data'][0], MMIO_BYTES = F['mmio.len'][0] >> 2, MMIO_WRITE = F['mmio.is_write'][0];
const TWO_32 = 0x1_0000_0000;

export class ExitAnswers {
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #view: DataView;
  readonly #wide: DataView; // the 8 bytes of an access to memory
  readonly #pio: IoBus;
  readonly #mmio: IoBus;
  readonly #interrupts: InterruptPort;
  /** Where the registers of the interrupt controller are; -1: nowhere. As the memory slots leave it out. */
  window = -1;
  readonly #now: () => number;

  constructor(page: ArrayBuffer, pio: IoBus, mmio: IoBus, interrupts: InterruptPort, now: () => number) {
    this.#now = now;
    this.#u8 = new Uint8Array(page);
    this.#u16 = new Uint16Array(page);
    this.#u32 = new Uint32Array(page);
    this.#view = new DataView(page);
    this.#wide = new DataView(page, MMIO_DATA, 8);
    this.#pio = pio;
    this.#mmio = mmio;
    this.#interrupts = interrupts;
  }

  /** HOT. */
  port(): void {
    const size = this.#u8[IO_SIZE] as Size;
    const port = this.#u16[IO_PORT] as number;
    const at = this.#u32[IO_DATA] as number;
    const isWrite = this.#u8[IO_DIRECTION] === NUMBERS.KVM_EXIT_IO_OUT;
    const count = this.#u32[IO_COUNT] as number;
    if (count === 1) {
      if (isWrite) this.#pio.write(port, size, this.#read(at, size));
      else this.#write(at, size, this.#pio.read(port, size));
    } else this.#string(port, size, isWrite, count, at);
  }
  /** A repeated string instruction has many elements; a device in a worker gets them in lists. */
  #string(port: number, size: Size, isWrite: boolean, count: number, at: number): void {
    const pio = this.#pio;
    const queue = pio.queue?.(port, size) ?? null;
    for (let done = 0; done < count; ) {
      if (queue === null) {
        if (isWrite) pio.write(port, size, this.#read(at, size));
        else this.#write(at, size, pio.read(port, size));
        done++;
        at += size;
        continue;
      }
      const now = this.#now();
      const list = Math.min(queue.most, count - done);
      for (let i = 0; i < list; i++) pio.enqueue!(i, port, size, isWrite, isWrite ? this.#read(at + i * size, size) : 0, now);
      const answered = queue.run(list, now);
      if (!isWrite) for (let i = 0; i < answered; i++) this.#write(at + i * size, size, queue.result(i));
      done += answered;
      at += answered * size;
    }
  }

  /** True: it was for the interrupt controller. HOT. */
  memory(): boolean {
    const bytes = this.#u32[MMIO_BYTES] as number;
    const address = (this.#u32[MMIO_LOW] as number) + (this.#u32[MMIO_LOW + 1] as number) * TWO_32;
    const isWrite = this.#u8[MMIO_WRITE] !== 0;
    const { window } = this;
    if (window >= 0 && address >= window && address < window + WINDOW_BYTES) {
      this.#controller(address - window, bytes, isWrite);
      return true;
    }
    if (bytes === 4) {
      if (isWrite) this.#mmio.write(address, 4, this.#u32[MMIO_DATA >> 2] as number);
      else this.#u32[MMIO_DATA >> 2] = this.#mmio.read(address, 4);
      return false;
    }
    if (bytes === 8) {
      if (isWrite) this.#mmio.writeWide(address, 8, this.#wide);
      else this.#mmio.readWide(address, 8, this.#wide);
      return false;
    }
    // Pieces of an access over the end of a page have any number of bytes.
    for (let at = 0; at < bytes; ) {
      const size: Size = bytes - at >= 4 ? 4 : bytes - at >= 2 ? 2 : 1;
      if (isWrite) this.#mmio.write(address + at, size, this.#read(MMIO_DATA + at, size));
      else this.#write(MMIO_DATA + at, size, this.#mmio.read(address + at, size));
      at += size;
    }
    return false;
  }

  #controller(offset: number, bytes: number, isWrite: boolean): void {
    for (let at = 0; at < bytes; ) {
      const size: Size = bytes - at >= 4 ? 4 : bytes - at >= 2 ? 2 : 1;
      if (isWrite) this.#interrupts.writeRegister(offset + at, size, this.#read(MMIO_DATA + at, size));
      else this.#write(MMIO_DATA + at, size, this.#interrupts.readRegister(offset + at, size));
      at += size;
    }
  }

  #read(at: number, size: Size): number { return size === 1 ? (this.#u8[at] as number) : size === 2 ? this.#view.getUint16(at, true) : this.#view.getUint32(at, true); }
  #write(at: number, size: Size, value: number): void {
    if (size === 1) this.#u8[at] = value;
    else if (size === 2) this.#view.setUint16(at, value, true);
    else this.#view.setUint32(at, value, true);
  }
}
