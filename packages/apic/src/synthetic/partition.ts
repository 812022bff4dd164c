import type { Plain } from '@vm/core';
import type { EoiOffers } from '../interrupt-ends.ts';
import type { GuestWords } from './guest-words.ts';
import { isMessage, type SyntheticMessage } from './message-slot.ts';
import { type SyntheticProfile, syntheticProfile } from './profile.ts';
import * as spec from './spec.ts';
import { membersOf, words } from './synthetic-face-state.ts';

/** What a processor of the partition does for it. */
export interface PartitionProcessor {
  post(source: number, message: SyntheticMessage, most?: number): number;
  signal(source: number, flag: number): number;
  raise(source: number): void;
}

/** Where a connection of messages leads: a status of the hypercall. */
export type MessageTarget = (message: SyntheticMessage) => number;
export interface EventTarget {
  readonly flags: number; // how many it has
  signal(flag: number): number;
}

export interface PartitionOptions {
  readonly name: 'hyperv' | 'hyperv-full';
  readonly offers: EoiOffers;
  words(): GuestWords;
  /** The guest resets its machine. */
  reset?(): void;
  log?(text: string): void;
}

const TSC_PAGE_BYTES = 24;
/** 2**64 / 100, rounded up: with it the product is right for 1,800 days. */
const SCALE_LOW = 0xf5c2_8f5d;
const SCALE_HIGH = 0x028f_5c28;
const HYPERCALL_CODE = [0x0f, 0x01, 0xc1, 0xc3]; // VMCALL, RET

/**
 * What all processors of a machine share of the hypervisor's interface (TLFS): who the guest says it is, the page it calls by,
 * the page it reads the time from, and connections to others. Machines talk by them: a connection of one leads to a
 * `post` or `signal` of another, in this process or anywhere.
 */
export class Partition {
  readonly profile: SyntheticProfile;
  readonly #options: PartitionOptions;
  readonly #processors: PartitionProcessor[] = [];
  readonly #messages = new Map<number, MessageTarget>();
  readonly #events = new Map<number, EventTarget>();
  #guest: readonly [low: number, high: number] = [0, 0];
  #hypercall: readonly [low: number, high: number] = [0, 0];
  #tscPage: readonly [low: number, high: number] = [0, 0];
  readonly #crash: Uint32Array = new Uint32Array(10);
  #sequence = 0;

  constructor(options: PartitionOptions) {
    this.#options = options;
    this.profile = syntheticProfile(options.name, options.offers);
  }

  attach(processor: PartitionProcessor): void {
    this.#processors.push(processor);
  }

  get processors(): number {
    return this.#processors.length;
  }

  /** Connections stay: they are the composer's. */
  reset(): void {
    this.#guest = [0, 0];
    this.#hypercall = [0, 0];
    this.#tscPage = [0, 0];
    this.#crash.fill(0);
  }

  get callable(): boolean {
    return this.#guest[0] !== 0 || this.#guest[1] !== 0;
  }

  /** Opens a connection by which the guest posts. */
  connectMessages(connection: number, target: MessageTarget): void {
    this.#messages.set(connection, target);
  }

  connectEvents(connection: number, target: EventTarget): void {
    this.#events.set(connection, target);
  }

  disconnect(connection: number): void {
    this.#messages.delete(connection);
    this.#events.delete(connection);
  }

  /** A message for a source of a processor of this partition: a status, 0 when it was taken. The other end of a connection calls it. `most` may wait, 16 by default. */
  post(processor: number, source: number, message: SyntheticMessage, most?: number): number {
    if (!isMessage(message)) return spec.STATUS_INVALID_PARAMETER;
    const target = this.#processors[processor];
    return target === undefined || source < 0 || source >= spec.SOURCES ? spec.STATUS_INVALID_PORT : target.post(source, message, most);
  }

  /** Sets an event flag of a source of a processor of this partition: a status. */
  signal(processor: number, source: number, flag: number): number {
    const target = this.#processors[processor];
    if (target === undefined || source < 0 || source >= spec.SOURCES) return spec.STATUS_INVALID_PORT;
    return flag < 0 || flag >= spec.FLAGS ? spec.STATUS_INVALID_PARAMETER : target.signal(source, flag);
  }

  /** The interrupt of a source, without a message. */
  raise(processor: number, source: number): void {
    this.#processors[processor]?.raise(source);
  }

  /** The guest posts by a connection. */
  postBy(connection: number, message: SyntheticMessage): number {
    return this.#messages.get(connection)?.(message) ?? spec.STATUS_INVALID_CONNECTION;
  }

  signalBy(connection: number, flag: number): number {
    const target = this.#events.get(connection);
    if (target === undefined) return spec.STATUS_INVALID_CONNECTION;
    return flag >= target.flags ? spec.STATUS_INVALID_PARAMETER : target.signal(flag);
  }

