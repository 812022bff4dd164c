/**
 * The processor of this engine as another engine borrows it for a few instructions behind an exit (`LentProcessor` of @vm/trap-compound).
 * It has integer instructions only: whatever needs registers that nobody has given it, changes a mode or a segment, or begins a
 * shadow of interrupts is none that it knows, and ends the block before it.
 */
import { CR0_PG, CR4_PAE, EFER_LMA, FLAG_IF } from '@vm/x86';
import {
  LENT_CPL, LENT_CR0, LENT_CR3, LENT_CR4, LENT_EFER, LENT_GENERAL, LENT_RFLAGS, LENT_RIP, LENT_SEGMENT_WORDS, LENT_SEGMENTS, LENT_WORDS, type LentProcessor, type Limits, TrapCompound,
} from '@vm/trap-compound';
import type { CompoundOptions, Weights } from '@vm/trap-compound';
import type { Surroundings } from '@vm/core/engine';
import type { CodeCache } from './code-page.ts';
import type { CodeCopies } from './code-copies.ts';
import { CodeFetch, type HandlerTables } from './code-fetch.ts';
import * as state from './cpu-state.ts';
import { FlagsRegister } from './flags-register.ts';
import { GuestFault } from './guest-fault.ts';
import { HANDLER_EXIT } from './handler-number.ts';
import { LinearMemory } from './linear-memory.ts';
import { LookAhead, type LookAheadHost } from './look-ahead.ts';
import type { Interpreter } from './processor-group.ts';
import { QuietReach } from './quiet-reach.ts';
import type { EngineImports } from './runtime.ts';
import { Segmentation } from './segmentation.ts';
import { StateView } from './state-view.ts';
import { CHECK_PORT, FLAGS_ATTENTION } from './system-call.ts';
import * as uop from './uop.ts';

const GO_ON = 0;

export interface LentPlace {
  readonly at: number; // of its block in the linear memory
  readonly cache: CodeCache;
  readonly copies: CodeCopies;
  readonly handlers: HandlerTables;
  readonly instantiate: (long: boolean, imports: EngineImports) => Interpreter;
  readonly compound: CompoundOptions;
  readonly weights: Weights;
}

export class WasmLentProcessor implements LentProcessor {
  readonly words: Uint32Array = new Uint32Array(LENT_WORDS);
  readonly state: StateView;
  readonly memory: LinearMemory;
  readonly segments: Segmentation;
  readonly code: CodeFetch;
  readonly #flags: FlagsRegister;
  readonly #fault = new GuestFault();
  readonly #ahead: LookAhead;
  readonly #reach: QuietReach;
  readonly #copies: CodeCopies;
  readonly #surroundings: Surroundings;
  readonly #long: Interpreter;
  readonly #legacy: Interpreter;
  #limits: Limits | null = null;
  #key = 0;
  #issued = 0;
  #isLong = false;
  /** Generated code is on the stack. */
  #inside = false;

