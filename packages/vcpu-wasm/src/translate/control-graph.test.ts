import { expect, it } from 'vitest';
import { ControlGraph } from './control-graph.ts';
import { Random } from '../native/random.ts';

/** Walks graph and source at once with the same choices; what the graph does to the selector is done here too. */
function follow(graph: ControlGraph, entry: number, choose: (count: number) => number, steps: number): number[] {
  const path: number[] = [];
  let selector = entry;
  let at = graph.root;
  while (path.length < steps) {
    const node = graph.node(at);
    let edge = node.edges[0];
    if (node.choices !== null) {
      const choice = node.choices.indexOf(selector);
      if (at === graph.root) edge = node.edges[choice];
      else if (choice >= 0) edge = node.edges[choice + 1];
      if (at === graph.root || choice >= 0) selector = -1;
    } else {
      path.push(at);
      if (node.edges.length === 0) return path;
      edge = node.edges[choose(node.edges.length)];
    }
    if (edge === undefined) throw new Error(`node ${at} has nowhere to go`);
    if (edge.selector >= 0) selector = edge.selector;
    at = edge.target;
  }
  return path;
}
function walk(successors: readonly (readonly number[])[], entry: number, choose: (count: number) => number, steps: number): number[] {
  const path: number[] = [];
  for (let at = entry; path.length < steps; ) {
    path.push(at);
    const targets = successors[at] as readonly number[];
    if (targets.length === 0) return path;
    at = targets[choose(targets.length)] as number;
  }
  return path;
}
/** Every loop is entered at its header only: the target of a backward edge dominates where it comes from. */
function expectReducible(graph: ControlGraph): void {
  graph.nodes.forEach((node, from) => {
    if (node.order < 0) return;
    for (const { target } of node.edges) {
      if (graph.node(target).order > node.order) continue;
      let up = from;
      while (up !== target && up !== graph.root) up = graph.node(up).dominator;
      expect(up).toBe(target);
    }
  });
}

it('finds a plain loop and its merge', () => {
  const graph = new ControlGraph([[1], [2, 3], [1], []], [0]);
  expect(graph.node(1).isLoop).toBe(true);
  expect(graph.nodes.filter((node) => node.choices !== null)).toHaveLength(1);
  expectReducible(graph);
});

it('puts a dispatch before a loop that is entered in its middle', () => {
  const graph = new ControlGraph([[1], [2, 3], [1], []], [0, 2]);
  const dispatch = graph.nodes.findIndex((node, i) => node.choices !== null && i !== graph.root);
  expect(graph.node(dispatch).choices).toEqual([2]);
  expect(graph.node(dispatch).isLoop).toBe(true);
  expectReducible(graph);
});

it.each(Array.from({ length: 40 }, (_, i) => i))('keeps the paths of any graph and makes it reducible (seed %i)', (seed) => {
  const random = new Random(seed + 1);
  const count = 2 + random.below(24);
  const successors = Array.from({ length: count }, () => Array.from({ length: random.below(3) }, () => random.below(count)));
  const entries = [...new Set([0, random.below(count), random.below(count)])];
  const graph = new ControlGraph(successors, entries);
  expectReducible(graph);
  for (const entry of entries) {
    for (let round = 0; round < 8; round++) {
      const choices = Array.from({ length: 100 }, () => random.below(6));
      const chooser = (): ((count: number) => number) => { let i = 0; return (n) => (choices[i++] as number) % n; };
      expect(follow(graph, entry, chooser(), 60)).toEqual(walk(successors, entry, chooser(), 60));
    }
  }
});
