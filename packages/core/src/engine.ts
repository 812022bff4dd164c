/** What an engine gives to a machine, and what it gets from it: types only. */
import type { Clock, Gpa, LogLevel, Nanos, Plain, Size } from './abi.ts';
import type { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_PAUSE, EXIT_POLL, EXIT_REQUEST, EXIT_SHUTDOWN } from './exit.ts';

export type ExitCode = typeof EXIT_BUDGET | typeof EXIT_HALT | typeof EXIT_SHUTDOWN | typeof EXIT_REQUEST | typeof EXIT_FAIL | typeof EXIT_PAUSE | typeof EXIT_POLL;

/** The part of `WebAssembly.Memory` that core needs; core has no DOM library. */
export interface LinearMemory {
  readonly buffer: ArrayBufferLike;
}
/** `bytes` of RAM at guest-physical `gpa` lie at `offset` of the linear memory. All three are multiples of 4096. */
export interface RamRange {
  readonly gpa: Gpa;
  readonly offset: number;
  readonly bytes: number;
}
/** Told of stores to pages that carry one of the bits it asked for. `offset` is one of the linear memory. */
export interface RamWatcher {
  written(offset: number, bytes: number): void;
}
/**
 * Guest RAM. The machine owns it, engines borrow it. The linear memory never grows.
 *
 *   0 ........ attributesOffset ......... base .............. base + bytes
 *   | reserve of the engine | a byte a page | ranges, low then high; firmware |
 */
export interface Ram {
  readonly memory: LinearMemory;
  readonly base: number; // offset of the first byte of RAM
  readonly bytes: number; // with the firmware that may come behind the ranges
  readonly ranges: readonly RamRange[]; // ascending in gpa and in offset
  readonly attributesOffset: number; // attribute byte of a page: attributesOffset + ((offset - base) >>> 12)
  /** Offset of `gpa` in the linear memory, -1 where there is no RAM. */
  offsetOf(gpa: Gpa): number;
  watch(mask: number, watcher: RamWatcher): void;
  /** The choke point of write notification: call it after a store to a page whose attribute byte is not 0. */
  written(offset: number, bytes: number): void;
}

/** An address space as a processor uses it. Nothing here throws; no answer is all-ones. */
export interface IoBus {
  read(address: number, size: Size): number;
  write(address: number, size: Size, value: number): void;
  /** Accesses of 8 bytes and more, little endian from offset 0 of the view. */
  readWide(address: number, bytes: number, into: DataView): void;
  writeWide(address: number, bytes: number, from: DataView): void;
  /** Asked after a read: `IoHandler.isSteady` of whoever has answered; where nobody did it is. */
  isSteady?(address: number, size: Size): boolean;
  /** Claimed regions whose devices take lists. */
  readonly queues?: number;
  /** Who takes accesses of this size at this address in lists; null: they go one by one. */
  queue?(address: number, size: Size): AccessQueue | null;
  /** Puts an access into place `index` of the list of whoever `queue` names, as made at machine time `now`. `value` of a read: 0. */
  enqueue?(index: number, address: number, size: Size, isWrite: boolean, value: number, now: Nanos): void;
}

/** A device that takes many accesses at once, in program order: one in a worker. */
export interface AccessQueue {
  readonly most: number; // accesses in a list
  readonly sharesMemory: boolean; // it may look at RAM
  /**
   * Hands over the first `count`: how many are done, at least 1. It stops behind one that did more than answer and arm timers for later
   * than `until`, the machine time that the processor has reached. Never throws.
   */
  run(count: number, until: Nanos): number;
  /** The last access done of the last list did more than answer, so that what comes after it may be otherwise. */
  readonly told: boolean;
  /** What an access of the list has read. */
  result(index: number): number;
}

/** The interrupt controller of one processor slot (x86: the local APIC), as its processor uses it. */
export interface InterruptPort {
  /** Something is deliverable if the processor has interrupts enabled. May change after `Vcpu.signal()` or a call of this port. */
  isPending(): boolean;
  /** Takes the interrupt: the vector, or -1 when it went away in between. */
  acknowledge(): number;
  /** Guest-physical address of the page of registers, which comes before RAM and devices; -1: none. */
  window(): Gpa;
  readRegister(offset: number, size: Size): number;
  writeRegister(offset: number, size: Size, value: number): void;
  /** Model-specific registers of the controller. True: known, the value is in `low` and `high`. */
  readModelRegister(index: number): boolean;
  readonly low: number;
  readonly high: number;
  /** False: unknown index or forbidden value. */
  writeModelRegister(index: number, low: number, high: number): boolean;
  /** The processor's task priority, 0 to 15 (x86: CR8). */
  priority: number;
  /** What the machine tells of itself to guests that ask for a hypervisor. Absent: there is none to talk to. */
  readonly hypervisor?: HypervisorPort | undefined;
}

