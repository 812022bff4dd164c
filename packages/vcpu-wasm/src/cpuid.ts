/** What CPUID claims: the x86-64 baseline, and nothing that does not work (SDM vol. 2, CPUID; AMD APM vol. 3, appendix E). */

/** One answer: eax, ebx, ecx, edx. */
export type CpuidLeaf = readonly [number, number, number, number];

/** ebx, ecx, edx of leaf 0. */
const VENDOR = [0x6874_7541, 0x444d_4163, 0x6974_6e65] as const; // "AuthenticAMD": no Meltdown work-arounds in guests
const SIGNATURE = 0x0002_0ff2; // family 15, model 47
const BRAND = '@vm software processor';

// Leaf 1 edx.
const FPU = 1 << 0, VME = 1 << 1, DE = 1 << 2, PSE = 1 << 3, TSC = 1 << 4, MSR = 1 << 5, PAE = 1 << 6, MCE = 1 << 7, CX8 = 1 << 8, APIC = 1 << 9, SEP = 1 << 11, PGE = 1 << 13;
const MCA = 1 << 14, CMOV = 1 << 15, PAT = 1 << 16, PSE36 = 1 << 17, CLFSH = 1 << 19, MMX = 1 << 23, FXSR = 1 << 24, SSE = 1 << 25, SSE2 = 1 << 26;
// Leaf 1 ecx.
const CX16 = 1 << 13, TSC_DEADLINE = 1 << 24, HYPERVISOR = 0x8000_0000;
// Leaf 0x80000001 edx and ecx.
const SYSCALL = 1 << 11, NX = 1 << 20, PAGE_1_GIB = 1 << 26, RDTSCP = 1 << 27, LONG_MODE = 1 << 29;
const LAHF = 1 << 0, CR8_LEGACY = 1 << 4;

const FEATURES = FPU | VME | DE | PSE | TSC | MSR | PAE | MCE | CX8 | APIC | SEP | PGE | MCA | CMOV | PAT | PSE36 | CLFSH | MMX | FXSR | SSE | SSE2;
/** Leaf 1 bits that AMD repeats in leaf 0x80000001. */
const REPEATED = FEATURES & ~(SEP | CLFSH | SSE | SSE2 | (1 << 27));

export interface CpuidContext { readonly apicId: number; readonly apicEnabled: boolean; readonly physicalBits: number }

export function cpuid(leaf: number, _subleaf: number, context: CpuidContext): CpuidLeaf {
  switch (leaf) {
    case 0: return [1, ...VENDOR];
    case 1: return [SIGNATURE, (context.apicId << 24) | (1 << 16) | (8 << 8), CX16 | TSC_DEADLINE | HYPERVISOR, context.apicEnabled ? FEATURES : FEATURES & ~APIC];
    case 0x4000_0000: return [0x4000_0000, 0x206d_7640, 0x6d6f_6e6f, 0x726f_7469]; // a signature of our own: "@vm monitor"
    case 0x8000_0000: return [0x8000_0008, ...VENDOR];
    case 0x8000_0001: return [SIGNATURE, 0, LAHF | CR8_LEGACY, REPEATED | SYSCALL | NX | PAGE_1_GIB | RDTSCP | LONG_MODE];
    case 0x8000_0002: case 0x8000_0003: case 0x8000_0004: return brand((leaf & 7) - 2);
    case 0x8000_0005: return [0x01ff_01ff, 0x01ff_01ff, 0x2002_0140, 0x2002_0140];
    case 0x8000_0006: return [0, 0x4200_4200, 0x0200_8140, 0];
    case 0x8000_0008: return [context.physicalBits | (48 << 8), 0, 0, 0];
    default: return [0, 0, 0, 0];
  }
}

function brand(part: number): CpuidLeaf {
  const word = (at: number): number => {
    let value = 0;
    for (let i = 3; i >= 0; i--) value = (value << 8) | (at + i < BRAND.length ? BRAND.charCodeAt(at + i) : 0);
    return value;
  };
  return [word(part * 16), word(part * 16 + 4), word(part * 16 + 8), word(part * 16 + 12)];
}
