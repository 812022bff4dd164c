import type { HypervisorPort } from '@vm/core/engine';
import type { ApicBus } from './apic-bus.ts';
import { ApicLoans } from './apic-loans.ts';
import { ExtendedSpace } from './extended-space.ts';
import { sendCommand } from './interrupt-command.ts';
import { type EndCounts, type EndRegister, InterruptEnds } from './interrupt-ends.ts';
import { isBaseAllowed, isFaceRegister, isInLogicalSet, isInX2Cluster, isReadOnlyInX2, isRegister, isValidInX2, isX2Register, x2LogicalId } from './local-apic-access.ts';
import type { GuestFace } from './synthetic/guest-face.ts';
import type { ApicProcessor, ExternalInterrupts, LocalApicOptions, LocalApicState } from './local-apic-ports.ts';
import { LocalApicTimer } from './local-apic-timer.ts';
import { PlainController } from './plain-controller.ts';
import * as spec from './spec.ts';
import { VectorQueue } from './vector-queue.ts';

const LVT_FIRST = spec.LAPIC_LVT_TIMER;
const { LVT_COUNT } = spec;
const LINT0 = spec.LAPIC_LVT_LINT0 - LVT_FIRST;

/**
 * The local APIC of one processor (SDM vol. 3, chapter 12), in xAPIC and x2APIC mode. It is the interrupt port of that
 * processor: the engine asks `isPending()` between instructions after a `signal()`, takes the vector with
 * `acknowledge()`, and sends here the accesses to the register page, to the model-specific registers and to CR8.
 */
export class LocalApic {
  /** Halves of the last value that `readModelRegister` found. */
  low = 0;
  high = 0;
  /** Accesses to the page of registers, and to the model-specific registers but for the base, which engines read on their own account. */
  reads = 0;
  writes = 0;
  modelReads = 0;
  modelWrites = 0;
  #baseLow = 0;
  #baseHigh = 0;
  #id: number;
  #ldr = 0;
  #dfr = 0xffff_ffff;
  #svr = 0xff;
  #error = 0; // visible half of the error register
  #errorPending = 0; // hidden half: a write to the register makes it visible
  #commandLow = 0;
  #commandHigh = 0;
  #waitsForStartup = false;
  readonly #lvt: Uint32Array = new Uint32Array(LVT_COUNT);
  readonly #lint: [boolean, boolean] = [false, false];
  readonly #queue: VectorQueue;
  /** What serves under this one, when that has no automatic and no selective end; null: this is all there is. */
  readonly plain: PlainController | null;
  readonly #ends: InterruptEnds;
  readonly #extended: ExtendedSpace | null; // AMD's
  readonly #version: number;
  readonly #spuriousValid: number;
  readonly #face: GuestFace | null;
  /** What guests find that ask for a hypervisor. */
  readonly hypervisor: HypervisorPort | undefined;
  readonly #timer: LocalApicTimer;
  /** Lends it to a controller of the host. */
  readonly loans: ApicLoans;
  readonly #initialId: number;
  readonly #bus: ApicBus;
  readonly #processor: ApicProcessor;
  readonly #external: ExternalInterrupts | null;

