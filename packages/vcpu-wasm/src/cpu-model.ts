/** What the engine makes of the processors of @vm/x86. */
import { ROW_FEATURES, WIDE_ROW_FEATURES } from '@vm/x86';
import type { CpuModel } from '@vm/x86';

export { AVAILABLE_FEATURES as AVAILABLE, CPU_MODEL_NAMES, cpuModel, DEFAULT_CPU_MODEL, modelText } from '@vm/x86';
export type { CpuModel, CpuModelName } from '@vm/x86';

/** Which rows of the instruction tables a model has with a VEX.L, by row number; forms of one row that came later are the caller's business. */
export function rowsOf({ features }: CpuModel, vexLength: number): Uint8Array {
  return Uint8Array.from(vexLength === 0 ? ROW_FEATURES : WIDE_ROW_FEATURES, (feature) => (feature === null || features.has(feature) ? 1 : 0));
}
