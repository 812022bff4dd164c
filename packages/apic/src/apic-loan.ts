/** A local APIC in the form that controllers of hosts take and give: the page of its registers, and what is not in it. */
import type { LocalApicState } from './local-apic-ports.ts';
import * as spec from './spec.ts';

/** KVM's structure has so many bytes, and the registers of SDM vol. 3, table 12-1 fit. */
const PAGE_BYTES = 1024;
const REGISTER_BYTES = 16;

export interface ApicLoan {
  readonly baseLow: number; // IA32_APIC_BASE
  readonly baseHigh: number;
  /** Registers at their offsets; the identifier in bits 31:24 in x2APIC mode too. */
  readonly registers: Uint8Array;
  /** Machine time at which the timer expires in its deadline mode; 0: it is disarmed, or in another mode. */
  readonly deadline: number;
  /** Only a start-up message makes the processor go on. */
  readonly waitsForStartup: boolean;
}

export function loanOf(state: LocalApicState, now: number): ApicLoan {
  const page = new DataView(new ArrayBuffer(PAGE_BYTES));
  const put = (index: number, value: number): void => page.setUint32(index * REGISTER_BYTES, value, true);
  const [id = 0, ldr = 0, dfr = 0, svr = 0, error = 0, , commandLow = 0, commandHigh = 0, taskPriority = 0, waits = 0, ...lvt] = state.registers;
  const { timer } = state;
  put(spec.LAPIC_ID, (id << 24) >>> 0);
  put(spec.LAPIC_VERSION, spec.LAPIC_VERSION_VALUE);
  put(spec.LAPIC_LDR, ldr);
  put(spec.LAPIC_DFR, dfr);
  put(spec.LAPIC_SVR, svr);
  put(spec.LAPIC_ESR, error);
  put(spec.LAPIC_ICR_LOW, commandLow);
  put(spec.LAPIC_ICR_HIGH, commandHigh);
  put(spec.LAPIC_TPR, taskPriority);
  lvt.forEach((entry, i) => put(spec.LAPIC_LVT_TIMER + i, entry));
  for (let word = 0; word < 8; word++) {
    put(spec.LAPIC_ISR + word, state.inService[word] ?? 0);
    put(spec.LAPIC_TMR + word, state.levelTriggered[word] ?? 0);
    put(spec.LAPIC_IRR + word, state.requested[word] ?? 0);
  }
  const isDeadline = timer.mode === spec.TIMER_TSC_DEADLINE;
  const isArmed = timer.due >= 0;
  const counts = isArmed && !isDeadline ? Math.max(1, Math.ceil((timer.due - now) / nanosOf(timer.divide))) : 0;
  put(spec.LAPIC_TIMER_DIVIDE, timer.divide);
  // Who finds an initial count and a current one of 0 lets the timer expire at once: one that has done so is given as never begun.
  put(spec.LAPIC_TIMER_INITIAL, counts > 0 ? timer.initial : 0);
  put(spec.LAPIC_TIMER_CURRENT, Math.min(counts, timer.initial));
  return {
    baseLow: state.baseLow, baseHigh: state.baseHigh, registers: new Uint8Array(page.buffer),
    deadline: isDeadline && isArmed ? Math.max(1, timer.due) : 0, waitsForStartup: waits !== 0,
  };
}

/** The way back. `lint`: levels of the pins, which the machine knows. */
export function stateOf({ baseLow, baseHigh, registers, deadline, waitsForStartup }: ApicLoan, now: number, lint: readonly boolean[]): LocalApicState {
  const page = new DataView(registers.buffer, registers.byteOffset, registers.length);
  const at = (index: number): number => page.getUint32(index * REGISTER_BYTES, true);
  const eight = (index: number): number[] => Array.from({ length: 8 }, (_, word) => at(index + word));
  const lvt = Array.from({ length: spec.LVT_COUNT }, (_, i) => at(spec.LAPIC_LVT_TIMER + i));
  const mode = (lvt[0]! >>> spec.LVT_TIMER_MODE_SHIFT) & 3;
  const [divide, initial, current] = [at(spec.LAPIC_TIMER_DIVIDE), at(spec.LAPIC_TIMER_INITIAL), at(spec.LAPIC_TIMER_CURRENT)];
  const due = mode === spec.TIMER_TSC_DEADLINE ? (deadline > 0 ? deadline : -1) : current > 0 ? now + current * nanosOf(divide) : -1;
  const ticks = mode === spec.TIMER_TSC_DEADLINE && deadline > 0 ? Math.ceil(deadline) : 0;
  return {
    baseLow, baseHigh,
    registers: [
      at(spec.LAPIC_ID) >>> 24, at(spec.LAPIC_LDR), at(spec.LAPIC_DFR), at(spec.LAPIC_SVR), at(spec.LAPIC_ESR), 0, at(spec.LAPIC_ICR_LOW), at(spec.LAPIC_ICR_HIGH),
      at(spec.LAPIC_TPR), waitsForStartup ? 1 : 0, ...lvt,
    ],
    requested: eight(spec.LAPIC_IRR), inService: eight(spec.LAPIC_ISR), levelTriggered: eight(spec.LAPIC_TMR), lint,
    timer: { mode, divide, initial, due, deadlineLow: ticks % 0x1_0000_0000, deadlineHigh: Math.floor(ticks / 0x1_0000_0000) },
    offered: false, extended: [],
  };
}

/** Of one count at 1 GHz, which is what lenders run at (SDM vol. 3, figure 12-10). */
function nanosOf(divide: number): number { return 1 << ((((((divide & 8) >>> 1) | (divide & 3)) + 1) & 7)); }