  constructor(options: LocalApicOptions) {
    this.#initialId = options.id;
    this.#id = options.id;
    this.#bus = options.bus;
    this.#processor = options.processor;
    this.#external = options.external ?? null;
    this.#face = options.face ?? null;
    this.hypervisor = options.face;
    this.plain = options.plainController === true ? new PlainController() : null;
    this.#queue = new VectorQueue(this.plain);
    this.#ends = new InterruptEnds(this.#queue, options.face ?? options.assist ?? null, (vector) => this.#ended(vector));
    this.#extended = options.extendedSpace === true ? new ExtendedSpace(this.#queue, this.#ends) : null;
    const suppresses = options.suppressesBroadcasts === true;
    this.#version = (spec.LAPIC_VERSION_VALUE | (suppresses ? spec.VERSION_SUPPRESSES_BROADCASTS : 0) | (this.#extended === null ? 0 : spec.VERSION_EXTENDED)) >>> 0;
    this.#spuriousValid = spec.SVR_VALID | (suppresses ? spec.SVR_SUPPRESSES_BROADCASTS : 0);
    this.#timer = new LocalApicTimer({
      clock: options.clock,
      expired: () => this.#deliverLocal(spec.LAPIC_LVT_TIMER),
      ...(options.timerHz === undefined ? {} : { hz: options.timerHz }),
      ...(options.tscHz === undefined ? {} : { tscHz: options.tscHz }),
    });
    this.loans = new ApicLoans(this, options);
    options.bus.attach(this);
    this.reset();
  }

  /** Power-up and RESET: xAPIC mode, enabled, everything masked. */
  reset(): void {
    this.#baseHigh = 0;
    this.#baseLow = (spec.APIC_DEFAULT_BASE | spec.APIC_BASE_ENABLE | (this.#initialId === 0 ? spec.APIC_BASE_BSP : 0)) >>> 0;
    this.#id = this.#initialId;
    this.#waitsForStartup = this.#initialId !== 0;
    this.#resetRegisters();
    this.#face?.initialized();
  }

  /**
   * Leaves the local APIC as firmware does before it starts an operating system: virtual wire, that is the 8259 through
   * LINT0 and NMI through LINT1 (MultiProcessor Specification 1.4, 3.6.2.2).
   */
  setVirtualWire(): void {
    this.#svr = spec.SVR_ENABLE | 0xff;
    this.#lvt[LINT0] = spec.MODE_EXTINT;
    this.#lvt[spec.LAPIC_LVT_LINT1 - LVT_FIRST] = spec.MODE_NMI;
    this.#update();
  }

  // ---- for the processor -------------------------------------------------------------------------------------------

  /** HOT: between two guest instructions whenever something was signalled. */
  isPending(): boolean {
    return this.#isExternalPending() || (this.isAccepting() && this.#queue.deliverable() >= 0);
  }

  /** The vector to deliver; -1 when nothing can be delivered any more. */
  acknowledge(): number {
    if (this.#isExternalPending()) return this.#external!.acknowledge();
    if (!this.isAccepting()) return -1;
    this.#ends.settle();
    const vector = this.#queue.deliverable();
    if (vector >= 0) this.#ends.acknowledge(vector);
    return vector;
  }

  /** Guest-physical address of the register page, -1 while there is none (disabled, or x2APIC mode). */
  window(): number {
    if ((this.#baseLow & (spec.APIC_BASE_ENABLE | spec.APIC_BASE_EXTENDED)) !== spec.APIC_BASE_ENABLE) return -1;
    return this.#baseHigh * 0x1_0000_0000 + ((this.#baseLow & ~0xfff) >>> 0);
  }

  /** Read in the register page. Registers are the low double words of 16-byte slots (SDM vol. 3, 12.4.1). */
  readRegister(offset: number, size: number): number {
    this.reads++;
    const byte = offset & 0xf;
    if (byte >= 4) return 0;
    const index = offset >>> 4;
    let value = 0;
    if (this.#hasRegister(index)) value = this.#read(index);
    else this.#raiseError(spec.ESR_ILLEGAL_REGISTER);
    value >>>= byte * 8;
    return size >= 4 ? value : value & (size === 1 ? 0xff : 0xffff);
  }

  /** Only aligned double words are defined; others are ignored. */
  writeRegister(offset: number, size: number, value: number): void {
    this.writes++;
    if (size !== 4 || (offset & 0xf) !== 0) return;
    const index = offset >>> 4;
    if (!this.#hasRegister(index)) this.#raiseError(spec.ESR_ILLEGAL_REGISTER);
    else this.#write(index, value >>> 0);
  }

  /** RDMSR of a register that belongs here: true and the value in `low` and `high`, false for a general protection fault. */
  readModelRegister(index: number): boolean {
    this.low = 0;
    this.high = 0;
    if (index === spec.MSR_APIC_BASE) return this.#answer(this.#baseLow, this.#baseHigh);
    this.modelReads++;
    if (isFaceRegister(index)) return this.#face !== null && this.#face.read(index) && this.#answer(this.#face.low, this.#face.high);
    if (index === spec.MSR_TSC_DEADLINE) return this.#answer(this.#timer.deadlineLow, this.#timer.deadlineHigh);
    const register = index - spec.MSR_X2APIC_FIRST;
    if (index > spec.MSR_X2APIC_LAST || !this.#isX2() || !this.#hasX2Register(register)) return false;
    if (register === spec.LAPIC_EOI || register === spec.LAPIC_SELF_IPI) return false;
    this.low = this.#read(register);
    if (register === spec.LAPIC_ICR_LOW) this.high = this.#commandHigh;
    return true;
  }

  /** WRMSR; false for a general protection fault. */
  writeModelRegister(index: number, low: number, high: number): boolean {
    this.modelWrites++;
    if (isFaceRegister(index)) return this.#face?.write(index, low, high) === true;
    if (index === spec.MSR_APIC_BASE) return this.#writeBase(low >>> 0, high >>> 0);
    if (index === spec.MSR_TSC_DEADLINE) {
      this.#timer.setDeadline(low, high);
      return true;
    }
    const register = index - spec.MSR_X2APIC_FIRST;
    if (index > spec.MSR_X2APIC_LAST || !this.#isX2() || !this.#hasX2Register(register) || isReadOnlyInX2(register)) return false;
    if (register === spec.LAPIC_ICR_LOW) {
      if ((low & ~(spec.COMMAND_VALID | spec.COMMAND_BUSY)) !== 0) return false; // processors ignore the busy bit, which x2APIC mode has no more
      this.#commandHigh = high >>> 0;
    } else if (high !== 0 || !isValidInX2(register, low, this.#spuriousValid)) {
      return false;
    }
    this.#write(register, low >>> 0);
    return true;
  }

  /** An end of interrupt by another register than this APIC's own. */
  endInterrupt(register: EndRegister): void {
    this.#ends.end(register);
    this.#update();
  }

  /** The same for any vector in service. */
  endVector(vector: number): void {
    this.#ends.endSelected(vector);
    this.#update();
  }

  /** A command by another register than this APIC's own; what the high half means is for the mode to say. */
  sendCommand(low: number, high: number): void {
    this.#commandHigh = this.#isX2() ? high >>> 0 : (high & 0xff00_0000) >>> 0;
    this.#write(spec.LAPIC_ICR_LOW, low >>> 0);
  }

  get command(): readonly [low: number, high: number] {
    return [this.#commandLow, this.#commandHigh];
  }

  get taskPriority(): number {
    return this.#queue.taskPriority;
  }

  set taskPriority(value: number) {
    this.#ends.settle();
    this.#queue.taskPriority = value & 0xff;
    this.#ends.offer();
    this.#update();
  }

  /** What ends of interrupts have cost so far. */
  get ends(): EndCounts {
    return this.#ends.counts;
  }

  /** Finds out whether the guest has ended its interrupt without telling, before somebody takes away the place where it would say so. */
  settle(): void {
    this.#ends.settle();
  }

  /** CR8: the task-priority class, there even while the local APIC is disabled. */
  get priority(): number {
    return this.#queue.taskPriority >>> 4;
  }

  set priority(value: number) {
    this.taskPriority = (value & 0xf) << 4;
  }

  isEnabled(): boolean {
    return (this.#baseLow & spec.APIC_BASE_ENABLE) !== 0;
  }

  // ---- for the bus and the pins ------------------------------------------------------------------------------------

  get id(): number {
    return this.#id;
  }

  /** Would a fixed interrupt be accepted? */
  isAccepting(): boolean {
    return (this.#svr & spec.SVR_ENABLE) !== 0 && (this.#baseLow & spec.APIC_BASE_ENABLE) !== 0;
  }

  arbitrationPriority(): number {
    this.#ends.settle();
    return this.#queue.processorPriority();
  }

  isAddressedBy(destination: number, logical: boolean): boolean {
    if (!this.isEnabled()) return false;
    if (destination === spec.DESTINATION_ALL) return true;
    if (!logical) return destination === this.#id;
    return this.#isX2() ? isInX2Cluster(destination, this.#ldr) : isInLogicalSet(destination, this.#ldr, this.#dfr);
  }

  /** Takes a message; false when nothing here will ever serve it (disabled), so that a level stays with its sender. */
  accept(mode: number, vector: number, level: boolean): boolean {
    switch (mode) {
      case spec.MODE_FIXED:
        if (!this.isAccepting()) return false;
        if (vector < spec.FIRST_LEGAL_VECTOR) {
          this.#raiseError(spec.ESR_RECEIVE_ILLEGAL_VECTOR);
          return false;
        }
        this.#ends.settle();
        this.#queue.accept(vector, level);
        this.#update();
        return true;
      case spec.MODE_NMI:
        this.#processor.nmi?.();
        return true;
      case spec.MODE_INIT:
        this.#init();
        return true;
      case spec.MODE_STARTUP:
        if (this.#waitsForStartup) this.#processor.startup?.(vector);
        this.#waitsForStartup = false;
        return true;
      default:
        return false; // SMI and reserved modes: no such thing in this machine
    }
  }

  /** Level of pin LINT0 (the 8259's INTR) or LINT1 (NMI). */
  setLint(pin: 0 | 1, asserted: boolean): void {
    const rising = asserted && !this.#lint[pin];
    this.#lint[pin] = asserted;
    if (!this.isEnabled()) {
      // A disabled local APIC passes its pins through: LINT0 is INTR and LINT1 is NMI.
      if (rising && pin === 1) this.#processor.nmi?.();
      else if (rising) this.#update();
      return;
    }
    const register = spec.LAPIC_LVT_LINT0 + pin;
    const entry = this.#lvt[register - LVT_FIRST]!;
    if ((entry & spec.LVT_MODE) === spec.MODE_EXTINT) {
      if (rising) this.#update();
    } else if (pin === 0 && (entry & spec.LVT_LEVEL) !== 0 && (entry & spec.LVT_MODE) === spec.MODE_FIXED) {
      this.#sampleLint();
    } else if (rising) {
      this.#deliverLocal(register);
    }
  }

  // ---- state -------------------------------------------------------------------------------------------------------

  save(): LocalApicState {
    return {
      baseLow: this.#baseLow,
      baseHigh: this.#baseHigh,
      registers: [
        this.#id, this.#ldr, this.#dfr, this.#svr, this.#error, this.#errorPending, this.#commandLow, this.#commandHigh,
        this.#queue.taskPriority, this.#waitsForStartup ? 1 : 0, ...this.#lvt,
      ],
      requested: [...this.#queue.requested],
      inService: [...this.#queue.inService],
      levelTriggered: [...this.#queue.levelTriggered],
      lint: [...this.#lint],
      timer: this.#timer.save(),
      offered: this.#ends.offered,
      extended: this.#extended?.save() ?? [],
    };
  }

  load(state: LocalApicState): void {
    const at = (index: number): number => (state.registers[index] ?? 0) >>> 0;
    this.#baseLow = state.baseLow >>> 0;
    this.#baseHigh = state.baseHigh >>> 0;
    this.#id = at(0);
    this.#ldr = at(1);
    this.#dfr = at(2);
    this.#svr = at(3) & this.#spuriousValid;
    this.#error = at(4);
    this.#errorPending = at(5);
    this.#commandLow = at(6) & spec.COMMAND_VALID;
    this.#commandHigh = at(7);
    this.#queue.taskPriority = at(8) & 0xff;
    this.#waitsForStartup = at(9) !== 0;
    for (let i = 0; i < LVT_COUNT; i++) this.#lvt[i] = at(10 + i) & (spec.LVT_VALID[i]! | spec.LVT_REMOTE_IRR);
    this.#queue.load(state.requested, state.inService, state.levelTriggered);
    this.#lint[0] = state.lint[0] === true;
    this.#lint[1] = state.lint[1] === true;
    this.#timer.load(state.timer);
    this.#extended?.load(state.extended);
    this.#ends.offered = state.offered;
    this.#update();
  }

  // ---- registers ---------------------------------------------------------------------------------------------------

  #answer(low: number, high: number): true {
    this.low = low;
    this.high = high;
    return true;
  }

  #isX2(): boolean {
    return (this.#baseLow & spec.APIC_BASE_EXTENDED) !== 0;
  }

  #hasRegister(index: number): boolean {
    return (isRegister(index) && index !== spec.LAPIC_SELF_IPI) || this.#extended?.has(index) === true;
  }

  #hasX2Register(index: number): boolean {
    return isX2Register(index) || this.#extended?.has(index) === true;
  }

  #read(index: number): number {
    this.#ends.settle();
    const value = this.#readSettled(index);
    this.#ends.offer();
    return value;
  }

  #readSettled(index: number): number {
    if (index >= spec.LAPIC_ISR && index < spec.LAPIC_TMR) return this.#queue.inService[index - spec.LAPIC_ISR]!;
    if (index >= spec.LAPIC_TMR && index < spec.LAPIC_IRR) return this.#queue.levelTriggered[index - spec.LAPIC_TMR]!;
    if (index >= spec.LAPIC_IRR && index < spec.LAPIC_ESR) return this.#queue.requested[index - spec.LAPIC_IRR]!;
    if (index >= LVT_FIRST && index < LVT_FIRST + LVT_COUNT) return this.#lvt[index - LVT_FIRST]!;
    switch (index) {
      case spec.LAPIC_ID: return this.#isX2() ? this.#id : (this.#id << 24) >>> 0;
      case spec.LAPIC_VERSION: return this.#version;
      case spec.LAPIC_TPR: return this.#queue.taskPriority;
      case spec.LAPIC_PPR: return this.#queue.processorPriority();
      case spec.LAPIC_LDR: return this.#ldr;
      case spec.LAPIC_DFR: return this.#dfr;
      case spec.LAPIC_SVR: return this.#svr;
      case spec.LAPIC_ESR: return this.#error;
      case spec.LAPIC_ICR_LOW: return this.#commandLow;
      case spec.LAPIC_ICR_HIGH: return this.#commandHigh;
      case spec.LAPIC_TIMER_INITIAL: return this.#timer.initial;
      case spec.LAPIC_TIMER_CURRENT: return this.#timer.current();
      case spec.LAPIC_TIMER_DIVIDE: return this.#timer.divide;
      default: return this.#extended?.has(index) === true ? this.#extended.read(index) : 0;
    }
  }

  #write(index: number, value: number): void {
    if (index >= LVT_FIRST && index < LVT_FIRST + LVT_COUNT) return this.#writeLvt(index, value);
    switch (index) {
      case spec.LAPIC_TPR: this.taskPriority = value; break;
      case spec.LAPIC_EOI: this.endInterrupt(this.#isX2() ? 'model' : 'memory'); break;
      case spec.LAPIC_LDR: this.#ldr = (value & 0xff00_0000) >>> 0; break;
      case spec.LAPIC_DFR: this.#dfr = (value | 0x0fff_ffff) >>> 0; break;
      case spec.LAPIC_SVR: this.#writeSvr(value); break;
      case spec.LAPIC_ESR:
        this.#error = this.#errorPending;
        this.#errorPending = 0;
        break;
      case spec.LAPIC_ICR_LOW:
        this.#commandLow = value & spec.COMMAND_VALID;
        if (!sendCommand(this.#bus, this, this.#commandLow, this.#commandHigh, this.#isX2())) this.#raiseError(spec.ESR_SEND_ILLEGAL_VECTOR);
        break;
      case spec.LAPIC_ICR_HIGH: this.#commandHigh = (value & 0xff00_0000) >>> 0; break;
      case spec.LAPIC_TIMER_INITIAL: this.#timer.setInitial(value); break;
      case spec.LAPIC_TIMER_DIVIDE: this.#timer.setDivide(value); break;
      case spec.LAPIC_SELF_IPI: this.#sendToSelf(value & 0xff); break;
      default:
        if (this.#extended?.has(index) !== true) break; // read-only registers
        this.#extended.write(index, value);
        this.#update();
    }
  }

  #writeLvt(index: number, value: number): void {
    const slot = index - LVT_FIRST;
    const masked = (this.#svr & spec.SVR_ENABLE) === 0 ? spec.LVT_MASKED : 0; // cannot be unmasked while disabled (12.4.7.2)
    const before = this.#lvt[slot]!;
    const kept = (value & spec.LVT_LEVEL) !== 0 ? before & spec.LVT_REMOTE_IRR : 0;
    this.#lvt[slot] = (value & spec.LVT_VALID[slot]!) | masked | kept;
    if (index === spec.LAPIC_LVT_TIMER) this.#timer.setMode((value >>> spec.LVT_TIMER_MODE_SHIFT) & 3);
    else if (index === spec.LAPIC_LVT_LINT0) this.#sampleLint();
    this.#update();
  }

  #writeSvr(value: number): void {
    const before = this.#svr;
    this.#svr = value & this.#spuriousValid;
    if ((this.#svr & spec.SVR_ENABLE) === 0) {
      for (let i = 0; i < LVT_COUNT; i++) this.#lvt[i]! |= spec.LVT_MASKED;
    } else if ((before & spec.SVR_ENABLE) === 0) {
      this.#bus.announceAccepting();
      this.#update(); // requests held while disabled
    }
  }

  #writeBase(low: number, high: number): boolean {
    if (!isBaseAllowed(this.#baseLow, low, high)) return false;
    const modes = spec.APIC_BASE_ENABLE | spec.APIC_BASE_EXTENDED;
    const before = this.#baseLow & modes;
    const after = low & modes;
    this.#baseLow = low;
    this.#baseHigh = high;
    if (after === before) return true;
    if (after === 0 || before === 0) {
      this.#id = this.#initialId;
      this.#resetRegisters();
    } else {
      this.#id = this.#initialId;
      this.#ldr = x2LogicalId(this.#id);
      this.#commandHigh = 0;
    }
    this.#update();
    return true;
  }

  // ---- delivery ----------------------------------------------------------------------------------------------------

  #update(): void {
    if (this.isPending()) this.#processor.signal();
  }

  #isExternalPending(): boolean {
    if (!this.#lint[0] || this.#external === null) return false;
    if (!this.isEnabled()) return true;
    return (this.#lvt[LINT0]! & (spec.LVT_MODE | spec.LVT_MASKED)) === spec.MODE_EXTINT;
  }

  #ended(vector: number): void {
    if (!this.#queue.isLevelTriggered(vector)) return;
    if ((this.#svr & spec.SVR_SUPPRESSES_BROADCASTS) === 0) this.#bus.broadcastEoi(vector);
    if ((this.#lvt[LINT0]! & spec.LVT_VECTOR) !== vector) return;
    this.#lvt[LINT0] = this.#lvt[LINT0]! & ~spec.LVT_REMOTE_IRR;
    this.#sampleLint();
  }

  #sendToSelf(vector: number): void {
    if (vector < spec.FIRST_LEGAL_VECTOR) this.#raiseError(spec.ESR_SEND_ILLEGAL_VECTOR);
    else this.accept(spec.MODE_FIXED, vector, false);
  }

  /** LINT0 as a level-triggered fixed pin asks as long as it is high and nobody serves it. LINT1 has edges only (SDM vol. 3, 12.5.1). */
  #sampleLint(): void {
    const entry = this.#lvt[LINT0]!;
    if (!this.#lint[0]) return;
    if ((entry & (spec.LVT_LEVEL | spec.LVT_MASKED | spec.LVT_REMOTE_IRR | spec.LVT_MODE)) !== (spec.LVT_LEVEL | spec.MODE_FIXED)) return;
    if (this.accept(spec.MODE_FIXED, entry & spec.LVT_VECTOR, true)) this.#lvt[LINT0] = entry | spec.LVT_REMOTE_IRR;
  }

  #deliverLocal(register: number): void {
    const entry = this.#lvt[register - LVT_FIRST]!;
    if ((entry & spec.LVT_MASKED) !== 0) return; // lost, not latched
    const mode = register === spec.LAPIC_LVT_TIMER || register === spec.LAPIC_LVT_ERROR ? spec.MODE_FIXED : entry & spec.LVT_MODE;
    this.accept(mode, entry & spec.LVT_VECTOR, false);
  }

  #raiseError(bit: number): void {
    if ((this.#errorPending & bit) !== 0) return;
    this.#errorPending |= bit;
    const entry = this.#lvt[spec.LAPIC_LVT_ERROR - LVT_FIRST]!;
    // An illegal vector in the error entry itself would raise this error for ever.
    if ((entry & spec.LVT_VECTOR) >= spec.FIRST_LEGAL_VECTOR) this.#deliverLocal(spec.LAPIC_LVT_ERROR);
  }

  #init(): void {
    this.#resetRegisters();
    this.#face?.initialized();
    this.#waitsForStartup = (this.#baseLow & spec.APIC_BASE_BSP) === 0;
    this.#processor.init?.();
  }

  #resetRegisters(): void {
    this.#ldr = this.#isX2() ? x2LogicalId(this.#id) : 0;
    this.#dfr = 0xffff_ffff;
    this.#svr = 0xff;
    this.#error = 0;
    this.#errorPending = 0;
    this.#commandLow = 0;
    this.#commandHigh = 0;
    this.#lvt.fill(spec.LVT_MASKED);
    this.#ends.forget();
    this.#queue.clear();
    this.#extended?.reset();
    this.#timer.reset();
  }
}
