/** Model-specific registers (SDM vol. 4; AMD APM vol. 2, appendix A): those that work, and those that boots read. */
import {
  MSR_AMD_DE_CFG, MSR_AMD_EVENT_COUNT_0, MSR_AMD_EVENT_SELECT_0, MSR_AMD_HWCR, MSR_AMD_SYSCFG, MSR_APIC_BASE, MSR_BIOS_SIGNATURE, MSR_CSTAR, MSR_EFER, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE,
  MSR_LSTAR, MSR_MCG_CAP, MSR_MCG_STATUS, MSR_MISC_ENABLE, MSR_PAT, MSR_PLATFORM_ID, MSR_STAR, MSR_SYSCALL_MASK, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC, MSR_TSC_ADJUST, MSR_TSC_AUX,
  MSR_TSC_DEADLINE,
} from '@vm/x86';
import type { CpuFeature } from '@vm/x86';
import type { InterruptPort } from '@vm/core/engine';
import type { ControlRegisters } from './control-registers.ts';
import type { CpuModel } from './cpu-model.ts';
import * as state from './cpu-state.ts';
import { isMemoryType, MemoryTypes } from './memory-types.ts';
import { PHYSICAL_BITS } from './page-walk.ts';
import type { StateView } from './state-view.ts';
import type { TimeStamp } from './time-stamp.ts';

/** MSRs that are a 64-bit field of the state and take any canonical address. */
const ADDRESS_FIELDS: ReadonlyMap<number, number> = new Map([
  [MSR_LSTAR, state.MSR_LSTAR], [MSR_CSTAR, state.MSR_CSTAR], [MSR_SYSENTER_ESP, state.MSR_SYSENTER_ESP], [MSR_SYSENTER_EIP, state.MSR_SYSENTER_EIP],
  [MSR_FS_BASE, state.SEGMENT_BASE + state.FS * 8], [MSR_GS_BASE, state.SEGMENT_BASE + state.GS * 8], [MSR_KERNEL_GS_BASE, state.MSR_KERNEL_GS_BASE],
]);
const PLAIN_FIELDS: ReadonlyMap<number, number> = new Map([
  [MSR_STAR, state.MSR_STAR], [MSR_SYSCALL_MASK, state.MSR_FMASK], [MSR_SYSENTER_CS, state.MSR_SYSENTER_CS], [MSR_TSC_AUX, state.MSR_TSC_AUX],
  // Intel's, with nothing to enable here; monitors show it with any vendor, and test programs write it.
  [MSR_MISC_ENABLE, state.MSR_MISC_ENABLE],
]);
/** Read as 0, writes ignored: registers that kernels touch without looking whether they exist. */
const IGNORED: ReadonlySet<number> = new Set([MSR_AMD_HWCR, MSR_AMD_SYSCFG, MSR_BIOS_SIGNATURE, MSR_MCG_STATUS]);
/** Read as 0, writes ignored, on AMD's processors only: the counters count nothing, as on one that is busy elsewhere. */
const IGNORED_BY_AMD: ReadonlySet<number> = new Set([0, 1, 2, 3].flatMap((i) => [MSR_AMD_EVENT_SELECT_0 + i, MSR_AMD_EVENT_COUNT_0 + i]));
/** LFENCE lets nothing pass it (APM vol. 2, section 3.2.2, bit 1 of DE_CFG), and cannot be told otherwise. */
const DE_CFG = 2;
/** Registers that came with a feature. */
const FEATURES: ReadonlyMap<number, CpuFeature> = new Map<number, CpuFeature>([
  [MSR_LSTAR, 'long-mode'], [MSR_CSTAR, 'long-mode'], [MSR_FS_BASE, 'long-mode'], [MSR_GS_BASE, 'long-mode'], [MSR_KERNEL_GS_BASE, 'long-mode'],
  [MSR_STAR, 'syscall'], [MSR_SYSCALL_MASK, 'syscall'], [MSR_EFER, 'syscall'], [MSR_AMD_HWCR, 'long-mode'], [MSR_AMD_SYSCFG, 'long-mode'],
  [MSR_SYSENTER_CS, 'sep'], [MSR_SYSENTER_ESP, 'sep'], [MSR_SYSENTER_EIP, 'sep'], [MSR_TSC_AUX, 'rdtscp'], [MSR_PAT, 'pat'], [MSR_TSC, 'tsc'],
  [MSR_MCG_CAP, 'mca'], [MSR_MCG_STATUS, 'mca'], [MSR_APIC_BASE, 'apic'], [MSR_TSC_DEADLINE, 'tsc-deadline'], [MSR_TSC_ADJUST, 'tsc-adjust'],
]);
const TWO_32 = 0x1_0000_0000;
const APIC_BASE_EXTENDED = 1 << 10;
/** UC-, which PAT may hold beside what ranges may. */
const WEAKLY_UNCACHED = 7;

