import type { BlockBackend, GuestMemory, Plain, Size } from '@vm/core';
import { BusMaster } from './bus-master.ts';
import { findCommand, type Transfer } from './command-table.ts';
import { HEADS, identify, MOST_MULTIPLE, SECTORS_OF_TRACK } from './identify.ts';
import * as spec from './spec.ts';

export interface AtaDrive {
  readonly disk: BlockBackend;
  readonly serial: string;
}
export interface ChannelPorts {
  readonly dma: GuestMemory;
  isMaster(): boolean;
  interrupt(high: boolean): void;
  failed(error: unknown): void;
}

/** What the host does for the present command; nothing while the guest is at work. */
type Step = 'read' | 'write' | 'flush' | 'dma' | null;

const MOST_BUFFER_SECTORS = 128; // read ahead by PIO
const READY: number = spec.STATUS_READY | spec.STATUS_SEEK_COMPLETE;
const FIELDS = ['status', 'error', 'features', 'device', 'control', 'pending', 'position', 'filled', 'next', 'left', 'block', 'transferMode'] as const;
type Fields = Record<(typeof FIELDS)[number], number>;

/** One channel with up to two drives. Registers belong to the channel, as both drives take every store to them. */
export class AtaChannel {
  readonly master: BusMaster;
  #f: Fields = empty();
  #registers: Uint8Array = new Uint8Array(8); // count and LBA, each with what it was before: for commands of 48 bits
  #buffer: Uint8Array = new Uint8Array(0);
  #transfer: Transfer | null = null;
  #step: Step = null;
  #interrupted = false; // the step was under way when this state was saved
  #era = 0; // grows when a command is given up
  readonly #multiple: Uint8Array = new Uint8Array(spec.DRIVES);
  readonly #uncached: Uint8Array = new Uint8Array(spec.DRIVES);
  readonly #drives: readonly (AtaDrive | null)[];
  readonly #ports: ChannelPorts;