  constructor(place: LentPlace, surroundings: Surroundings) {
    const { ram, interrupts } = surroundings;
    this.#surroundings = surroundings;
    this.#copies = place.copies;
    const s = (this.state = new StateView(ram.memory.buffer, place.at));
    // The processor's parts and what looks ahead need each other.
    const parts = { state: s, ram, interrupts, cache: place.cache, copies: place.copies, fault: this.#fault } as const;
    const compound = new TrapCompound(place.compound, place.weights, false);
    this.#ahead = new LookAhead(this, this.#fault, compound, this.#host(), {
      code: (low, high) => this.#reach.code(low, high),
      data: (tlb, low, high, tag, page) => this.#reach.data(tlb, low, high, tag, page),
    });
    const [pio, mmio] = this.#ahead.watch(surroundings.pio, surroundings.mmio);
    this.memory = new LinearMemory(s, ram, mmio, interrupts, this.#fault);
    this.segments = new Segmentation(s, this.memory);
    this.code = new CodeFetch(s, this.memory, this.segments, place.cache, place.handlers);
    this.memory.tlb.knowsCode = false; // each use of a page's code is noted
    this.#reach = new QuietReach({ ...parts, memory: this.memory, segments: this.segments, code: this.code });
    place.cache.listeners.push({ becameCode: (page) => this.memory.tlb.revokeWritesTo(page), dropped: () => undefined, flushed: () => this.memory.tlb.flush() });
    const imports = this.#ahead.imports({
      slowLoad: (low, high, bytes) => this.memory.load(low >>> 0, high >>> 0, bytes),
      slowLoadForUpdate: (low, high, bytes) => this.memory.loadForUpdate(low >>> 0, high >>> 0, bytes),
      slowStore: (low, high, bytes) => this.memory.store(low >>> 0, high >>> 0, bytes),
      slowLinear: (segment, offset, bytes, write) => this.segments.checkAccess(segment, offset >>> 0, bytes, write !== 0),
      resolve: () => this.#noting(this.code.resolve()),
      link: (branch) => this.#noting(this.code.link(branch)),
      stale: (at) => this.#noting(this.code.renew(at)),
      crossPage: (check) => this.#noting(this.code.crossPage(check)),
      hot: () => undefined,
      looped: () => undefined,
      raise: (vector, errorCode) => this.memory.raise(vector, errorCode),
      unknown: () => this.memory.raise(0, 0),
      system: (id) => this.#system(id),
      now: () => NaN,
      portIn: (port, bytes) => pio.read(port, bytes as 1 | 2 | 4) | 0,
      portOut: (port, bytes, value) => pio.write(port, bytes as 1 | 2 | 4, bytes === 4 ? value >>> 0 : value & (bytes === 2 ? 0xffff : 0xff)),
    });
    this.#long = place.instantiate(true, imports);
    this.#legacy = place.instantiate(false, imports);
    this.#flags = new FlagsRegister(s, this.#long, () => this.memory.tlb.updateTags());
    s.view.setUint16(s.at + state.STATIC_UOPS + uop.UOP_HANDLER, HANDLER_EXIT, true);
  }

  // ---- LentProcessor --------------------------------------------------------------------------------------------------------

  trapped(key: number): boolean {
    this.#limits = this.#ahead.compound.trapped(key);
    this.#key = key;
    return this.#limits !== null;
  }

  finish(systemChanged: boolean): void {
    const limits = this.#limits;
    if (limits === null) throw new Error('a block that nobody has asked for');
    if (!this.#take(systemChanged)) return;
    const s = this.state;
    const isPending = this.#surroundings.interrupts.isPending();
    s.set(state.EVENT_PENDING, isPending ? 1 : 0);
    if (isPending && (s.get(state.FLAGS_OTHER) & FLAG_IF) !== 0) return;
    s.set(state.CURRENT_UOP, s.at + state.STATIC_UOPS);
    s.set(state.REPEATED, 0);
    s.set(state.BUDGET, limits.window);
    s.set(state.BUDGET_HELD, 0);
    this.#issued = limits.window;
    this.#isLong = this.segments.is64Bit();
    this.#reach.begin();
    this.#ahead.finishFor(this.#key, limits);
    this.#give();
  }

  signal(): void {
    this.state.set(state.EVENT_PENDING, 1);
    if (this.#inside && (this.state.get(state.FLAGS_OTHER) & FLAG_IF) !== 0) this.#leave();
  }
  stop(): void { this.#ahead.noteStop(true); }

  *counts(): Iterable<readonly [name: string, count: number]> {
    yield* this.#ahead.compound.counts();
    yield ['codeChanges', this.#copies.changes];
  }

  // ---- Registers --------------------------------------------------------------------------------------------------------------

  /** False: its tables are such as it cannot have loaded. */
  #take(systemChanged: boolean): boolean {
    const { words, state: s } = this;
    s.u32.set(words.subarray(LENT_GENERAL, LENT_GENERAL + 32), (s.at + state.GPR) >>> 2);
    s.set64(state.RIP, words[LENT_RIP]!, words[LENT_RIP + 1]!);
    s.set64(state.CR3, words[LENT_CR3]!, words[LENT_CR3 + 1]!);
    this.#flags.write(words[LENT_RFLAGS]!);
    if (systemChanged) {
      s.set(state.CR0, words[LENT_CR0]!);
      s.set(state.CR4, words[LENT_CR4]!);
      s.set(state.EFER, words[LENT_EFER]!);
      for (let segment = 0; segment <= state.GS; segment++) {
        const at = LENT_SEGMENTS + segment * LENT_SEGMENT_WORDS;
        this.segments.setSegment(segment, words[at]!, words[at + 1]!, words[at + 3]!, words[at + 4]!, words[at + 2]!);
      }
      this.segments.setCpl(words[LENT_CPL]!);
    }
    // Which pointers the processor has loaded nobody tells: those of the table, as a processor may that loads them when it needs them.
    const isPae = (s.get(state.CR0) & CR0_PG) !== 0 && (s.get(state.CR4) & CR4_PAE) !== 0 && (s.get(state.EFER) & EFER_LMA) === 0;
    return !isPae || this.memory.walk.loadDirectoryPointers(s.get(state.CR3));
  }
  #give(): void {
    const { words, state: s } = this;
    words.set(s.u32.subarray((s.at + state.GPR) >>> 2, ((s.at + state.GPR) >>> 2) + 32), LENT_GENERAL);
    words[LENT_RIP] = s.get(state.RIP);
    words[LENT_RIP + 1] = s.high(state.RIP);
    words[LENT_RFLAGS] = this.#flags.read();
  }

  // ---- The loop ---------------------------------------------------------------------------------------------------------------

  #host(): LookAheadHost {
    return {
      enter: () => this.#execute(), syncRip: () => this.#syncRip(), leave: () => this.#leave(),
      stop: () => { this.#issued -= this.#left(); this.state.set(state.BUDGET, 0); this.state.set(state.BUDGET_HELD, 0); },
      retired: () => this.#issued - this.#left() - (this.#inside ? 1 : 0), // the present instruction is not done, but its budget is gone
      rewind: (retired) => { this.state.set(state.BUDGET, this.#issued - retired); this.state.set(state.BUDGET_HELD, 0); },
      now: () => this.#surroundings.now(),
      isEventful: () => this.state.get(state.EVENT_PENDING) !== 0 && (this.state.get(state.FLAGS_OTHER) & FLAG_IF) !== 0,
    };
  }
  #execute(): void {
    this.#inside = true;
    try {
      (this.#isLong ? this.#long : this.#legacy).run(this.state.at);
    } finally {
      this.#inside = false;
    }
    this.#syncRip();
  }
  /** RIP of the uop that has not run yet. */
  #syncRip(): void {
    const current = this.state.get(state.CURRENT_UOP);
    if (current !== this.state.at + state.STATIC_UOPS) this.code.setRip(current, this.#isLong);
  }
  #left(): number { return this.state.get(state.BUDGET) + this.state.get(state.BUDGET_HELD); }
  /** Generated code comes back at the next boundary; the rest of the budget is kept. */
  #leave(): void {
    const s = this.state;
    s.set(state.BUDGET_HELD, this.#left());
    s.set(state.BUDGET, 0);
  }
  #noting(found: number): number {
    this.#reach.decoded();
    return found;
  }
  #system(id: number): number {
    if (id === FLAGS_ATTENTION) this.#leave();
    else if (id !== CHECK_PORT) throw new Error(`system function ${id}, which is none of a lent processor's`);
    return GO_ON;
  }
}
