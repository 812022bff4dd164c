/** Runs a piece of code on a processor with nothing around it, and answers with all of its state: thousands of times a second. */
import { CR0_AM, CR0_ET, CR0_MP, CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, CR4_PAE, createInstruction, decode, DECODE_OK, EFER_LMA, EFER_LME, EFER_NXE, MAX_INSTRUCTION_BYTES, ROWS, VECTOR_GP, VECTORS_WITH_ERROR_CODE } from '@vm/x86';
import { EXIT_BUDGET, EXIT_HALT } from '@vm/core/exit';
import { AVAILABLE } from './cpu-model.ts';
import * as state from './cpu-state.ts';
import type { SegmentState } from './entry-state.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';
import type { TranslatorMode } from './translate/translator-mode.ts';
import type { WasmVcpu } from './vcpu.ts';
import { readState, REGISTER_NAMES, SEGMENT_REGISTERS, writeState } from './flat-state.ts';
import type { FlatRegisters, FlatState } from './flat-state.ts';
import {
  CODE_32, CODE_64, DATA, FlatPageTables, GDT_LIMIT, PAGE_NO_EXECUTE, PAGE_SUPERVISOR, PAGE_USER, PAGE_USER_READ_ONLY, SELECTOR_CODE, SELECTOR_DATA, SELECTOR_USER_CODE_32,
  SELECTOR_USER_CODE_64, SELECTOR_USER_DATA, USER, writeDescriptors,
} from './flat-tables.ts';

export interface FlatRegion {
  readonly at: bigint | number;
  /** What lies there, or how many zeros. */
  readonly bytes: ArrayLike<number> | number;
  /** With `mapped: 'given'`: stores raise #PF. */
  readonly readOnly?: boolean;
  /** With `mapped: 'given'`: fetches of instructions raise #PF. */
  readonly noExecute?: boolean;
}

export interface FlatRequest {
  readonly code: ArrayLike<number>;
  /** Address of the code and, unless `registers` says otherwise, of the first instruction. */
  readonly at: bigint | number;
  readonly mode: FlatMode;
  /** Privilege level; default 0. In ring 3 HLT faults, and that counts as the stop. */
  readonly ring?: 0 | 3;
  /** Default: general and vector registers 0, RFLAGS 0x202, x87 as after FINIT, MXCSR 0x1f80. */
  readonly registers?: FlatRegisters;
  readonly memory?: readonly FlatRegion[];
  /**
   * `all` (default): the first 16 MiB are RAM, identity-mapped, and so are the regions; in protected mode there is no paging.
   * `given`: there is paging, and everything but the pages of the code and of the regions raises #PF.
   */
  readonly mapped?: 'all' | 'given';
  /** Ends the run before the instruction at this address, where a HLT lies meanwhile. */
  readonly stopAt?: bigint | number;
  /** Instructions; default a million. */
  readonly budget?: number;
}

export interface FlatOutcome {
  /**
   * `halt`: at HLT, RIP behind it. `address`: at `stopAt`. `exception`: RIP and everything else as the handler would find them.
   * `budget`: it was used up. `shutdown`: a triple fault with the code's own descriptor table.
   */
  readonly stop: 'halt' | 'address' | 'exception' | 'budget' | 'shutdown';
  /**
   * Vector of the first exception or software interrupt, or null. In real mode they go through the table at address 0, and
   * the code runs on; in the other modes they end the run, unless the code has loaded a table of its own.
   */
  readonly exception: number | null;
  /** What the exception that ended the run would push; null: nothing. The address of a page fault is `cr2` of the state. */
  readonly errorCode: number | null;
  readonly instructions: number;
}

export interface FlatResult extends FlatState, FlatOutcome {
  /** Memory after the run; good until the next run. What is not mapped reads as all-ones. */
  read(at: bigint | number, bytes: number): Uint8Array;
}

const LOW_BYTES = 16 << 20;
const PAGE = 4096;
const EXTRA_PAGES = (16 << 20) / PAGE;
/**
 * Where the runner's own tables may lie, the first place that nothing is wanted at. The interrupt table, the last page, has no RAM:
 * reading it is how the vector is learnt.
 */
const HIDDEN_PLACES: readonly number[] = [0xfd00_0000, 0xfb00_0000, 0x7d00_0000, 0x3d00_0000];
const HIDDEN_BYTES = 0x100_0000;
/** Linear addresses from here on are mapped to pages of RAM that follow it. */
const IDENTITY_END = 2 ** 39;
const NOWHERE = 2 ** 51;
const FLAT = 0xffff_ffff;
const HLT = 0xf4;
const RFLAGS = 0x202;
const DEFAULT_BUDGET = 1_000_000;
const CR0_PLAIN = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
/** Vectors of the instructions that are software interrupts; `int` has its own in the immediate. */
const SOFTWARE_INTERRUPTS: Readonly<Record<string, number>> = { int3: 3, into: 4, int1: 1 };

