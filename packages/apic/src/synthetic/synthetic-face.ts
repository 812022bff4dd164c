import type { Plain } from '@vm/core';
import type { ApicClock } from '../local-apic-timer.ts';
import { MODE_FIXED } from '../spec.ts';
import { AssistWord } from './assist-word.ts';
import type { FaceApic, GuestFace } from './guest-face.ts';
import type { GuestWords } from './guest-words.ts';
import { hypercall, type HypercallPorts } from './hypercalls.ts';
import { readHypercall, writeHypercallResult } from './hypercall-input.ts';
import type { SyntheticMessage } from './message-slot.ts';
import type { Partition } from './partition.ts';
import { type CpuidAnswer, syntheticLeaf } from './profile.ts';
import { readSyntheticFace } from './synthetic-face-state.ts';
import * as spec from './spec.ts';
import { SyntheticController } from './synthetic-controller.ts';
import { NANOS_PER_UNIT, SyntheticTimer } from './synthetic-timer.ts';

export interface SyntheticFacePorts {
  readonly index: number;
  readonly clock: ApicClock;
  readonly partition: Partition;
  readonly tscHz: number;
  readonly apicHz: number;
  words(): GuestWords;
  apic(): FaceApic;
  interrupt(index: number, vector: number): void;
  flush(index: number): void;
}

const TWO_32 = 0x1_0000_0000;

/** What one processor's guest code sees of a Hyper-V partition: its registers, calls, sources, timers and assist page. */
export class SyntheticFace implements GuestFace {
  low = 0;
  high = 0;
  readonly controller: SyntheticController;
  #assist: readonly [low: number, high: number] = [0, 0];
  #calls = 0;
  #timeReads = 0;
  readonly #timers: readonly SyntheticTimer[];
  readonly #word: AssistWord;
  readonly #ports: SyntheticFacePorts;
  readonly #hypercalls: HypercallPorts;

