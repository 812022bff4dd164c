/** Writes one region as a WebAssembly function (s, uop) -> the uop to go on with, 0 for the instruction pointer in the state. */
import { CodeWriter } from '../wasm/code-writer.ts';
import type { Label } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { Emitter } from '../emitter.ts';
import { DECODE_MAP, PAGE_LINEAR_SHIFT } from '../code-page.ts';
import { HANDLER_REGION } from '../handler-number.ts';
import { M, N, P, S, T, U, VA } from '../locals.ts';
import type { Runtime } from '../runtime.ts';
import * as uop from '../uop.ts';
import { ALL_REGISTERS, changedRegisters } from './apart-effects.ts';
import { ControlGraph } from './control-graph.ts';
import type { ControlNode, Edge } from './control-graph.ts';
import type { HandlerForms, KnownHandler } from './handler-forms.ts';
import { KIND_PENDING, KIND_UNKNOWN } from './lazy-flags.ts';
import { RegionBinding } from './region-binding.ts';
import type { RegionFunctions } from './region-binding.ts';
import { ACCESSES, BUDGET, BUDGET_BEFORE, DATA_TAG, NO_BUDGET, SELECTOR, STACK_READ, STACK_WRITE, TLB_BASE, UNDONE } from './region-locals.ts';
import { RegistersInBlock, RegistersInLocals } from './region-registers.ts';
import type { Known, RegionRegisters, RegisterPlace } from './region-registers.ts';
import { END_CONDITIONAL, END_DYNAMIC, END_FALL, END_RETURN } from './region-scan.ts';
import type { Block, RegionScan, Scan } from './region-scan.ts';
import type { RegionTable } from './region-table.ts';
import { pushTlbPlace } from '../tlb-place.ts';

/** Of the functions that emitters may call, a region has those for floating point and of the x87. */
const runtimeOf = ({ float, x87 }: RegionFunctions): Runtime => new Proxy({ float, x87 } as Runtime, {
  get: (target, name) => {
    if (name !== 'float' && name !== 'x87') throw new TypeError(`no region calls ${String(name)}`);
    return target[name];
  },
});

/**
 * How a region is written. `refills`: it answers misses of the TLB itself, which costs the rest of its code a little. `large`: with more of the code
 * around than one usually has, because much of the time goes here.
 */
export interface RegionKind { readonly registers: RegisterPlace; readonly refills: boolean; readonly large: boolean }

/** What goes to an address and changes nothing else. */
const NEAR_TRANSFERS: ReadonlySet<string> = new Set(['jmp', 'call', 'ret']);
/** What changes nothing of a region but which pages its accesses reach, which its locals say. */
const OPENS: ReadonlySet<string> = new Set(['stac', 'clac']);
/** A region that runs more instructions than this in one go has a loop that is worth more of the translator's time. */
const LOOPED = 128;

export class RegionWriter {
  readonly #view: DataView;
  readonly #forms: HandlerForms;
  readonly #scanner: RegionScan;
  readonly #table: RegionTable;
  readonly #functions: RegionFunctions;
  readonly #runtime: Runtime;
  readonly #body = new CodeWriter();
  readonly #whole: CodeWriter;
  readonly #long: boolean;

  // Of the region being written.
  #scan: Scan | null = null;
  #graph: ControlGraph | null = null;
  #bound: RegionBinding | null = null;
  #emitter: Emitter | null = null;
  #callsApart = false;
  #hasLoop = false;
  #refills = false;
  /** Where jumps to entries of the region go that only they know; null: it is not a large one. */
  #dispatcher: Label | null = null;
  #registers: RegionRegisters = new RegistersInBlock();
  /** Uops at which the region begins, with the copies that are interpreted in their place. */
  readonly #copies = new Map<number, number>();
  /** Successors of each block, in the order of the graph's edges. */
  #successors: number[][] = [];
  /** Where the branches to loops and to merge nodes go, by node. */
  readonly #loops = new Map<number, Label>();
  readonly #merges = new Map<number, Label>();
  /** What is known of the flags at the start of a node, by the forward edges written so far. */
  readonly #kinds = new Map<number, number>();
  readonly #knownAt = new Map<number, Known | null>();

