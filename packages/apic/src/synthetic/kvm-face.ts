import type { Plain } from '@vm/core';
import type { EoiOffers } from '../interrupt-ends.ts';
import { MODE_FIXED } from '../spec.ts';
import { AssistWord } from './assist-word.ts';
import type { FaceApic, GuestFace } from './guest-face.ts';
import type { GuestWords } from './guest-words.ts';
import type { CpuidAnswer } from './profile.ts';

// KVM's documentation of CPUID and of its model-specific registers.
const FEATURES_LEAF = 0x4000_0001;
const HAS_OLD_CLOCK = 1 << 0;
const HAS_CLOCK = 1 << 3;
const HAS_PV_EOI = 1 << 6;
const HAS_SEND_IPI = 1 << 11;
const HAS_STABLE_CLOCK = 1 << 24;
const MSR_OLD_WALL_CLOCK = 0x11;
const MSR_OLD_SYSTEM_TIME = 0x12;
const MSR_WALL_CLOCK = 0x4b56_4d00;
const MSR_SYSTEM_TIME = 0x4b56_4d01;
const MSR_PV_EOI = 0x4b56_4d04;
const CALL_SEND_IPI = 10;
const NOT_KNOWN = -1000;
const TIME_BYTES = 32;
const WALL_BYTES = 12;
const NANOS = 1e9;
const FLAG_STABLE = 1;
const RAX = 0, RBX = 6, RCX = 2, RDX = 4, RSI = 12; // places of the low halves

export interface KvmFacePorts {
  readonly offers: EoiOffers;
  words(): GuestWords;
  /** Milliseconds since 1970 at machine time 0. */
  readonly startMs: number;
  apic(): FaceApic;
  /** Sends a command to the processor with an identifier; false: there is none. */
  command(identifier: number, command: number): boolean;
}

/** What KVM offers: a clock that is the time-stamp counter and a factor, ends of interrupts without an exit, and messages to many processors. */
export class KvmFace implements GuestFace {
  low = 0;
  high = 0;
  #systemTime: readonly [number, number] = [0, 0];
  #wallClock: readonly [number, number] = [0, 0];
  #eoi: readonly [number, number] = [0, 0];
  readonly #word: AssistWord;
  readonly #ports: KvmFacePorts;

  constructor(ports: KvmFacePorts) {
    this.#ports = ports;
    this.#word = new AssistWord(ports.words);
  }

  initialized(): void {
    this.#systemTime = [0, 0];
    this.#eoi = [0, 0];
    this.#word.place = -1;
  }