  constructor(drives: readonly (AtaDrive | null)[], ports: ChannelPorts) {
    this.#drives = drives;
    this.#ports = ports;
    this.master = new BusMaster({ dma: ports.dma, isAllowed: () => ports.isMaster(), started: () => this.#tryDma(), stopped: () => this.#giveUpDma() });
  }

  powerUp(): void {
    this.#f = empty();
    this.#multiple.fill(0);
    this.#uncached.fill(0);
    this.master.reset();
    this.#resetDrives();
    this.#ports.interrupt(false);
  }

  /** What the host was doing when the machine was saved begins anew. */
  start(): void {
    if (this.#interrupted) this.#work();
    this.#interrupted = false;
  }

  read(offset: number, size: Size): number {
    if (offset === spec.DATA && size > 1) return size === 2 ? this.#readData() : (this.#readData() | (this.#readData() << 16)) >>> 0;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + this.#readByte(offset + i);
    return value;
  }

  write(offset: number, size: Size, value: number): void {
    if (offset === spec.DATA && size > 1) {
      this.#writeData(value & 0xffff);
      if (size === 4) this.#writeData(value >>> 16);
      return;
    }
    for (let i = 0; i < size; i++) this.#writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  /** But for data. A look at the status takes back the interrupt, and the next one nothing. */
  isSteady(offset: number): boolean { return offset !== spec.DATA; }

  readAlternateStatus(): number {
    return this.#drive === null ? 0 : this.#f.status;
  }

  writeControl(value: number): void {
    const rises = (value & ~this.#f.control & spec.CONTROL_RESET) !== 0;
    const falls = (this.#f.control & ~value & spec.CONTROL_RESET) !== 0;
    this.#f.control = value;
    if (rises) {
      this.#giveUp();
      this.#f.status = spec.STATUS_BUSY;
    } else if (falls) this.#resetDrives();
    this.#driveLine();
  }

  save(): Plain {
    return {
      ...this.#f, registers: this.#registers.slice(), buffer: this.#buffer.slice(), command: this.#transfer?.command ?? null, step: this.#step,
      multiple: this.#multiple.slice(), uncached: this.#uncached.slice(), master: this.master.save(),
    };
  }

  load(state: Plain): void {
    const saved = (state ?? {}) as Readonly<Record<string, Plain>>;
    const fields = empty();
    for (const name of FIELDS) {
      const value = saved[name];
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw new TypeError(`ata: ${name} expected a number`);
      fields[name] = value;
    }
    const { registers, buffer, command, step, multiple, uncached, master } = saved;
    const bytes = (value: Plain | undefined, count: number): Uint8Array => {
      if (!(value instanceof Uint8Array) || value.length !== count) throw new TypeError(`ata: expected ${count} bytes`);
      return value;
    };
    const transfer = typeof command === 'number' ? findCommand(command) : null;
    if (!(buffer instanceof Uint8Array) || buffer.length > MOST_BUFFER_SECTORS * spec.SECTOR_BYTES) throw new TypeError('ata: buffer expected bytes');
    if (fields.position > fields.filled || fields.filled > buffer.length || fields.left > 0x1_0000 || fields.block > MOST_MULTIPLE) throw new TypeError('ata: the transfer lies outside of its buffer');
    if (step !== null && (transfer === null || !['read', 'write', 'flush', 'dma'].includes(String(step)))) throw new TypeError('ata: unknown step');
    this.master.load(master ?? null);
    this.#registers = bytes(registers, 8).slice();
    this.#multiple.set(bytes(multiple, spec.DRIVES).map((count) => Math.min(count, MOST_MULTIPLE)));
    this.#uncached.set(bytes(uncached, spec.DRIVES));
    this.#era++;
    this.#f = fields;
    this.#buffer = buffer.slice();
    this.#transfer = transfer;
    this.#step = step as Step;
    this.#interrupted = step !== null;
    this.#driveLine();
  }

  get #selected(): 0 | 1 {
    return (this.#f.device & spec.DEVICE_SECOND) !== 0 ? 1 : 0;
  }

  get #drive(): AtaDrive | null {
    return this.#drives[this.#selected] ?? null;
  }

  #readByte(offset: number): number {
    if (this.#drive === null) return offset === spec.DEVICE ? this.#f.device : 0; // its partner keeps the wires low
    const previous = (this.#f.control & spec.CONTROL_PREVIOUS) !== 0 ? 4 : 0;
    switch (offset) {
      case spec.ERROR: return this.#f.error;
      case spec.COUNT:
      case spec.LBA_LOW:
      case spec.LBA_MIDDLE:
      case spec.LBA_HIGH: return this.#registers[offset - spec.COUNT + previous]!;
      case spec.DEVICE: return this.#f.device;
      case spec.STATUS:
        this.#f.pending = 0;
        this.#driveLine();
        return this.#f.status;
      default: return 0xff;
    }
  }

  #writeByte(offset: number, value: number): void {
    this.#f.control &= ~spec.CONTROL_PREVIOUS;
    if (offset === spec.DEVICE) this.#f.device = value | 0xa0;
    else if (offset === spec.STATUS) this.#begin(value);
    else if ((this.#f.status & (spec.STATUS_BUSY | spec.STATUS_REQUEST)) !== 0 && this.#drive !== null) return; // 7.x: not while a command is under way
    else if (offset === spec.ERROR) this.#f.features = value;
    else if (offset >= spec.COUNT && offset <= spec.LBA_HIGH) {
      const at = offset - spec.COUNT;
      this.#registers[at + 4] = this.#registers[at]!;
      this.#registers[at] = value;
    }
  }

  #begin(code: number): void {
    if (this.#drive === null || (this.#f.control & spec.CONTROL_RESET) !== 0) return;
    if ((this.#f.status & (spec.STATUS_BUSY | spec.STATUS_REQUEST)) !== 0) this.#giveUp();
    this.#f.pending = 0;
    this.#f.error = 0;
    this.#f.status = READY;
    this.#driveLine();
    const command = findCommand(code);
    if (command === null) return this.#abort(spec.ERROR_ABORTED);
    this.#transfer = command;
    switch (command.kind) {
      case 'none': return this.#succeed();
      case 'flush': return this.#wait('flush');
      case 'identify': return this.#identify();
      case 'features': return this.#setFeatures();
      case 'multiple': return this.#setMultiple();
      case 'power':
        this.#registers[0] = 0xff;
        return this.#succeed();
      case 'diagnose':
        this.#resetDrives();
        return this.#succeed();
      case 'native': return this.#tellNativeMost(command);
      case 'verify':
      case 'read':
      case 'write': return this.#beginTransfer(command);
    }
  }

  #beginTransfer(command: Transfer): void {
    const { disk } = this.#drive!;
    const first = this.#address(command.wide);
    const count = command.wide ? (this.#registers[0]! | (this.#registers[4]! << 8)) || 0x1_0000 : this.#registers[0]! || 0x100;
    if (first < 0 || first + count > Math.floor(disk.bytes / spec.SECTOR_BYTES)) return this.#abort(spec.ERROR_NOT_FOUND);
    if (command.kind === 'write' && !disk.writable) return this.#abort(spec.ERROR_ABORTED);
    if (command.kind === 'verify') return this.#succeed();
    this.#f.next = first;
    this.#f.left = count;
    this.#f.block = command.multiple ? this.#multiple[this.#selected]! : 1;
    if (this.#f.block === 0) return this.#abort(spec.ERROR_ABORTED);
    if (command.dma) {
      this.#f.status = READY | spec.STATUS_REQUEST;
      return this.#tryDma();
    }
    if (command.kind === 'read') return this.#wait('read');
    this.#offerWrite();
  }

  /** Sector of a command: 28 or 48 bits, or cylinder, head and sector; -1: there is none. */
  #address(wide: boolean): number {
    const r = this.#registers;
    if (wide) return r[1]! + r[2]! * 2 ** 8 + r[3]! * 2 ** 16 + r[5]! * 2 ** 24 + r[6]! * 2 ** 32 + r[7]! * 2 ** 40;
    const head = this.#f.device & 0x0f;
    if ((this.#f.device & spec.DEVICE_LBA) !== 0) return r[1]! + r[2]! * 2 ** 8 + r[3]! * 2 ** 16 + head * 2 ** 24;
    const sector = r[1]!;
    return sector === 0 || sector > SECTORS_OF_TRACK ? -1 : ((r[2]! | (r[3]! << 8)) * HEADS + head) * SECTORS_OF_TRACK + sector - 1;
  }

  #identify(): void {
    const { disk, serial } = this.#drive!;
    this.#buffer = identify({
      sectors: Math.floor(disk.bytes / spec.SECTOR_BYTES), serial, multiple: this.#multiple[this.#selected]!,
      writeCache: this.#uncached[this.#selected] === 0, mode: this.#f.transferMode,
    });
    this.#f.left = 0;
    this.#f.block = 1;
    this.#offerRead(0);
    this.#f.filled = this.#buffer.length;
    this.#interrupt();
  }

  #setFeatures(): void {
    switch (this.#f.features) {
      case 0x03: this.#f.transferMode = this.#registers[0]!; break;
      case 0x02: this.#uncached[this.#selected] = 0; break;
      case 0x82:
        this.#uncached[this.#selected] = 1;
        return this.#wait('flush');
      case 0x55:
      case 0xaa:
      case 0x66:
      case 0xcc: break;
      default: return this.#abort(spec.ERROR_ABORTED);
    }
    this.#succeed();
  }

  #setMultiple(): void {
    const count = this.#registers[0]!;
    if (count > MOST_MULTIPLE || (count & (count - 1)) !== 0) return this.#abort(spec.ERROR_ABORTED);
    this.#multiple[this.#selected] = count;
    this.#succeed();
  }

  #tellNativeMost({ wide }: Transfer): void {
    const last = Math.floor(this.#drive!.disk.bytes / spec.SECTOR_BYTES) - 1;
    const told = wide ? last : Math.min(last, 0x0fff_ffff);
    for (let i = 0; i < 3; i++) {
      this.#registers[1 + i] = Math.floor(told / 2 ** (8 * i)) & 0xff;
      this.#registers[5 + i] = Math.floor(told / 2 ** (24 + 8 * i)) & 0xff;
    }
    if (!wide) this.#f.device = (this.#f.device & 0xf0) | (Math.floor(told / 2 ** 24) & 0x0f);
    this.#succeed();
  }

  #readData(): number {
    const f = this.#f;
    if ((f.status & spec.STATUS_REQUEST) === 0 || this.#drive === null || this.#transfer === null || this.#transfer.kind === 'write' || this.#transfer.dma) return 0xffff;
    const value = this.#buffer[f.position]! | (this.#buffer[f.position + 1]! << 8);
    f.position += 2;
    if (f.position === f.filled) this.#readOn();
    return value;
  }

  /** The guest has taken a block. */
  #readOn(): void {
    const f = this.#f;
    if (f.position < this.#buffer.length) {
      this.#offerRead(f.position);
      return this.#interrupt();
    }
    f.status = READY;
    if (f.left > 0) this.#wait('read');
    else this.#end();
  }

  #offerRead(position: number): void {
    this.#f.position = position;
    this.#f.filled = Math.min(this.#buffer.length, position + this.#f.block * spec.SECTOR_BYTES);
    this.#f.status = READY | spec.STATUS_REQUEST;
  }

  #writeData(value: number): void {
    const f = this.#f;
    if ((f.status & spec.STATUS_REQUEST) === 0 || this.#drive === null || this.#transfer?.kind !== 'write' || this.#transfer.dma) return;
    this.#buffer[f.position] = value & 0xff;
    this.#buffer[f.position + 1] = value >>> 8;
    f.position += 2;
    if (f.position === f.filled) this.#wait('write');
  }

  #offerWrite(): void {
    const f = this.#f;
    this.#buffer = new Uint8Array(Math.min(f.left, f.block) * spec.SECTOR_BYTES);
    f.position = 0;
    f.filled = this.#buffer.length;
    f.status = READY | spec.STATUS_REQUEST;
  }

  #tryDma(): void {
    const transfer = this.#transfer;
    if (transfer === null || !transfer.dma || this.#step !== null || !this.master.isStarted || (this.#f.status & spec.STATUS_REQUEST) === 0) return;
    if (this.master.toMemory !== (transfer.kind === 'read')) {
      this.master.finish(true, true);
      return this.#abort(spec.ERROR_ABORTED);
    }
    this.#wait('dma');
  }

  #giveUpDma(): void {
    if (this.#transfer?.dma !== true) return;
    this.#giveUp();
    this.#f.status = READY;
  }

  #wait(step: NonNullable<Step>): void {
    this.#f.status = spec.STATUS_BUSY;
    this.#step = step;
    this.#work();
  }

  /** Has the host do the present step. */
  #work(): void {
    const era = this.#era;
    const drive = this.#drive;
    const step = this.#step!;
    if (drive === null) return;
    void this.#hostWork(step, drive.disk).then(
      (after) => {
        if (era !== this.#era) return;
        this.#step = null;
        after();
      },
      (error: unknown) => {
        this.#ports.failed(error);
        if (era !== this.#era) return;
        this.#step = null;
        this.master.finish(true, step === 'dma');
        this.#abort(spec.ERROR_UNCORRECTABLE);
      },
    );
  }

  /** Resolves with what follows when the command has not been given up meanwhile. */
  async #hostWork(step: NonNullable<Step>, disk: BlockBackend): Promise<() => void> {
    const f = this.#f;
    const at = f.next * spec.SECTOR_BYTES;
    switch (step) {
      case 'flush':
        await disk.flush();
        return () => this.#succeed();
      case 'read': {
        const buffer = new Uint8Array(Math.min(f.left, MOST_BUFFER_SECTORS) * spec.SECTOR_BYTES);
        await disk.read(at, buffer);
        return () => {
          this.#buffer = buffer;
          this.#advance(buffer.length);
          this.#offerRead(0);
          this.#interrupt();
        };
      }
      case 'write': {
        await this.#store(disk, at, this.#buffer.slice());
        return () => {
          this.#advance(this.#buffer.length);
          if (f.left === 0) return this.#succeed();
          this.#offerWrite();
          this.#interrupt();
        };
      }
      case 'dma': {
        const data = new Uint8Array(f.left * spec.SECTOR_BYTES);
        if (this.#transfer!.kind === 'read') {
          await disk.read(at, data);
          return () => this.#endDma(this.master.transfer(data, true));
        }
        const taken = this.master.transfer(data, false);
        if (taken === null) return () => this.#endDma(null);
        await this.#store(disk, at, data);
        return () => this.#endDma(taken);
      }
    }
  }

  async #store(disk: BlockBackend, at: number, data: Uint8Array): Promise<void> {
    const uncached = this.#uncached[this.#selected] !== 0;
    await disk.write(at, data);
    if (uncached) await disk.flush();
  }

