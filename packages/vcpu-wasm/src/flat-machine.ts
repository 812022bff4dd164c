/**
 * A processor with RAM and nothing else, for tests: puts code and registers in place, runs to the first HLT, shows the state.
 * No interrupts, ports read as all-ones.
 */
import { CR4_OSXSAVE } from '@vm/x86';
import type { IoBus, InterruptPort, Ram } from '@vm/core/engine';
import { EXIT_HALT } from '@vm/core/exit';
import * as state from './cpu-state.ts';
import { cpuModel } from './cpu-model.ts';
import type { CpuModel } from './cpu-model.ts';
import { wasmEngine } from './engine.ts';
import type { WasmEngineOptions } from './engine.ts';
import type { EntryState } from './entry-state.ts';
import { FlatMemory } from './flat-memory.ts';
import { CODE_32, CODE_64, DATA, GDT_LIMIT, SELECTOR_CODE, SELECTOR_DATA, writeDescriptors } from './flat-tables.ts';
import { interpreterImage } from '#interpreter';
import type { InterpreterImage } from './interpreter-image.ts';
import type { WasmVcpu } from './vcpu.ts';
import { stateComponents } from './xsave.ts';

export type FlatMode = 'real' | 'protected' | 'long';

export interface FlatMachineOptions {
  /** The processor. */
  readonly processor?: Pick<WasmEngineOptions, 'cpuModel' | 'cpuFeatures' | 'randomSeed' | 'translator' | 'shadow' | 'auditShadow' | 'traceRegions'>;
  /** How many processors; default 1. */
  readonly processors?: number;
  /** RAM from address 0; default 4 MiB. */
  readonly ramBytes?: number;
  /** How many single pages of RAM there may be elsewhere; default none. */
  readonly extraPages?: number;
  /** Descriptor table at 0x1000 and, in long mode, page tables from 0x2000 that map 1 GiB; default true. */
  readonly tables?: boolean;
  /** Default: none ever comes. */
  readonly interrupts?: InterruptPort;
  /** Machine time, of which the time-stamp counter is made; default: none passes. */
  readonly now?: () => number;
  /** Room for decoded code. */
  readonly code?: { readonly codePages: number; readonly codeBytes: number };
  /** Answers reads of addresses without RAM. */
  readonly read?: (address: number, bytes: number) => number;
}

const GDT = 0x1000;
const PAGE_TABLES = 0x2000;
const FLAT = 0xffff_ffff;

export class FlatMachine {
  readonly memory: FlatMemory;
  readonly ram: Ram;
  readonly vcpu: WasmVcpu;
  /** The first of them is `vcpu`. */
  readonly vcpus: readonly WasmVcpu[];
  /** Guest RAM from physical address 0. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** How `enter` begins. */
  entry: EntryState;

  constructor(mode: FlatMode, options: FlatMachineOptions = {}) {
    const { processors = 1 } = options;
    const engine = wasmEngine({ ...options.code, ...options.processor, image: (written ??= interpreterImage()) });
    this.memory = new FlatMemory(engine.reserveBytes(processors), options.ramBytes ?? 4 << 20, options.extraPages ?? 0);
    this.ram = this.memory.ram;
    this.bytes = this.memory.bytes;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    const bus = busOf(options.read ?? allOnes);
    this.vcpus = Array.from({ length: processors }, (_, index) => engine.createVcpu(index, { ram: this.ram, pio: busOf(allOnes), mmio: bus, interrupts: options.interrupts ?? NO_INTERRUPTS, now: options.now ?? ((): number => 0), log: () => undefined }));
    this.vcpu = this.vcpus[0] as WasmVcpu;
    this.entry = entryOf(mode, cpuModel(options.processor?.cpuModel, options.processor?.cpuFeatures));
    if (options.tables ?? true) this.#writeTables(mode === 'long');
  }

  #writeTables(long: boolean): void {
    const { view } = this;
    writeDescriptors(view, GDT, long);
    if (!long) return;
    view.setUint32(PAGE_TABLES, (PAGE_TABLES + 0x1000) | 7, true);
    view.setUint32(PAGE_TABLES + 0x1000, (PAGE_TABLES + 0x2000) | 7, true);
    for (let i = 0; i < 512; i++) view.setUint32(PAGE_TABLES + 0x2000 + i * 8, (i * 0x20_0000) | 0x87, true);
  }

  /** Puts the processor at `rip` with everything else as at the start; registers are set by the caller through `vcpu.state`. */
  enter(rip: number): void {
    this.vcpu.loadBootState({ ...this.entry, rip });
    this.vcpu.state.set(state.X87_CONTROL, 0x37f);
    this.vcpu.state.set64(state.X87_EMPTY, 0x0101_0101, 0x0101_0101);
  }
  /** Stores bytes so that decoded code notices. */
  put(at: number, bytes: ArrayLike<number>): void { this.memory.put(at, bytes); }
  /** Runs to the first HLT; false when the budget is used up or the processor shuts down. */
  run(instructions = 100_000): boolean {
    // Tests change tables and control registers behind the processor's back.
    if (this.vcpu.memory.shadow !== null) this.vcpu.memory.forgetTranslations();
    return this.vcpu.run(instructions) === EXIT_HALT;
  }

  gpr(register: number): bigint { return this.vcpu.state.view.getBigUint64(this.vcpu.state.at + state.GPR + register * 8, true); }
  setGpr(register: number, value: bigint): void { this.vcpu.state.view.setBigUint64(this.vcpu.state.at + state.GPR + register * 8, value, true); }
  get flags(): number { return this.vcpu.flags.read(); }
  set flags(value: number) { this.vcpu.flags.write(value); }
}

/** As a system would have set it up: all vector registers that there are may be used. */
function entryOf(mode: FlatMode, { cr4, features }: CpuModel): EntryState {
  const long = mode === 'long';
  const real = mode === 'real';
  const segment = (selector: number, attributes: number) => ({ selector, base: 0, limit: real ? 0xffff : FLAT, attributes });
  return {
    rip: 0, rflags: 2, rax: 0, rbx: 0, rsi: 0, rsp: 0,
    cs: real ? segment(0, 0x9b00) : segment(SELECTOR_CODE, long ? CODE_64 : CODE_32), data: real ? segment(0, 0x9300) : segment(SELECTOR_DATA, DATA),
    tr: segment(0, 0x8b00), ldtr: segment(0, 0), gdt: { base: GDT, limit: GDT_LIMIT }, idt: { base: 0, limit: real ? 0x3ff : 0 },
    cr0: real ? 0x10 : (0x31 | (long ? 0x8000_0000 : 0)) >>> 0, cr3: long ? PAGE_TABLES : 0, cr4: 0x600 | (long ? 0x20 : 0) | (cr4 & CR4_OSXSAVE), xcr0: stateComponents(features) | 1, efer: long ? 0x500 : 0,
  };
}

/** Written once for all machines of a process. */
let written: InterpreterImage | null = null;

const allOnes = (_address: number, bytes: number): number => (bytes === 4 ? 0xffff_ffff : bytes === 2 ? 0xffff : 0xff);
const busOf = (read: (address: number, bytes: number) => number): IoBus => ({
  read: (address, size) => read(address, size),
  write: () => undefined,
  readWide: (address, bytes, into) => { for (let i = 0; i < bytes; i++) into.setUint8(i, read(address + i, 1)); },
  writeWide: () => undefined,
});
const NO_INTERRUPTS: InterruptPort = {
  isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
  readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
};
