/** The local APIC of one processor in the kernel, and what the kernel knows of its processor because of it. */
import type { InterruptPort } from '@vm/core/engine';
import { MSR_TSC_DEADLINE } from '@vm/x86';
import type { GuestCounter } from './guest-counter.ts';
import type { InterruptChip } from './interrupt-chip.ts';
import { KvmError } from './kvm-error.ts';
import type { KvmVcpuFd } from './kvm-calls.ts';
import { LAPIC_STATE, MP_STATE, SREGS, VCPU_EVENTS } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';
import type { ControllerRegisters } from './model-registers.ts';
import type { Latches } from './saved-processor.ts';

/** A local APIC as the page of its registers, and what is not in it. */
export interface LentApic {
  readonly baseLow: number;
  readonly baseHigh: number;
  readonly registers: Uint8Array;
  readonly deadline: number; // machine time, 0: none
  readonly waitsForStartup: boolean;
}
/** The side of a model that lends itself. */
export interface ApicLender {
  /** What it has and the kernel's have not; null: it can be lent. */
  readonly obstacle: string | null;
  lend(borrower: Pick<InterruptChip, 'send' | 'waits'>): LentApic;
  takeBack(loan: LentApic): void;
  ended(vector: number): void;
  wakeAt(due: number): void;
}
/** An interrupt port whose processor has such a model. One without is a wire to the processor, as that of an 8259. */
export interface LendingPort extends InterruptPort { readonly loans?: ApicLender }

// Offsets in the page of registers (SDM vol. 3, table 12-1).
const TASK_PRIORITY = 0x80, ISR = 0x100, TMR = 0x180, IRR = 0x200, LVT_TIMER = 0x320, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0;
const MODES = 3 << 17, DEADLINE_MODE = 2 << 17, PERIODIC_MODE = 1 << 17, MASKED = 1 << 16;
const E = VCPU_EVENTS.fields;
/** What comes of its registers as an exit is what KVM has refused. */
export const NO_REGISTERS: ControllerRegisters = { readModelRegister: () => false, writeModelRegister: () => false, low: 0, high: 0 };

export class KernelApic {
  readonly chip: InterruptChip;
  readonly #index: number;
  readonly #fd: KvmVcpuFd;
  readonly #lender: ApicLender | null;
  readonly #counter: GuestCounter;
  readonly #now: () => number;

  /** Throws KvmError for a model that the kernel's cannot stand for. */
  constructor(index: number, fd: KvmVcpuFd, { chip, port, counter, now }: { readonly chip: InterruptChip; readonly port: LendingPort; readonly counter: GuestCounter; readonly now: () => number }) {
    this.chip = chip;
    this.#index = index;
    this.#fd = fd;
    this.#lender = port.loans ?? null;
    this.#counter = counter;
    this.#now = now;
    const obstacle = this.#lender?.obstacle ?? null;
    if (obstacle !== null) throw new KvmError(`the kernel's interrupt chip has no ${obstacle}; choose the chip model`);
  }

  /** The model's state into the kernel. `latches`: what the processor waits for. */
  load({ halted, waitsForStartup }: Latches): void {
    const state = new DataView(new ArrayBuffer(MP_STATE.bytes));
    state.setUint32(0, waitsForStartup ? NUMBERS.KVM_MP_STATE_INIT_RECEIVED : halted ? NUMBERS.KVM_MP_STATE_HALTED : NUMBERS.KVM_MP_STATE_RUNNABLE, true);
    const loan = this.#lender?.lend(this.chip) ?? null;
    if (loan !== null) {
      this.#setBase(loan);
      this.#fd.call('KVM_SET_LAPIC', loan.registers);
      this.#expectEnds(loan.registers);
      if (loan.deadline > 0) this.#fd.writeMsrs([[MSR_TSC_DEADLINE, BigInt(this.#ticksAt(loan.deadline))]]);
    }
    this.#fd.write('KVM_SET_MP_STATE', state);
  }