  constructor(ports: SyntheticFacePorts) {
    this.#ports = ports;
    const { partition, clock } = ports;
    const raise = (vector: number): void => void ports.apic().accept(MODE_FIXED, vector, false);
    this.#word = new AssistWord(ports.words);
    this.controller = new SyntheticController({ words: ports.words, raise, retryTimers: (source) => this.#retryTimers(source) });
    this.#timers = Array.from({ length: spec.TIMERS }, (_, index) => new SyntheticTimer({
      clock,
      raise,
      place: (source, expiration) => this.controller.place(source, this.#timerMessage(index, expiration)),
    }, partition.profile.features));
    this.#hypercalls = {
      get processors() { return partition.processors; },
      words: ports.words,
      interrupt: (index, vector) => ports.interrupt(index, vector),
      flush: (index) => ports.flush(index),
      post: (connection, message) => partition.postBy(connection, message),
      signal: (connection, flag) => partition.signalBy(connection, flag),
    };
    partition.attach({
      post: (source, message, most) => this.controller.post(source, message, most),
      signal: (source, flag) => this.controller.signal(source, flag),
      raise: (source) => this.controller.raise(source),
    });
  }

  initialized(): void {
    this.#assist = [0, 0];
    this.#word.place = -1;
    this.controller.reset();
    for (const timer of this.#timers) timer.reset();
  }

  leaf(leaf: number): CpuidAnswer {
    return syntheticLeaf(leaf, this.#ports.partition.profile);
  }

  /** From privilege level 0 of protected mode, once the guest has said who it is (TLFS, 3.6). */
  call(registers: Uint32Array, privilege: number, mode: 16 | 32 | 64): boolean {
    const { partition } = this.#ports;
    if (privilege !== 0 || mode === 16 || !partition.callable) return false;
    this.#calls++;
    const long = mode === 64;
    const { profile } = partition;
    const { status, done } = hypercall(readHypercall(registers, long), this.#hypercalls, profile.privileges, profile.hints);
    writeHypercallResult(registers, long, status, status === spec.STATUS_SUCCESS ? done : 0);
    return true;
  }

  read(index: number): boolean {
    const { partition, apic } = this.#ports;
    if (!this.#may(index)) return false;
    switch (index) {
      case spec.MSR_VP_INDEX: return this.#answer([this.#ports.index, 0]);
      case spec.MSR_VP_RUNTIME: case spec.MSR_TIME_REF_COUNT: {
        this.#timeReads++;
        const now = this.#now();
        return this.#answer([now >>> 0, Math.floor(now / TWO_32)]);
      }
      case spec.MSR_TSC_FREQUENCY: return this.#answer([this.#ports.tscHz >>> 0, Math.floor(this.#ports.tscHz / TWO_32)]);
      case spec.MSR_APIC_FREQUENCY: return this.#answer([this.#ports.apicHz >>> 0, 0]);
      case spec.MSR_EOI: return false;
      case spec.MSR_ICR: return this.#answer(apic().command);
      case spec.MSR_TPR: return this.#answer([apic().taskPriority, 0]);
      case spec.MSR_VP_ASSIST_PAGE: return this.#answer(this.#assist);
      default:
    }
    const timer = this.#timers[(index - spec.MSR_STIMER0) >> 1];
    if (timer !== undefined && index >= spec.MSR_STIMER0) return this.#answer(((index - spec.MSR_STIMER0) & 1) === 0 ? [timer.config, 0] : timer.count);
    const found = this.controller.read(index) ?? partition.read(index);
    return found !== null && this.#answer(found);
  }

  write(index: number, low: number, high: number): boolean {
    const { partition, apic } = this.#ports;
    low >>>= 0;
    high >>>= 0;
    if (!this.#may(index)) return false;
    switch (index) {
      case spec.MSR_VP_INDEX: case spec.MSR_VP_RUNTIME: case spec.MSR_TIME_REF_COUNT: case spec.MSR_TSC_FREQUENCY: case spec.MSR_APIC_FREQUENCY: return false;
      case spec.MSR_EOI: apic().endInterrupt('synthetic'); return true;
      case spec.MSR_ICR: apic().sendCommand(low, high); return true;
      case spec.MSR_TPR:
        if (high !== 0 || low > 0xff) return false;
        apic().taskPriority = low;
        return true;
      case spec.MSR_VP_ASSIST_PAGE: return this.#setAssist(low, high);
      default:
    }
    const timer = this.#timers[(index - spec.MSR_STIMER0) >> 1];
    if (timer !== undefined && index >= spec.MSR_STIMER0) {
      if (((index - spec.MSR_STIMER0) & 1) === 0) return timer.setConfig(low, high);
      timer.setCount(low, high);
      return true;
    }
    if (this.controller.read(index) !== null) {
      if (!this.controller.write(index, low, high)) return false;
      if (index === spec.MSR_EOM) for (const one of this.#timers) one.retry();
      return true;
    }
    return partition.write(index, low, high);
  }

  endsItself(vector: number): boolean {
    return this.controller.endsItself(vector);
  }

  offer(): boolean {
    return this.#word.offer();
  }

  withdraw(): boolean {
    return this.#word.withdraw();
  }

  ended(vector: number): void {
    this.controller.ended(vector);
  }

  *counts(): Generator<readonly [name: string, count: number]> {
    const { counts } = this.controller;
    yield ['messages.posted', counts.posted];
    yield ['messages.deferred', counts.deferred];
    yield ['messages.placed', counts.placed];
    yield ['messages.ends', counts.ends];
    yield ['events', counts.events];
    yield ['calls', this.#calls];
    yield ['time-reads', this.#timeReads];
  }

  save(): Plain {
    const { queues, ...controller } = this.controller.save();
    return {
      assist: [...this.#assist],
      controller: { control: controller.control, events: [...controller.events], messages: [...controller.messages], sources: [...controller.sources], queues: queues.map((queue) => queue.map((message) => ({ ...message }))) },
      timers: this.#timers.map((timer) => ({ ...timer.save() })),
    };
  }

  load(state: Plain): void {
    const { assist, controller, timers } = readSyntheticFace(state);
    this.#assist = assist;
    this.#word.place = this.#assistPlace();
    this.controller.load(controller);
    this.#timers.forEach((timer, index) => timer.load(timers[index]!));
  }

  #answer([low, high]: readonly [number, number]): true {
    this.low = low >>> 0;
    this.high = high >>> 0;
    return true;
  }

  #now(): number {
    return Math.floor(this.#ports.clock.now() / NANOS_PER_UNIT);
  }

  #locate([low, high]: readonly [number, number]): number {
    return this.#ports.words().locate(high * TWO_32 + ((low & ~0xfff) >>> 0), 4096);
  }

  /** Linux names the page on every processor, whatever it may do. Enabling clears the first word: the rest may be in use. */
  #setAssist(low: number, high: number): boolean {
    const { apic, words } = this.#ports;
    if (high >>> 20 !== 0) return false;
    apic().settle();
    const moved = this.#assist[0] !== low || this.#assist[1] !== high;
    this.#assist = [low, high];
    const at = (low & spec.PAGE_ENABLE) === 0 ? -1 : this.#locate(this.#assist);
    if (moved && at >= 0) words().store(at, 0);
    this.#word.place = this.#assistPlace();
    return true;
  }

  /** Where ends are offered: nowhere in a profile that does not say so, though the guest may name the page. */
  #assistPlace(): number {
    const isOffered = (this.#ports.partition.profile.hints & spec.HINT_APIC_REGISTERS) !== 0;
    return isOffered && (this.#assist[0] & spec.PAGE_ENABLE) !== 0 ? this.#locate(this.#assist) : -1;
  }

  #timerMessage(index: number, expiration: number): SyntheticMessage {
    const payload = new Uint8Array(24);
    const view = new DataView(payload.buffer);
    const now = this.#now();
    view.setUint32(0, index, true);
    view.setUint32(8, expiration >>> 0, true);
    view.setUint32(12, Math.floor(expiration / TWO_32), true);
    view.setUint32(16, now >>> 0, true);
    view.setUint32(20, Math.floor(now / TWO_32), true);
    return { type: spec.MESSAGE_TIMER, payload };
  }

  #retryTimers(source: number): void {
    for (const timer of this.#timers) if (timer.source === source) timer.retry();
  }

  /** Each register belongs to a privilege; without it there is none. */
  #may(index: number): boolean {
    const [low] = this.#ports.partition.profile.privileges;
    const features = this.#ports.partition.profile.features;
    return (low & privilegeOf(index)) !== 0 || (index >= spec.MSR_CRASH_P0 && index <= spec.MSR_CRASH_CTL && (features & spec.HAS_CRASH_REGISTERS) !== 0);
  }
}

function privilegeOf(index: number): number {
  switch (index) {
    case spec.MSR_GUEST_OS_ID: case spec.MSR_HYPERCALL: case spec.MSR_VP_ASSIST_PAGE: return spec.MAY_CALL;
    case spec.MSR_VP_INDEX: return spec.MAY_READ_INDEX;
    case spec.MSR_RESET: return spec.MAY_RESET;
    case spec.MSR_VP_RUNTIME: return spec.MAY_READ_RUNTIME;
    case spec.MSR_TIME_REF_COUNT: return spec.MAY_READ_COUNTER;
    case spec.MSR_REFERENCE_TSC: return spec.MAY_USE_TSC_PAGE;
    case spec.MSR_TSC_FREQUENCY: case spec.MSR_APIC_FREQUENCY: return spec.MAY_READ_FREQUENCIES;
    case spec.MSR_EOI: case spec.MSR_ICR: case spec.MSR_TPR: return spec.MAY_USE_APIC;
    case spec.MSR_TSC_INVARIANT: return spec.MAY_MAKE_TSC_INVARIANT;
    default:
      if (index >= spec.MSR_SCONTROL && index < spec.MSR_SINT0 + spec.SOURCES) return spec.MAY_USE_SYNIC;
      return index >= spec.MSR_STIMER0 && index < spec.MSR_STIMER0 + spec.TIMERS * 2 ? spec.MAY_USE_TIMERS : 0;
  }
}
