/** Which feature a processor needs for each row of the opcode tables, derived from the row's name, prefix and operands. */
import type { CpuFeature } from './cpu-feature.ts';
import { VEX_MAPS } from './opcode-row.ts';
import type { Row } from './opcode-row.ts';
import { ROWS } from './rows.ts';

const NAMES: Readonly<Partial<Record<CpuFeature, string>>> = {
  tsc: 'rdtsc',
  msr: 'rdmsr wrmsr',
  cx8: 'cmpxchg8b',
  sep: 'sysenter sysexit',
  // What came with the P6 family; RDPMC and the hint space 0F 18 to 0F 1F have no bit of their own.
  cmov: 'cmovcc fcmov fcomi fcomip fucomi fucomip rdpmc endbr64 endbr32 prefetchw',
  clfsh: 'clflush',
  mmx: 'emms',
  fxsr: 'fxsave fxrstor',
  sse: 'ldmxcsr stmxcsr sfence prefetchnta prefetcht0 prefetcht1 prefetcht2',
  sse2: 'lfence mfence movnti cvtdq2ps cvttps2dq cvtdq2pd cvtps2pd cvtss2sd',
  sse3: 'fisttp addsubps addsubpd haddps haddpd hsubps hsubpd lddqu movddup movsldup movshdup',
  monitor: 'monitor mwait',
  syscall: 'syscall sysret',
  'long-mode': 'swapgs',
  rdtscp: 'rdtscp',
  'sse4.2': 'pcmpgtq pcmpestri pcmpestrm pcmpistri pcmpistrm crc32',
  popcnt: 'popcnt',
  lzcnt: 'lzcnt',
  bmi1: 'tzcnt andn bextr blsi blsmsk blsr',
  bmi2: 'bzhi mulx pdep pext rorx sarx shlx shrx',
  aes: 'aesenc aesenclast aesdec aesdeclast aesimc aeskeygenassist',
  pclmulqdq: 'pclmulqdq',
  movbe: 'movbe',
  adx: 'adcx adox',
  rdrand: 'rdrand',
  rdseed: 'rdseed',
  rdpid: 'rdpid',
  fsgsbase: 'rdfsbase rdgsbase wrfsbase wrgsbase',
  smap: 'clac stac',
  invpcid: 'invpcid',
  clflushopt: 'clflushopt',
  clwb: 'clwb',
  xsave: 'xsave xrstor xgetbv xsetbv',
  xsaveopt: 'xsaveopt',
};
const BY_NAME: ReadonlyMap<string, CpuFeature> = new Map(
  Object.entries(NAMES).flatMap(([feature, names]) => names.split(' ').map((name): [string, CpuFeature] => [name, feature as CpuFeature])),
);

/** What AVX2 added beside 256 bits of integers (SDM vol. 1, section 14.7). */
const AVX2 = /^v(p?gather|perm(ps|pd|d|q|2i128)$|p(s[lr]lv|srav)|pbroadcast|broadcasti|pmaskmov|pblendd$|(insert|extract)i)/;

/** MMX forms that came with SSE (SDM vol. 1, section 10.4.4) and with SSE2 (section 11.4.3). */
const MMX_OF_SSE: ReadonlySet<string> = new Set(
  'pavgb pavgw pextrw pinsrw pmaxsw pmaxub pminsw pminub pmovmskb pmulhuw psadbw pshufw maskmovq movntq'.split(' '),
);
const MMX_OF_SSE2: ReadonlySet<string> = new Set(['paddq', 'psubq', 'pmuludq']);

/** Of the rows with a VEX prefix that have no name of their own above; the ciphers need AVX beside, without which none of them runs. */
function vexFeatureOf(row: Row): CpuFeature {
  if (/^vfn?m(add|sub)/.test(row.name)) return 'fma';
  if (row.name === 'vcvtph2ps' || row.name === 'vcvtps2ph') return 'f16c';
  if (AVX2.test(row.name) || (row.name.startsWith('vbroadcasts') && row.mod === 'register')) return 'avx2';
  const known = row.name.slice(1);
  return known.startsWith('aes') ? 'aes' : known === 'pclmulqdq' ? 'pclmulqdq' : 'avx';
}

function featureOf(row: Row): CpuFeature | null {
  const named = BY_NAME.get(row.name);
  if (named !== undefined) return named;
  const operands = row.operands.map((operand) => operand.text[0]);
  if (row.map > VEX_MAPS) return vexFeatureOf(row);
  const vector = operands.some((letter) => letter === 'V' || letter === 'W' || letter === 'U');
  const mmx = operands.some((letter) => letter === 'P' || letter === 'Q' || letter === 'N');
  if (row.map >= 2) return vector || mmx ? (row.map === 2 ? row.opcode < 0x10 || (row.opcode >= 0x1c && row.opcode <= 0x1e) : row.opcode === 0x0f) ? 'ssse3' : 'sse4.1' : null;
  if (mmx && !vector && row.prefix === 'np') return MMX_OF_SSE.has(row.name) ? 'sse' : MMX_OF_SSE2.has(row.name) ? 'sse2' : 'mmx';
  if (vector || mmx) {
    // Opcodes below 60 and C2, C6 are floating point: singles without prefix or with F3, doubles with 66 or F2.
    const float = row.opcode < 0x60 || row.opcode === 0xc2 || row.opcode === 0xc6;
    return float && (row.prefix === 'np' || row.prefix === 'f3') ? 'sse' : 'sse2';
  }
  if (row.map === 0 && row.opcode >= 0xd8 && row.opcode <= 0xdf) return 'fpu';
  if (row.map === 1 && row.name === 'nop') return 'cmov';
  return null;
}

/** By row number; null is what every processor with CPUID has. */
export const ROW_FEATURES: readonly (CpuFeature | null)[] = ROWS.map(featureOf);
/** The same for instructions with VEX.L = 1. */
export const WIDE_ROW_FEATURES: readonly (CpuFeature | null)[] = ROWS.map((row) => (row.avx2 ? 'avx2' : featureOf(row)));
