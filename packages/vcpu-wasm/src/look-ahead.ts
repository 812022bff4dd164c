/**
 * Finishes the instructions behind a trap with the interpreter itself, on the processor itself.
 *
 * While a block runs, no translation answers in generated code, so every access to memory comes here: RAM that the TLB knows is read and
 * written (what was there before is kept), device registers go to the list, and whatever else an instruction wants ends the block before
 * it. When a device answers early, the processor goes back to its last checkpoint and does again what the device has done, with the
 * answers that are there.
 */
import { FLAG_DF, FLAG_IOPL, RCX } from '@vm/x86';
import type { Size } from '@vm/core';
import type { AccessQueue, IoBus } from '@vm/core/engine';
import { type CompoundOptions, ENDED_BACK, ENDED_BUDGET, ENDED_COUNT, ENDED_EVENT, ENDED_INSTRUCTION, ENDED_TRAP, type Ending, type Executor, type Limits, TrapCompound } from '@vm/trap-compound';
import { Checkpoint } from './checkpoint.ts';
import * as state from './cpu-state.ts';
import type { GuestFault } from './guest-fault.ts';
import { DevicePage } from './device-page.ts';
import type { EngineImports } from './runtime.ts';
import type { LookAheadHost, LookAheadProcessor, LookAheadReach } from './look-ahead-host.ts';
import { LONGEST_TURN, StandingLoop } from './standing-loop.ts';
import type { StateView } from './state-view.ts';
import { CHECK_PORT, CPUID, FLAGS_ATTENTION, INTERRUPT_SHADOW } from './system-call.ts';
import { NO_TAG } from './tlb.ts';

const MOST_REPEATS = 10_000; // entries of generated code until all answers are taken
/** In units of an exit to TypeScript, rounded: `npm run bench -- exits` measures them. */
const WEIGHTS = { handoff: 200, block: 8, trap: 2, between: 0.25 };

export type { LookAheadHost };

/** Thrown through generated code: the instruction is not done in a block. */
const STOP = { name: 'end of a block' };

export class LookAhead implements Executor {
  readonly compound: TrapCompound;
  done = 0;
  trapped = false;
  /** Limits of the block that begins behind the present instruction; null: there is none. */
  wanted: Limits | null = null;
  #key = 0;
  #active = false;
  #back = false;
  /** The instruction has not begun: no budget is to be given back. */
  #fetching = false;
  #stops = false;
  /** Nothing may come behind the present instruction. */
  #over = false;
  #tag = 0;
  /** Retired when the block began. */
  #begun = 0;
  /** The rest of the budget was left out. */
  #polled = false;
  readonly #loop: StandingLoop;
  // Linear address that the present instruction is about to change, in RAM.
  #target = 0;
  /** Elements whose values are there already. */
  #due = 0;
  readonly #page = new DevicePage();
  #low = 0;
  #high = 0;
  #accessAt = -1;
  /** What may be reached although the TLB does not know it; null: nothing. */
  readonly #reach: LookAheadReach | null;
  readonly #checkpoint: Checkpoint;
  readonly #s: StateView;
  readonly #processor: LookAheadProcessor;
  readonly #fault: GuestFault;
  readonly #host: LookAheadHost;
  #pio: IoBus | null = null;
  #mmio: IoBus | null = null;

  constructor(processor: LookAheadProcessor, fault: GuestFault, compound: CompoundOptions | TrapCompound, host: LookAheadHost, reach: LookAheadReach | null = null) {
    this.#reach = reach;
    this.#s = processor.state;
    this.#processor = processor;
    this.#fault = fault;
    this.compound = compound instanceof TrapCompound ? compound : new TrapCompound(compound, WEIGHTS);
    this.#host = host;
    this.#checkpoint = new Checkpoint(this.#s);
    this.#loop = new StandingLoop(this.#s);
  }

  // ---- Outside of blocks ------------------------------------------------------------------------------------------------------