  #endDma(outcome: { readonly fits: boolean } | null): void {
    this.master.finish(outcome?.fits === true, outcome === null);
    if (outcome === null) return this.#abort(spec.ERROR_ABORTED);
    this.#f.left = 0;
    this.#succeed();
  }

  #advance(bytes: number): void {
    this.#f.next += bytes / spec.SECTOR_BYTES;
    this.#f.left -= bytes / spec.SECTOR_BYTES;
  }

  #succeed(): void {
    this.#f.status = READY;
    this.#end();
    this.#interrupt();
  }

  #abort(error: number): void {
    this.#f.error = error;
    this.#f.status = READY | spec.STATUS_ERROR;
    this.#end();
    this.#interrupt();
  }

  #end(): void {
    this.#transfer = null;
    this.#buffer = new Uint8Array(0);
    this.#f.position = 0;
    this.#f.filled = 0;
  }

  #giveUp(): void {
    this.#era++;
    this.#step = null;
    this.#interrupted = false;
    this.#f.left = 0;
    this.#end();
  }

  /** After a reset drives tell by their registers that they are no packet devices (9.12). */
  #resetDrives(): void {
    this.#giveUp();
    this.#registers.set([1, 1, 0, 0, 0, 0, 0, 0]);
    this.#f.device = 0xa0;
    this.#f.error = 1; // diagnosis: no error
    this.#f.pending = 0;
    this.#f.status = READY;
    this.#driveLine();
  }

  #interrupt(): void {
    this.#f.pending = 1;
    this.master.noteInterrupt();
    this.#driveLine();
  }

  #driveLine(): void {
    this.#ports.interrupt(this.#f.pending !== 0 && this.#drive !== null && (this.#f.control & spec.CONTROL_NO_INTERRUPT) === 0);
  }
}

function empty(): Fields {
  return { status: 0, error: 0, features: 0, device: 0xa0, control: 0, pending: 0, position: 0, filled: 0, next: 0, left: 0, block: 1, transferMode: 0 };
}
