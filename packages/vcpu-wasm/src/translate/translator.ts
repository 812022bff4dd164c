/**
 * Turns hot guest code into WebAssembly: hears from the interpreter which uops are branched to often, writes the regions that
 * begin there, and puts them into the interpreter's table.
 *
 * A region is found only through the uop at its entry, so whatever makes decoded code invalid (a store to its page, a flush)
 * makes its regions unreachable too. Where the guest's addresses lead is not cached here at all: an entry is reached through
 * the fetch TLB or within the page that it answered for.
 */
import type { CodeCache, CodePage } from '../code-page.ts';
import * as state from '../cpu-state.ts';
import { FIRST_INSTRUCTION_HANDLER } from '../handler-number.ts';
import type { StateView } from '../state-view.ts';
import * as uop from '../uop.ts';
import { CodeWriter } from '../wasm/code-writer.ts';
import { landingOf } from '../landing.ts';
import { HandlerForms } from './handler-forms.ts';
import { REGION_FUNCTIONS, regionImports, RegionModule, regionName } from './region-module.ts';
import type { RegisterPlace } from './region-registers.ts';
import { RegionScan } from './region-scan.ts';
import { EXITS, RegionTrace } from './region-trace.ts';
import type { TracedRegion } from './region-trace.ts';
import type { Block, RegionExtent, Scan } from './region-scan.ts';
import { RegionTable } from './region-table.ts';
import { RegionWriter } from './region-writer.ts';
import type { RegionKind } from './region-writer.ts';
import type { TranslatorMode } from './translator-mode.ts';

/** What of an interpreter a region works with. */
export interface RegionHost {
  readonly table: WebAssembly.Table;
}
export interface TranslatorParts {
  readonly buffer: ArrayBufferLike;
  readonly cache: CodeCache;
  readonly memory: WebAssembly.Memory;
  readonly mode: TranslatorMode;
  /** Bytes of WebAssembly that are kept. */
  readonly mostBytes: number;
  /** Regions are counted one by one. */
  readonly traced: boolean;
  readonly long: { readonly host: RegionHost; readonly keys: readonly string[] };
  readonly legacy: { readonly host: RegionHost; readonly keys: readonly string[] };
}

/** Branches to a uop before its region is written. */
const THRESHOLD = 1000;
const NEVER = 0;
/** Regions written into one module. */
const BATCH = 8;
/** A page whose code was overwritten so often after it was translated stays with the interpreter, except in tests of everything. */
const MOST_DROPS = 12;
/** Times that a region has to run for long before it is written again. */
const LONG_RUNS = 100;
/** Times that the budget has to end at a region before it is written again with more of the code around it. */
const LARGE_SAMPLES = 10;
/** What is kept of the bytes of WebAssembly allowed, when there are more: the oldest modules go. */
const KEPT_SHARE = 0.75;
/** Copies that there has to be room for before a slice begins. */
const LEAST_COPIES = 1024;

interface Half { readonly host: RegionHost; readonly imports: Record<string, unknown>; readonly forms: HandlerForms; readonly writer: RegionWriter; readonly free: number[]; readonly regions: (Installed | null)[] }
interface Waiting {
  readonly state: StateView; readonly at: number; readonly page: CodePage; readonly ripLow: number; readonly ripHigh: number; readonly generation: number;
  readonly kind: RegionKind;
}
interface Written { readonly scan: Scan; readonly kind: RegionKind }
/** A module of which some region can be entered still. V8 frees it when none can. */
interface LiveModule { readonly bytes: number; readonly regions: Set<Installed> }
/** A region that can be entered. */
interface Installed extends Written { readonly half: Half; readonly index: number; readonly module: LiveModule; readonly places: readonly number[]; loops: number; samples: number }

export class Translator {
  /** Of the processors that it serves: all find the same regions in the same tables. */
  readonly #states: StateView[] = [];
  readonly #view: DataView;
  readonly #cache: CodeCache;
  readonly #memory: WebAssembly.Memory;
  readonly #mode: TranslatorMode;
  readonly #table: RegionTable;
  readonly #scanner: RegionScan;
  readonly #long: Half;
  readonly #legacy: Half;
  readonly #code = new CodeWriter();
  readonly #waiting: Waiting[] = [];
  /** By each of the pages that a region holds code of. */
  readonly #installed = new Map<CodePage, Set<Installed>>();
  /** By offset of the page. */
  readonly #drops = new Map<number, number>();
  /** The oldest first. */
  readonly #modules = new Set<LiveModule>();
  readonly #mostBytes: number;
  readonly #trace: RegionTrace | null;
  #bytesLive = 0;