  /** The buses as the processor uses them: traps are noted, and a write that begins a block waits for what follows it. */
  watch(pio: IoBus, mmio: IoBus): [pio: IoBus, mmio: IoBus] {
    this.#pio = pio;
    this.#mmio = mmio;
    return [this.#watched(pio, false), this.#watched(mmio, true)];
  }
  #watched(bus: IoBus, isMemory: boolean): IoBus {
    const { compound, compound: { list, polls } } = this;
    return {
      read: (address, size) => {
        if (compound.paysAlone || bus.queues !== 0 || !list.isEmpty) {
          if (list.answers > 0) return this.#answer(false, address, size, 0);
          this.#note(isMemory, address);
          this.#flushNow();
        } else compound.traps++;
        const value = bus.read(address, size);
        if (polls?.read(this.#s.get(state.CURRENT_UOP), value) === true && bus.isSteady?.(address, size) === true) this.#want(LONGEST_TURN, isMemory, address);
        return value;
      },
      write: (address, size, value) => {
        polls?.write();
        if (!compound.paysAlone && bus.queues === 0 && list.isEmpty) {
          compound.traps++;
          return bus.write(address, size, value);
        }
        if (list.answers > 0) return void this.#answer(true, address, size, value);
        const begins = this.#note(isMemory, address);
        this.#flushNow();
        const queue = begins ? this.#queueOf(bus, address, size) : null;
        if (queue === null) bus.write(address, size, value);
        else list.put(bus, queue, true, address, size, value, this.#host.now());
      },
      readWide: (address, bytes, into) => {
        this.#flushNow();
        bus.readWide(address, bytes, into);
      },
      writeWide: (address, bytes, from) => {
        this.#flushNow();
        bus.writeWide(address, bytes, from);
      },
    };
  }

  /** True: a block begins behind this instruction. HOT. */
  #note(isMemory: boolean, address: number): boolean {
    const key = this.#s.get(state.CURRENT_UOP) >>> 5;
    const limits = this.compound.trapped(key);
    if (limits === null || this.wanted !== null) return false;
    this.#key = key;
    this.#want(limits, isMemory, address);
    return true;
  }
  #want(limits: Limits, isMemory: boolean, address: number): void {
    this.wanted = limits;
    if (isMemory) this.#page.aim(this.#low, this.#high, address);
    else this.#page.forget();
    this.#host.leave();
  }

  /** A write that waits is made, because another access comes. */
  #flushNow(): void {
    const { list } = this.compound;
    if (list.waiting === 0) return;
    list.flush(this.#host.now());
    list.commit();
  }

  #answer(isWrite: boolean, address: number, size: Size, value: number): number {
    const { list } = this.compound;
    const answer = list.answer(isWrite, address, size, value);
    if (list.answers === 0) this.#host.leave();
    return answer;
  }

