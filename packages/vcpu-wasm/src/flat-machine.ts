/**
 * A processor with RAM and nothing else, for tests: puts code and registers in place, runs to the first HLT, shows the state.
 * Identity-mapped, no interrupts, ports read as all-ones.
 */
import type { IoBus, InterruptPort, Ram, RamWatcher } from '@vm/core/engine';
import { EXIT_HALT } from '@vm/core/exit';
import * as state from './cpu-state.ts';
import { wasmEngine } from './engine.ts';
import type { EntryState } from './entry-state.ts';
import { interpreterImage } from '#interpreter';
import type { InterpreterImage } from './interpreter-image.ts';
import type { WasmVcpu } from './vcpu.ts';

export type FlatMode = 'real' | 'protected' | 'long';

const GDT = 0x1000;
const PAGE_TABLES = 0x2000;
const PROTECTED_CODE = 0x00c0_9b00;
const LONG_CODE = 0x00a0_9b00;
const DATA = 0x00c0_9300;
const FLAT = 0xffff_ffff;

export class FlatMachine {
  readonly ram: Ram;
  readonly vcpu: WasmVcpu;
  /** Guest RAM from physical address 0. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly #entry: EntryState;
  readonly #watchers: RamWatcher[] = [];

  constructor(mode: FlatMode, ramBytes: number = 4 << 20) {
    const engine = wasmEngine({ image: (written ??= interpreterImage()) });
    const attributesOffset = engine.reserveBytes(1);
    const base = Math.ceil((attributesOffset + ramBytes / 4096) / 65536) * 65536;
    const memory = new WebAssembly.Memory({ initial: (base + ramBytes) / 65536, maximum: (base + ramBytes) / 65536 });
    const attributes = new Uint8Array(memory.buffer, attributesOffset, ramBytes / 4096);
    this.ram = {
      memory, base, bytes: ramBytes, attributesOffset,
      ranges: [{ gpa: 0, offset: base, bytes: ramBytes }],
      offsetOf: (gpa) => (gpa < ramBytes ? base + gpa : -1),
      watch: (_mask, watcher) => { this.#watchers.push(watcher); },
      written: (offset, bytes) => {
        for (let page = (offset - base) >>> 12; page <= (offset + bytes - 1 - base) >>> 12; page++) {
          if (attributes[page] !== 0) for (const watcher of this.#watchers) watcher.written(offset, bytes);
        }
      },
    };
    this.vcpu = engine.createVcpu(0, { ram: this.ram, pio: NOTHING, mmio: NOTHING, interrupts: NO_INTERRUPTS, now: () => 0, log: () => undefined });
    this.bytes = new Uint8Array(memory.buffer, base, ramBytes);
    this.view = new DataView(memory.buffer, base, ramBytes);
    this.#entry = this.#prepare(mode);
  }

  #prepare(mode: FlatMode): EntryState {
    const { view } = this;
    const long = mode === 'long';
    const real = mode === 'real';
    const descriptor = (at: number, attributes: number): void => {
      view.setUint32(GDT + at, 0xffff, true);
      view.setUint32(GDT + at + 4, (attributes | 0xf_0000) >>> 0, true);
    };
    descriptor(8, long ? LONG_CODE : PROTECTED_CODE);
    descriptor(16, DATA);
    if (long) {
      view.setUint32(PAGE_TABLES, (PAGE_TABLES + 0x1000) | 7, true);
      view.setUint32(PAGE_TABLES + 0x1000, (PAGE_TABLES + 0x2000) | 7, true);
      for (let i = 0; i < 512; i++) view.setUint32(PAGE_TABLES + 0x2000 + i * 8, (i * 0x20_0000) | 0x87, true);
    }
    const segment = (selector: number, attributes: number) => ({ selector, base: 0, limit: real ? 0xffff : FLAT, attributes });
    return {
      rip: 0, rflags: 2, rax: 0, rbx: 0, rsi: 0, rsp: 0,
      cs: real ? segment(0, 0x9b00) : segment(8, long ? LONG_CODE : PROTECTED_CODE), data: real ? segment(0, 0x9300) : segment(16, DATA),
      tr: segment(0, 0x8b00), ldtr: segment(0, 0), gdt: { base: GDT, limit: 23 }, idt: { base: 0, limit: real ? 0x3ff : 0 },
      cr0: real ? 0x10 : (0x31 | (long ? 0x8000_0000 : 0)) >>> 0, cr3: long ? PAGE_TABLES : 0, cr4: 0x600 | (long ? 0x20 : 0), efer: long ? 0x500 : 0,
    };
  }

  /** Puts the processor at `rip` with everything else as at the start; registers are set by the caller through `vcpu.state`. */
  enter(rip: number): void {
    this.vcpu.loadBootState({ ...this.#entry, rip });
    this.vcpu.state.set(state.X87_CONTROL, 0x37f);
    this.vcpu.state.set64(state.X87_EMPTY, 0x0101_0101, 0x0101_0101);
  }
  /** Stores bytes so that decoded code notices. */
  put(at: number, bytes: ArrayLike<number>): void {
    this.bytes.set(bytes, at);
    this.ram.written(this.ram.base + at, bytes.length);
  }
  /** Runs to the first HLT; false when the budget is used up or the processor shuts down. */
  run(instructions = 100_000): boolean { return this.vcpu.run(instructions) === EXIT_HALT; }

  gpr(register: number): bigint { return this.vcpu.state.view.getBigUint64(this.vcpu.state.at + state.GPR + register * 8, true); }
  setGpr(register: number, value: bigint): void { this.vcpu.state.view.setBigUint64(this.vcpu.state.at + state.GPR + register * 8, value, true); }
  get flags(): number { return this.vcpu.flags.read(); }
  set flags(value: number) { this.vcpu.flags.write(value); }
}

/** Written once for all machines of a test file. */
let written: InterpreterImage | null = null;

const NOTHING: IoBus = {
  read: (_address, size) => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff),
  write: () => undefined,
  readWide: (_address, bytes, into) => { for (let i = 0; i < bytes; i++) into.setUint8(i, 0xff); },
  writeWide: () => undefined,
};
const NO_INTERRUPTS: InterruptPort = {
  isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => undefined,
  readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
};
