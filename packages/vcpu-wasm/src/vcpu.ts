/** One software processor: the loop around generated code, events and faults. */
import { CR4_OSXSAVE, CR0_PG, CR4_PAE, CR4_PVI, CR4_VME, DR6_BS, DR6_BT, EFER_LMA, FLAG_AC, FLAG_IF, FLAG_RF, FLAG_TF, FLAG_VIF, FLAG_VIP, MSR_APIC_BASE, SELECTOR_ERROR_EXTERNAL, SELECTOR_ERROR_IDT, VECTOR_DB, VECTOR_DF, VECTOR_GP, VECTOR_NMI, VECTOR_PF, VECTORS_WITH_ERROR_CODE } from '@vm/x86';
import type { CpuidContext } from '@vm/x86';
import type { CompoundOptions } from '@vm/trap-compound';
import type { Plain } from '@vm/core';
import type { ExitCode, IoBus, ProcessorEvent, Surroundings, Vcpu } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_PAUSE, EXIT_POLL, EXIT_REQUEST, EXIT_SHUTDOWN } from '@vm/core/exit';
import { CodeFetch } from './code-fetch.ts';
import { ControlRegisters } from './control-registers.ts';
import type { CpuModel } from './cpu-model.ts';
import * as state from './cpu-state.ts';
import { EVENT_EXCEPTION, EVENT_IN, EVENT_INTERRUPT, EVENT_READ, EventLog, LoggedBus } from './event-log.ts';
import { EventLatches } from './event-latches.ts';
import { ExceptionDelivery, isDoubleFault, type Source, SOURCE_EXCEPTION, SOURCE_EXTERNAL, SOURCE_SOFTWARE } from './exception-delivery.ts';
import { FarTransfer } from './far-transfer.ts';
import { FastSystemCall } from './fast-system-call.ts';
import { FlagsRegister } from './flags-register.ts';
import { FxsaveImage } from './fxsave.ts';
import { GuestFault } from './guest-fault.ts';
import { resetForInit } from './kept-by-init.ts';
import { LinearMemory } from './linear-memory.ts';
import { LookAhead, type LookAheadHost } from './look-ahead.ts';
import { MissingFeatures } from './missing-features.ts';
import { ModelRegisters } from './model-registers.ts';
import type { EntryState } from './entry-state.ts';
import { writeEntryState, writeResetState } from './initial-state.ts';
import { DebugRegisters } from './debug-registers.ts';
import type { EngineImports } from './runtime.ts';
import { PHYSICAL_BITS } from './page-walk.ts';
import { NumericError } from './numeric-error.ts';
import { PortPermission } from './port-permission.ts';
import { processorCounts } from './processor-counts.ts';
import type { Interpreters, ProcessorGroup } from './processor-group.ts';
import { type ProcessorParts, readProcessor, saveProcessor, writeProcessor } from './saved-processor.ts';
import { Segmentation } from './segmentation.ts';
import { StateView } from './state-view.ts';
import { SystemFunctions } from './system-functions.ts';
import { TaskSwitch } from './task-switch.ts';
import { TimeStamp } from './time-stamp.ts';
import type { Translator } from './translate/translator.ts';
import { Virtual8086 } from './virtual-8086.ts';
import { XsaveArea } from './xsave.ts';


const APIC_BASE_BSP = 0x100;

const VIRTUAL_INTERRUPT = FLAG_VIF | FLAG_VIP;

export interface VcpuPlace { readonly index: number; readonly at: number; readonly group: ProcessorGroup; readonly unknownInKernel?: (text: string) => void; readonly haltedForGood?: () => void; readonly model: CpuModel; readonly randomSeed: number; readonly compound: CompoundOptions | null }

