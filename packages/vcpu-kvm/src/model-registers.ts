/** Model-specific registers that KVM asks for: those of the interrupt controller, constants, and what does not exist. */
import { MSR_APIC_BASE, MSR_MISC_ENABLE, MSR_TSC_DEADLINE, MSR_X2APIC_FIRST, MSR_X2APIC_LAST } from '@vm/x86';
import type { CpuModel } from '@vm/x86';
import type { InterruptPort } from '@vm/core/engine';
import { PHYSICAL_BITS } from './cpuid-table.ts';
import { constantRegister } from './model-register-table.ts';

const TWO_32 = 2 ** 32;
const APIC_BASE_EXTENDED = 1 << 10;
const NEVER = 2 ** 63;

/** The guest's time-stamp counter and machine time. */
export interface CounterTime {
  /** The counter now. */
  counter(): number;
  now(): number;
  readonly hz: number;
}

export type ControllerRegisters = Pick<InterruptPort, 'readModelRegister' | 'writeModelRegister' | 'low' | 'high'>;

export class ModelRegisters {
  low = 0;
  high = 0;
  /** IA32_MISC_ENABLE, which has nothing to enable here. */
  misc = 0n;
  /** Registers that there are not, and how often they were asked for. */
  readonly missing: Map<string, number> = new Map<string, number>();
  readonly #interrupts: ControllerRegisters;
  readonly #model: CpuModel;
  readonly #time: CounterTime;

  constructor(interrupts: ControllerRegisters, model: CpuModel, time: CounterTime) {
    this.#interrupts = interrupts;
    this.#model = model;
    this.#time = time;
  }

  /** True when the register exists; its value is in `low` and `high`. */
  read(index: number): boolean {
    if (index === MSR_MISC_ENABLE) return this.#answer(Number(BigInt.asUintN(32, this.misc)), Number(BigInt.asUintN(32, this.misc >> 32n)));
    if (index === MSR_TSC_DEADLINE && this.#model.features.has('tsc-deadline')) return this.#readDeadline();
    if (this.#isController(index) && this.#interrupts.readModelRegister(index)) return this.#answer(this.#interrupts.low >>> 0, this.#interrupts.high >>> 0);
    const constant = constantRegister(index, this.#model);
    return constant === null ? this.#note('RDMSR', index) : this.#answer(constant, 0);
  }
  /** False: no such register, or a value that it does not take. */
  write(index: number, low: number, high: number): boolean {
    if (index === MSR_MISC_ENABLE) {
      this.misc = (BigInt(high) << 32n) | BigInt(low);
      return true;
    }
    if (index === MSR_TSC_DEADLINE && this.#model.features.has('tsc-deadline')) return this.#writeDeadline(low, high);
    if (index === MSR_APIC_BASE && (high >= 2 ** (PHYSICAL_BITS - 32) || ((low & APIC_BASE_EXTENDED) !== 0 && !this.#model.features.has('x2apic')))) return false;
    if (this.#isController(index) && this.#interrupts.writeModelRegister(index, low, high)) return true;
    return constantRegister(index, this.#model) !== null || this.#note('WRMSR', index);
  }

  // The controller knows machine time only, a tick a nanosecond; the guest's counter has a rate and a beginning of its own.
  #readDeadline(): boolean {
    if (!this.#interrupts.readModelRegister(MSR_TSC_DEADLINE)) return false;
    const due = (this.#interrupts.low >>> 0) + (this.#interrupts.high >>> 0) * TWO_32;
    if (due === 0) return this.#answer(0, 0);
    const counter = Math.max(0, Math.round(this.#time.counter() + ((due - this.#time.now()) * this.#time.hz) / 1e9));
    return this.#answer(counter % TWO_32, Math.floor(counter / TWO_32) >>> 0);
  }
  #writeDeadline(low: number, high: number): boolean {
    if (low === 0 && high === 0) return this.#interrupts.writeModelRegister(MSR_TSC_DEADLINE, 0, 0);
    const ahead = low + high * TWO_32 - this.#time.counter();
    const due = Math.ceil(this.#time.now() + (ahead * 1e9) / this.#time.hz);
    if (due >= NEVER) return this.#interrupts.writeModelRegister(MSR_TSC_DEADLINE, 0xffff_ffff, 0xffff_ffff);
    const ticks = Math.max(1, due); // before machine time began is in the past, as 1 is
    return this.#interrupts.writeModelRegister(MSR_TSC_DEADLINE, ticks % TWO_32, Math.floor(ticks / TWO_32));
  }

  #isController(index: number): boolean { return (index === MSR_APIC_BASE && this.#model.features.has('apic')) || (index >= MSR_X2APIC_FIRST && index <= MSR_X2APIC_LAST); }
  #note(what: string, index: number): false {
    const name = `${what} ${index.toString(16)}`;
    this.missing.set(name, (this.missing.get(name) ?? 0) + 1);
    return false;
  }
  #answer(low: number, high: number): true {
    this.low = low;
    this.high = high;
    return true;
  }
}
