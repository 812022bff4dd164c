/**
 * Trap compounding under KVM: behind an exit a lent processor finishes the nearby instructions that would exit too (decision 22). The
 * instruction of the exit is finished by KVM, which says where the guest stands then; nothing else is asked.
 */
import { FLAG_IF } from '@vm/x86';
import type { LentProcessor } from '@vm/trap-compound';
import type { ExitCode } from '@vm/core/engine';
import { DEBUGREGS, RUN } from './kvm-layout-table.ts';
import type { KvmVcpuFd } from './kvm-calls.ts';
import { errorName } from './libc.ts';
import type { MemorySlots } from './memory-slots.ts';
import { SyncRegisters } from './sync-registers.ts';

const F = RUN.fields;
const IMMEDIATE = F.immediate_exit[0], READY = F.ready_for_interrupt_injection[0], IF_FLAG = F.if_flag[0];
const IO_PORT = F['io.port'][0] >> 1, IO_DIRECTION = F['io.direction'][0], MMIO_LOW = F['mmio.phys_addr'][0] >> 2, MMIO_WRITE = F['mmio.is_write'][0];
const DR7 = DEBUGREGS.fields.dr7[0] >> 2, DR7_ENABLES = 0xff;
const EINTR = -4;

export class TrapBlock {
  readonly #fd: KvmVcpuFd;
  readonly #lent: LentProcessor;
  readonly #slots: MemorySlots;
  /** Serves an exit; -1: the guest goes on. */
  readonly #serve: () => ExitCode | -1;
  readonly #registers: SyncRegisters;
  readonly #u8: Uint8Array;
  readonly #u16: Uint16Array;
  readonly #u32: Uint32Array;
  readonly #debug = new Uint32Array(DEBUGREGS.bytes / 4);
  readonly #debugBytes: Uint8Array = new Uint8Array(this.#debug.buffer);
  #busy = false;

  constructor(fd: KvmVcpuFd, lent: LentProcessor, slots: MemorySlots, serve: () => ExitCode | -1) {
    this.#fd = fd;
    this.#lent = lent;
    this.#slots = slots;
    this.#serve = serve;
    this.#registers = new SyncRegisters(fd.page);
    this.#u8 = new Uint8Array(fd.page);
    this.#u16 = new Uint16Array(fd.page);
    this.#u32 = new Uint32Array(fd.page);
  }

  /** The page has an access to a port that is answered. What `serve` gives. HOT. */
  behindPort(): ExitCode | -1 {
    if (this.#busy || !this.#lent.trapped(((this.#u16[IO_PORT] as number) << 1) | (this.#u8[IO_DIRECTION] as number))) return -1;
    return this.#finish();
  }
  /** The same of a register in memory. HOT. */
  behindMemory(): ExitCode | -1 {
    const address = this.#u32[MMIO_LOW] as number;
    if (this.#busy || !this.#lent.trapped((((address >>> 12) * 61 + ((address & 0xfff) >>> 1)) << 1) | (this.#u8[MMIO_WRITE] as number))) return -1;
    return this.#finish();
  }

  #finish(): ExitCode | -1 {
    if (this.#slots.isLogging) return -1; // KVM does not see what a lent processor stores
    const u8 = this.#u8;
    const registers = this.#registers;
    const before = u8[IMMEDIATE] as number;
    registers.ask(true);
    u8[IMMEDIATE] = 1;
    const result = this.#fd.run();
    u8[IMMEDIATE] = before;
    registers.ask(false);
    // More of the same instruction: another piece of it, another element.
    if (result === 0) return this.#serveRest();
    if (result !== EINTR) throw new Error(`KVM_RUN: ${errorName(-result)}`);
    if (!registers.isPlain || this.#hasBreakpoints()) return -1;
    const { words } = this.#lent;
    this.#lent.finish(registers.give(words));
    registers.take(words);
    // KVM has said it of the instruction before the block.
    u8[IF_FLAG] = u8[READY] = (registers.flags & FLAG_IF) === 0 ? 0 : 1;
    return -1;
  }
  #serveRest(): ExitCode | -1 {
    this.#busy = true;
    try {
      return this.#serve();
    } finally {
      this.#busy = false;
    }
  }
  /** Breakpoints in registers are asked for each time: a guest sets them without an exit. */
  #hasBreakpoints(): boolean {
    this.#fd.call('KVM_GET_DEBUGREGS', this.#debugBytes);
    return ((this.#debug[DR7] as number) & DR7_ENABLES) !== 0;
  }

  signal(): void { this.#lent.signal(); }
  stop(): void { this.#lent.stop(); }

  /** Before KVM is asked for registers: it gets those of a block. */
  settle(): void {
    if (!this.#registers.isDirty) return;
    const before = this.#u8[IMMEDIATE] as number;
    this.#u8[IMMEDIATE] = 1;
    this.#fd.run();
    this.#u8[IMMEDIATE] = before;
  }
  /** Before KVM gets other registers. */
  forget(): void { this.#registers.forget(); }

  counts(): Iterable<readonly [name: string, count: number]> { return this.#lent.counts(); }
}
