/**
 * Counts what each region does, for people who want to know where a guest's time goes. Between the interpreter and a region that is
 * traced stands a small function, which tells of entries and exits; regions themselves are the same as without.
 */
import * as state from '../cpu-state.ts';
import { S, U } from '../locals.ts';
import { pushBudget, pushExitReason, UNDONE_MASK } from '../region-exit.ts';
import * as uop from '../uop.ts';
import { CodeWriter, I32 } from '../wasm/code-writer.ts';
import { ModuleWriter } from '../wasm/module-writer.ts';
import type { Scan } from './region-scan.ts';

type NotedExit = 'branch' | 'address' | 'instruction' | 'budget' | 'change';
/** Why a region is left. An exception (`fault`) leaves it without a word. */
export type ExitReason = NotedExit | 'fault';
export const EXITS: readonly (readonly [name: NotedExit, number: number])[] = [
  ['branch', state.EXIT_BRANCH], ['address', state.EXIT_ADDRESS], ['instruction', state.EXIT_INSTRUCTION], ['budget', state.EXIT_BUDGET], ['change', state.EXIT_CHANGE],
];

export interface TracedRegion {
  /** Linear address of the instruction that became hot; other addresses may enter it too. */
  readonly address: bigint;
  /** Of its page in the machine's memory, so that programs at the same addresses are told apart. */
  readonly pageOffset: number;
  /** Bits of the code. */
  readonly mode: number;
  /** Of the guest, and bytes of WebAssembly that came out of them. */
  readonly instructions: number;
  readonly bytes: number;
  /** How often it was written: again when its code was changed, or it had to make room. */
  readonly written: number;
  readonly entries: number;
  /** Instructions that ran in it. */
  readonly executed: number;
  readonly exits: Readonly<Record<ExitReason, number>>;
}

interface Count {
  instructions: number;
  bytes: number;
  written: number;
  entries: number;
  executed: number;
  readonly exits: Float64Array; // by number
}
interface Found extends Count { readonly low: number; readonly high: number; readonly pageOffset: number; readonly mode: number }

/** Guests can make code without end; from here on it is no longer told apart. */
const MOST_REGIONS = 1 << 16;
const REASONS = Math.max(...EXITS.map(([, number]) => number)) + 1;
const I32_PAIR = { parameters: [I32, I32], results: [] } as const;

export class RegionTrace {
  readonly #memory: WebAssembly.Memory;
  readonly #between = new WebAssembly.Module(writeBetween() as Uint8Array<ArrayBuffer>);
  readonly #found = new Map<string, Found>();
  readonly #scans = new WeakMap<Scan, Found>();

  constructor(memory: WebAssembly.Memory) { this.#memory = memory; }

  /** A region is being written; the hot uop lies at `at`, and its page at a linear address. */
  note(scan: Scan, view: DataView, at: number, pageRip: { readonly low: number; readonly high: number }, bytes: number): void {
    const sum = pageRip.low + view.getUint16(at + uop.UOP_NEXT, true) - view.getUint8(at + uop.UOP_LENGTH);
    const { page } = scan.blocks[scan.entries[0] as number]!;
    const [low, high] = [sum >>> 0, page.mode === 64 ? (pageRip.high + Math.floor(sum / 2 ** 32)) >>> 0 : 0];
    const key = this.#found.size < MOST_REGIONS ? `${high} ${low} ${page.offset} ${page.mode}` : 'others';
    const known = this.#found.get(key) ?? { low, high, pageOffset: page.offset, mode: page.mode, instructions: 0, bytes: 0, written: 0, entries: 0, executed: 0, exits: new Float64Array(REASONS) };
    this.#found.set(key, known);
    known.instructions = scan.instructions;
    known.bytes = bytes;
    known.written++;
    this.#scans.set(scan, known);
  }

  /** What stands in the interpreter's table in place of the region. */
  between(scan: Scan, region: unknown): unknown {
    const count = this.#scans.get(scan);
    if (count === undefined) return region;
    const enter = (): void => { count.entries++; };
    const leave = (executed: number, reason: number): void => {
      count.executed += executed >>> 0;
      count.exits[reason] = (count.exits[reason] as number) + 1;
    };
    return new WebAssembly.Instance(this.#between, { env: { memory: this.#memory, region, enter, leave } }).exports['traced'];
  }

  /** Those in which most instructions ran come first. */
  list(): TracedRegion[] {
    return [...this.#found.values()].toSorted((a, b) => b.executed - a.executed).map(({ low, high, exits, ...rest }) => {
      const named = Object.fromEntries(EXITS.map(([name, number]) => [name, exits[number] as number])) as Record<NotedExit, number>;
      const fault = rest.entries - exits.reduce((sum, count) => sum + count, 0);
      return { address: (BigInt(high) << 32n) | BigInt(low), ...rest, exits: { ...named, fault } };
    });
  }
}

function writeBetween(): Uint8Array {
  const module = new ModuleWriter({ minimumPages: 1, maximumPages: 65536, shared: false });
  const region = module.import('region', { parameters: [I32, I32], results: [I32] });
  const enter = module.import('enter', { parameters: [], results: [] });
  const leave = module.import('leave', I32_PAIR);
  const traced = module.declare({ parameters: [I32, I32], results: [I32] }, 'traced');
  const code = new CodeWriter();
  const BEFORE = 2, RESULT = 3, EXIT = 4, FREE = 5;
  code.call(enter);
  pushBudget(code);
  code.set(BEFORE).get(S).get(U).call(region).set(RESULT);
  code.get(BEFORE);
  pushBudget(code);
  code.sub32().get(S).load32(state.REGION_EXIT).tee(EXIT).const32(UNDONE_MASK).and32().sub32();
  pushExitReason(code, EXIT, FREE, RESULT);
  code.call(leave).get(RESULT);
  module.define(traced, [I32, I32, I32, I32], code);
  return module.finish();
}
