/**
 * The control flow of a region in the shape that WebAssembly can express.
 *
 * A region may be entered at several blocks, and guest code may jump into the middle of its loops. Each loop with more than
 * one entrance gets a dispatch node in front of its header: entries from outside go there with a selector, so that in the
 * end every loop has one entrance (it is reducible) and nests properly. Then dominators and the reverse postorder say where
 * blocks and loops begin (N. Ramsey, "Beyond Relooper", ICFP 2022).
 */

/** An edge; `selector` is the node that a dispatch node on the way is to go on to, -1 when there is none on the way. */
export interface Edge { target: number; selector: number }

export interface ControlNode {
  readonly edges: Edge[];
  /** Nodes that a dispatch node chooses from; null for ordinary ones. Its first edge is taken when the selector is none of them. */
  readonly choices: number[] | null;
  order: number;
  dominator: number;
  /** Nodes that this one immediately dominates and that are reached by more than one forward edge, last in order first. */
  readonly merges: number[];
  isMerge: boolean;
  isLoop: boolean;
}

/** Instead of a number in the order of the visit: not to be looked at, or not seen yet. */
const OUTSIDE = -1, UNSEEN = -2;

export class ControlGraph {
  readonly nodes: ControlNode[] = [];
  /** The node from which all entries are reached. */
  readonly root: number;
  readonly #blocks: number;

  /** `successors[b]` lists the blocks that block b goes to; `entries` are the blocks at which the region may be entered. */
  constructor(successors: readonly (readonly number[])[], entries: readonly number[]) {
    this.#blocks = successors.length;
    for (const targets of successors) this.#add(targets, null);
    this.root = this.#add(entries, [...entries]);
    this.#makeReducible(this.nodes.map((_, i) => i));
    this.#order();
  }

  #add(targets: readonly number[], choices: number[] | null): number {
    return this.nodes.push({ edges: targets.map((target) => ({ target, selector: -1 })), choices, order: -1, dominator: -1, merges: [], isMerge: false, isLoop: false }) - 1;
  }
  node(index: number): ControlNode { return this.nodes[index] as ControlNode; }

  /** Gives every loop among `members` one entrance, from the outside in. */
  #makeReducible(members: readonly number[]): void {
    for (const loop of this.#loops(members)) {
      const inside = new Set(loop);
      const entrances = new Set<number>();
      for (let from = 0; from < this.nodes.length; from++) {
        if (inside.has(from)) continue;
        for (const edge of this.node(from).edges) if (inside.has(edge.target)) entrances.add(edge.target);
      }
      let header = this.#header(loop, entrances);
      if (entrances.size > 1) {
        const first = header;
        const others = [...entrances].filter((entrance) => entrance !== first);
        header = this.#add([first, ...others], others);
        this.nodes.forEach((node, from) => {
          if (from === header) return;
          for (const edge of node.edges) {
            if (edge.target === first) edge.target = header;
            else if (!inside.has(from) && entrances.has(edge.target)) {
              if (edge.selector < 0) edge.selector = edge.target;
              edge.target = header;
            }
          }
        });
      }
      // Without its header the loop falls apart into the loops inside it.
      const rest = loop.filter((member) => member !== header);
      if (rest.length > 0) this.#makeReducible(rest);
    }
  }
  /** Of the entrances, the one that most edges of the loop itself go back to. */
  #header(loop: readonly number[], entrances: ReadonlySet<number>): number {
    let best = loop[0] as number;
    let most = -1;
    for (const entrance of entrances) {
      let count = 0;
      for (const member of loop) for (const edge of this.node(member).edges) if (edge.target === entrance) count++;
      if (count > most || (count === most && entrance < best)) { best = entrance; most = count; }
    }
    return best;
  }

  /** Strongly connected components that hold a cycle, within `members` (R. Tarjan, 1972). */
  #loops(members: readonly number[]): number[][] {
    const index = this.nodes.map(() => OUTSIDE);
    for (const member of members) index[member] = UNSEEN;
    const low: number[] = [];
    const stack: number[] = [];
    const found: number[][] = [];
    let count = 0;
    const visit = (at: number): void => {
      const own = count++;
      let lowest = own;
      index[at] = own;
      stack.push(at);
      for (const { target } of this.node(at).edges) {
        const reached = index[target] as number;
        if (reached === UNSEEN) {
          visit(target);
          lowest = Math.min(lowest, low[target] as number);
        } else if (reached >= 0) lowest = Math.min(lowest, reached);
      }
      low[at] = lowest;
      if (lowest !== own) return;
      const component: number[] = [];
      for (let member = -1; member !== at; ) {
        member = stack.pop() as number;
        index[member] = OUTSIDE;
        component.push(member);
      }
      if (component.length > 1 || this.node(at).edges.some((edge) => edge.target === at)) found.push(component);
    };
    for (const member of members) if (index[member] === UNSEEN) visit(member);
    return found;
  }

  /** Reverse postorder, immediate dominators (Cooper, Harvey, Kennedy, 2001), merges and loop headers. */
  #order(): void {
    const order: number[] = [];
    const seen = this.nodes.map(() => false);
    const visit = (at: number): void => {
      seen[at] = true;
      for (const { target } of this.node(at).edges) if (seen[target] !== true) visit(target);
      order.push(at);
    };
    visit(this.root);
    order.reverse();
    order.forEach((at, i) => { this.node(at).order = i; });
    const predecessors = this.nodes.map((): number[] => []);
    for (const at of order) for (const { target } of this.node(at).edges) (predecessors[target] as number[]).push(at);
    this.node(this.root).dominator = this.root;
    const meet = (a: number, b: number): number => {
      let x = a;
      let y = b;
      while (x !== y) {
        while (this.node(x).order > this.node(y).order) x = this.node(x).dominator;
        while (this.node(y).order > this.node(x).order) y = this.node(y).dominator;
      }
      return x;
    };
    // In a reducible graph one pass in reverse postorder is enough.
    for (const at of order) {
      if (at === this.root) continue;
      const node = this.node(at);
      let forward = 0;
      for (const from of predecessors[at] as number[]) {
        if (this.node(from).order >= node.order) { node.isLoop = true; continue; }
        forward++;
        node.dominator = node.dominator < 0 ? from : meet(node.dominator, from);
      }
      node.isMerge = forward > 1;
    }
    for (const at of order.toReversed()) if (this.node(at).isMerge) this.node(this.node(at).dominator).merges.push(at);
  }

  /** True for a block of the region, false for a node made here. */
  isBlock(index: number): boolean { return index < this.#blocks; }
}