/** The side of a hypervisor that guests talk to, for one processor (x86: CPUID leaves from 0x40000000 on, VMCALL and VMMCALL). */
export interface HypervisorPort {
  /** EAX, EBX, ECX and EDX of a leaf from 0x40000000 to 0x4000ffff; null: the engine's own answer. */
  leaf(leaf: number): readonly [number, number, number, number] | null;
  /** `registers`: halves of the 16 general registers, low ones first, changed in place. False: an invalid instruction. */
  call(registers: Uint32Array, privilege: number, mode: 16 | 32 | 64): boolean;
}

/** What an engine may use while its processors run. */
export interface Surroundings {
  readonly ram: Ram;
  readonly pio: IoBus;
  readonly mmio: IoBus;
  readonly interrupts: InterruptPort;
  now(): Nanos;
  log(level: LogLevel, text: string): void;
  wake?(): void; // outside `run`, after EXIT_HALT: the processor has something to do that no interrupt controller has sent it
}

/** Messages that no interrupt controller holds back: non-maskable interrupt, INIT, begin at `page` << 12 after it, forget all translations. */
export type ProcessorEvent = 'nmi' | 'init' | 'startup' | 'flush';

export interface Vcpu {
  /**
   * Runs at most `instructions` and says why it came back. A halted processor with nothing pending comes back with
   * EXIT_HALT at once. Never waits, never runs longer than asked.
   */
  run(instructions: number): ExitCode;
  /** Instructions retired since creation; never falls; also right in the middle of `run`, when a device asks. */
  readonly retired: number;
  /** Something may have become pending: look again at the next instruction boundary. May be called inside and outside `run`. */
  signal(): void;
  notify?(event: ProcessorEvent, page: number): void; // taken at the next instruction boundary; inside and outside `run`
  /** Inside `run`: leave when `instructions` more are retired, or earlier if the budget says so. 0: after the present one. */
  stopAfter(instructions: number): void;
  park?(): void; // outside `run`: the machine stands still from now on; for engines whose guests go on between runs
  /** To the state after a hardware reset. */
  reset(): void;
  /** What the engine counts, by name. */
  counts?(): Iterable<readonly [name: string, count: number]>;
  /** All that the guest can tell apart, while parked. With `load`, or neither. */
  save?(): Plain;
  /** The state is hostile: check, then assign; throws TypeError or RangeError. `fresh`: random numbers begin anew. */
  load?(state: Plain, fresh: boolean): void;
}

/** What an engine's processors save, and the processor that goes on with it: a saved machine runs only where both are equal. */
export interface ProcessorState {
  readonly id: string; // e.g. 'x86'; engines that name the same load each other's
  readonly version: number;
  readonly model: string;
}

export interface Engine<V extends Vcpu = Vcpu> {
  readonly abi: 0;
  readonly id: string; // e.g. 'vm.wasm'
  readonly features: readonly string[]; // 'real-time': it counts no instructions, and is refused the virtual clock
  readonly processorState?: ProcessorState; // absent: machines with this engine cannot be saved
  /** Bytes of linear memory below RAM that this many processors need. */
  reserveBytes(processors: number): number;
  createVcpu(index: number, surroundings: Surroundings): V;
  counts?(): Iterable<readonly [name: string, count: number]>; // what is of no processor alone
  logStores?(): boolean; // from now on it notes the pages of RAM that processors store to; false: it cannot at present. With the next two
  endLog?(): void;
  dirtyPages?(visit: (gpa: Gpa, bytes: number) => void): void; // since it was begun or last asked, neighbours together; between runs
  tearDown(): void;
}

/** The machine's interrupt wiring beyond the pins: made by the composer, because it knows the kind of machine. */
export interface InterruptFabric {
  /** The port of processor slot `index`. */
  port(index: number): InterruptPort;
  /** A message-signalled interrupt. */
  message(address: Gpa, data: number): void;
  /** The `intr` output of the machine's controllers changed. */
  external(high: boolean): void;
  /** At power-up and reset. */
  reset(): void;
  /** Accesses to its registers, by name as devices count theirs. */
  counts?(): Iterable<readonly [name: string, count: number]>;
  /** As those of a device. Its lines and those of the controllers are told after the loading. */
  save?(): Plain;
  load?(state: Plain): void;
}
/** What a fabric gets from the machine. */
export interface FabricServices {
  readonly clock: Clock;
  signal(index: number): void; // interrupts of processor `index` may have become pending
  notify(index: number, event: ProcessorEvent, page: number): void;
  /** Runs an acknowledge cycle on the controllers: a vector, or -1 when none answers. */
  acknowledge(): number;
  /** Tells all controllers that a processor ended `vector`. */
  endOfInterrupt(vector: number): void;
  log(level: LogLevel, text: string): void;
}