export class ModelRegisters {
  readonly #state: StateView;
  readonly #control: ControlRegisters;
  readonly #interrupts: InterruptPort;
  readonly #time: TimeStamp;
  readonly #model: CpuModel;
  readonly #memoryTypes: MemoryTypes;
  low = 0;
  high = 0;

  constructor(view: StateView, control: ControlRegisters, interrupts: InterruptPort, time: TimeStamp, model: CpuModel) {
    this.#state = view;
    this.#control = control;
    this.#interrupts = interrupts;
    this.#time = time;
    this.#model = model;
    this.#memoryTypes = new MemoryTypes(view);
  }

  /** True when the register exists; its value is in `low` and `high`. */
  read(index: number): boolean {
    if (!this.#exists(index)) return false;
    const field = ADDRESS_FIELDS.get(index) ?? PLAIN_FIELDS.get(index);
    if (field !== undefined) return this.#answer(this.#state.get(field), this.#state.high(field));
    switch (index) {
      case MSR_EFER: return this.#answer(this.#state.get(state.EFER), 0);
      case MSR_PAT: return this.#answer(this.#state.get(state.MSR_PAT), this.#state.high(state.MSR_PAT));
      case MSR_MCG_CAP: return this.#answer(0, 0); // no banks: no machine check is ever reported (SDM vol. 3, 16.3.1.1)
      case MSR_TSC:
        this.#time.read();
        return this.#answer(this.#time.low, this.#time.high);
      case MSR_TSC_ADJUST: return this.#answer(this.#state.get(state.TSC_OFFSET), this.#state.high(state.TSC_OFFSET));
      default:
    }
    if (this.#isIgnored(index)) return this.#answer(0, 0);
    if (index === MSR_AMD_DE_CFG && this.#model.vendor === 'AuthenticAMD') return this.#answer(DE_CFG, 0);
    // Which socket the processor is made for: updates of the microcode ask.
    if (index === MSR_PLATFORM_ID && this.#model.name === 'pentium3') return this.#answer(0, 0);
    if (this.#model.features.has('mtrr') && this.#memoryTypes.read(index)) return this.#answer(this.#memoryTypes.low, this.#memoryTypes.high);
    if (index === MSR_TSC_DEADLINE) return this.#readDeadline();
    if (!this.#isController(index) || !this.#interrupts.readModelRegister(index)) return false;
    return this.#answer(this.#interrupts.low >>> 0, this.#interrupts.high >>> 0);
  }
  /** False: no such register, or a value that it does not take. */
  write(index: number, low: number, high: number): boolean {
    if (!this.#exists(index)) return false;
    const s = this.#state;
    const address = ADDRESS_FIELDS.get(index);
    if (address !== undefined) {
      const top = high >> 15;
      if (top !== 0 && top !== -1) return false;
      s.set64(address, low, high);
      return true;
    }
    const plain = PLAIN_FIELDS.get(index);
    if (plain !== undefined) {
      s.set64(plain, low, high);
      return true;
    }
    switch (index) {
      case MSR_EFER: return this.#control.writeEfer(low, high);
      case MSR_PAT:
        for (let i = 0; i < 8; i++) {
          const type = ((i < 4 ? low : high) >>> ((i & 3) * 8)) & 0xff;
          if (!isMemoryType(type) && type !== WEAKLY_UNCACHED) return false;
        }
        s.set64(state.MSR_PAT, low, high);
        return true;
      case MSR_TSC:
        this.#setTime(() => this.#time.write(low, high));
        return true;
      case MSR_TSC_ADJUST: // what it changes by, the counter changes by too (SDM vol. 3, section 18.17.3)
        this.#setTime(() => s.set64(state.TSC_OFFSET, low, high));
        return true;
      case MSR_TSC_DEADLINE: return this.#writeDeadline(low >>> 0, high >>> 0);
      default:
    }
    if (this.#isIgnored(index) || (index === MSR_AMD_DE_CFG && this.#model.vendor === 'AuthenticAMD')) return true;
    if (this.#model.features.has('mtrr') && this.#memoryTypes.has(index)) return this.#memoryTypes.write(index, low, high);
    if (index === MSR_APIC_BASE && !this.#isApicBase(low, high)) return false;
    return this.#isController(index) && this.#interrupts.writeModelRegister(index, low, high);
  }
  #exists(index: number): boolean {
    const feature = FEATURES.get(index);
    return feature === undefined || this.#model.features.has(feature);
  }
  // The interrupt controller knows machine time only: deadlines go to it without what the guest has set its counter off by.
  #readDeadline(): boolean {
    if (!this.#interrupts.readModelRegister(MSR_TSC_DEADLINE)) return false;
    const low = this.#interrupts.low >>> 0;
    const high = this.#interrupts.high >>> 0;
    if (low === 0 && high === 0) return this.#answer(0, 0);
    const sum = low + this.#state.get(state.TSC_OFFSET);
    return this.#answer(sum >>> 0, (high + this.#state.high(state.TSC_OFFSET) + (sum >= TWO_32 ? 1 : 0)) >>> 0);
  }
  #writeDeadline(low: number, high: number): boolean {
    if (low === 0 && high === 0) return this.#interrupts.writeModelRegister(MSR_TSC_DEADLINE, 0, 0);
    const difference = low - this.#state.get(state.TSC_OFFSET);
    const differenceHigh = high - (this.#state.high(state.TSC_OFFSET) | 0) - (difference < 0 ? 1 : 0); // a counter may stand behind machine time
    // Before machine time began is in the past, as 1 is; beyond 64 bits is never.
    const past = differenceHigh < 0 || (differenceHigh === 0 && difference === 0);
    const never = differenceHigh >= TWO_32;
    return this.#interrupts.writeModelRegister(MSR_TSC_DEADLINE, past ? 1 : never ? 0xffff_ffff : difference >>> 0, past ? 0 : never ? 0xffff_ffff : differenceHigh);
  }
  /** What waits for a value of the counter goes on waiting for it (SDM vol. 3, section 11.5.4.1). */
  #setTime(set: () => void): void {
    const waits = this.#exists(MSR_TSC_DEADLINE) && this.#readDeadline() && (this.low !== 0 || this.high !== 0);
    const { low: deadline, high: deadlineHigh } = this;
    set();
    if (waits) this.#writeDeadline(deadline, deadlineHigh);
  }
  /** An address that there is, and no mode that CPUID does not have (SDM vol. 3, sections 11.4.4 and 11.12.1). */
  #isApicBase(low: number, high: number): boolean {
    return high >>> 0 < 2 ** (PHYSICAL_BITS - 32) && ((low & APIC_BASE_EXTENDED) === 0 || this.#model.features.has('x2apic'));
  }
  #isIgnored(index: number): boolean { return IGNORED.has(index) || (this.#model.vendor === 'AuthenticAMD' && IGNORED_BY_AMD.has(index)); }
  /** The APIC base, the deadline timer and the x2APIC registers belong to the interrupt controller, and so do those of hypervisors. */
  #isController(index: number): boolean {
    return index === MSR_APIC_BASE || index === 0x6e0 || (index >= 0x800 && index <= 0x8ff) || (this.#interrupts.hypervisor !== undefined && (index >>> 16 === 0x4000 || index >>> 8 === 0x4b564d || index === 0x11 || index === 0x12));
  }
  #answer(low: number, high: number): true {
    this.low = low;
    this.high = high;
    return true;
  }
}