  /** What the processor waits for, and its state into the model, in which time stands still. `enter`: to the guest's next instruction, and no further. */
  store(latches: Latches, enter: () => void): void {
    // The timer may have expired, and the guest ended the service of a level, without a word so far: KVM sees to both on its way into the guest.
    const enters = this.chip.hasLevels || mayHaveExpired(this.#page());
    const before = enters ? this.#events() : null;
    if (enters) enter();
    this.noteState(latches);
    const page = this.#page();
    if (before !== null) this.#takeBack(page, before);
    if (this.#lender === null) return;
    const sregs = this.#fd.read('KVM_GET_SREGS', SREGS.bytes);
    const ticks = (page.getUint32(LVT_TIMER, true) & MODES) === DEADLINE_MODE ? (this.#fd.readMsrs([MSR_TSC_DEADLINE]).get(MSR_TSC_DEADLINE) ?? 0n) : 0n;
    const registers = new Uint8Array(page.buffer);
    const at = SREGS.fields.apic_base[0];
    this.#lender.takeBack({
      baseLow: sregs.getUint32(at, true), baseHigh: sregs.getUint32(at + 4, true), registers, deadline: ticks === 0n ? 0 : this.#timeAt(Number(ticks)), waitsForStartup: latches.waitsForStartup,
    });
    // A timer of the kernel's knows nothing of machine time that is held.
    const quiet = registers.slice();
    const view = new DataView(quiet.buffer);
    view.setUint32(INITIAL, 0, true);
    view.setUint32(CURRENT, 0, true);
    if (ticks !== 0n) this.#fd.writeMsrs([[MSR_TSC_DEADLINE, 0n]]);
    this.#fd.call('KVM_SET_LAPIC', quiet);
  }

  /** After a run that a signal has ended: the guest waits, and for nothing that has come already. Whoever is to wake it knows when. */
  isIdle(takesInterrupts: boolean, enter: () => void): boolean {
    if (this.#state() === NUMBERS.KVM_MP_STATE_RUNNABLE) return false;
    let page = this.#page();
    if (mayHaveExpired(page)) {
      enter();
      if (this.#state() === NUMBERS.KVM_MP_STATE_RUNNABLE) return false;
      page = this.#page();
    }
    const events = this.#events();
    if (events.getUint8(E['nmi.pending'][0]) !== 0 || events.getUint8(E['nmi.injected'][0]) !== 0) return false;
    if (takesInterrupts && highestClass(page, IRR) > Math.max(highestClass(page, ISR), page.getUint32(TASK_PRIORITY, true) >>> 4)) return false;
    this.#lender?.wakeAt(this.#due(page));
    return true;
  }

  ended(vector: number): void { this.#lender?.ended(vector); }

  /** Of a processor that is out of the guest. */
  noteState(latches: Latches): void {
    const state = this.#state(); // takes INIT and start-up messages that wait
    latches.waitsForStartup = state === NUMBERS.KVM_MP_STATE_UNINITIALIZED || state === NUMBERS.KVM_MP_STATE_INIT_RECEIVED;
    latches.halted = latches.waitsForStartup || state === NUMBERS.KVM_MP_STATE_HALTED;
  }
  #state(): number { return this.#fd.read('KVM_GET_MP_STATE', MP_STATE.bytes).getUint32(0, true); }
  #page(): DataView { return this.#fd.read('KVM_GET_LAPIC', LAPIC_STATE.bytes); }

  #events(): DataView { return this.#fd.read('KVM_GET_VCPU_EVENTS', VCPU_EVENTS.bytes); }

  /** A vector that has begun its way into the guest, but not come to an instruction of its handler, is a request again, and so is an NMI. */
  #takeBack(page: DataView, before: DataView): void {
    const events = this.#events();
    const hasBegun = (name: 'interrupt.injected' | 'nmi.injected'): boolean => before.getUint8(E[name][0]) === 0 && events.getUint8(E[name][0]) !== 0;
    if (hasBegun('nmi.injected')) {
      events.setUint8(E['nmi.injected'][0], 0);
      events.setUint8(E['nmi.pending'][0], 1);
      this.#fd.write('KVM_SET_VCPU_EVENTS', events);
    }
    if (!hasBegun('interrupt.injected') || events.getUint8(E['interrupt.soft'][0]) !== 0) return;
    const vector = events.getUint8(E['interrupt.nr'][0]);
    const [word, bit] = [(vector >>> 5) * 16, 1 << (vector & 31)];
    if ((page.getUint32(ISR + word, true) & bit) === 0) return; // the 8259's
    page.setUint32(ISR + word, page.getUint32(ISR + word, true) & ~bit, true);
    page.setUint32(IRR + word, page.getUint32(IRR + word, true) | bit, true);
    events.setUint8(E['interrupt.injected'][0], 0);
    this.#fd.write('KVM_SET_VCPU_EVENTS', events);
  }

  #setBase({ baseLow, baseHigh }: LentApic): void {
    const base = (BigInt(baseHigh) << 32n) | BigInt(baseLow);
    const sregs = this.#fd.read('KVM_GET_SREGS', SREGS.bytes);
    if (sregs.getBigUint64(SREGS.fields.apic_base[0], true) === base) return;
    sregs.setBigUint64(SREGS.fields.apic_base[0], base, true);
    this.#fd.write('KVM_SET_SREGS', sregs);
  }

  #expectEnds(registers: Uint8Array): void {
    const page = new DataView(registers.buffer, registers.byteOffset);
    for (let vector = 0; vector < 256; vector++) {
      const [word, bit] = [(vector >>> 5) * 16, 1 << (vector & 31)];
      if ((page.getUint32(TMR + word, true) & (page.getUint32(ISR + word, true) | page.getUint32(IRR + word, true)) & bit) !== 0) this.chip.expectEnd(this.#index, vector);
    }
  }

  // ---- Time: the guest's counter has a rate and a beginning of its own -------------------------------------------------------

  #due(page: DataView): number {
    if ((page.getUint32(LVT_TIMER, true) & MODES) === DEADLINE_MODE) {
      const ticks = this.#fd.readMsrs([MSR_TSC_DEADLINE]).get(MSR_TSC_DEADLINE) ?? 0n;
      return ticks === 0n ? Infinity : this.#timeAt(Number(ticks));
    }
    const divide = page.getUint32(DIVIDE, true);
    const counts = page.getUint32(CURRENT, true);
    return counts === 0 ? Infinity : this.#now() + counts * (1 << (((((divide & 8) >>> 1) | (divide & 3)) + 1) & 7));
  }
  #timeAt(ticks: number): number { return Math.max(1, Math.ceil(this.#now() + ((ticks - this.#counter.read()) * 1e9) / this.#counter.hz)); }
  #ticksAt(due: number): number { return Math.max(1, Math.round(this.#counter.read() + ((due - this.#now()) * this.#counter.hz) / 1e9)); }
}

/** A timer that counts once and has, or one that counts again and again. */
function mayHaveExpired(page: DataView): boolean {
  const entry = page.getUint32(LVT_TIMER, true);
  if (page.getUint32(INITIAL, true) === 0 || (entry & MASKED) !== 0) return false;
  return (entry & MODES) === PERIODIC_MODE || ((entry & MODES) === 0 && page.getUint32(CURRENT, true) === 0);
}

/** Of the vectors in eight registers, the priority of the highest; 0: none. */
function highestClass(page: DataView, first: number): number {
  for (let word = 7; word >= 0; word--) {
    const bits = page.getUint32(first + word * 16, true);
    if (bits !== 0) return (word * 32 + 31 - Math.clz32(bits)) >>> 4;
  }
  return 0;
}