  // Counters.
  regions = 0;
  modules = 0;
  instructions = 0;
  bytes = 0;
  microseconds = 0;
  blocks = 0;
  compileMicroseconds = 0;
  evictions = 0;

  constructor({ buffer, cache, memory, mode, mostBytes, traced, long, legacy }: TranslatorParts) {
    this.#view = new DataView(buffer);
    this.#cache = cache;
    this.#memory = memory;
    this.#mode = mode;
    this.#mostBytes = mostBytes;
    this.#trace = traced ? new RegionTrace(memory) : null;
    this.#table = new RegionTable(cache, buffer);
    this.#scanner = new RegionScan(cache, this.#view, this.#table);
    const half = ({ host, keys }: TranslatorParts['long'], isLong: boolean): Half => {
      const forms = new HandlerForms(keys, isLong, buffer);
      return { host, imports: regionImports(host, traced), forms, writer: new RegionWriter(this.#view, isLong, forms, this.#scanner, this.#table, REGION_FUNCTIONS, this.#code), free: [], regions: [] };
    };
    this.#long = half(long, true);
    this.#legacy = half(legacy, false);
    cache.listeners.push({ becameCode: () => undefined, dropped: (page) => this.#dropped(page), flushed: () => this.#flushed() });
  }

  /** From now on a processor finds regions, and tells what is hot. */
  serve(view: StateView): void {
    this.#states.push(view);
    view.set(state.REGION_WORDS, this.#cache.regionWords);
    this.#cool(view);
  }

  /** Empty unless they are counted one by one. */
  get regionsTraced(): readonly TracedRegion[] { return this.#trace?.list() ?? []; }

  get isEager(): boolean { return this.#mode === 'eager'; }

  *counts(): Generator<readonly [name: string, count: number]> {
    if (this.#mode === 'off') return;
    yield ['translator.regions', this.regions];
    const sum = (field: number): number => this.#states.reduce((all, view) => all + view.number(field), 0);
    yield ['translator.entries', EXITS.reduce((all, [, number]) => all + sum(state.REGION_EXITS + number * 8), 0)];
    yield ['translator.executed', sum(state.REGION_INSTRUCTIONS)];
    yield ['translator.accesses', sum(state.REGION_ACCESSES)];
    for (const [name, number] of EXITS) yield [`translator.exits.${name}`, sum(state.REGION_EXITS + number * 8)];
    yield ['translator.modules', this.modules];
    yield ['translator.blocks', this.blocks];
    yield ['translator.instructions', this.instructions];
    yield ['translator.bytes', this.bytes];
    yield ['translator.bytesLive', this.#bytesLive];
    yield ['translator.evictions', this.evictions];
    yield ['translator.microseconds', Math.round(this.microseconds)];
    yield ['translator.compileMicroseconds', Math.round(this.compileMicroseconds)];
  }

  #cool({ u8, at }: StateView): void {
    const heat = new Uint16Array(u8.buffer, at + state.HEAT, state.HEAT_COUNTERS);
    heat.fill(this.#mode === 'off' ? NEVER : this.#mode === 'eager' ? 1 : THRESHOLD);
  }

  /** The counter of a uop in the page that the processor runs has run out. */
  hot(processor: StateView, at: number): void {
    const view = this.#view;
    view.setUint16(processor.at + state.HEAT + ((at >>> state.HEAT_SHIFT) & state.HEAT_MASK), this.#mode === 'off' ? NEVER : this.#mode === 'eager' ? 1 : THRESHOLD, true);
    if (this.#mode === 'off' || view.getUint16(at + uop.UOP_HANDLER, true) < FIRST_INSTRUCTION_HANDLER) return;
    const page = this.#cache.ofMap(processor.get(state.CODE_PAGE));
    if (page.mode === 16 || (page.mode === 32 && processor.get(state.FLAT) === 0)) return;
    if (!this.isEager && (this.#drops.get(page.offset) ?? 0) >= MOST_DROPS) return;
    // Where everything is translated for a test, half of it each way.
    this.#wait(processor, at, page, this.isEager && ((at / uop.UOP_BYTES) & 1) === 0 ? 'locals' : 'block', this.isEager && ((at / uop.UOP_BYTES) & 4) === 0);
    if (this.isEager || this.#waiting.length >= BATCH) this.translate();
  }

  #wait(processor: StateView, at: number, page: CodePage, registers: RegisterPlace, large: boolean): void {
    // What a system does for its programs is spread over many pages; they themselves stay on a few for longer. In tests every other one.
    const refills = registers === 'block' && (this.isEager ? ((at / uop.UOP_BYTES) & 2) === 0 : processor.get(state.CPL) === 0);
    this.#waiting.push({ state: processor, at, page, ripLow: processor.get(state.PAGE_RIP), ripHigh: processor.high(state.PAGE_RIP), generation: this.#cache.generation, kind: { registers, refills, large } });
  }
  /** The region at a uop ran for long: when it does so often, it is written again, with registers in locals. */
  looped(processor: StateView, at: number): void {
    const region = this.#regionAt(processor, at);
    if (region !== null && region.kind.registers !== 'locals' && ++region.loops === LONG_RUNS) this.#again(processor, at, 'locals', region.kind.large);
  }
  /** The budget ended at the entry of a region: where it does so often, the region is written again, with more of the code around. */
  #sample(processor: StateView): void {
    const at = processor.get(state.SAMPLED);
    if (at === 0) return;
    processor.set(state.SAMPLED, 0);
    const region = this.#regionAt(processor, at);
    // A system's paths are many and each of them is run through seldom: larger regions cost it more than they gave. Who loops has its loop already.
    if (region === null || region.kind.large || region.kind.refills || region.kind.registers === 'locals' || region.loops > 0) return;
    if (++region.samples === LARGE_SAMPLES) this.#again(processor, at, 'block', true);
  }
  /** The region that begins at a uop. Null also where the processor is in another page by now, so that it is not known where the entry's lies. */
  #regionAt(processor: StateView, at: number): Installed | null {
    const page = this.#table.pageOf(at);
    if (page === null || page.map !== processor.get(state.CODE_PAGE)) return null;
    const half = page.mode === 64 ? this.#long : this.#legacy;
    const region = half.regions[this.#view.getUint32(this.#cache.regionWord(at), true)] ?? null;
    return region?.scan.entries.some((entry) => firstOf(region.scan, entry) === at && (region.scan.blocks[entry] as Block).page === page) === true ? region : null;
  }
  #again(processor: StateView, at: number, registers: RegisterPlace, large: boolean): void {
    this.#wait(processor, at, this.#cache.ofMap(processor.get(state.CODE_PAGE)), registers, large);
    if (this.#waiting.length >= BATCH || large) this.translate();
  }

  /** Writes what waits. */
  translate(): void {
    const begin = performance.now();
    for (const half of [this.#long, this.#legacy]) this.#translate(half);
    this.#waiting.length = 0;
    this.microseconds += (performance.now() - begin) * 1000;
  }
  /** Called while no generated code runs: makes room. */
  collect(): void {
    this.#table.reclaim();
    for (const processor of this.#states) this.#sample(processor);
    if (this.#bytesLive > this.#mostBytes) this.#evict(this.#mostBytes * KEPT_SHARE);
    while (this.#table.isFull(LEAST_COPIES) && this.#modules.size > 0) this.#evict(this.#bytesLive * KEPT_SHARE);
  }
  /** Drops the oldest modules until at most `bytes` are left; what is still hot is written again. */
  #evict(bytes: number): void {
    this.evictions++;
    for (const module of this.#modules) {
      if (this.#bytesLive <= bytes) break;
      for (const region of module.regions) this.#remove(region);
    }
    this.#table.reclaim();
  }

  #translate(half: Half): void {
    let module: RegionModule | null = null;
    const written: Written[] = [];
    for (const { state: processor, at, page, ripLow, ripHigh, generation, kind } of this.#waiting) {
      if ((page.mode === 64) !== (half === this.#long) || generation !== this.#cache.generation) continue;
      if (this.#scanner.handlerAt(at) < FIRST_INSTRUCTION_HANDLER || (this.#table.isEntry(at) && kind.registers !== 'locals' && !kind.large)) continue;
      const scan = this.#scanner.scan(processor, page, at, ripLow, ripHigh, half.forms, this.#extentOf(at, kind));
      if (scan.entries.length === 0 || this.#table.isFull(scan.entries.length)) continue;
      for (const entry of scan.entries) this.#table.reserve((scan.blocks[entry] as Block).page, firstOf(scan, entry));
      module ??= new RegionModule();
      module.add(this.#code, half.writer.write(scan, kind));
      this.#trace?.note(scan, this.#view, at, { low: ripLow, high: ripHigh }, this.#code.length);
      written.push({ scan, kind });
    }
    if (module !== null) this.#install(half, module, written);
  }
  /** A system's own code is long and lukewarm: there a region ends where another begins (decision 26). In tests every eighth does. */
  #extentOf(at: number, { large, refills }: RegionKind): RegionExtent {
    if (large) return 'large';
    return refills && (!this.isEager || ((at / uop.UOP_BYTES) & 4) !== 0) ? 'apart' : 'usual';
  }
  #install(half: Half, module: RegionModule, written: readonly Written[]): void {
    const bytes = module.finish();
    const begin = performance.now();
    const { host } = half;
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory: this.#memory, ...half.imports } });
    this.compileMicroseconds += (performance.now() - begin) * 1000;
    this.modules++;
    this.bytes += bytes.length;
    this.#bytesLive += bytes.length;
    const live: LiveModule = { bytes: bytes.length, regions: new Set() };
    this.#modules.add(live);
    written.forEach(({ scan, kind }, place) => {
      const index = half.free.pop() ?? host.table.grow(1);
      const region = instance.exports[regionName(place)];
      host.table.set(index, this.#trace === null ? region : this.#trace.between(scan, region));
      this.regions++;
      this.instructions += scan.instructions;
      this.blocks += scan.blocks.length;
      for (const entry of scan.entries) this.#table.install(firstOf(scan, entry), index);
      const made = { half, index, scan, kind, module: live, places: scan.entries.map((entry) => this.#placeOf(scan, entry)), loops: 0, samples: 0 };
      this.#forgetLandings(made.places);
      live.regions.add(made);
      half.regions[index] = made;
      for (const page of scan.pages.keys()) {
        const list = this.#installed.get(page);
        if (list === undefined) this.#installed.set(page, new Set([made]));
        else list.add(made);
      }
    });
  }

  #dropped(page: CodePage): void {
    const list = this.#installed.get(page);
    if (list === undefined) return;
    this.#drops.set(page.offset, (this.#drops.get(page.offset) ?? 0) + 1);
    for (const region of list) this.#remove(region);
    this.#table.forget(page);
  }
  /** Where the region began, the instructions are interpreted again. */
  #remove(region: Installed): void {
    const { half, index, scan, module } = region;
    module.regions.delete(region);
    if (module.regions.size === 0 && this.#modules.delete(module)) this.#bytesLive -= module.bytes;
    for (const page of scan.pages.keys()) this.#installed.get(page)?.delete(region);
    for (const entry of scan.entries) this.#table.uninstall(firstOf(scan, entry), index);
    this.#forgetLandings(region.places);
    half.host.table.set(index, null);
    half.regions[index] = null;
    half.free.push(index);
  }
  /** Where in its page's decode map an entry stands. */
  #placeOf(scan: Scan, entry: number): number {
    const { page, uops } = scan.blocks[entry] as Block;
    const at = uops[0] as number;
    return page.map + (this.#view.getUint16(at + uop.UOP_NEXT, true) - this.#view.getUint8(at + uop.UOP_LENGTH)) * 4;
  }
  #forgetLandings(places: readonly number[]): void {
    for (const view of this.#states) {
      for (const place of places) {
        const landing = state.LANDINGS + landingOf(place);
        if (view.get(landing) === place) view.set(landing, 0);
      }
    }
  }
  #flushed(): void {
    for (const list of this.#installed.values()) for (const region of list) this.#remove(region);
    this.#installed.clear();
    this.#table.forgetAll();
    for (const view of this.#states) this.#cool(view);
    this.#drops.clear();
    this.#waiting.length = 0;
  }
}

const firstOf = (scan: Scan, entry: number): number => (scan.blocks[entry] as Block).uops[0] as number;
