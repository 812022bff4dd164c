/** Lends processors of this engine to another one: one cache of decoded code and one block of registers for each, in its linear memory. */
import type { CpuFeature } from '@vm/x86';
import { PAGE_CODE } from '@vm/core/exit';
import type { Surroundings } from '@vm/core/engine';
import type { CompoundOptions, LentEngine, Weights } from '@vm/trap-compound';
import { CodeCopies } from './code-copies.ts';
import { CodeCache, type CodeCacheRegion } from './code-page.ts';
import { cpuModel, type CpuModelName } from './cpu-model.ts';
import { VCPU_BLOCK_BYTES } from './cpu-state.ts';
import { BIT_MANIPULATION } from './emit/bit-manipulation.ts';
import { CONTROL_FLOW } from './emit/control-flow.ts';
import { MOVE } from './emit/move.ts';
import { MULTIPLY } from './emit/multiply.ts';
import { SHIFT } from './emit/shift.ts';
import { STACK } from './emit/stack.ts';
import { STRING } from './emit/string.ts';
import { ARITHMETIC } from './emit/arithmetic.ts';
import { FIRST_BLOCK, instantiate, sharedImage } from './engine.ts';
import { HandlerTable } from './handler-table.ts';
import { WasmLentProcessor } from './lent-processor.ts';

const MAP_BYTES = 4096 * 4;
const CODE_PAGES = 128;
const CODE_BYTES = 2 << 20;
/** With which an interrupt shadow begins (STI), whose meaning is decided by TypeScript, or of which one exit does many elements. */
const NOT_LENT: ReadonlySet<string> = new Set(['sti', 'enter', 'ins', 'outs']);
const LENT: ReadonlySet<string> = new Set(
  [...[ARITHMETIC, SHIFT, MULTIPLY, MOVE, STACK, CONTROL_FLOW, STRING, BIT_MANIPULATION].flatMap((table) => Object.keys(table)), 'in', 'out', 'crc32'].filter((name) => !NOT_LENT.has(name)),
);

export interface LentEngineOptions {
  /** The processor that the guest sees, as the borrower has it. */
  readonly cpuModel?: CpuModelName;
  readonly cpuFeatures?: readonly CpuFeature[];
  readonly cpuWithout?: readonly CpuFeature[];
  readonly compound: CompoundOptions;
  /** Bytes of linear memory that somebody else has below; default 0. */
  readonly reservedBytes?: (processors: number) => number;
}

export function lentEngine(options: LentEngineOptions): LentEngine {
  const model = cpuModel(options.cpuModel, options.cpuFeatures, options.cpuWithout);
  let processors = 1;
  let code: { readonly cache: CodeCache; readonly copies: CodeCopies } | null = null;
  const first = (): number => Math.ceil(Math.max(FIRST_BLOCK, options.reservedBytes?.(processors) ?? 0) / 0x1_0000) * 0x1_0000;
  const region = (): CodeCacheRegion => {
    const maps = first() + processors * VCPU_BLOCK_BYTES;
    const arena = maps + CODE_PAGES * MAP_BYTES;
    const words = arena + CODE_BYTES;
    return { maps, mapCount: CODE_PAGES, arena, arenaBytes: CODE_BYTES, words, copies: words + (CODE_BYTES >>> 3) };
  };
  return {
    reserveBytes: (count) => {
      processors = count;
      return region().copies; // nothing is translated: there are none
    },
    createProcessor: (index: number, surroundings: Surroundings, weights: Weights) => {
      const { long, legacy } = sharedImage();
      code ??= makeCache(region(), surroundings);
      const lent = (keys: readonly string[]): string[] => keys.map((key) => (LENT.has(key.slice(0, key.indexOf('.'))) ? key : `not lent: ${key}`));
      const handlers = { long: new HandlerTable(lent(long.keys), true, model), legacy: new HandlerTable(lent(legacy.keys), false, model) };
      return new WasmLentProcessor({
        at: first() + index * VCPU_BLOCK_BYTES, ...code, handlers, compound: options.compound, weights,
        instantiate: (isLong, imports) => instantiate((isLong ? long : legacy).module, surroundings, imports),
      }, surroundings);
    },
    tearDown: () => { code = null; },
  };
}

function makeCache(region: CodeCacheRegion, { ram }: Surroundings): { readonly cache: CodeCache; readonly copies: CodeCopies } {
  const cache = new CodeCache(ram.memory.buffer, region);
  // The attribute stays: another engine of the same machine may have code there too.
  ram.watch(PAGE_CODE, {
    written: (offset, bytes) => {
      for (let at = offset, end = offset + bytes; at < end; ) {
        const pageEnd = at - (at & 4095) + 4096;
        cache.stored(at, Math.min(end, pageEnd) - at);
        at = pageEnd;
      }
    },
  });
  return { cache, copies: new CodeCopies(cache, ram.memory.buffer) };
}
