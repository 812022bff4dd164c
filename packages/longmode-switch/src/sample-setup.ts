/** Set-ups for tests and benchmarks: every step of the transition has something to do in them. */
import { CR0_ET, CR0_NE, CR0_PE, CR0_PG, CR0_WP, CR4_OSFXSR, CR4_PAE, CR4_PCIDE, CR4_PGE, CR4_PSE, CR4_SMEP, EFER_LME, EFER_NXE, EFER_SCE } from '@vm/x86';
import type { LegacyFormat } from './processor-model.ts';
import type { SwitchSetup } from './switch-setup.ts';

const PROTECTED = CR0_PE | CR0_ET | CR0_NE;
const LEGACY_CR4: Readonly<Record<LegacyFormat, number>> = { unpaged: 0, '32-bit': CR4_PSE | CR4_PGE, pae: CR4_PAE | CR4_PGE };

/** With PCIDs, global pages and SMEP on the 64-bit side, and global pages on the legacy side. */
export function sampleSetup(format: LegacyFormat, changes: Partial<SwitchSetup> = {}): SwitchSetup {
  return {
    page: 0x9_0000, mappedAt: { host: null, legacy: null }, establish: true, legacyTask: true,
    host: { cr0: (CR0_PG | PROTECTED | CR0_WP) >>> 0, cr3: 0x30_0000, cr4: CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_OSFXSR, efer: EFER_LME | EFER_SCE | EFER_NXE },
    legacy: { format, cr0: ((format === 'unpaged' ? 0 : CR0_PG) | PROTECTED) >>> 0, cr3: format === 'unpaged' ? 0 : 0x31_0000, cr4: LEGACY_CR4[format], efer: 0 },
    ...changes,
  };
}