  constructor(view: DataView, long: boolean, forms: HandlerForms, scanner: RegionScan, table: RegionTable, functions: RegionFunctions, whole: CodeWriter) {
    this.#view = view;
    this.#long = long;
    this.#forms = forms;
    this.#scanner = scanner;
    this.#table = table;
    this.#functions = functions;
    this.#runtime = runtimeOf(functions);
    this.#whole = whole;
  }

  /** Leaves the function's body in the writer given at construction, answers how many vectors are in locals. Entries have their copies already. */
  write(scan: Scan, { registers: place, refills, large }: RegionKind): number {
    this.#scan = scan;
    this.#refills = refills;
    this.#copies.clear();
    for (const entry of scan.entries) {
      const at = firstUop(scan, entry);
      this.#copies.set(at, this.#table.copyOf(at));
    }
    const returns = [...new Set(scan.returns.map((point) => point.block))];
    this.#successors = scan.blocks.map((block) => {
      const direct = [block.taken, block.next].filter((target) => target >= 0);
      return [...new Set(block.end === END_RETURN ? returns : direct)];
    });
    this.#callsApart = false;
    this.#hasLoop = false;
    const locals = place === 'locals' ? new RegistersInLocals() : null;
    this.#writeBody(scan, locals ?? new RegistersInBlock(), large);
    // What the calls have to save and to take back is known only now.
    if (locals !== null && this.#callsApart) this.#writeBody(scan, locals.again(), large);
    this.#prologue(scan);
    this.#whole.append(this.#body);
    this.#epilogue(scan, place);
    return this.#registers.vectorCount;
  }
  #writeBody(scan: Scan, registers: RegionRegisters, large: boolean): void {
    const code = this.#body;
    this.#registers = registers;
    code.reset();
    const exit = code.block();
    const exitWithFlags = code.block();
    const bound = new RegionBinding(this.#view, this.#functions, exitWithFlags, exit, registers, this.#refills);
    this.#bound = bound;
    this.#graph = new ControlGraph(this.#successors, scan.entries);
    this.#loops.clear();
    this.#merges.clear();
    this.#kinds.clear();
    this.#knownAt.clear();
    this.#kinds.set(this.#graph.root, large ? KIND_UNKNOWN : KIND_PENDING);
    const entry = scan.blocks[scan.entries[0] as number] as Block;
    this.#emitter = new Emitter(code, this.#known(entry.uops[0] as number, entry).form, this.#runtime);
    this.#dispatcher = large ? code.loop() : null;
    this.#tree(this.#graph.root);
    if (large) code.end();
    code.end();
    bound.flags.putOff(code);
    code.end();
  }

  #known(at: number, block: Block): KnownHandler { return this.#forms.of(this.#scanner.handlerAt(at), at, block.page); }

  // ---- In and out --------------------------------------------------------------------------------------------------

  #prologue(scan: Scan): void {
    const code = this.#whole;
    const bound = this.#bound as RegionBinding;
    code.reset();
    const entries = scan.entries.map((entry) => firstUop(scan, entry));
    // Without enough budget to go through once, the interpreter takes it instruction by instruction.
    code.get(S).load32(state.BUDGET).tee(BUDGET).tee(BUDGET_BEFORE).const32(scan.instructions).ltU32();
    if (!this.#long || bound.needsSse || bound.needsAvx || bound.needsX87) {
      // Made for flat segments and for what is used: without them, each entry is interpreted.
      if (this.#long) code.const32(0);
      else code.get(S).load32(state.FLAT).eqz32();
      if (bound.needsSse) code.get(S).load32(state.SSE_BLOCKED).or32();
      if (bound.needsX87) code.get(S).load32(state.X87_BLOCKED).or32();
      if (bound.needsAvx) code.get(S).load32(state.AVX_BLOCKED).or32();
      code.tee(N).or32();
    }
    code.ifSeldom();
    code.get(S).const32(because(state.EXIT_INSTRUCTION)).const32(NO_BUDGET).get(N).select().store32(state.REGION_EXIT).get(S).get(U).store32(state.SAMPLED);
    for (const at of entries) {
      code.get(U).const32(at).eq32();
      code.if();
      code.const32(this.#copies.get(at) as number).return();
      code.end();
    }
    code.unreachable();
    code.end();
    this.#registers.enter(code);
    if (bound.hasStack) code.const(-1).tee(STACK_READ).set(STACK_WRITE);
    code.get(S).load(state.DATA_TAG).set(DATA_TAG).get(S).load32(state.TLB_BASE).set(TLB_BASE);
  }
  #epilogue(scan: Scan, place: RegisterPlace): void {
    const code = this.#whole;
    this.#registers.leave(code);
    code.get(S).get(BUDGET).store32(state.BUDGET);
    this.#noteAccesses(code);
    if (this.#hasLoop && place === 'block') {
      code.get(BUDGET_BEFORE).get(BUDGET).sub32().const32(LOOPED).gtU32();
      code.ifSeldom();
      code.const32(firstUop(scan, scan.entries[0] as number)).call(this.#functions.looped);
      code.end();
    }
    code.get(UNDONE).eqz32();
    code.if();
    code.get(S).get(U).returnCall(this.#functions.hop);
    code.end();
    code.get(S).get(UNDONE).store32(state.REGION_EXIT).get(U);
  }
  #noteAccesses(code: CodeWriter): void { code.get(S).get(S).load(state.REGION_ACCESSES).get(ACCESSES).extendU().add().store(state.REGION_ACCESSES); }

  // ---- Control flow (Ramsey, section 4) ------------------------------------------------------------------------------

  #tree(at: number): void {
    const code = this.#body;
    const node = (this.#graph as ControlGraph).node(at);
    if (node.isLoop) {
      this.#loops.set(at, code.loop());
      this.#within(at, node, 0);
      code.end();
    } else this.#within(at, node, 0);
  }
  #within(at: number, node: ControlNode, from: number): void {
    const code = this.#body;
    const merge = node.merges[from];
    if (merge === undefined) { this.#node(at, node); return; }
    this.#merges.set(merge, code.block());
    this.#within(at, node, from + 1);
    code.end();
    this.#tree(merge);
  }
  #node(at: number, node: ControlNode): void {
    const { flags } = this.#bound as RegionBinding;
    flags.kind = node.isLoop ? KIND_UNKNOWN : this.#kinds.get(at) ?? KIND_UNKNOWN;
    this.#registers.know(node.isLoop ? null : this.#knownAt.get(at) ?? null);
    if (node.choices === null) this.#block(at, node);
    else this.#dispatch(at, node);
  }
  /** To `block`, which the edge leads to, perhaps by way of a dispatch node. */
  #edge(from: number, edge: Edge, block: number): void {
    const code = this.#body;
    const graph = this.#graph as ControlGraph;
    const { flags } = this.#bound as RegionBinding;
    const target = graph.node(edge.target);
    if (edge.selector >= 0) code.const32(edge.selector + 1).set(SELECTOR);
    if (target.order <= graph.node(from).order) {
      // Budget for another turn: what lies ahead has no loop before the next branch back.
      const scan = this.#scan as Scan;
      const at = firstUop(scan, block);
      this.#hasLoop = true;
      code.const32(this.#copies.get(at) ?? at).set(U).const32(NO_BUDGET).set(UNDONE).get(BUDGET).const32(scan.instructions).ltU32();
      code.brSeldomIf((this.#bound as RegionBinding).exit).br(this.#loops.get(edge.target) as Label);
      return;
    }
    const known = this.#kinds.get(edge.target);
    this.#kinds.set(edge.target, known === undefined || known === flags.kind ? flags.kind : KIND_UNKNOWN);
    const registers = this.#registers.known();
    this.#knownAt.set(edge.target, both(registers, this.#knownAt.get(edge.target)));
    if (target.isMerge) { code.br(this.#merges.get(edge.target) as Label); return; }
    const kind = flags.kind;
    this.#tree(edge.target);
    flags.kind = kind;
    this.#registers.know(registers);
  }
  #dispatch(at: number, node: ControlNode): void {
    const code = this.#body;
    const choices = node.choices as number[];
    const isRoot = at === (this.#graph as ControlGraph).root;
    const skip = isRoot ? 0 : 1;
    choices.forEach((choice, i) => {
      const last = isRoot && this.#dispatcher === null && i === choices.length - 1;
      if (!last) {
        if (isRoot) code.get(U).const32(firstUop(this.#scan as Scan, choice)).eq32();
        else code.get(SELECTOR).const32(choice + 1).eq32();
        code.if();
      }
      if (!isRoot) code.const32(0).set(SELECTOR);
      this.#edge(at, node.edges[i + skip] as Edge, choice);
      if (!last) code.end();
    });
    if (!isRoot) this.#edge(at, node.edges[0] as Edge, -1);
    else if (this.#dispatcher !== null) code.const32(0).set(UNDONE).br((this.#bound as RegionBinding).exit);
  }

  // ---- Instructions ------------------------------------------------------------------------------------------------

  #block(at: number, node: ControlNode): void {
    const code = this.#body;
    const bound = this.#bound as RegionBinding;
    const emitter = this.#emitter as Emitter;
    const block = (this.#scan as Scan).blocks[at] as Block;
    const count = block.uops.length;
    this.#registers.settle(code);
    // What comes before the block is left is known by then, and only then.
    let accesses = 0;
    bound.accesses = 0;
    const leave = (): void => {
      if (accesses > 0) code.patch(accesses, bound.accesses);
      accesses = 0;
    };
    bound.onBranch = () => {
      leave();
      // A branch to the next instruction goes on behind the branch: written on both ways, what follows would double each time.
      if (block.end === END_CONDITIONAL && block.taken >= 0 && block.taken === block.next) return;
      if (block.taken >= 0) { this.#follow(at, node, block.taken, null); return; }
      if (block.takenUop !== 0) { code.const32(block.takenUop).set(U).const32(0).set(UNDONE).br(bound.exit); return; }
      bound.branchTarget(emitter);
      code.set(T);
      bound.jump(emitter, T);
    };
    bound.onJump = (rip) => {
      leave();
      if (block.end === END_RETURN) this.#return(at, node, rip);
      if (this.#dispatcher !== null && NEAR_TRANSFERS.has(emitter.form.name)) this.#dispatchInPage(this.#dispatcher, block, rip);
    };
    for (let i = 0; i < count; i++) {
      const place = block.uops[i] as number;
      const record = this.#copies.get(place) ?? place;
      const known = this.#known(place, block);
      code.const32(record).set(U);
      if (i === 0) {
        code.get(BUDGET).const32(count).sub32().set(BUDGET);
        code.get(ACCESSES);
        accesses = code.later();
        code.add32().set(ACCESSES);
      }
      code.const32(count - i).set(UNDONE);
      bound.record = record;
      emitter.begin(code, known.form, bound);
      if (known.apart >= 0) this.#callApart(known, record, count - i - 1, i === count - 1 && block.end === END_DYNAMIC);
      else known.emitter.emit(emitter);
    }
    leave();
    if (block.end !== END_FALL && block.end !== END_CONDITIONAL) return;
    if (block.next >= 0) this.#follow(at, node, block.next, null);
    else code.const32(block.nextUop).set(U).const32(0).set(UNDONE).br(bound.exit);
  }
  /** Goes to another block of the region; where that lies in another page, only when the page is still there. */
  #follow(at: number, node: ControlNode, target: number, rip: number | null): void {
    const code = this.#body;
    const bound = this.#bound as RegionBinding;
    const { blocks } = this.#scan as Scan;
    const from = blocks[at] as Block;
    const to = blocks[target] as Block;
    if (to.page !== from.page) {
      this.#registers.pushPageRip(code);
      code.const((to.delta - from.delta) * 4096).add();
      if (!this.#long) code.zeroExtend(4);
      pushTlbPlace(code.tee(VA)).get(TLB_BASE).add32().set(P);
      code.get(VA).get(S).load(state.FETCH_TAG).or().get(P).load(state.FETCH_TLB).ne();
      code.get(P).load32(state.FETCH_TLB + state.TLB_CODE_PAGE).const32(to.page.map).ne32().or32();
      code.ifSeldom();
      if (rip === null) {
        bound.branchTarget(this.#emitter as Emitter);
        code.set(T);
      }
      code.get(S).get(rip ?? T).store(state.RIP).const32(0).set(U).const32(0).set(UNDONE).br(bound.exit);
      code.end();
      this.#registers.enterPage(code, VA, to.page.map);
    }
    this.#edge(at, node.edges[(this.#successors[at] as number[]).indexOf(target)] as Edge, target);
  }
  /** A return goes on in the region when it goes to where one of the region's calls came from. */
  #return(at: number, node: ControlNode, rip: number): void {
    const code = this.#body;
    const { blocks, returns } = this.#scan as Scan;
    const from = blocks[at] as Block;
    for (const point of returns) {
      this.#registers.pushPageRip(code);
      code.const((point.delta - from.delta) * 4096 + point.offset).add();
      if (!this.#long) code.zeroExtend(4);
      code.get(rip).eq();
      code.if();
      this.#follow(at, node, point.block, rip);
      code.end();
    }
  }

  /** To another entry of the region, if there is one at the address; the dispatcher sees. */
  #dispatchInPage(dispatcher: Label, { page }: Block, rip: number): void {
    const code = this.#body;
    this.#hasLoop = true;
    this.#registers.pushPageRip(code);
    code.get(rip).xor().const(-4096).and().eqz();
    code.if();
    code.get(rip).wrap().const32(0xfff).and32().const32(PAGE_LINEAR_SHIFT).shl32().load32(page.map + DECODE_MAP).tee(U);
    code.if();
    code.const32(NO_BUDGET).set(UNDONE).get(BUDGET).const32((this.#scan as Scan).instructions).ltU32();
    code.brSeldomIf((this.#bound as RegionBinding).exit).br(dispatcher);
    code.end();
    code.end();
  }

  /** An instruction that is a function of the interpreter: with everything in the processor block, as there. */
  #callApart({ apart, form }: KnownHandler, record: number, after: number, last: boolean): void {
    const code = this.#body;
    const bound = this.#bound as RegionBinding;
    this.#callsApart = true;
    this.#registers.spill(code);
    bound.flags.toBlock(code);
    code.get(S).get(U).store32(state.CURRENT_UOP);
    code.get(S).get(BUDGET).const32(after).add32().tee(N).store32(state.BUDGET);
    code.get(S).get(U).const32(apart).call(this.#functions.apart);
    if (last) {
      this.#noteAccesses(code);
      code.get(S).const32(because(state.EXIT_ADDRESS)).store32(state.REGION_EXIT).return();
      return;
    }
    code.tee(M).const32(record + uop.UOP_BYTES).ne32();
    // Something wants attention, code of the region was stored to, translations or segments changed.
    code.get(S).load32(state.BUDGET).get(N).ne32().or32();
    code.const32(firstUop(this.#scan as Scan, (this.#scan as Scan).entries[0] as number)).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).ne32().or32();
    if (OPENS.has(form.name)) code.get(S).load(state.DATA_TAG).set(DATA_TAG).get(S).load32(state.TLB_BASE).set(TLB_BASE);
    else code.get(S).load(state.DATA_TAG).get(DATA_TAG).ne().or32();
    if (!this.#long) code.get(S).load32(state.FLAT).eqz32().or32();
    code.ifSeldom();
    this.#noteAccesses(code);
    code.get(S).const32(because(state.EXIT_CHANGE)).store32(state.REGION_EXIT).get(M).return();
    code.end();
    code.const(-1).tee(STACK_READ).set(STACK_WRITE); // whatever the TLB held, it may not any more
    const effects = changedRegisters(form.name);
    const vectors = effects === ALL_REGISTERS ? ALL_REGISTERS : bound.operandVectors(form);
    this.#registers.reload(code, effects | bound.operandRegisters(form), vectors);
  }
}

/** REGION_EXIT with a reason of its own. */
const because = (reason: number): number => reason << state.REGION_EXIT_REASON_SHIFT;
/** What is known where two ways meet; `undefined` before the first of them. */
function both(a: Known | null, b: Known | null | undefined): Known | null {
  return b === undefined ? a : a === null || b === null ? null : { registers: a.registers & b.registers, vectors: a.vectors & b.vectors, depth: 0 };
}
function firstUop({ blocks }: Scan, entry: number): number { return (blocks[entry] as Block).uops[0] as number; }
