/** One processor of KVM: the loop around KVM_RUN, interrupts, and what ends it. */
import { CR4_PAE, EFER_LMA, CR0_PG, FLAG_IF, MSR_APIC_BASE } from '@vm/x86';
import type { CpuModel, EntryState } from '@vm/x86';
import type { LentProcessor } from '@vm/trap-compound';
import type { Plain } from '@vm/core';
import type { ExitCode, ProcessorEvent, Surroundings, Vcpu } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_REQUEST, EXIT_SHUTDOWN } from '@vm/core/exit';
import { ExitAnswers } from './exit-answers.ts';
import { describeFields } from './fields-text.ts';
import { GuestCounter } from './guest-counter.ts';
import { beginAt, entryFields, initFields, resetFields } from './initial-fields.ts';
import type { ChipProcessor, InterruptChip } from './interrupt-chip.ts';
import { InterruptEntry } from './interrupt-entry.ts';
import { KernelApic, NO_REGISTERS } from './kernel-apic.ts';
import type { Kick } from './kick.ts';
import type { KvmVcpuFd } from './kvm-calls.ts';
import { REGS, RUN, SREGS } from './kvm-layout-table.ts';
import { EXIT_NAMES, NUMBERS } from './kvm-number-table.ts';
import { errorName } from './libc.ts';
import type { MemorySlots } from './memory-slots.ts';
import { ModelRegisters } from './model-registers.ts';
import type { ProcessorThread } from './processor-thread.ts';
import type { ProcessorThreads } from './processor-threads.ts';
import { type ProcessorFields, readFields, writeFields } from './processor-fields.ts';
import { TrapBlock } from './trap-block.ts';
import { type Latches, newLatches, readProcessor, saveProcessor } from './saved-processor.ts';

export interface VcpuPlace {
  readonly index: number;
  readonly fd: KvmVcpuFd;
  readonly kick: Kick;
  readonly slots: MemorySlots;
  readonly model: CpuModel;
  /** Ticks of the guest's time-stamp counter in a second. */
  readonly counterHz: number;
  /** The shortest run in nanoseconds that is sure to get the guest on. */
  readonly leastNanos: number;
  /** Told when the processor has begun to wait with interrupts disabled. */
  readonly halted: () => void;
  /** Does what follows an exit; null: nobody does. */
  readonly lent: LentProcessor | null;
  /** Where guests run beside the machine's thread; null: they run in it. */
  readonly threads: ProcessorThreads | null;
  readonly thread: ProcessorThread | null;
  /** The kernel has the local APICs while guests run; null: the models keep them. */
  readonly chip: InterruptChip | null;
}

const F = RUN.fields;
const REQUEST_WINDOW = F.request_interrupt_window[0], IMMEDIATE = F.immediate_exit[0], READY = F.ready_for_interrupt_injection[0], IF_FLAG = F.if_flag[0], CR8 = F.cr8[0], REASON = F.exit_reason[0] >> 2;
const EOI_VECTOR = F['eoi.vector'][0], MSR_ERROR = F['msr.error'][0], MSR_INDEX = F['msr.index'][0] >> 2, MSR_DATA = F['msr.data'][0] >> 2;
const SUBERROR = F['internal.suberror'][0] >> 2, ENTRY_FAILURE = F['fail_entry.hardware_entry_failure_reason'][0] >> 2;
const EINTR = -4, EAGAIN = -11; // the second: a processor that waited for a message has got one
const APIC_BASE_BSP = 0x100, INIT_COMMAND = 0x4500, STARTUP_COMMAND = 0x4600;
const MOST_TRIES = 1000; // to get what is being delivered into the guest
const MILLION = 1e6;
/** About what the software engine takes, so that what the run loop has learnt of one holds for the other when a machine moves. */
const NANOS_PER_INSTRUCTION = 5;
const milliseconds = (): number => performance.now();

