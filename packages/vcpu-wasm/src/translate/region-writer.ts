/** Writes one region as a WebAssembly function (s, uop) -> the uop to go on with, 0 for the instruction pointer in the state. */
import { CodeWriter } from '../wasm/code-writer.ts';
import type { Label } from '../wasm/code-writer.ts';
import * as state from '../cpu-state.ts';
import { Emitter } from '../emitter.ts';
import { HANDLER_REGION } from '../handler-number.ts';
import { M, N, P, S, T, U, VA } from '../locals.ts';
import type { Runtime } from '../runtime.ts';
import * as uop from '../uop.ts';
import { ALL_REGISTERS, changedRegisters } from './apart-effects.ts';
import { ControlGraph } from './control-graph.ts';
import type { ControlNode, Edge } from './control-graph.ts';
import type { HandlerForms, KnownHandler } from './handler-forms.ts';
import { KIND_STORED, KIND_UNKNOWN } from './lazy-flags.ts';
import { RegionBinding } from './region-binding.ts';
import type { RegionFunctions } from './region-binding.ts';
import { ACCESSES, BUDGET, CODE_PAGE, DATA_TAG, FLAG_A, FLAG_B, FLAG_RESULT, NO_BUDGET, PAGE_RIP, REGISTER, SELECTOR, TLB_BASE, UNDONE } from './region-locals.ts';
import { END_CONDITIONAL, END_DYNAMIC, END_FALL, END_RETURN } from './region-scan.ts';
import type { Block, RegionScan, Scan } from './region-scan.ts';
import type { RegionTable } from './region-table.ts';
import { pushTlbPlace } from '../tlb-place.ts';

