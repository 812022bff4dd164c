// oxlint-disable-next-line typescript/triple-slash-reference -- it has to reach whoever compiles these sources
/// <reference path="./ambient.d.ts" />
/** The software engine: lays out the reserve and makes processors. */
import type { CpuFeature } from '@vm/x86';
import type { Engine, Surroundings } from '@vm/core/engine';
import { PAGE_CODE } from '@vm/core/exit';
import { CodeCache, COPY_BYTES } from './code-page.ts';
import type { CodeCacheRegion } from './code-page.ts';
import { compileModule } from './compiled-module.ts';
import { cpuModel, modelText } from './cpu-model.ts';
import type { CpuModel, CpuModelName } from './cpu-model.ts';
import { VCPU_BLOCK_BYTES } from './cpu-state.ts';
import { HandlerTable } from './handler-table.ts';
import { interpreterImage } from '#interpreter';
import type { InterpreterImage } from './interpreter-image.ts';
import type { EngineImports } from './runtime.ts';
import { defaultTranslatorMode } from './translate/translator-mode.ts';
import type { TranslatorMode } from './translate/translator-mode.ts';
import { shadowBytes } from '@vm/shadow-mmu';
import type { CompoundOptions } from '@vm/trap-compound';
import { ShadowTables } from './shadow-paging.ts';
import { PROCESSOR_STATE } from './saved-processor.ts';
import { defaultShadowMode, isShadowAudited } from './shadow-mode.ts';
import type { ShadowMode } from './shadow-mode.ts';
import { ProcessorGroup } from './processor-group.ts';
import type { Interpreter, Interpreters } from './processor-group.ts';
import { WasmVcpu } from './vcpu.ts';

/** The first page stays unused, so that address 0 is nothing. */
export const FIRST_BLOCK = 0x1_0000;
const MAP_BYTES = 4096 * 4;
const CODE_PAGES = 4096;
const CODE_BYTES = 64 << 20;
const LEAST_PAGES = 4;
const LEAST_BYTES = 0x1_0000;
const TRANSLATED_BYTES = 48 << 20;
const SHADOW_TABLES = 4096;
const LEAST_SHADOW_TABLES = 64;

export interface WasmEngineOptions {
  /** The processor that guests see; default the best that is complete. */
  readonly cpuModel?: CpuModelName;
  /** Features beside those of the model. */
  readonly cpuFeatures?: readonly CpuFeature[];
  /** Features of the model that this processor lacks. */
  readonly cpuWithout?: readonly CpuFeature[];
  /** Where RDRAND and RDSEED begin, 32 bits; the same seed gives the same numbers. Default 0. */
  readonly randomSeed?: number;
  /** Told of an instruction in protected mode at privilege level 0 that the processor does not have, before the guest gets its #UD. */
  readonly unknownInKernel?: (text: string) => void;
  /** Told of a HLT with interrupts disabled, which nothing but a reset or an NMI ends, when no other processor could send one. */
  readonly haltedForGood?: () => void;
  /** Whether hot guest code is translated (`on`, the default), all of it (`eager`) or none (`off`). */
  readonly translator?: TranslatorMode;
  /** What keeps translations of address spaces that are not in use; default `off`: nothing. */
  readonly shadow?: ShadowMode;
  /** Whether instructions behind a trap that would trap too are finished with it, and how accesses reach devices in workers; default: neither. */
  readonly compound?: CompoundOptions;
  /** Check the shadow tables at every 32nd switch of the guest's. Slow. */
  readonly auditShadow?: boolean;
  /** Shadow tables of 4 KiB; default 4096. */
  readonly shadowTables?: number;
  /** Bytes of WebAssembly that translated code may take; default 48 MiB. When there are more, the oldest goes. */
  readonly translatedBytes?: number;
  /** Count what each region of translated code does, for `tracedRegions`. Slower. */
  readonly traceRegions?: boolean;
  /** A stored interpreter; default: written for the first engine of the process. */
  readonly image?: InterpreterImage;
  /** Pages of guest code that are kept decoded, each in one mode; default 4096. When they run out, all are dropped. */
  readonly codePages?: number;
  /** Bytes for decoded instructions, 32 each; default 64 MiB. */
  readonly codeBytes?: number;
}

// All engines of a process share these; nothing of a machine is in them.
let written: InterpreterImage | null = null;
const compiled = new WeakMap<Uint8Array, WebAssembly.Module>();
const handlerTables = new WeakMap<readonly string[], Map<string, HandlerTable>>();

