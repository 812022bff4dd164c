/** Model-specific registers (SDM vol. 4; AMD APM vol. 2, appendix A): which of them KVM keeps, and which are answered here. */
import {
  MSR_AMD_DE_CFG, MSR_AMD_EVENT_COUNT_0, MSR_AMD_EVENT_SELECT_0, MSR_AMD_HWCR, MSR_AMD_SYSCFG, MSR_BIOS_SIGNATURE, MSR_CSTAR, MSR_EFER, MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_MCG_CAP,
  MSR_MCG_STATUS, MSR_MTRR_CAP, MSR_MTRR_DEF_TYPE, MSR_MTRR_FIX_16K_80000, MSR_MTRR_FIX_16K_A0000, MSR_MTRR_FIX_4K_C0000, MSR_MTRR_FIX_64K, MSR_MTRR_PHYS_BASE_0, MSR_PAT, MSR_PLATFORM_ID, MSR_STAR,
  MSR_SYSCALL_MASK, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, MSR_TSC, MSR_TSC_ADJUST, MSR_TSC_AUX,
} from '@vm/x86';
import type { CpuFeature, CpuModel } from '@vm/x86';

/** Those of a processor's state, by their names there. */
export const REGISTER_MSRS: Readonly<Record<'star' | 'lstar' | 'cstar' | 'fmask' | 'kernelGsBase' | 'sysenterCs' | 'sysenterEsp' | 'sysenterEip' | 'tscAux' | 'pat', number>> = {
  star: MSR_STAR, lstar: MSR_LSTAR, cstar: MSR_CSTAR, fmask: MSR_SYSCALL_MASK, kernelGsBase: MSR_KERNEL_GS_BASE, sysenterCs: MSR_SYSENTER_CS, sysenterEsp: MSR_SYSENTER_ESP, sysenterEip: MSR_SYSENTER_EIP,
  tscAux: MSR_TSC_AUX, pat: MSR_PAT,
};

const RANGES = 8;
const FIXED: readonly number[] = [MSR_MTRR_FIX_64K, MSR_MTRR_FIX_16K_80000, MSR_MTRR_FIX_16K_A0000, ...Array.from({ length: 8 }, (_, i) => MSR_MTRR_FIX_4K_C0000 + i)];
/** Memory-type ranges in the order of the row: bases and masks by turns, the fixed ones, the default. */
export const MEMORY_TYPE_REGISTERS: readonly number[] = [...Array.from({ length: RANGES * 2 }, (_, i) => MSR_MTRR_PHYS_BASE_0 + i), ...FIXED, MSR_MTRR_DEF_TYPE];

/** What firmware leaves in them: all of memory is cached but the video memory, ROMs, and the last GiB below 4 GiB, where devices are. */
export function writeFirmwareMemoryTypes(row: Uint8Array, physicalBits: number): void {
  const view = new DataView(row.buffer, row.byteOffset);
  const [valid, enabled, writeBack, writeProtected] = [0x800n, 0xc00n, 6n, 5n];
  view.setBigUint64(0, 0xc000_0000n, true);
  view.setBigUint64(8, ((1n << BigInt(physicalBits)) - 0x4000_0000n) | valid, true);
  FIXED.forEach((index, i) => {
    const type = index < MSR_MTRR_FIX_16K_A0000 ? writeBack : index < MSR_MTRR_FIX_4K_C0000 ? 0n : writeProtected;
    view.setBigUint64((RANGES * 2 + i) * 8, type * 0x0101_0101_0101_0101n, true);
  });
  view.setBigUint64((RANGES * 2 + FIXED.length) * 8, enabled | writeBack, true);
}

const IN_KERNEL: readonly (readonly [index: number, feature: CpuFeature])[] = [
  [MSR_EFER, 'syscall'], [MSR_STAR, 'syscall'], [MSR_SYSCALL_MASK, 'syscall'], [MSR_LSTAR, 'long-mode'], [MSR_CSTAR, 'long-mode'], [MSR_FS_BASE, 'long-mode'], [MSR_GS_BASE, 'long-mode'],
  [MSR_KERNEL_GS_BASE, 'long-mode'], [MSR_SYSENTER_CS, 'sep'], [MSR_SYSENTER_ESP, 'sep'], [MSR_SYSENTER_EIP, 'sep'], [MSR_TSC, 'tsc'], [MSR_TSC_ADJUST, 'tsc-adjust'], [MSR_TSC_AUX, 'rdtscp'], [MSR_PAT, 'pat'],
  [MSR_MTRR_CAP, 'mtrr'], ...MEMORY_TYPE_REGISTERS.map((index) => [index, 'mtrr'] as const),
];
/** The registers that guests reach without an exit. */
export function kernelRegisters({ features }: CpuModel): number[] { return IN_KERNEL.filter(([, feature]) => features.has(feature)).map(([index]) => index); }

const AMD_COUNTERS: readonly number[] = [0, 1, 2, 3].flatMap((i) => [MSR_AMD_EVENT_SELECT_0 + i, MSR_AMD_EVENT_COUNT_0 + i]);
/** LFENCE lets nothing pass it (APM vol. 2, section 3.2.2). */
const LFENCE_ORDERS = 2;

/** What a register reads as whose writes are ignored; null: there is no such register, or it is no constant. */
export function constantRegister(index: number, { vendor, features, name }: CpuModel): number | null {
  switch (index) {
    case MSR_BIOS_SIGNATURE: return 0;
    case MSR_MCG_CAP: case MSR_MCG_STATUS: return features.has('mca') ? 0 : null;
    case MSR_AMD_HWCR: case MSR_AMD_SYSCFG: return features.has('long-mode') ? 0 : null;
    case MSR_AMD_DE_CFG: return vendor === 'AuthenticAMD' ? LFENCE_ORDERS : null;
    case MSR_PLATFORM_ID: return name === 'pentium3' ? 0 : null; // updates of the microcode ask
    default: return vendor === 'AuthenticAMD' && AMD_COUNTERS.includes(index) ? 0 : null;
  }
}