/** KVM counts no instructions: five nanoseconds of the host are taken for one. */
export class KvmVcpu implements Vcpu, ChipProcessor {
  readonly registers: ModelRegisters;
  readonly #place: VcpuPlace;
  readonly #surroundings: Surroundings;
  readonly #fd: KvmVcpuFd;
  readonly #u8: Uint8Array;
  readonly #u32: Uint32Array;
  readonly #answers: ExitAnswers;
  readonly #counter: GuestCounter;
  readonly #entry: InterruptEntry;
  readonly #apic: KernelApic | null; // the kernel's
  /** Finishes what follows an access that came as an exit. */
  readonly #block: TrapBlock | null;
  #latches: Latches = newLatches();
  #retired = 0;
  #begin = -1; // milliseconds; -1: outside of `run`
  #end = 0;
  #leaving = false;
  #requested = false;
  #parked = true; // of a processor in a thread: it could be saved
  #nmi = false; // KVM has one for the guest
  #baseMoved = false; // the interrupt controller has been moved, or turned on or off
  #placed = false; // memory slots are those of the attributes of pages
  #lastPriority = 0;
  #looks = true; // something may be to do before the guest goes on
  #random = 0n; // what a software engine has left for its random numbers
  readonly #exits = new Float64Array(EXIT_NAMES.length);
  #signals = 0;