export class WasmVcpu implements Vcpu {
  readonly state: StateView;
  readonly memory: LinearMemory;
  readonly segments: Segmentation;
  readonly code: CodeFetch;
  readonly flags: FlagsRegister;
  readonly numericError: NumericError;
  readonly #control: ControlRegisters;
  readonly #system: SystemFunctions;
  readonly #delivery: ExceptionDelivery;
  readonly #debug: DebugRegisters;
  readonly #ports: PortPermission;
  readonly #fault = new GuestFault();
  readonly #surroundings: Surroundings;
  readonly #index: number;
  readonly #model: CpuModel;
  readonly #interpreters: Interpreters;
  readonly translator: Translator;
  readonly #group: ProcessorGroup;
  readonly #calls: EngineImports;
  #issued = 0;
  readonly #latch = new EventLatches();
  /** The last instruction entered a handler. */
  #entered = false;
  #stepsByNewFlags = false;
  #taskTrap = false;
  #requested = false;
  /** The last of what passed between this processor and the machine. */
  readonly events: EventLog = new EventLog();
  readonly #pio: IoBus;
  readonly #ahead: LookAhead | null = null;
  readonly #onUnknown: ((text: string) => void) | null;
  /** Events delivered, by vector. */
  readonly exceptions: Uint32Array = new Uint32Array(32);
  interrupts = 0;
  readonly #missing = new MissingFeatures((level, text) => this.#surroundings.log(level, `processor ${this.#index}: ${text}`));