  /** After the instruction that trapped. `able`: the processor may go on. */
  finish(able: boolean): void {
    const limits = this.wanted!;
    if (!able) this.#flushNow();
    else if (limits === LONGEST_TURN) this.#waitOut();
    else this.compound.finish(this.#key, limits, this);
    this.wanted = null;
  }

  /** Does what follows a trap at `key` that another engine has had. */
  finishFor(key: number, limits: Limits): void {
    this.wanted = limits;
    this.#page.forget();
    this.compound.finish(key, limits, this);
    this.wanted = null;
  }

  /** What is left of the budget was used up by a loop that asks a device, since this was last asked. */
  takePolled(): boolean { return this.#polled && !(this.#polled = false); }

  /** A device wants the processor to stop, after the present instruction if `now`. */
  noteStop(now: boolean): void {
    this.#over = true;
    if (now) this.#stops = true;
  }

  /** The processor stands behind a read that gave what it gave before: turns of a loop that changes nothing are counted, as many as fit the budget. */
  #waitOut(): void {
    const s = this.#s;
    const polls = this.compound.polls!;
    this.begin();
    const turn = this.#loop.turn(this);
    const stands = this.end();
    const left = s.get(state.BUDGET) + s.get(state.BUDGET_HELD);
    if (!stands || left === 0 || (turn > 0 && this.#host.isEventful())) return;
    if (turn === 0) return polls.miss();
    polls.found(left - (left % turn));
    s.set(state.BUDGET, 0);
    s.set(state.BUDGET_HELD, left % turn);
    this.#polled = true;
  }

  // ---- Executor ---------------------------------------------------------------------------------------------------------------

  begin(): void {
    const s = this.#s;
    this.#tag = s.get(state.DATA_TAG);
    s.set64(state.DATA_TAG, NO_TAG, 0);
    s.set(state.SHADOW_READ_NEED, 0);
    s.set(state.SHADOW_WRITE_NEED, 0);
    this.#back = false;
    this.#due = 0;
    this.#stops = false;
    this.#over = false;
    this.#accessAt = -1;
    this.#checkpoint.take(this.#host.retired());
    this.#begun = this.#checkpoint.retired;
    this.compound.list.begin();
    this.#active = true;
    this.#s.set(state.LEVEL_ASKS, 1);
  }

  run(most: number): Ending {
    const s = this.#s;
    const host = this.#host;
    const left = s.get(state.BUDGET) + s.get(state.BUDGET_HELD);
    const count = Math.min(most, left);
    const before = host.retired();
    this.done = 0;
    this.trapped = false;
    if (count === 0) return ENDED_BUDGET;
    s.set(state.BUDGET, count);
    s.set(state.BUDGET_HELD, left - count);
    const stopped = this.#enter();
    this.done = host.retired() - before;
    if (this.#back) return ENDED_BACK;
    if (stopped) return ENDED_INSTRUCTION;
    if (this.#over || host.isEventful()) return ENDED_EVENT;
    return this.trapped ? ENDED_TRAP : this.done < count ? ENDED_EVENT : ENDED_COUNT;
  }

  /** True: the next instruction is not done in a block. */
  #enter(): boolean {
    const s = this.#s;
    this.#fetching = false;
    try {
      this.#host.enter();
      return false;
    } catch (error) {
      if (error !== STOP && error !== this.#fault) throw error;
      s.set64(state.CR2, this.#checkpoint.word(state.CR2), this.#checkpoint.word(state.CR2 + 4));
      if (this.#processor.code.fetching || this.#fetching) {
        this.#processor.code.fetching = false;
        return true;
      }
      s.set(state.BUDGET_HELD, s.get(state.BUDGET_HELD) + 1);
      this.#host.syncRip();
      // Half done: only from the checkpoint on can it be done again.
      if (s.get(state.REPEATED) !== 0 || this.#accessAt === this.#host.retired()) this.#back = true;
      return true;
    }
  }

  end(): boolean {
    const { list } = this.compound;
    // Answers that are left are taken by the instructions that have asked for them.
    if (this.#due > 0 || !list.flush(this.#host.now()) || (list.told && this.#accessAt + 1 !== this.#host.retired())) this.#back = true;
    this.#active = false;
    const stands = !this.#back;
    const pending = this.#s.get(state.EVENT_PENDING);
    if (!stands) this.#goBack();
    this.#processor.memory.tlb.updateTags();
    if (!stands) {
      this.#repeat();
      // What is pending is so only from the last access on: an STI before it saw nothing.
      if (pending !== 0) this.#s.set(state.EVENT_PENDING, pending);
    }
    list.commit();
    return stands;
  }

  // ---- Going back ---------------------------------------------------------------------------------------------------------------

  #goBack(): void {
    this.#checkpoint.restore();
    this.#s.set(state.PAUSED, 0);
    this.#host.rewind(this.#checkpoint.retired);
  }

  /** Does again what the devices have done already. */
  #repeat(): void {
    const { list } = this.compound;
    for (let i = 0; list.answers > 0; i++) {
      if (i === MOST_REPEATS) throw new Error('a block does not come to where a device has answered');
      this.#host.rewind(this.#host.retired());
      this.#host.enter();
    }
    if (this.#stops) this.#host.stop();
  }

  // ---- What instructions of a block do ------------------------------------------------------------------------------------------

  /** The functions that generated code calls. */
  imports(plain: EngineImports): EngineImports {
    const outside = <Arguments extends readonly number[], Result>(otherwise: (...given: Arguments) => Result) => (...given: Arguments): Result => {
      if (this.#active) throw STOP;
      return otherwise(...given);
    };
    return {
      ...plain,
      slowLoad: (low, high, size) => {
        if (this.#active) return this.#load(low >>> 0, high >>> 0, size, state.READ_TLB);
        this.#low = low;
        this.#high = high >>> 0;
        plain.slowLoad(low, high, size);
      },
      slowLoadForUpdate: (low, high, size) => {
        if (this.#active) return this.#load(low >>> 0, high >>> 0, size, state.WRITE_TLB);
        this.#low = low;
        this.#high = high >>> 0;
        plain.slowLoadForUpdate(low, high, size);
      },
      slowStore: (low, high, size) => {
        if (this.#active) return this.#store(low >>> 0, high >>> 0, size);
        this.#low = low;
        this.#high = high >>> 0;
        plain.slowStore(low, high, size);
      },
      resolve: () => {
        if (!this.#active) return plain.resolve();
        this.#fetching = true;
        if (!this.#knowsCode()) throw STOP;
        this.#fetching = false;
        return plain.resolve();
      },
      crossPage: (check) => {
        if (this.#active) {
          this.#host.syncRip();
          this.#fetching = true;
          throw STOP;
        }
        return plain.crossPage(check);
      },
      raise: outside(plain.raise),
      unknown: outside(plain.unknown),
      system: (id, at) => {
        if (!this.#active) return plain.system(id, at);
        if (id === CHECK_PORT && this.#mayUsePorts()) return 0;
        // A direct call that depends on nothing but registers.
        if (id === CPUID) return plain.system(id, at);
        // These two alone come when the flags have changed already: the instruction is done, and the block with it.
        if (id !== INTERRUPT_SHADOW && id !== FLAGS_ATTENTION) throw STOP;
        this.#over = true;
        return plain.system(id, at);
      },
      now: (id) => (this.#active ? NaN : plain.now(id)),
      portIn: (port, bytes) => {
        if (!this.#active) return plain.portIn(port, bytes);
        if (!this.#mayUsePorts()) throw STOP;
        return this.#readDevice(this.#pio!, port, bytes as Size) | 0;
      },
      portOut: (port, bytes, value) => {
        if (!this.#active) return plain.portOut(port, bytes, value);
        if (!this.#mayUsePorts()) throw STOP;
        this.#writeDevice(this.#pio!, port, bytes as Size, bytes === 4 ? value >>> 0 : value & (bytes === 2 ? 0xffff : 0xff));
      },
    };
  }

  /** Without a look at the permission bitmap, which lies in memory. */
  #mayUsePorts(): boolean {
    const cpl = this.#s.get(state.CPL);
    return cpl === 0 || (cpl <= (this.#s.get(state.FLAGS_OTHER) & FLAG_IOPL) >> 12 && !this.#processor.segments.isVirtual8086());
  }

  /** RIP leads to a page that instructions are fetched from already. */
  #knowsCode(): boolean {
    const s = this.#s;
    const rip = s.get(state.RIP);
    const long = this.#processor.segments.is64Bit();
    if (!long && rip > s.limit(state.CS)) return false;
    const low = long ? rip : (s.base(state.CS) + rip) >>> 0;
    if (this.#reach !== null) return this.#reach.code(low, long ? s.high(state.RIP) : 0);
    return this.#processor.memory.tlb.find(state.FETCH_TLB, low, long ? s.high(state.RIP) : 0, s.get(state.FETCH_TAG)) >= 0;
  }

  /** Where the address lies in RAM; -1: it does not, or nobody may know. */
  #find(tlb: typeof state.READ_TLB | typeof state.WRITE_TLB, low: number, high: number): number {
    const found = this.#processor.memory.tlb.find(tlb, low, high, this.#tag);
    return found >= 0 || this.#reach === null || this.#page.find(low, high) >= 0 ? found : this.#reach.data(tlb, low, high, this.#tag, this.#page);
  }
  #load(low: number, high: number, size: number, tlb: typeof state.READ_TLB | typeof state.WRITE_TLB): void {
    const s = this.#s;
    const bytes = size & ~state.ANY_ALIGNMENT;
    if ((low & 4095) + bytes > 4096) throw STOP;
    const from = this.#find(tlb, low, high);
    const to = s.at + state.VALUE;
    if (from >= 0) {
      this.#target = low;
      if (bytes < 8) s.set64(state.VALUE, 0, 0);
      s.u8.copyWithin(to, from, from + bytes);
      return;
    }
    const address = this.#page.find(low, high);
    if (tlb === state.WRITE_TLB || bytes > 4 || address < 0) throw STOP;
    s.set64(state.VALUE, this.#readDevice(this.#mmio!, address, bytes as Size), 0);
  }

  #store(low: number, high: number, size: number): void {
    const s = this.#s;
    const bytes = size & ~state.ANY_ALIGNMENT;
    if ((low & 4095) + bytes > 4096) throw STOP;
    const to = this.#find(state.WRITE_TLB, low, high);
    const from = s.at + state.VALUE;
    if (to >= 0) {
      if (this.#checkpoint.isFull) throw STOP;
      // A device that looks at RAM has to find what was there when it was asked.
      if (this.compound.list.isForMemory) this.#alone();
      if (this.#checkpoint.store(to, from, bytes)) this.#loop.disturb();
      return;
    }
    const address = this.#page.find(low, high);
    if (bytes > 4 || address < 0) throw STOP;
    const value = bytes === 4 ? s.get(state.VALUE) : s.get(state.VALUE) & (bytes === 2 ? 0xffff : 0xff);
    this.#writeDevice(this.#mmio!, address, bytes as Size, value);
  }

  #readDevice(bus: IoBus, address: number, size: Size): number {
    const { list } = this.compound;
    if (this.#due > 0) return this.#take(address, size);
    const queue = this.#queueOf(bus, address, size);
    let value: number;
    const count = queue === null || bus === this.#mmio ? 1 : this.#repeats(queue, size);
    if (count > 1) {
      this.#ask(bus, queue!, address, size, count);
      return this.#take(address, size);
    }
    if (queue === null) {
      this.#alone();
      value = bus.read(address, size);
    } else {
      this.#put(bus, queue, false, address, size, 0);
      if (!list.flush(this.#host.now())) this.#giveUp();
      value = list.newest;
      this.#commit(); // what was made before cannot be asked for again
    }
    if (!this.#loop.isTried) this.#over ||= this.compound.polls?.read(this.#s.get(state.CURRENT_UOP), value) === true; // tried at its next turn
    else if (bus.isSteady?.(address, size) !== true) this.#loop.disturb();
    list.noteMade(false, address, size, value);
    this.#noteTrap();
    return value;
  }

  /** Elements that a REP INS is sure to do within the block, this one among them: their stores cannot fault. */
  #repeats(queue: AccessQueue, size: Size): number {
    const s = this.#s;
    if (s.get(state.REPEATED) === 0 || (s.get(state.FLAGS_OTHER) & FLAG_DF) !== 0) return 1;
    if (!this.#processor.segments.is64Bit() && (s.base(state.ES) !== 0 || s.limit(state.ES) !== 0xffff_ffff)) return 1;
    // The low half of the count is right for every size of addresses, or too small.
    return Math.min(s.gpr(RCX) & 0xffff, Math.floor((4096 - (this.#target & 4095)) / size), this.wanted!.window - (this.#host.retired() - this.#begun), s.get(state.BUDGET) + s.get(state.BUDGET_HELD) + 1, this.compound.list.mostOf(queue));
  }

  /** Reads the same register so many times in one hand-over, each at the time of its element. */
  #ask(bus: IoBus, queue: AccessQueue, address: number, size: Size, count: number): void {
    const s = this.#s;
    const { list } = this.compound;
    this.#alone();
    const [budget, held] = [s.get(state.BUDGET), s.get(state.BUDGET_HELD)];
    s.set(state.BUDGET, 0);
    let now = 0;
    for (let i = 0; i < count; i++) {
      s.set(state.BUDGET_HELD, budget + held - i);
      now = this.#host.now();
      list.put(bus, queue, false, address, size, 0, now);
    }
    s.set(state.BUDGET, budget);
    s.set(state.BUDGET_HELD, held);
    if (!list.flush(now) || list.told) this.#giveUp();
    this.#due = count;
  }
  #take(address: number, size: Size): number {
    const { list } = this.compound;
    const value = list.answer(false, address, size, 0);
    if (--this.#due === 0) {
      this.#commit(); // what was made before cannot be asked for again
      list.noteMade(false, address, size, value);
    }
    this.#noteTrap();
    return value;
  }

  #writeDevice(bus: IoBus, address: number, size: Size, value: number): void {
    const queue = this.#queueOf(bus, address, size);
    this.#loop.disturb();
    this.compound.polls?.write();
    if (queue === null) {
      this.#alone();
      bus.write(address, size, value);
      this.compound.list.noteMade(true, address, size, value);
    } else this.#put(bus, queue, true, address, size, value);
    this.#noteTrap();
  }

  #queueOf(bus: IoBus, address: number, size: Size): AccessQueue | null {
    return this.compound.handoff === 'list' ? (bus.queue?.(address, size) ?? null) : null;
  }

  #put(bus: IoBus, queue: AccessQueue, isWrite: boolean, address: number, size: Size, value: number): void {
    const { list } = this.compound;
    // What a device stores must not be undone with what the program has stored.
    if (!list.takes(queue) || (queue.sharesMemory && this.#checkpoint.hasStores)) this.#alone();
    list.put(bus, queue, isWrite, address, size, value, this.#host.now());
  }

  /** Nothing waits any more, and nothing before this instruction is ever done again. */
  #alone(): void {
    const { list } = this.compound;
    if (!list.flush(this.#host.now()) || list.told) this.#giveUp();
    this.#commit();
  }
  /** The processor goes back to the beginning of this instruction at most. */
  #commit(): void {
    this.compound.list.commit();
    this.#host.syncRip();
    this.#checkpoint.take(this.#host.retired());
  }
  #giveUp(): never {
    this.#back = true;
    throw STOP;
  }

  #noteTrap(): void {
    this.trapped = true;
    this.#accessAt = this.#host.retired();
    this.#host.leave();
  }
}