/** Of the functions that emitters may call, a region has those for floating point. */
const runtimeOf = ({ float }: RegionFunctions): Runtime => new Proxy({ float } as Runtime, {
  get: (target, name) => {
    if (name !== 'float') throw new TypeError(`no region calls ${String(name)}`);
    return target.float;
  },
});

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
  /** Registers that the region writes and has in locals, as a first writing found; 0 while that is not known. */
  #spilled = 0;
  #reloaded = 0;
  #spilledVectors = 0;
  #reloadedVectors = 0;
  #savesFlags = false;
  /** Uops at which the region begins, with the copies that are interpreted in their place. */
  readonly #copies = new Map<number, number>();
  /** Successors of each block, in the order of the graph's edges. */
  #successors: number[][] = [];
  /** Where the branches to loops and to merge nodes go, by node. */
  readonly #loops = new Map<number, Label>();
  readonly #merges = new Map<number, Label>();
  /** What is known of the flags at the start of a node, by the forward edges written so far. */
  readonly #kinds = new Map<number, number>();

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
  write(scan: Scan): number {
    this.#scan = scan;
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
    this.#spilled = 0;
    this.#reloaded = 0;
    this.#spilledVectors = 0;
    this.#reloadedVectors = 0;
    this.#savesFlags = false;
    this.#writeBody(scan);
    if (this.#callsApart) {
      // What the calls have to save and to take back is known only now.
      const { used, written, vectorsUsed, vectorsWritten, flags } = this.#bound as RegionBinding;
      this.#spilled = written;
      this.#reloaded = used;
      this.#spilledVectors = vectorsWritten;
      this.#reloadedVectors = vectorsUsed;
      this.#savesFlags = flags.touched;
      this.#writeBody(scan);
    }
    this.#prologue(scan);
    this.#whole.append(this.#body);
    this.#epilogue();
    return (this.#bound as RegionBinding).vectorCount;
  }
  #writeBody(scan: Scan): void {
    const code = this.#body;
    code.reset();
    const exit = code.block();
    this.#bound = new RegionBinding(this.#view, this.#functions, exit);
    this.#graph = new ControlGraph(this.#successors, scan.entries);
    this.#loops.clear();
    this.#merges.clear();
    this.#kinds.clear();
    this.#kinds.set(this.#graph.root, KIND_STORED);
    const entry = scan.blocks[scan.entries[0] as number] as Block;
    this.#emitter = new Emitter(code, this.#known(entry.uops[0] as number, entry).form, this.#runtime);
    this.#tree(this.#graph.root);
    code.end();
  }

  #known(at: number, block: Block): KnownHandler { return this.#forms.of(this.#scanner.handlerAt(at), at, block.page); }

  // ---- In and out --------------------------------------------------------------------------------------------------

  #prologue(scan: Scan): void {
    const code = this.#whole;
    const bound = this.#bound as RegionBinding;
    code.reset();
    // The selector is the entry's block plus 1; the root's branches look at nothing else.
    const entries = scan.entries.map((entry) => ({ entry, at: firstUop(scan, entry) }));
    entries.forEach(({ entry, at }, i) => {
      if (i === entries.length - 1) { code.const32(entry + 1).set(SELECTOR); return; }
      code.get(U).const32(at).eq32();
      code.if();
      code.const32(entry + 1).set(SELECTOR);
      code.else();
    });
    for (let i = 1; i < entries.length; i++) code.end();
    if (!this.#long || bound.needsSse || bound.needsAvx) {
      // Made for flat segments and for what is used: without them, each entry is interpreted.
      if (this.#long) code.const32(0);
      else code.get(S).load32(state.FLAT).eqz32();
      if (bound.needsSse) code.get(S).load32(state.SSE_BLOCKED).or32();
      if (bound.needsAvx) code.get(S).load32(state.AVX_BLOCKED).or32();
      code.ifSeldom();
      code.get(S).const32(state.EXIT_INSTRUCTION).store32(state.REGION_EXIT);
      entries.forEach(({ entry, at }) => {
        code.get(SELECTOR).const32(entry + 1).eq32();
        code.if();
        code.const32(this.#copies.get(at) as number).return();
        code.end();
      });
      code.end();
    }
    for (let i = 0; i < 16; i++) if ((bound.used & (1 << i)) !== 0) code.get(S).load(state.GPR + i * 8).set(REGISTER + i);
    for (let i = 0; i < 16; i++) if ((bound.vectorsUsed & (1 << i)) !== 0) code.get(S).loadV128(state.XMM + i * 16).set(bound.vector(i));
    if (bound.flags.touched) {
      code.get(S).load(state.FLAG_RESULT).set(FLAG_RESULT).get(S).load(state.FLAG_CARRY).set(FLAG_A).get(S).load32U(state.FLAG_EXTRA).set(FLAG_B);
    }
    code.get(S).load(state.DATA_TAG).set(DATA_TAG).get(S).load32(state.TLB_BASE).set(TLB_BASE).get(S).load(state.PAGE_RIP).set(PAGE_RIP).get(S).load32(state.BUDGET).set(BUDGET).get(S).load32(state.CODE_PAGE).set(CODE_PAGE);
  }
  /** Where the instructions are, and the registers of the masks. */
  #spill(code: CodeWriter, written: number, vectors: number): void {
    code.get(S).get(PAGE_RIP).store(state.PAGE_RIP).get(S).get(CODE_PAGE).store32(state.CODE_PAGE);
    for (let i = 0; i < 16; i++) if ((written & (1 << i)) !== 0) code.get(S).get(REGISTER + i).store(state.GPR + i * 8);
    for (let i = 0; i < 16; i++) if ((vectors & (1 << i)) !== 0) code.get(S).get((this.#bound as RegionBinding).vector(i)).storeV128(state.XMM + i * 16);
  }
  #epilogue(): void {
    const code = this.#whole;
    const bound = this.#bound as RegionBinding;
    this.#spill(code, bound.written, bound.vectorsWritten);
    if (bound.flags.touched) {
      bound.flags.kind = KIND_UNKNOWN;
      bound.flags.store(code);
      bound.storeFlags(code);
    }
    code.get(S).get(BUDGET).get(UNDONE).const32(NO_BUDGET - 1).and32().add32().store32(state.BUDGET);
    this.#noteAccesses(code);
    code.get(S).const32(state.EXIT_ADDRESS).const32(state.EXIT_BUDGET).const32(state.EXIT_INSTRUCTION).const32(state.EXIT_BRANCH).get(UNDONE).select();
    code.get(UNDONE).const32(NO_BUDGET).eq32().select().get(U).eqz32().select().store32(state.REGION_EXIT);
    code.get(U);
  }
  #noteAccesses(code: CodeWriter): void {
    code.get(S).get(S).load(state.REGION_ACCESSES).get(ACCESSES).extendU().add().store(state.REGION_ACCESSES);
  }

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
    if (node.choices === null) this.#block(at, node);
    else this.#dispatch(at, node);
  }
  #edge(from: number, edge: Edge): void {
    const code = this.#body;
    const graph = this.#graph as ControlGraph;
    const { flags } = this.#bound as RegionBinding;
    const target = graph.node(edge.target);
    if (edge.selector >= 0) code.const32(edge.selector + 1).set(SELECTOR);
    if (target.order <= graph.node(from).order) { code.br(this.#loops.get(edge.target) as Label); return; }
    const known = this.#kinds.get(edge.target);
    this.#kinds.set(edge.target, known === undefined || known === flags.kind ? flags.kind : KIND_UNKNOWN);
    if (target.isMerge) { code.br(this.#merges.get(edge.target) as Label); return; }
    const kind = flags.kind;
    this.#tree(edge.target);
    flags.kind = kind;
  }
  #dispatch(at: number, node: ControlNode): void {
    const code = this.#body;
    const choices = node.choices as number[];
    const isRoot = at === (this.#graph as ControlGraph).root;
    const skip = isRoot ? 0 : 1;
    choices.forEach((choice, i) => {
      const last = isRoot && i === choices.length - 1;
      if (!last) {
        code.get(SELECTOR).const32(choice + 1).eq32();
        code.if();
      }
      code.const32(0).set(SELECTOR);
      this.#edge(at, node.edges[i + skip] as Edge);
      if (!last) code.end();
    });
    if (!isRoot) this.#edge(at, node.edges[0] as Edge);
  }

  // ---- Instructions ------------------------------------------------------------------------------------------------

  #block(at: number, node: ControlNode): void {
    const code = this.#body;
    const bound = this.#bound as RegionBinding;
    const emitter = this.#emitter as Emitter;
    const block = (this.#scan as Scan).blocks[at] as Block;
    const count = block.uops.length;
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
      bound.branchTarget(emitter);
      code.set(T);
      bound.jump(emitter, T);
    };
    bound.onJump = (rip) => {
      leave();
      if (block.end === END_RETURN) this.#return(at, node, rip);
    };
    for (let i = 0; i < count; i++) {
      const place = block.uops[i] as number;
      const record = this.#copies.get(place) ?? place;
      const known = this.#known(place, block);
      code.const32(record).set(U);
      if (i === 0) {
        // Without enough budget for the whole block the interpreter takes it, instruction by instruction.
        code.const32(NO_BUDGET).set(UNDONE).get(BUDGET).const32(count).ltU32().brSeldomIf(bound.exit);
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
      code.get(PAGE_RIP).const((to.delta - from.delta) * 4096).add();
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
      code.get(VA).set(PAGE_RIP).const32(to.page.map).set(CODE_PAGE);
    }
    this.#edge(at, node.edges[(this.#successors[at] as number[]).indexOf(target)] as Edge);
  }
  /** A return goes on in the region when it goes to where one of the region's calls came from. */
  #return(at: number, node: ControlNode, rip: number): void {
    const code = this.#body;
    const { blocks, returns } = this.#scan as Scan;
    const from = blocks[at] as Block;
    for (const point of returns) {
      code.get(PAGE_RIP).const((point.delta - from.delta) * 4096 + point.offset).add();
      if (!this.#long) code.zeroExtend(4);
      code.get(rip).eq();
      code.if();
      this.#follow(at, node, point.block, rip);
      code.end();
    }
  }

  /** An instruction that is a function of the interpreter: with everything in the processor block, as there. */
  #callApart({ apart, form }: KnownHandler, record: number, after: number, last: boolean): void {
    const code = this.#body;
    const bound = this.#bound as RegionBinding;
    this.#callsApart = true;
    this.#spill(code, this.#spilled, this.#spilledVectors);
    if (this.#savesFlags) {
      bound.flags.store(code);
      bound.storeFlags(code);
    }
    code.get(S).get(U).store32(state.CURRENT_UOP);
    code.get(S).get(BUDGET).const32(after).add32().tee(N).store32(state.BUDGET);
    code.get(S).get(U).const32(apart).call(this.#functions.apart);
    if (last) {
      this.#noteAccesses(code);
      code.get(S).const32(state.EXIT_ADDRESS).store32(state.REGION_EXIT).return();
      return;
    }
    code.tee(M).const32(record + uop.UOP_BYTES).ne32();
    // Something wants attention, code of the region was stored to, translations or segments changed.
    code.get(S).load32(state.BUDGET).get(N).ne32().or32();
    code.const32(firstUop(this.#scan as Scan, (this.#scan as Scan).entries[0] as number)).load16U32(uop.UOP_HANDLER).const32(HANDLER_REGION).ne32().or32();
    code.get(S).load(state.DATA_TAG).get(DATA_TAG).ne().or32();
    if (!this.#long) code.get(S).load32(state.FLAT).eqz32().or32();
    code.ifSeldom();
    this.#noteAccesses(code);
    code.get(S).const32(state.EXIT_CHANGE).store32(state.REGION_EXIT).get(M).return();
    code.end();
    const effects = changedRegisters(form.name);
    const changed = (effects | bound.operandRegisters(form)) & this.#reloaded;
    const vectors = (effects === ALL_REGISTERS ? ALL_REGISTERS : bound.operandVectors(form)) & this.#reloadedVectors;
    for (let i = 0; i < 16; i++) if ((changed & (1 << i)) !== 0) code.get(S).load(state.GPR + i * 8).set(REGISTER + i);
    for (let i = 0; i < 16; i++) if ((vectors & (1 << i)) !== 0) code.get(S).loadV128(state.XMM + i * 16).set(bound.vector(i));
    if (this.#savesFlags) bound.loadFlags(code);
  }
}

function firstUop({ blocks }: Scan, entry: number): number { return (blocks[entry] as Block).uops[0] as number; }