export class FlatRunner {
  readonly #machine: FlatMachine;
  readonly #mode: FlatMode;
  readonly #instruction = createInstruction();
  /** What the processor asked the interrupt table for first. */
  #vector = -1;
  #errorCode = -1;
  #tables: FlatPageTables | null = null;
  #nextTable = 0;
  #hidden = 0;
  /** Only what was asked for is mapped. */
  #given = false;
  /** Physical address of each page whose linear address is not the same. */
  readonly #frames = new Map<bigint, number>();

  /** `translator`: default as for engines. */
  constructor(mode: FlatMode, translator?: TranslatorMode) {
    this.#mode = mode;
    const shift = mode === 'long' ? 4 : 3;
    this.#machine = new FlatMachine(mode, {
      processor: { cpuFeatures: [...AVAILABLE], ...(translator === undefined ? {} : { translator }) }, ramBytes: LOW_BYTES, extraPages: EXTRA_PAGES, tables: false,
      read: (address, bytes) => {
        if (address >= this.#interruptTable && address < this.#interruptTable + PAGE) {
          if (this.#vector < 0) this.#noteVector((address - this.#interruptTable) >> shift);
          return 0; // no gate: the processor gives up, and has changed nothing
        }
        return bytes === 4 ? FLAT : bytes === 2 ? 0xffff : 0xff;
      },
    });
  }

  /** An exception is noted before it asks for its gate; a software interrupt is not. */
  #noteVector(vector: number): void {
    const { events, exceptions } = this.vcpu;
    this.#vector = vector;
    if ((exceptions[vector] ?? 0) === 0 || ((VECTORS_WITH_ERROR_CODE >> vector) & 1) === 0) return;
    this.#errorCode = Math.max(0, events.errorCodeOf(vector));
  }

  run(request: FlatRequest): FlatResult {
    this.load(request);
    const outcome = this.execute(request);
    return { ...readState(this.vcpu), ...outcome, read: (at, bytes) => this.read(at, bytes) };
  }

  /** The first half of `run`: puts memory and registers in place. */
  load(request: FlatRequest): void {
    this.#machine.memory.forget();
    this.#frames.clear();
    this.#hidden = this.#findHidden(request);
    this.#prepareTables(request);
    this.#place({ at: request.at, bytes: request.code }, PAGE_USER);
    for (const region of request.memory ?? []) {
      this.#place(region, (region.readOnly === true ? PAGE_USER_READ_ONLY : PAGE_USER) | (region.noExecute === true ? PAGE_NO_EXECUTE : 0));
    }
    this.#enter(request);
  }

  /** The second half: runs, and leaves the state in the processor. */
  execute(request: FlatRequest): FlatOutcome {
    const { vcpu } = this;
    const s = vcpu.state;
    const stopAt = request.stopAt === undefined ? null : addressOf(request.stopAt);
    const covered = stopAt === null ? null : this.#exchange(stopAt, HLT);
    this.#vector = -1;
    this.#errorCode = -1;
    vcpu.exceptions.fill(0);
    const before = vcpu.retired;
    const exit = vcpu.run(request.budget ?? DEFAULT_BUDGET);
    const instructions = vcpu.retired - before;

    let vector = this.#mode === 'real' ? vcpu.exceptions.findIndex((count) => count > 0) : this.#vector;
    let stop: FlatOutcome['stop'] = exit === EXIT_HALT ? 'halt' : exit === EXIT_BUDGET ? 'budget' : vector >= 0 ? 'exception' : 'shutdown';
    let rip = s.view.getBigUint64(s.at + state.RIP, true);
    if (stop === 'exception' && vector === VECTOR_GP && s.get(state.CPL) === 3 && this.read(rip, 1)[0] === HLT) {
      stop = 'halt';
      vector = -1;
      rip = addressOf(rip + 1n);
    }
    if (stop === 'exception' && this.#mode !== 'real') rip = addressOf(rip + BigInt(this.#softwareInterruptBytes(rip, vector)));
    if (stopAt !== null && covered !== null) {
      if (stop === 'halt' && rip + (this.#mode === 'real' ? BigInt(s.base(state.CS)) : 0n) === stopAt + 1n) {
        stop = 'address';
        rip--;
      }
      this.#exchange(stopAt, covered);
    }
    s.view.setBigUint64(s.at + state.RIP, rip, true);
    return { stop, exception: vector < 0 ? null : vector, errorCode: stop === 'exception' && this.#errorCode >= 0 ? this.#errorCode : null, instructions };
  }

  get vcpu(): WasmVcpu { return this.#machine.vcpu; }
  /** A copy of memory; what is not there reads as all-ones. */
  read(at: bigint | number, bytes: number): Uint8Array { return this.#read(addressOf(at), bytes); }

  /** Length of the instruction at `rip` when that is what raised `vector`: handlers find RIP behind it. */
  #softwareInterruptBytes(rip: bigint, vector: number): number {
    const bytes = this.#read(rip, MAX_INSTRUCTION_BYTES);
    if (decode(this.#mode === 'long' ? 64 : 32, bytes, 0, bytes.length, this.#instruction) !== DECODE_OK) return 0;
    const name = ROWS[this.#instruction.row]?.name ?? '';
    return (name === 'int' ? this.#instruction.immediateLow & 0xff : SOFTWARE_INTERRUPTS[name]) === vector ? this.#instruction.length : 0;
  }

  // ---- Memory ----------------------------------------------------------------------------------------------------------

  get #interruptTable(): number { return this.#hidden + HIDDEN_BYTES - PAGE; }
  #findHidden({ at, code, memory = [] }: FlatRequest): number {
    const taken = [{ at, bytes: code }, ...memory].map(({ at: from, bytes }) => ({ from: addressOf(from), to: addressOf(from) + BigInt(typeof bytes === 'number' ? bytes : bytes.length) }));
    const place = HIDDEN_PLACES.find((one) => taken.every(({ from, to }) => to <= one || from >= one + HIDDEN_BYTES));
    if (place === undefined) throw new RangeError(`memory: no room for tables at ${HIDDEN_PLACES.map((one) => `0x${one.toString(16)}`).join(', ')}`);
    return place;
  }
  #prepareTables({ mapped }: FlatRequest): void {
    this.#tables = null;
    this.#nextTable = this.#hidden;
    this.#given = mapped === 'given';
    if (this.#mode === 'real') return;
    const { ram, vcpu: { state: { view } } } = this.#machine;
    writeDescriptors(view, ram.offsetOf(this.#allocateTable()), this.#mode === 'long');
    if (this.#mode === 'protected' && !this.#given) return;
    this.#tables = new FlatPageTables(this.#mode === 'long', view, ram.offsetOf, () => this.#allocateTable());
    if (this.#given) {
      this.#tables.map(this.#hidden, 0, this.#hidden, PAGE_SUPERVISOR);
      this.#tables.map(this.#interruptTable, 0, this.#interruptTable, PAGE_SUPERVISOR);
    } else this.#tables.mapIdentity();
  }
  #allocateTable(): number {
    const { memory, ram } = this.#machine;
    const page = this.#nextTable;
    if (page === this.#interruptTable) throw new RangeError('memory: too many places for one run');
    this.#nextTable += PAGE;
    memory.provide(page);
    ram.written(ram.offsetOf(page), 1); // so that it is cleared again
    return page;
  }

  #place(region: FlatRegion, flags: number): void {
    const { memory } = this.#machine;
    const at = addressOf(region.at);
    const count = typeof region.bytes === 'number' ? region.bytes : region.bytes.length;
    for (let page = at & ~0xfffn; page < at + BigInt(Math.max(1, count)); page += 4096n) {
      if (this.#mode !== 'long' && page >= 2n ** 32n) throw new RangeError(`memory at 0x${at.toString(16)}: an address below 4 GiB expected in ${this.#mode} mode`);
      if (page >= IDENTITY_END && !this.#frames.has(page)) this.#frames.set(page, IDENTITY_END + this.#frames.size * PAGE);
      const physical = this.#physical(page);
      memory.provide(physical);
      if (this.#given || page >= IDENTITY_END) this.#tables?.map(Number(page & 0xffff_ffffn), Number(page >> 32n), physical, flags);
    }
    if (typeof region.bytes !== 'number') this.#write(at, region.bytes);
  }
  /** Physical address of a linear one; no RAM when it is not mapped. */
  #physical(linear: bigint): number {
    if (linear < IDENTITY_END) return Number(linear);
    const frame = this.#frames.get(linear & ~0xfffn);
    return frame === undefined ? NOWHERE : frame + Number(linear & 0xfffn);
  }
  #write(at: bigint, given: ArrayLike<number>): void {
    const bytes = given instanceof Uint8Array ? given : Uint8Array.from(given);
    for (let from = 0; from < bytes.length; ) {
      const linear = at + BigInt(from);
      const part = Math.min(bytes.length - from, PAGE - Number(linear & 0xfffn));
      this.#machine.memory.put(this.#physical(linear), bytes.subarray(from, from + part));
      from += part;
    }
  }
  #read(at: bigint, count: number): Uint8Array {
    const out = new Uint8Array(count);
    for (let from = 0; from < count; ) {
      const linear = at + BigInt(from);
      const part = Math.min(count - from, PAGE - Number(linear & 0xfffn));
      out.set(this.#machine.memory.get(this.#physical(linear), part), from);
      from += part;
    }
    return out;
  }
  /** Stores a byte and answers what was there before; null where there is no RAM. */
  #exchange(at: bigint, value: number): number | null {
    if (!this.#machine.memory.has(this.#physical(at))) return null;
    const before = this.#read(at, 1)[0] as number;
    this.#write(at, [value]);
    return before;
  }

  // ---- Registers -------------------------------------------------------------------------------------------------------

  #enter(request: FlatRequest): void {
    const machine = this.#machine;
    const { vcpu } = machine;
    const { registers = {} } = request;
    checkNames(registers);
    const user = request.ring === 3;
    if (user && this.#mode === 'real') throw new RangeError('ring: there is none but 0 in real mode');
    const long = this.#mode === 'long';
    const tables = this.#tables;
    if (this.#mode === 'real') {
      machine.enter(0);
      const at = Number(request.at);
      const cs = registers.cs === undefined ? (at > 0xffff ? (at & 0xf_0000) >>> 4 : 0) : Number(registers.cs);
      SEGMENT_REGISTERS.forEach((name, segment) => vcpu.segments.setRealMode(segment, name === 'cs' ? cs : Number(registers[name] ?? 0)));
      writeState(vcpu, { rflags: RFLAGS, ...registers, rip: registers.rip ?? at - cs * 16 });
      return;
    }
    machine.entry = {
      ...machine.entry,
      cs: descriptorOf(user ? (long ? SELECTOR_USER_CODE_64 : SELECTOR_USER_CODE_32) : SELECTOR_CODE, long),
      data: descriptorOf(user ? SELECTOR_USER_DATA : SELECTOR_DATA, long),
      tr: { ...machine.entry.tr, limit: 0 }, // no I/O permission bitmap
      gdt: { base: this.#hidden, limit: GDT_LIMIT }, idt: { base: this.#interruptTable, limit: long ? 0xfff : 0x7ff },
      cr0: (CR0_PLAIN | (user ? CR0_AM : 0) | (tables === null ? 0 : CR0_PG) | (this.#given ? CR0_WP : 0)) >>> 0, cr3: tables?.root ?? 0, cr4: CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | (tables === null ? 0 : CR4_PAE),
      efer: (long ? EFER_LME | EFER_LMA : 0) | (this.#given ? EFER_NXE : 0),
    };
    machine.enter(0);
    SEGMENT_REGISTERS.forEach((name, segment) => {
      const selector = registers[name];
      if (selector === undefined) return;
      const { base, limit, attributes } = descriptorOf(Number(selector), long);
      vcpu.segments.setSegment(segment, Number(selector), attributes, base, 0, limit);
    });
    if (user) vcpu.segments.setCpl(3);
    writeState(vcpu, { rflags: RFLAGS, rip: request.at, ...registers });
  }
}

/** What a result has beside registers: it may be the state of the next run as it is. */
const RESULT_NAMES: ReadonlySet<string> = new Set<Exclude<keyof FlatResult, keyof FlatState>>(['stop', 'exception', 'errorCode', 'instructions', 'read']);

/** Whoever writes JavaScript learns of a register that there is not. */
function checkNames(registers: FlatRegisters): void {
  for (const name of Object.keys(registers)) {
    if (!REGISTER_NAMES.has(name) && !RESULT_NAMES.has(name)) throw new RangeError(`registers: nothing is named ${name}; the names are those of the result, rax in every mode`);
  }
}

const addressOf = (value: bigint | number): bigint => BigInt.asUintN(64, BigInt(value));

function descriptorOf(selector: number, long: boolean): SegmentState {
  const segment = (attributes: number): SegmentState => ({ selector, base: 0, limit: FLAT, attributes });
  switch (selector) {
    case 0: return { selector, base: 0, limit: 0, attributes: 0 };
    case SELECTOR_CODE: return segment(long ? CODE_64 : CODE_32);
    case SELECTOR_DATA: return segment(DATA);
    case SELECTOR_USER_CODE_32: return segment(CODE_32 | USER);
    case SELECTOR_USER_DATA: return segment(DATA | USER);
    case SELECTOR_USER_CODE_64: return segment(CODE_64 | USER);
    default: throw new RangeError(`selector: 0x0, 0x8, 0x10, 0x23, 0x2b or 0x33 expected, got 0x${selector.toString(16)}`);
  }
}

const runners = new Map<FlatMode, FlatRunner>();

/**
 * Runs `code` from the given state to its first HLT and answers with the state then. One processor for each mode is kept
 * and used again; nothing of one run shows in the next.
 */
export function runFlat(request: FlatRequest): FlatResult {
  let runner = runners.get(request.mode);
  if (runner === undefined) {
    runner = new FlatRunner(request.mode);
    runners.set(request.mode, runner);
  }
  return runner.run(request);
}