  constructor(place: VcpuPlace, surroundings: Surroundings) {
    const { ram, interrupts } = surroundings;
    let mmio: IoBus = new LoggedBus(surroundings.mmio, this.events, EVENT_READ, () => this.retired);
    this.#pio = new LoggedBus(surroundings.pio, this.events, EVENT_IN, () => this.retired);
    this.#onUnknown = place.unknownInKernel ?? null;
    this.#surroundings = surroundings;
    this.#index = place.index;
    const { group } = place;
    this.#group = group;
    this.#model = place.model;
    this.state = new StateView(ram.memory.buffer, place.at);
    if (place.compound !== null) {
      this.#ahead = new LookAhead(this, this.#fault, place.compound, this.#lookAheadHost());
      [this.#pio, mmio] = this.#ahead.watch(this.#pio, mmio);
    }
    this.memory = new LinearMemory(this.state, ram, mmio, interrupts, this.#fault);
    if (group.shadow !== null) this.memory.useShadow(group.shadow, place.index);
    this.segments = new Segmentation(this.state, this.memory);
    this.numericError = new NumericError(this.state);
    this.#ports = new PortPermission(this.state, this.memory, this.segments);
    this.code = new CodeFetch(this.state, this.memory, this.segments, group.cache, group.handlers);
    this.#debug = new DebugRegisters(this.state, () => this.memory.watchData(this.#debug.hasData ? this.#debug : null, () => this.#attend()), () => this.#attend());
    this.#calls = this.#imports();
    ({ interpreters: this.#interpreters, translator: this.translator } = group.join(this.state, this.#calls, () => this.#latch.isStuck && (this.flags.other() & FLAG_IF) === 0));
    this.flags = new FlagsRegister(this.state, this.#interpreters.long, (flags) => {
      this.memory.tlb.updateTags();
      if ((flags & VIRTUAL_INTERRUPT) === VIRTUAL_INTERRUPT) this.#attend();
    });
    this.#control = new ControlRegisters(this.state, this.memory, this.segments, interrupts, place.model);
    const tasks = new TaskSwitch(this.state, this.memory, this.segments, this.flags, this.#control, this.#fault, {
      debugRegistersChanged: () => this.#debug.update(),
      taskTrap: () => { this.#taskTrap = true; this.#attend(); },
    });
    this.#delivery = new ExceptionDelivery(this.state, this.memory, this.segments, this.flags, tasks, { long: this.#interpreters.long.enterHandler, protected: this.#interpreters.legacy.enterHandler });
    const time = new TimeStamp(this.state, surroundings.now);
    const registers = new ModelRegisters(this.state, this.#control, interrupts, time, place.model);
    this.#system = new SystemFunctions({
      state: this.state, memory: this.memory, segments: this.segments, flags: this.flags, control: this.#control, registers, time,
      transfer: new FarTransfer(this.state, this.memory, this.segments, this.flags, this.#delivery, tasks),
      fast: new FastSystemCall(this.state, this.memory, this.segments, this.flags),
      fxsave: new FxsaveImage(this.state, this.memory),
      xsave: new XsaveArea(this.state, this.memory, this.segments),
      virtual: new Virtual8086(this.state, this.memory, this.segments, this.flags),
    }, {
      halt: () => {
        this.#latch.halted = true;
        if (group.isStuck) place.haltedForGood?.();
      },
      shadow: (traps) => { this.#latch.shadow = true; this.#latch.trapShadow = traps; this.#attend(); },
      attend: () => this.#attend(),
      entered: () => { this.#entered = true; },
      numericErrorGoesOn: () => {
        const goesOn = this.numericError.goesOn();
        if (!goesOn) this.#latch.halted = true;
        return goesOn;
      },
      interruptReturns: () => { this.numericError.handlerReturns(); this.#latch.nmiBlocked = false; if (this.#latch.nmi) this.state.set(state.EVENT_PENDING, 1); },
      stepByNewFlags: () => { this.#stepsByNewFlags = true; },
      debugRegistersChanged: () => this.#debug.update(),
      softwareInterrupt: (vector, isException) => {
        // Cleared before the flags are pushed (SDM vol. 3, section 17.3.1.1).
        this.flags.setOther(this.flags.other() & ~FLAG_RF);
        this.#delivery.deliver(vector, -1, isException ? SOURCE_EXCEPTION : SOURCE_SOFTWARE);
      },
      cpuidContext: () => this.#cpuidContext(),
      hypervisor: () => this.#surroundings.interrupts.hypervisor,
      unknownRegister: (index, write) => this.#missing.noteRegister(index, write),
      checkPort: (port, bytes) => this.#ports.check(port, bytes),
    });
    group.cache.listeners.push({ becameCode: (page) => this.memory.tlb.revokeWritesTo(page), dropped: () => undefined, flushed: () => this.memory.tlb.forgetCode() });
    // Processors of one machine draw different numbers.
    this.state.set64(state.RANDOM, place.randomSeed >>> 0, place.index);
    this.reset();
  }

  #imports(): EngineImports {
    const pio = this.#pio;
    const imports: EngineImports = {
      slowLoad: (low, high, bytes) => this.memory.load(low >>> 0, high >>> 0, bytes),
      slowLoadForUpdate: (low, high, bytes) => this.memory.loadForUpdate(low >>> 0, high >>> 0, bytes),
      slowStore: (low, high, bytes) => this.memory.store(low >>> 0, high >>> 0, bytes),
      slowLinear: (segment, offset, bytes, write) => this.segments.checkAccess(segment, offset >>> 0, bytes, write !== 0),
      resolve: () => this.#resolve(),
      link: (branch) => this.code.link(branch),
      hot: (at) => this.translator.hot(this.state, at), looped: (at) => this.translator.looped(this.state, at),
      stale: (at) => this.code.renew(at),
      crossPage: (check) => this.code.crossPage(check),
      raise: (vector, errorCode) => this.memory.raise(vector, errorCode),
      system: (id, at) => this.#system.run(id, at), now: (id) => this.#system.now(id),
      portIn: (port, bytes) => { this.#ports.check(port, bytes); if (this.#debug.notePort(port, bytes)) this.#attend(); return pio.read(port, bytes as 1 | 2 | 4) | 0; },
      portOut: (port, bytes, value) => { this.#ports.check(port, bytes); if (this.#debug.notePort(port, bytes)) this.#attend(); pio.write(port, bytes as 1 | 2 | 4, bytes === 4 ? value >>> 0 : value & (bytes === 2 ? 0xffff : 0xff)); },
      unknown: (at) => { this.#noteUnknown(at); this.code.raiseUnknown(at); },
    };
    return this.#ahead === null ? imports : this.#ahead.imports(imports);
  }

  #lookAheadHost(): LookAheadHost {
    const s = this.state;
    return {
      enter: () => { try { this.#execute(); } finally { this.#inside = false; } }, syncRip: () => this.#syncRip(), leave: () => this.#leave(), stop: () => this.#refund(),
      retired: () => this.retired, now: () => this.#surroundings.now(), isEventful: () => this.#isEventful(),
      rewind: (retired) => { s.set(state.BUDGET, this.#issued - retired); s.set(state.BUDGET_HELD, 0); },
    };
  }
  #isEventful(): boolean { return this.state.get(state.EVENT_PENDING) !== 0 && (this.#latch.isUrgent || (this.flags.other() & FLAG_IF) !== 0); }

  #resolve(): number {
    const found = this.code.resolve();
    if (this.translator.isEager) this.translator.hot(this.state, found);
    return found;
  }

  // ---- Vcpu ----------------------------------------------------------------------------------------------------------------

  get retired(): number {
    // An instruction that is running is not retired yet, but its budget is gone.
    return this.#issued - this.state.get(state.BUDGET) - this.state.get(state.BUDGET_HELD) - (this.#inside ? 1 : 0);
  }

  run(instructions: number): ExitCode {
    const s = this.state;
    if (this.#latch.shutdown) return EXIT_SHUTDOWN;
    this.#requested = false;
    this.translator.collect();
    this.#issued += instructions;
    s.set(state.BUDGET, instructions);
    s.set(state.BUDGET_HELD, 0);
    // One interrupt at most between two instructions: a guest cannot make deliveries without end, and the ends of runs change nothing.
    const latch = this.#latch;
    for (;;) {
      if (s.get(state.EVENT_PENDING) !== 0 && !latch.shadow && !latch.taken) latch.taken = this.#takeInterrupt();
      if (this.#latch.halted || this.#latch.shutdown) {
        this.#refund();
        return this.#latch.shutdown ? EXIT_SHUTDOWN : EXIT_HALT;
      }
      if (s.get(state.PAUSED) !== 0) {
        s.set(state.PAUSED, 0);
        this.#refund();
        return EXIT_PAUSE;
      }
      const left = s.get(state.BUDGET) + s.get(state.BUDGET_HELD);
      if (left === 0) return this.#ahead?.takePolled() === true ? EXIT_POLL : this.#requested ? EXIT_REQUEST : EXIT_BUDGET;
      // RF holds back breakpoints of instructions: where there are none, it ends now instead of behind the next instruction.
      if (!this.#debug.hasExecution && (this.flags.other() & FLAG_RF) !== 0) this.flags.setOther(this.flags.other() & ~FLAG_RF);
      const flags = this.flags.other();
      const resuming = (flags & FLAG_RF) !== 0;
      if ((this.#debug.hasExecution && !resuming && !this.#latch.trapShadow && !this.#isRepeating && this.#executionBreakpoint())
        || ((flags & VIRTUAL_INTERRUPT) === VIRTUAL_INTERRUPT && this.#virtualInterruptIsDue())) {
        // It counts as an instruction, for the same reason.
        s.set(state.BUDGET, left - 1);
        s.set(state.BUDGET_HELD, 0);
        continue;
      }
      const stepping = (flags & FLAG_TF) !== 0;
      const again = latch.taken && (flags & FLAG_IF) !== 0 && s.get(state.EVENT_PENDING) !== 0;
      const one = this.#latch.shadow || stepping || resuming || again || this.#debug.hasExecution;
      this.#latch.shadow = false;
      this.#latch.trapShadow = false;
      this.#entered = false;
      this.#stepsByNewFlags = false;
      if ((flags & FLAG_AC) !== 0) this.memory.tlb.updateTags();
      s.set(state.BUDGET, one ? 1 : left);
      s.set(state.BUDGET_HELD, one ? left - 1 : 0);
      s.set(state.LEVEL_ASKS, latch.nmiBlocked || this.numericError.ignored ? 1 : 0);
      if (!this.#enter()) {
        this.#refund();
        return EXIT_FAIL;
      }
      if (resuming && !this.#faulted && !this.#entered && !this.#isRepeating) this.flags.setOther(this.flags.other() & ~FLAG_RF);
      this.#debugTraps(stepping);
      latch.taken = false;
      if (this.#ahead !== null && this.#ahead.wanted !== null) this.#ahead.finish(!one && !this.#faulted && this.#mayLookAhead());
    }
  }
  /** The next instruction is a REP that has done some of its elements. */
  get #isRepeating(): boolean {
    const repeated = this.state.get(state.REPEATED);
    return repeated !== 0 && repeated === this.state.get(state.CURRENT_UOP);
  }
  /** VIF and VIP are both set where they count: the monitor has an interrupt for the program (SDM vol. 3, sections 21.3.3.2 and 21.4). */
  #virtualInterruptIsDue(): boolean {
    const control = this.state.get(state.CR4);
    const due = this.segments.isVirtual8086() ? (control & CR4_VME) !== 0 : this.state.get(state.CPL) === 3 && (control & CR4_PVI) !== 0;
    if (due) this.#deliverFault(VECTOR_GP, 0);
    return due;
  }
  /** Instruction breakpoints come before the instruction, as a fault (SDM vol. 3, section 17.3.1.1). */
  #executionBreakpoint(): boolean {
    const s = this.state;
    const long = this.segments.is64Bit();
    const low = long ? s.get(state.RIP) : (s.base(state.CS) + s.get(state.RIP)) >>> 0;
    const bits = this.#debug.executionHits(low, long ? s.high(state.RIP) : 0);
    if (bits === 0) return false;
    this.#debug.report(bits);
    this.#deliverFault(VECTOR_DB, -1);
    return true;
  }
  /** Data and port breakpoints and single-stepping come after the instruction, as traps. */
  #debugTraps(stepping: boolean): void {
    // What MOV SS hit waits for the instruction behind it (SDM vol. 3, section 6.8.3).
    const hits = this.#latch.trapShadow ? 0 : this.#debug.takeHits();
    if (this.#faulted && !this.#taskTrap) return;
    const steps = this.#faulted ? false : this.#stepsByNewFlags ? (this.flags.other() & FLAG_TF) !== 0 : stepping && !this.#entered && !this.#latch.trapShadow;
    const bits = (this.#faulted ? 0 : hits) | (steps ? DR6_BS : 0) | (this.#taskTrap ? DR6_BT : 0);
    this.#taskTrap = false;
    if (bits === 0) return;
    this.#debug.report(bits);
    this.#deliverFault(VECTOR_DB, -1);
  }
  #refund(): void {
    this.#issued -= this.state.get(state.BUDGET) + this.state.get(state.BUDGET_HELD);
    this.state.set(state.BUDGET, 0);
    this.state.set(state.BUDGET_HELD, 0);
  }
  #faulted = false;
  /** Generated code is on the stack. */
  #inside = false;

  /** Runs generated code until it leaves; delivers a fault that ended it. False: the engine itself failed. */
  #enter(): boolean {
    this.#system.longInterpreter = this.segments.is64Bit();
    this.#faulted = false;
    this.#group.enter(this.#calls);
    try {
      this.#execute();
      return true;
    } catch (error) {
      this.#inside = false;
      if (error !== this.#fault) throw error;
      this.#faulted = true;
      if (!this.code.fetching && !this.#fault.ripSet) this.#syncRip();
      this.code.fetching = false;
      this.#fault.ripSet = false;
      this.#deliverFault(this.#fault.vector, this.#fault.errorCode);
      return true;
    }
  }
  /** Who catches what it throws clears `#inside`: a `finally` here would have every fault of the guest thrown twice. */
  #execute(): void {
    this.#inside = true;
    (this.#system.longInterpreter ? this.#interpreters.long : this.#interpreters.legacy).run(this.state.at);
    this.#inside = false;
    this.#syncRip();
  }
  /** RIP of the uop that has not run yet. */
  #syncRip(): void {
    const current = this.state.get(state.CURRENT_UOP);
    if (current !== this.state.at + state.STATIC_UOPS) this.code.setRip(current, this.#system.longInterpreter);
  }

  /** Delivers a fault; a fault in that becomes a double fault or the end (SDM vol. 3, section 6.15, table 6-5). */
  #deliverFault(vector: number, errorCode: number): void {
    let current = vector;
    let code = errorCode;
    for (;;) {
      this.exceptions[current] = (this.exceptions[current] as number) + 1;
      this.events.add(EVENT_EXCEPTION, this.retired, this.state.get(state.RIP), this.state.high(state.RIP), current, code);
      if (this.#tryDeliver(current, ((VECTORS_WITH_ERROR_CODE >> current) & 1) !== 0 ? Math.max(0, code) : -1, SOURCE_EXCEPTION)) return;
      const next = this.#fault.vector;
      if (current === VECTOR_DF) {
        this.#latch.shutdown = true;
        this.#latch.deliberate = vector === VECTOR_GP && (errorCode & (SELECTOR_ERROR_EXTERNAL | SELECTOR_ERROR_IDT)) === SELECTOR_ERROR_IDT && this.state.get(state.IDTR_LIMIT) === 0;
        if (!this.#latch.deliberate) this.#surroundings.log('warn', `processor ${this.#index}: triple fault at ${this.ripText()}`);
        return;
      }
      const double = isDoubleFault(current, next);
      current = double ? VECTOR_DF : next;
      code = double ? 0 : this.#fault.errorCode;
    }
  }
  #tryDeliver(vector: number, errorCode: number, source: Source): boolean {
    try {
      this.#delivery.deliver(vector, errorCode, source, this.#isRepeating);
      this.state.set(state.REPEATED, 0);
      return true;
    } catch (error) {
      if (error !== this.#fault) throw error;
      if (source === SOURCE_EXTERNAL && this.#fault.errorCode >= 0 && this.#fault.vector !== VECTOR_PF) this.#fault.errorCode |= SELECTOR_ERROR_EXTERNAL;
      return false;
    }
  }

  /** True when one was delivered. */
  #takeInterrupt(): boolean {
    const { interrupts } = this.#surroundings;
    if (this.#latch.init) this.#initialize();
    if (this.#latch.waitsForStartup) return this.#start();
    if (this.#latch.nmi && !this.#latch.nmiBlocked) {
      this.#latch.takeNmi();
      this.#take(VECTOR_NMI);
      return true;
    }
    if (!interrupts.isPending()) {
      this.state.set(state.EVENT_PENDING, 0);
      return false;
    }
    if ((this.flags.other() & FLAG_IF) === 0) return false;
    const vector = interrupts.acknowledge();
    if (vector < 0) return false;
    this.#take(vector);
    return true;
  }
  #take(vector: number): void {
    this.#latch.halted = false;
    this.interrupts++;
    this.events.add(EVENT_INTERRUPT, this.retired, 0, 0, vector, -1);
    if (!this.#tryDeliver(vector, -1, SOURCE_EXTERNAL)) this.#deliverFault(this.#fault.vector, this.#fault.errorCode);
  }
  #initialize(): void {
    const { startPage } = this.#latch; // of a message that came behind INIT
    resetForInit(this.state, () => this.reset());
    this.#latch.startPage = startPage;
    this.#control.floatingPointAvailability();
  }
  /** Begins where the start-up message says, when there was one. */
  #start(): false {
    this.state.set(state.EVENT_PENDING, 0);
    const page = this.#latch.takeStartup();
    if (page < 0) return false;
    this.segments.setRealMode(state.CS, page << 8);
    this.state.set64(state.RIP, 0, 0);
    return false;
  }

  signal(): void {
    this.state.set(state.EVENT_PENDING, 1);
    if ((this.flags.other() & FLAG_IF) !== 0) this.#attend();
  }
  notify(event: ProcessorEvent, page: number): void {
    if (event === 'flush') return this.memory.pagingChanged(); // before this processor's next instruction
    this.#latch.note(event, page);
    this.state.set(state.EVENT_PENDING, 1);
    this.#attend();
  }
  #mayLookAhead(): boolean {
    return !this.#latch.isInTheWay && !this.#debug.hasExecution && !this.#debug.hasData && !this.memory.tlb.checksAlignment && !this.#isEventful() && this.state.get(state.BUDGET) + this.state.get(state.BUDGET_HELD) > 0;
  }
  /** Makes generated code come back at the next instruction boundary; the rest of the budget is kept. */
  #attend(): void { this.state.set(state.ATTENTION, 1); this.#leave(); }
  #leave(): void {
    const s = this.state;
    s.set(state.BUDGET_HELD, s.get(state.BUDGET_HELD) + s.get(state.BUDGET));
    s.set(state.BUDGET, 0);
  }
  stopAfter(instructions: number): void {
    const s = this.state;
    this.#ahead?.noteStop(instructions === 0);
    const left = s.get(state.BUDGET) + s.get(state.BUDGET_HELD);
    const after = this.#inside ? Math.max(0, instructions - 1) : instructions; // the present one is among them, and its budget is gone
    s.set(state.ATTENTION, 1);
    if (after >= left) return;
    this.#requested = true;
    this.#issued -= left - after;
    s.set(state.BUDGET_TAKEN, s.get(state.BUDGET_TAKEN) + left - after);
    const leaves = s.get(state.BUDGET_HELD) !== 0; // anyhow
    s.set(state.BUDGET, leaves ? 0 : after);
    if (leaves) s.set(state.BUDGET_HELD, after);
  }

  /** SDM vol. 3, section 9.1.1. */
  reset(): void {
    this.#latch.reset();
    // Only the boot processor goes on after RESET and INIT (SDM vol. 3, section 8.4.1).
    const { interrupts } = this.#surroundings;
    this.#latch.waitsForStartup = interrupts.readModelRegister(MSR_APIC_BASE) && (interrupts.low & APIC_BASE_BSP) === 0;
    this.#latch.halted = this.#latch.waitsForStartup;
    writeResetState(this, this.#model.signature);
    this.memory.forgetTranslations();
    this.#debug.update();
    this.#control.floatingPointAvailability();
  }

  save(): Plain {
    return saveProcessor(this.#parts(), { retired: this.retired, repeating: this.#isRepeating });
  }
  /** Throws TypeError or RangeError. `fresh`: random numbers begin as those of a new processor. */
  load(saved: Plain, fresh: boolean): void {
    const found = readProcessor(saved, this.#model);
    const random = [this.state.get(state.RANDOM), this.state.high(state.RANDOM)] as const;
    this.reset();
    this.#issued = found.retired;
    writeProcessor(this.#parts(), found);
    if (fresh) this.state.set64(state.RANDOM, random[0], random[1]);
  }
  #parts(): ProcessorParts {
    return { state: this.state, flags: this.flags, segments: this.segments, memory: this.memory, control: this.#control, debug: this.#debug, numericError: this.numericError, latches: this.#latch, code: this.code };
  }

  /** After a debug register was written from outside. */
  debugRegistersChanged(): void { this.#debug.update(); }

  /** Puts the processor into a state at the entry of a program; nothing in memory is looked at. */
  loadBootState(entry: EntryState): void {
    this.reset();
    writeEntryState(this, entry);
    const s = this.state;
    if ((s.get(state.CR0) & CR0_PG) !== 0 && (s.get(state.CR4) & CR4_PAE) !== 0 && (s.get(state.EFER) & EFER_LMA) === 0) this.memory.walk.loadDirectoryPointers(s.get(state.CR3));
    this.memory.forgetTranslations();
    this.#control.floatingPointAvailability();
  }

  // ---- What devices and people may ask --------------------------------------------------------------------------------------

  /**
   * It has shut down because the program wanted it to: an INT instruction with a table of interrupts that has no room for one gate is
   * how systems reset a machine when all else has failed. A fault of the program's own begins with another exception.
   */
  get shutDownOnPurpose(): boolean { return this.#latch.deliberate; }

  ripText(): string {
    return `${this.state.selector(state.CS).toString(16)}:${this.state.high(state.RIP).toString(16).padStart(8, '0')}${this.state.get(state.RIP).toString(16).padStart(8, '0')}`;
  }

  #cpuidContext(): CpuidContext {
    const known = this.#surroundings.interrupts.readModelRegister(0x1b);
    return { model: this.#model, apicId: this.#index, processors: this.#group.processors, apicEnabled: known && (this.#surroundings.interrupts.low & 0x800) !== 0, physicalBits: PHYSICAL_BITS, osxsave: (this.state.get(state.CR4) & CR4_OSXSAVE) !== 0, extendedControl: this.state.get(state.XCR0) };
  }
  /** UD0, UD1 and UD2 are there to be invalid. */
  #noteUnknown(at: number): void {
    const name = this.code.unknownName(at);
    if (this.#onUnknown === null || this.state.get(state.CPL) !== 0 || (this.state.get(state.CR0) & 1) === 0 || /^ud[012]$/.test(name)) return;
    this.#syncRip();
    this.#onUnknown(`${name} at ${this.ripText()}`);
  }
  /** Accesses to registers that do not exist, and instructions without an emitter. */
  get missing(): ReadonlyMap<string, number> { return new Map([...this.#missing.registers, ...this.code.unknown]); }

  /** What this processor counts, by name. */
  *counts(): Generator<readonly [name: string, count: number]> {
    yield* processorCounts(this);
    if (this.#ahead !== null) for (const [name, count] of this.#ahead.compound.counts()) yield [`compound.${name}`, count];
    yield* this.#system.counted();
    if (this.#group.isAlone) yield* this.#group.counts();
  }
}
