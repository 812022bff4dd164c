/** Where CPUID names each feature: leaf, register and bit (SDM vol. 2, CPUID, tables 3-10, 3-11 and 3-8; AMD APM vol. 3, appendix E). */
export type CpuidRegister = 'ebx' | 'ecx' | 'edx' | 'eax';
export type CpuidPlace = readonly [leaf: number, register: CpuidRegister, bit: number];

const EXTENDED = 0x8000_0001;
const POWER = 0x8000_0007;
/** State-component leaf, subleaf 1. */
const XSTATE = 0xd;

export type CpuFeature =
  | 'fpu' | 'vme' | 'de' | 'pse' | 'tsc' | 'msr' | 'pae' | 'mce' | 'cx8' | 'apic' | 'sep' | 'mtrr' | 'pge' | 'mca' | 'cmov' | 'pat' | 'pse36'
  | 'clfsh' | 'mmx' | 'fxsr' | 'sse' | 'sse2' | 'sse3' | 'pclmulqdq' | 'monitor' | 'ssse3' | 'fma' | 'cx16' | 'pcid' | 'sse4.1' | 'sse4.2'
  | 'x2apic' | 'movbe' | 'popcnt' | 'tsc-deadline' | 'aes' | 'xsave' | 'avx' | 'f16c' | 'rdrand' | 'hypervisor' | 'fsgsbase' | 'bmi1' | 'avx2'
  | 'smep' | 'bmi2' | 'erms' | 'invpcid' | 'rdseed' | 'adx' | 'smap' | 'clflushopt' | 'clwb' | 'umip' | 'rdpid' | 'lahf' | 'extapic' | 'cr8-legacy'
  | 'lzcnt' | 'syscall' | 'nx' | 'page-1-gib' | 'rdtscp' | 'long-mode' | 'xsaveopt' | 'tsc-adjust' | 'invariant-tsc';

export const CPU_FEATURES: Readonly<Record<CpuFeature, CpuidPlace>> = {
  fpu: [1, 'edx', 0], vme: [1, 'edx', 1], de: [1, 'edx', 2], pse: [1, 'edx', 3], tsc: [1, 'edx', 4], msr: [1, 'edx', 5], pae: [1, 'edx', 6], mce: [1, 'edx', 7],
  cx8: [1, 'edx', 8], apic: [1, 'edx', 9], sep: [1, 'edx', 11], mtrr: [1, 'edx', 12], pge: [1, 'edx', 13], mca: [1, 'edx', 14], cmov: [1, 'edx', 15],
  pat: [1, 'edx', 16], pse36: [1, 'edx', 17], clfsh: [1, 'edx', 19], mmx: [1, 'edx', 23], fxsr: [1, 'edx', 24], sse: [1, 'edx', 25], sse2: [1, 'edx', 26],
  sse3: [1, 'ecx', 0], pclmulqdq: [1, 'ecx', 1], monitor: [1, 'ecx', 3], ssse3: [1, 'ecx', 9], fma: [1, 'ecx', 12], cx16: [1, 'ecx', 13], pcid: [1, 'ecx', 17],
  'sse4.1': [1, 'ecx', 19], 'sse4.2': [1, 'ecx', 20], x2apic: [1, 'ecx', 21], movbe: [1, 'ecx', 22], popcnt: [1, 'ecx', 23], 'tsc-deadline': [1, 'ecx', 24],
  aes: [1, 'ecx', 25], xsave: [1, 'ecx', 26], avx: [1, 'ecx', 28], f16c: [1, 'ecx', 29], rdrand: [1, 'ecx', 30], hypervisor: [1, 'ecx', 31],
  fsgsbase: [7, 'ebx', 0], 'tsc-adjust': [7, 'ebx', 1], bmi1: [7, 'ebx', 3], avx2: [7, 'ebx', 5], smep: [7, 'ebx', 7], bmi2: [7, 'ebx', 8], erms: [7, 'ebx', 9], invpcid: [7, 'ebx', 10],
  rdseed: [7, 'ebx', 18], adx: [7, 'ebx', 19], smap: [7, 'ebx', 20], clflushopt: [7, 'ebx', 23], clwb: [7, 'ebx', 24],
  umip: [7, 'ecx', 2], rdpid: [7, 'ecx', 22],
  lahf: [EXTENDED, 'ecx', 0], extapic: [EXTENDED, 'ecx', 3], 'cr8-legacy': [EXTENDED, 'ecx', 4], lzcnt: [EXTENDED, 'ecx', 5],
  syscall: [EXTENDED, 'edx', 11], nx: [EXTENDED, 'edx', 20], 'page-1-gib': [EXTENDED, 'edx', 26], rdtscp: [EXTENDED, 'edx', 27], 'long-mode': [EXTENDED, 'edx', 29],
  'invariant-tsc': [POWER, 'edx', 8],
  xsaveopt: [XSTATE, 'eax', 0],
};