export function wasmEngine(options: WasmEngineOptions = {}): Engine<WasmVcpu> {
  let group: ProcessorGroup | null = null;
  const mode = options.shadow ?? defaultShadowMode();
  const tableBytes = mode === 'off' ? 0 : shadowBytes(atLeast('shadowTables', options.shadowTables ?? SHADOW_TABLES, LEAST_SHADOW_TABLES));
  const tablesAt = (): number => Math.ceil((region().copies + COPY_BYTES) / 4096) * 4096;
  let processors = 1;
  const model = cpuModel(options.cpuModel, options.cpuFeatures, options.cpuWithout);
  const codePages = atLeast('codePages', options.codePages ?? CODE_PAGES, LEAST_PAGES);
  const translatedBytes = atLeast('translatedBytes', options.translatedBytes ?? TRANSLATED_BYTES, LEAST_BYTES);
  const codeBytes = atLeast('codeBytes', options.codeBytes ?? CODE_BYTES, LEAST_BYTES);
  const region = (): CodeCacheRegion => {
    const maps = FIRST_BLOCK + processors * VCPU_BLOCK_BYTES;
    const arena = maps + codePages * MAP_BYTES;
    return { maps, mapCount: codePages, arena, arenaBytes: codeBytes, words: arena + codeBytes, copies: arena + codeBytes + (codeBytes >>> 3) };
  };
  const makeGroup = (surroundings: Surroundings): ProcessorGroup => {
    const image = options.image ?? sharedImage();
    const { long, legacy } = image;
    const cache = new CodeCache(surroundings.ram.memory.buffer, region());
    watchStores(cache, surroundings);
    return new ProcessorGroup({
      processors, memory: surroundings.ram.memory as WebAssembly.Memory, cache, translatedBytes, traceRegions: options.traceRegions === true, translator: options.translator ?? defaultTranslatorMode(),
      shadow: mode === 'off' ? null : new ShadowTables(surroundings.ram, tablesAt(), tableBytes, processors, { policy: mode, audit: options.auditShadow ?? isShadowAudited() }),
      handlers: { long: handlersOf(long.keys, true, model), legacy: handlersOf(legacy.keys, false, model) },
      instantiate: (imports): Interpreters => ({ long: instantiate(long.module, surroundings, imports), legacy: instantiate(legacy.module, surroundings, imports) }),
    });
  };
  return {
    abi: 0,
    id: 'vm.wasm',
    features: [],
    processorState: { id: 'x86', version: PROCESSOR_STATE, model: modelText(model) },
    reserveBytes: (count) => {
      processors = count;
      return mode === 'off' ? region().copies + COPY_BYTES : tablesAt() + tableBytes;
    },
    createVcpu: (index, surroundings) => {
      group ??= makeGroup(surroundings);
      const { unknownInKernel, haltedForGood } = options;
      const listeners = { ...(unknownInKernel === undefined ? {} : { unknownInKernel }), ...(haltedForGood === undefined ? {} : { haltedForGood }) };
      return new WasmVcpu({ index, at: FIRST_BLOCK + index * VCPU_BLOCK_BYTES, group, model, randomSeed: options.randomSeed ?? 0, compound: options.compound ?? null, ...listeners }, surroundings);
    },
    *counts() { if (group?.isAlone === false) yield* group.counts(); },
    tearDown: () => { group = null; },
  };
}

/** The interpreter, written or read when it is first asked for. */
export function sharedImage(): InterpreterImage { return (written ??= interpreterImage()); }

/** Made once for each model of a processor: what it knows is the same in every machine. */
export function handlersOf(keys: readonly string[], long: boolean, model: CpuModel): HandlerTable {
  const tables = handlerTables.get(keys) ?? new Map<string, HandlerTable>();
  handlerTables.set(keys, tables);
  const name = modelText(model);
  const table = tables.get(name) ?? new HandlerTable(keys, long, model);
  tables.set(name, table);
  return table;
}

export function atLeast(name: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least) throw new RangeError(`${name}: expected an integer of at least ${least}, got ${value}`);
  return value;
}

/** Stores to pages with decoded code come here, from processors and devices alike. */
function watchStores(cache: CodeCache, { ram }: Surroundings): void {
  const attributes = new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes >>> 12);
  ram.watch(PAGE_CODE, {
    written: (offset, bytes) => {
      const end = offset + bytes;
      for (let at = offset; at < end; ) {
        const pageEnd = at - (at & 4095) + 4096;
        const page = (at - ram.base) >>> 12;
        if (((attributes[page] as number) & PAGE_CODE) !== 0 && !cache.stored(at, Math.min(end, pageEnd) - at)) attributes[page] = (attributes[page] as number) & ~PAGE_CODE;
        at = pageEnd;
      }
    },
  });
}

export function instantiate(module: Uint8Array, { ram }: Surroundings, imports: EngineImports): Interpreter {
  const code = compiled.get(module) ?? compileModule(module);
  compiled.set(module, code);
  const instance = new WebAssembly.Instance(code, { env: { memory: ram.memory, ...imports } });
  return instance.exports as unknown as Interpreter;
}