  leaf(leaf: number): CpuidAnswer {
    switch (leaf) {
      case 0x4000_0000: return [FEATURES_LEAF, 0x4b4d_564b, 0x564b_4d56, 0x0000_004d]; // "KVMKVMKVM"
      case FEATURES_LEAF: return [(HAS_OLD_CLOCK | HAS_CLOCK | HAS_SEND_IPI | HAS_STABLE_CLOCK | (this.#ports.offers.lazy ? HAS_PV_EOI : 0)) >>> 0, 0, 0, 0];
      default: return [0, 0, 0, 0];
    }
  }

  call(registers: Uint32Array, privilege: number, mode: 16 | 32 | 64): boolean {
    const number = registers[RAX]!;
    let result = NOT_KNOWN;
    if (privilege !== 0 || mode === 16) result = -1; // not permitted
    else if (number === CALL_SEND_IPI) result = this.#sendToMany(registers, mode === 64);
    registers[RAX] = result >>> 0;
    registers[RAX + 1] = result < 0 && mode === 64 ? 0xffff_ffff : 0;
    return true;
  }

  read(index: number): boolean {
    switch (index) {
      case MSR_OLD_WALL_CLOCK: case MSR_WALL_CLOCK: return this.#answer(this.#wallClock);
      case MSR_OLD_SYSTEM_TIME: case MSR_SYSTEM_TIME: return this.#answer(this.#systemTime);
      case MSR_PV_EOI: return this.#ports.offers.lazy && this.#answer(this.#eoi);
      default: return false;
    }
  }

  write(index: number, low: number, high: number): boolean {
    const value = [low >>> 0, high >>> 0] as const;
    switch (index) {
      case MSR_OLD_WALL_CLOCK: case MSR_WALL_CLOCK:
        this.#wallClock = value;
        this.#writeWallClock();
        return true;
      case MSR_OLD_SYSTEM_TIME: case MSR_SYSTEM_TIME:
        this.#systemTime = value;
        this.#writeSystemTime();
        return true;
      case MSR_PV_EOI: return this.#ports.offers.lazy && this.#setEoi(value);
      default: return false;
    }
  }

  endsItself(): boolean {
    return false;
  }

  offer(): boolean {
    return this.#word.offer();
  }

  withdraw(): boolean {
    return this.#word.withdraw();
  }

  ended(): void {}

  *counts(): Generator<readonly [name: string, count: number]> {}

  save(): Plain {
    return { systemTime: [...this.#systemTime], wallClock: [...this.#wallClock], eoi: [...this.#eoi] };
  }

  load(state: Plain): void {
    const fields = (state ?? {}) as Readonly<Record<string, Plain>>;
    const pair = (name: string): readonly [number, number] => {
      const value = fields[name];
      if (!Array.isArray(value) || value.length !== 2 || value.some((one) => typeof one !== 'number' || one !== one >>> 0)) throw new TypeError(`kvm: ${name} expected two numbers`);
      return value as unknown as readonly [number, number];
    };
    [this.#systemTime, this.#wallClock, this.#eoi] = [pair('systemTime'), pair('wallClock'), pair('eoi')];
    this.#word.place = (this.#eoi[0] & 1) === 0 ? -1 : this.#locate(this.#eoi, 4);
  }

  #answer([low, high]: readonly [number, number]): true {
    this.low = low;
    this.high = high;
    return true;
  }

  #locate([low, high]: readonly [number, number], bytes: number): number {
    return this.#ports.words().locate(high * 0x1_0000_0000 + ((low & ~3) >>> 0), bytes);
  }

  #setEoi(value: readonly [number, number]): boolean {
    if ((value[0] & 2) !== 0) return false; // the address is that of a word
    const at = (value[0] & 1) === 0 ? -1 : this.#locate(value, 4);
    if ((value[0] & 1) !== 0 && at < 0) return false;
    this.#ports.apic().settle();
    this.#eoi = value;
    this.#word.place = at;
    return true;
  }

  /** The counter ticks once a nanosecond: a shift of 1 and a factor of a half are the whole conversion. Odd versions are being written. */
  #writeSystemTime(): void {
    const [low] = this.#systemTime;
    if ((low & 1) === 0) return;
    const at = this.#locate([(low & ~1) >>> 0, this.#systemTime[1]], TIME_BYTES);
    if (at < 0) return;
    const words = this.#ports.words();
    words.store(at, 1);
    words.store(at + 4, 0);
    for (const offset of [8, 12, 16, 20]) words.store(at + offset, 0); // the counter and machine time are 0 together
    words.store(at + 24, 0x8000_0000);
    words.store(at + 28, 1 | (FLAG_STABLE << 8));
    words.store(at, 2);
  }

  #writeWallClock(): void {
    const at = this.#locate(this.#wallClock, WALL_BYTES);
    if (at < 0) return;
    const words = this.#ports.words();
    const start = this.#ports.startMs * 1e6;
    words.store(at, 1);
    words.store(at + 4, Math.floor(start / NANOS) >>> 0);
    words.store(at + 8, Math.floor(start % NANOS) >>> 0);
    words.store(at, 2);
  }

  /** A bitmap of processors from an identifier on, and a command. How many have got it. */
  #sendToMany(registers: Uint32Array, long: boolean): number {
    const word = long ? 64 : 32;
    const bits = [registers[RBX]!, long ? registers[RBX + 1]! : registers[RCX]!, ...(long ? [registers[RCX]!, registers[RCX + 1]!] : [])];
    const first = registers[RDX]!;
    const command = registers[RSI]!;
    let reached = 0;
    for (let i = 0; i < word * 2; i++) {
      if ((bits[i >>> 5]! & (1 << (i & 31))) !== 0 && this.#ports.command(first + i, command)) reached++;
    }
    return reached;
  }
}

/** A command word of KVM's call: fixed interrupts and NMIs only. */
export function isSentByKvm(command: number): boolean {
  return (command & 0x700) === MODE_FIXED || (command & 0x700) === 0x400;
}