  read(index: number): readonly [low: number, high: number] | null {
    switch (index) {
      case spec.MSR_GUEST_OS_ID: return this.#guest;
      case spec.MSR_HYPERCALL: return this.#hypercall;
      case spec.MSR_RESET: return [0, 0];
      case spec.MSR_REFERENCE_TSC: return this.#tscPage;
      case spec.MSR_CRASH_CTL: return [0, 0x8000_0000]; // it can be told of a crash
      case spec.MSR_TSC_INVARIANT: return [0, 0];
      default: {
        const crash = (index - spec.MSR_CRASH_P0) * 2;
        return crash >= 0 && crash < 10 ? [this.#crash[crash]!, this.#crash[crash + 1]!] : null;
      }
    }
  }

  write(index: number, low: number, high: number): boolean {
    switch (index) {
      case spec.MSR_GUEST_OS_ID:
        this.#guest = [low, high];
        if (!this.callable) this.#hypercall = [(this.#hypercall[0] & ~spec.PAGE_ENABLE) >>> 0, this.#hypercall[1]];
        return true;
      case spec.MSR_HYPERCALL: return this.#setHypercallPage(low, high);
      case spec.MSR_RESET:
        if ((low & 1) !== 0) this.#options.reset?.();
        return true;
      case spec.MSR_REFERENCE_TSC: return this.#setTscPage(low, high);
      case spec.MSR_CRASH_CTL:
        this.#options.log?.(`the guest crashed: ${Array.from({ length: 5 }, (_, i) => `${this.#crash[i * 2 + 1]!.toString(16).padStart(8, '0')}${this.#crash[i * 2]!.toString(16).padStart(8, '0')}`).join(' ')}`);
        return true;
      case spec.MSR_TSC_INVARIANT: return true; // it is, whether or not the guest wants to see it
      default: {
        const crash = (index - spec.MSR_CRASH_P0) * 2;
        if (crash < 0 || crash >= 10) return false;
        this.#crash.set([low, high], crash);
        return true;
      }
    }
  }

  save(): { readonly guest: readonly number[]; readonly hypercall: readonly number[]; readonly tscPage: readonly number[]; readonly crash: readonly number[]; readonly sequence: number } {
    return { guest: this.#guest, hypercall: this.#hypercall, tscPage: this.#tscPage, crash: [...this.#crash], sequence: this.#sequence };
  }

  load(state: Plain): void {
    const fields = membersOf(state);
    const pair = (name: string): readonly [number, number] => words(name, fields[name], 2) as unknown as readonly [number, number];
    if (typeof fields['sequence'] !== 'number') throw new TypeError('partition: sequence expected a number');
    [this.#guest, this.#hypercall, this.#tscPage] = [pair('guest'), pair('hypercall'), pair('tscPage')];
    this.#crash.set(words('crash', fields['crash'], 10));
    this.#sequence = fields['sequence'] | 0;
  }

  /** Code that makes a call and returns. Enabling it is refused silently until the guest has said who it is (TLFS, 3.13). */
  #setHypercallPage(low: number, high: number): boolean {
    if ((this.#hypercall[0] & 2) !== 0) return false; // locked
    const enable = (low & spec.PAGE_ENABLE) !== 0 && this.callable;
    if (enable) {
      const words = this.#options.words();
      const at = words.locate(high * 0x1_0000_0000 + ((low & ~0xfff) >>> 0), 4096);
      if (at < 0) return false;
      const page = new Uint8Array(4096).fill(0xcc);
      page.set(HYPERCALL_CODE);
      words.write(at, page);
    }
    this.#hypercall = [(enable ? low : low & ~spec.PAGE_ENABLE) >>> 0, high];
    return true;
  }

  /** Sequence, scale and offset, from which a guest makes the reference time of its counter (TLFS, 12.7.1). */
  #setTscPage(low: number, high: number): boolean {
    this.#tscPage = [low, high];
    if ((low & spec.PAGE_ENABLE) === 0) return true;
    const words = this.#options.words();
    const at = words.locate(high * 0x1_0000_0000 + ((low & ~0xfff) >>> 0), TSC_PAGE_BYTES);
    if (at < 0) return true; // the guest reads the counter by its register then
    words.store(at, 0); // not valid while it is written
    words.store(at + 4, 0);
    words.store(at + 8, SCALE_LOW);
    words.store(at + 12, SCALE_HIGH);
    words.store(at + 16, 0);
    words.store(at + 20, 0);
    this.#sequence = (this.#sequence % 0x7fff_ffff) + 1;
    words.store(at, this.#sequence);
    return true;
  }
}