  constructor(place: VcpuPlace, surroundings: Surroundings) {
    this.#place = place;
    this.#surroundings = surroundings;
    this.#fd = place.fd;
    this.#u8 = new Uint8Array(place.fd.page);
    this.#u32 = new Uint32Array(place.fd.page);
    this.#answers = new ExitAnswers(place.fd.page, surroundings.pio, surroundings.mmio, surroundings.interrupts, surroundings.now);
    this.#counter = new GuestCounter(place.fd, place.counterHz, surroundings.now);
    this.#apic = place.chip === null ? null : new KernelApic(place.index, place.fd, { chip: place.chip, port: surroundings.interrupts, counter: this.#counter, now: surroundings.now });
    this.#entry = new InterruptEntry(place.fd, surroundings.interrupts, place.chip !== null);
    place.chip?.add(this);
    this.registers = new ModelRegisters(place.chip === null ? surroundings.interrupts : NO_REGISTERS, place.model, { counter: () => this.#counter.read(), now: surroundings.now, hz: place.counterHz });
    this.#block = place.lent === null ? null : new TrapBlock(place.fd, place.lent, place.slots, () => this.#serve());
    place.kick.attach(place.fd);
    this.reset();
  }

  // ---- Vcpu ----------------------------------------------------------------------------------------------------------------

  get retired(): number { return this.#begin < 0 ? this.#retired : this.#retired + Math.floor(((milliseconds() - this.#begin) * MILLION) / NANOS_PER_INSTRUCTION); }

  run(instructions: number): ExitCode {
    const { kick, leastNanos } = this.#place;
    if (this.#latches.shutdown) return EXIT_SHUTDOWN;
    if (this.#fd.isClosed) return EXIT_FAIL;
    if (this.#place.thread === null && this.#apic === null && !this.#isAwake()) return EXIT_HALT;
    this.#leaving = false;
    this.#requested = false;
    const nanos = Math.max(instructions * NANOS_PER_INSTRUCTION, leastNanos);
    if (this.#place.threads !== null) return this.#runBeside(this.#place.threads, nanos);
    this.#begin = milliseconds();
    this.#end = this.#begin + nanos / MILLION;
    try {
      this.#place.chip?.borrow();
      this.#counter.enter(this.#begin);
      if (!this.#placed) this.#placeMemory();
      kick.after(nanos);
      return this.#loop();
    } catch (error) {
      this.#surroundings.log('warn', `processor ${this.#place.index}: ${(error as Error).message}`);
      return EXIT_FAIL;
    } finally {
      this.#retired = Math.max(this.#retired + 1, this.retired);
      this.#begin = -1;
      this.#u8[IMMEDIATE] = 0;
      this.#counter.leave();
    }
  }

  // ---- In a thread of its own ----------------------------------------------------------------------------------------------

  #runBeside(threads: ProcessorThreads, nanos: number): ExitCode {
    const [begin, before] = [milliseconds(), this.retired];
    try {
      return threads.run(this.#place.thread!, nanos / MILLION);
    } finally {
      // Time in which it only waited for answers counts too, or its turn would not end.
      const least = before + Math.max(1, Math.floor(((milliseconds() - begin) * MILLION) / NANOS_PER_INSTRUCTION));
      this.#retired += Math.max(0, least - this.retired);
    }
  }
  /** While it is out of the guest: answers what it came with and lets it go on. -1: nothing that the machine must know. HOT. */
  attend(): ExitCode | -1 {
    const { thread, threads } = this.#place;
    try {
      if (this.#latches.shutdown) return EXIT_SHUTDOWN;
      if (thread!.ended) throw new Error('its thread has ended');
      if (thread!.hasExit) {
        const end = this.#cameBack(thread!.take());
        if (end >= 0 || threads!.isLeaving) return end;
      }
      this.#place.chip?.borrow();
      if (this.#latches.init) this.#finishInstruction();
      if (!this.#placed) this.#placeMemory();
      if (!this.#look()) return -1;
      this.#parked = false;
      this.#begin = milliseconds();
      this.#counter.enter(this.#begin);
      thread!.go();
      return -1;
    } catch (error) {
      this.#surroundings.log('warn', `processor ${this.#place.index}: ${(error as Error).message}`);
      return EXIT_FAIL;
    }
  }
  #cameBack(result: number): ExitCode | -1 {
    [this.#retired, this.#begin] = [this.retired, -1];
    if (this.#u8[CR8] !== this.#lastPriority) this.#setPriority();
    if (result === 0) return this.#serve();
    if (result !== EINTR && result !== EAGAIN) throw new Error(`KVM_RUN: ${errorName(-result)}`);
    this.#signals++;
    if (this.#apic === null) return -1;
    this.#apic.noteState(this.#latches);
    if (this.isStuck) this.#place.halted();
    return -1;
  }
  /** The machine is to stand still: out of the thread, and on in this one to where it could be saved. */
  park(): void {
    const { thread, chip } = this.#place;
    this.#place.threads?.rouse();
    if ((thread === null && chip === null) || this.#parked || this.#fd.isClosed) return;
    this.#parked = true;
    try {
      thread?.stop();
      if (thread?.hasExit === true) this.#cameBack(thread.take());
      this.#leaving = true;
      this.#u8[IMMEDIATE] = 1;
      if (!this.#latches.shutdown) this.#loop();
      chip?.giveBack();
    } catch (error) {
      this.#surroundings.log('warn', `processor ${this.#place.index}: ${(error as Error).message}`);
    }
    this.#leaving = false;
    this.#u8[IMMEDIATE] = 0;
    this.#counter.leave();
  }

  // ---- The kernel's interrupt chip -----------------------------------------------------------------------------------------

  get isParked(): boolean { return this.#parked || this.#fd.isClosed; }
  borrow(): void {
    if (this.#latches.init) this.#initialize();
    if (this.#latches.waitsForStartup && this.#latches.startPage >= 0) this.#startUp();
    this.#counter.enter(milliseconds());
    this.#apic!.load(this.#latches);
    this.#parked = false;
  }
  giveBack(): void { if (!this.#fd.isClosed) this.#apic!.store(this.#latches, this.#enterGuest); }
  /** A signal that waits lets KVM come to the guest's next instruction, and no further. */
  readonly #enterGuest = (): void => {
    this.#u8[IMMEDIATE] = 0;
    this.#place.kick.send();
    while (this.#fd.run() === 0) if (this.#serve() >= 0) break;
    this.#place.kick.take();
  };
  /** After a run in the machine's thread: the guest has nothing to do. */
  #rests(): boolean {
    if (this.#apic === null || this.#leaving || (this.#u8[IF_FLAG] !== 0 && this.#surroundings.interrupts.isPending()) || !this.#apic.isIdle(this.#u8[IF_FLAG] !== 0, this.#enterGuest)) return false;
    this.#apic.noteState(this.#latches);
    if (this.isStuck) this.#place.halted();
    return true;
  }

  // ---- The loop ------------------------------------------------------------------------------------------------------------

  /** HOT: an exit is answered without a call of the interrupt port. */
  #loop(): ExitCode {
    const fd = this.#fd;
    const u8 = this.#u8;
    let tries = 0;
    this.#looks = true;
    for (;;) {
      if (this.#looks && !this.#look()) return EXIT_HALT;
      const result = fd.run();
      if (u8[CR8] !== this.#lastPriority) this.#setPriority();
      if (result === 0) {
        const end = this.#serve();
        if (end >= 0) return end as ExitCode;
        continue;
      }
      if (result !== EINTR && result !== EAGAIN) throw new Error(`KVM_RUN: ${errorName(-result)}`);
      const kicked = this.#place.kick.take();
      if (kicked) this.#signals++;
      if (!kicked && !this.#leaving) continue; // a signal for somebody else
      if (!this.#entry.isUnderWay() || ++tries > MOST_TRIES) return this.#requested ? EXIT_REQUEST : this.#rests() ? EXIT_HALT : EXIT_BUDGET;
      // Halfway into a handler is nowhere that a processor could be saved: on to its first instruction.
      u8[IMMEDIATE] = 0;
      this.#place.kick.after(this.#place.leastNanos);
      this.#leaving = true;
    }
  }

  /** -1: the guest goes on. HOT. */
  #serve(): ExitCode | -1 {
    const reason = this.#u32[REASON] as number;
    this.#exits[reason] = (this.#exits[reason] as number) + 1;
    this.#entry.entered();
    switch (reason) {
      case NUMBERS.KVM_EXIT_IO:
        this.#answers.port();
        return this.#block === null || this.#leaving ? -1 : this.#block.behindPort();
      case NUMBERS.KVM_EXIT_MMIO:
        if (this.#answers.memory()) this.#looks = true;
        return this.#block === null || this.#leaving ? -1 : this.#block.behindMemory();
      case NUMBERS.KVM_EXIT_HLT:
        this.#latches.halted = true;
        this.#looks = true;
        if (this.isStuck) this.#place.halted();
        return -1;
      case NUMBERS.KVM_EXIT_IOAPIC_EOI: this.#apic?.ended(this.#u8[EOI_VECTOR] as number); return -1;
      case NUMBERS.KVM_EXIT_IRQ_WINDOW_OPEN: case NUMBERS.KVM_EXIT_SET_TPR: case NUMBERS.KVM_EXIT_INTR: this.#looks = true; return -1;
      case NUMBERS.KVM_EXIT_X86_RDMSR: {
        const { registers } = this;
        this.#looks = true;
        const known = registers.read(this.#u32[MSR_INDEX] as number);
        this.#u8[MSR_ERROR] = known ? 0 : 1;
        this.#u32[MSR_DATA] = registers.low;
        this.#u32[MSR_DATA + 1] = registers.high;
        return -1;
      }
      case NUMBERS.KVM_EXIT_X86_WRMSR: {
        const index = this.#u32[MSR_INDEX] as number;
        this.#looks = true;
        this.#u8[MSR_ERROR] = this.registers.write(index, this.#u32[MSR_DATA] as number, this.#u32[MSR_DATA + 1] as number) ? 0 : 1;
        if (index === MSR_APIC_BASE) this.#baseMoved = true;
        return -1;
      }
      case NUMBERS.KVM_EXIT_SHUTDOWN: return this.#shutDown();
      default: return this.#fail(reason);
    }
  }

  #shutDown(): ExitCode {
    this.#latches.shutdown = true;
    // A table of interrupts without room for one gate is how systems reset a machine. KVM with SVM has forgotten it by now.
    this.#latches.deliberate = this.#fd.read('KVM_GET_SREGS', SREGS.bytes).getUint16(SREGS.fields.idt[0] + 8, true) === 0;
    if (!this.#latches.deliberate) this.#surroundings.log('warn', `processor ${this.#place.index}: triple fault`);
    return EXIT_SHUTDOWN;
  }
  #fail(reason: number): ExitCode {
    const name = EXIT_NAMES[reason] ?? 'unknown';
    const detail = reason === NUMBERS.KVM_EXIT_INTERNAL_ERROR ? `, ${this.#u32[SUBERROR]}` : reason === NUMBERS.KVM_EXIT_FAIL_ENTRY ? `, 0x${this.#u32[ENTRY_FAILURE]!.toString(16)}` : '';
    this.#surroundings.log('warn', `processor ${this.#place.index}: KVM gave up (${reason} ${name}${detail}) at ${this.ripText()}`);
    return EXIT_FAIL;
  }

  /** What may be to do before the guest goes on: an interrupt, a message, other memory. False: it waits. */
  #look(): boolean {
    const { interrupts } = this.#surroundings;
    const u8 = this.#u8;
    if (this.#apic === null && !this.#isAwake()) return false;
    if (this.#baseMoved) this.#followBase();
    // Whether there is one changes behind `signal` and calls of the port alone: as long as there is none nobody asks again.
    this.#looks = interrupts.isPending();
    if (this.#looks) this.#entry.give();
    else u8[REQUEST_WINDOW] = 0;
    u8[CR8] = this.#lastPriority = interrupts.priority;
    return true;
  }
  #setPriority(): void {
    this.#lastPriority = this.#u8[CR8] as number;
    if (this.#apic === null) this.#surroundings.interrupts.priority = this.#lastPriority;
    this.#looks = true;
  }

  /** Takes what no interrupt flag holds back. False: nothing to do before something is sent. */
  #isAwake(): boolean {
    const latches = this.#latches;
    if (latches.init) this.#initialize();
    if (latches.waitsForStartup) {
      if (latches.startPage < 0) return false;
      this.#startUp();
    }
    if (!latches.halted) return true;
    if (!this.#nmi && !(this.#u8[IF_FLAG] !== 0 && this.#surroundings.interrupts.isPending())) return false;
    latches.halted = false;
    this.#nmi = false;
    return true;
  }

  /** In `run`, after an exit that KVM has to finish: so far and no further. */
  #finishInstruction(): void {
    const before = this.#u8[IMMEDIATE] as number;
    this.#u8[IMMEDIATE] = 1;
    while (this.#fd.run() === 0) if (this.#serve() >= 0) break;
    this.#u8[IMMEDIATE] = before;
  }
  #followBase(): void {
    this.#baseMoved = false;
    this.#finishInstruction();
    const sregs = this.#fd.read('KVM_GET_SREGS', SREGS.bytes);
    sregs.setBigUint64(SREGS.fields.apic_base[0], this.#apicBase(), true);
    this.#fd.write('KVM_SET_SREGS', sregs);
    this.#placeMemory();
  }

  signal(): void {
    this.#looks = true;
    this.#block?.signal();
    const { thread } = this.#place;
    if (thread !== null && !thread.isOut && this.#u8[REQUEST_WINDOW] === 0 && this.#surroundings.interrupts.isPending()) thread.kick();
  }
  notify(event: ProcessorEvent, page: number): void {
    const latches = this.#latches;
    this.#looks = true;
    this.#block?.stop();
    if (this.#place.chip?.isBorrowed === true && event !== 'nmi') return void this.#place.chip.send(this.#place.index, event === 'init' ? INIT_COMMAND : STARTUP_COMMAND | (page & 0xff));
    if (event === 'nmi') {
      this.#nmi = this.#apic === null;
      this.#place.thread?.stop();
      this.#fd.call('KVM_NMI', 0);
    } else if (event === 'init') {
      latches.init = true;
      latches.startPage = -1;
      this.#place.thread?.kick();
    } else if (event === 'startup' && (latches.waitsForStartup || latches.init)) latches.startPage = page & 0xff;
  }
  stopAfter(instructions: number): void {
    const { threads, leastNanos } = this.#place;
    if (threads !== null) return threads.stopAfter(instructions === 0 ? 0 : Math.max(instructions * NANOS_PER_INSTRUCTION, leastNanos) / MILLION);
    if (this.#begin < 0) return;
    this.#block?.stop();
    if (instructions > 0) {
      const nanos = Math.max(instructions * NANOS_PER_INSTRUCTION, this.#place.leastNanos);
      const end = milliseconds() + nanos / MILLION;
      if (end >= this.#end) return;
      this.#end = end;
      this.#place.kick.after(nanos);
      return;
    }
    this.#requested = true;
    this.#leaving = true;
    this.#u8[IMMEDIATE] = 1; // what is under way is finished, and no more
  }

  reset(): void { this.park(); this.#reset(); }
  #reset(): void {
    const { interrupts } = this.#surroundings;
    const isFirst = !interrupts.readModelRegister(MSR_APIC_BASE) || (interrupts.low & APIC_BASE_BSP) !== 0;
    this.#latches = { ...newLatches(), waitsForStartup: !isFirst, halted: !isFirst };
    this.#enter(resetFields(this.#place.model));
  }
  /** Puts the processor into a state at the entry of a program. */
  loadBootState(entry: EntryState): void {
    this.reset();
    this.#enter(entryFields(entry, this.#place.model));
  }
  save(): Plain {
    this.park();
    return saveProcessor({ fields: this.#fields(), latches: this.#latches, retired: this.#retired });
  }
  /** Throws TypeError or RangeError. */
  load(saved: Plain, _fresh: boolean): void {
    this.park();
    const { fields, latches, retired } = readProcessor(saved, this.#place.model);
    if (this.#place.counterHz !== 1e9) this.#surroundings.log('warn', `processor ${this.#place.index}: its time-stamp counter runs at ${this.#place.counterHz / MILLION} MHz here, and guests of the software engine know it at 1000; this host cannot scale it`);
    this.#latches = latches;
    this.#retired = retired;
    try {
      this.#enter(fields);
    } catch (cause) {
      throw new RangeError(`the processor refuses the state: ${(cause as Error).message}`, { cause });
    }
  }

  // ---- Registers -----------------------------------------------------------------------------------------------------------

  #fields(): ProcessorFields {
    this.#block?.settle();
    const fields = readFields(this.#fd, this.#hasXcr());
    const { wide, rows } = fields;
    const { memory, offsetOf } = { memory: this.#surroundings.ram.memory, offsetOf: (gpa: number) => this.#surroundings.ram.offsetOf(gpa) };
    wide.tscOffset = BigInt(this.#counter.readHeld()) - BigInt(Math.floor(this.#surroundings.now()));
    wide.miscEnable = this.registers.misc;
    wide.random = this.#random;
    const isPae = (wide.cr0 & BigInt(CR0_PG >>> 0)) !== 0n && (wide.cr4 & BigInt(CR4_PAE)) !== 0n && (wide.efer & BigInt(EFER_LMA)) === 0n;
    const table = offsetOf(Number(wide.cr3 & 0xffff_ffe0n));
    if (isPae && table >= 0) rows.directoryPointers.set(new Uint8Array(memory.buffer, table, 32));
    return fields;
  }
  #enter(fields: ProcessorFields): void {
    this.#placeMemory(); // page tables are looked at when control registers are set
    this.#block?.forget();
    writeFields(this.#fd, fields, { apicBase: this.#apicBase(), priority: this.#surroundings.interrupts.priority, hasXcr: this.#hasXcr() });
    this.registers.misc = fields.wide.miscEnable;
    this.#random = fields.wide.random;
    this.#u8[READY] = 0;
    this.#u8[IF_FLAG] = (fields.rflags & FLAG_IF) === 0 ? 0 : 1;
    this.#nmi = fields.nmi;
    this.#counter.write(BigInt.asIntN(64, BigInt(Math.floor(this.#surroundings.now())) + fields.wide.tscOffset));
    this.#placed = false; // a loader may come and say which pages are read-only
  }
  #hasXcr(): boolean { return this.#place.model.features.has('xsave'); }
  #apicBase(): bigint {
    const { interrupts } = this.#surroundings;
    return interrupts.readModelRegister(MSR_APIC_BASE) ? (BigInt(interrupts.high >>> 0) << 32n) | BigInt(interrupts.low >>> 0) : 0xfee0_0900n;
  }
  #placeMemory(): void {
    const window = this.#apic === null ? this.#surroundings.interrupts.window() : -1;
    this.#place.slots.update(window, () => this.#place.threads?.stopAll());
    this.#answers.window = window;
    this.#placed = true;
  }
  #initialize(): void {
    const { startPage } = this.#latches; // of a message that came behind INIT
    const fields = initFields(this.#fields(), this.#place.model);
    this.#reset();
    this.#latches.startPage = startPage;
    this.#enter(fields);
  }
  #startUp(): void {
    const fields = this.#fields();
    beginAt(fields, this.#latches.startPage);
    this.#enter(fields);
    Object.assign(this.#latches, { startPage: -1, waitsForStartup: false, halted: false });
  }

  // ---- What devices and people may ask --------------------------------------------------------------------------------------

  /** Waits, and only an NMI, a reset or another processor could end that. */
  get isStuck(): boolean {
    const { halted, init, startPage } = this.#latches;
    return halted && !init && startPage < 0 && !this.#nmi && this.#u8[IF_FLAG] === 0;
  }
  get shutDownOnPurpose(): boolean { return this.#latches.deliberate; }
  get missing(): ReadonlyMap<string, number> { return this.registers.missing; }
  ripText(): string {
    this.#still();
    const { wide, segments } = readFields(this.#fd, this.#hasXcr());
    return `${segments.cs.selector.toString(16)}:${BigInt.asUintN(64, wide.rip).toString(16).padStart(16, '0')}`;
  }
  /** Its registers, for people; between runs. */
  describe(): string { this.#still(); return describeFields(this.#fields()); }
  /** Registers as a saved machine has them; between runs. */
  inspect(): ProcessorFields { this.#still(); return this.#fields(); }

  /** KVM answers nothing about a processor as long as it is in the guest. It goes on with the next run. */
  #still(): void { if (!this.#fd.isClosed) this.#place.thread?.stop(); }

  /** `struct kvm_regs` and `struct kvm_sregs` as the kernel has them; between runs. */
  kernelState(): Uint8Array {
    this.#still();
    const bytes = new Uint8Array(REGS.bytes + SREGS.bytes);
    bytes.set(new Uint8Array(this.#fd.read('KVM_GET_REGS', REGS.bytes).buffer));
    bytes.set(new Uint8Array(this.#fd.read('KVM_GET_SREGS', SREGS.bytes).buffer), REGS.bytes);
    return bytes;
  }

  *counts(): Generator<readonly [name: string, count: number]> {
    yield ['interrupts', this.#entry.count];
    yield ['kicks', this.#signals];
    if (this.#block !== null) for (const [name, count] of this.#block.counts()) yield [`compound.${name}`, count];
    for (const [reason, count] of this.#exits.entries()) if (count > 0) yield [`exits.${EXIT_NAMES[reason]}`, count];
  }
}
