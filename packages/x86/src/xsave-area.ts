/** The XSAVE area in the standard format (SDM vol. 1, chapter 13): which state it holds, and where. */
import type { CpuFeature } from './cpu-feature.ts';

/** State components. */
export const XSTATE_X87 = 1;
export const XSTATE_SSE = 2;
export const XSTATE_AVX = 4;

/** What FXSAVE stores comes first, then a header whose first word says which components the area has. */
export const XSAVE_LEGACY_BYTES = 512;
const HEADER_BYTES = 64;
export const AVX_OFFSET: number = XSAVE_LEGACY_BYTES + HEADER_BYTES;
export const AVX_BYTES = 256;

/** The components that a processor with these features has: bits of XCR0. */
export function stateComponents(features: ReadonlySet<CpuFeature>): number {
  return features.has('xsave') ? XSTATE_X87 | XSTATE_SSE | (features.has('avx') ? XSTATE_AVX : 0) : 0;
}
/** Bytes of an area that holds these components. */
export const xsaveBytes = (components: number): number => ((components & XSTATE_AVX) !== 0 ? AVX_OFFSET + AVX_BYTES : AVX_OFFSET);

/** Whether XSETBV takes the value for XCR0: x87 always, AVX not without SSE (SDM vol. 2, XSETBV). */
export function isExtendedControl(low: number, high: number, components: number): boolean {
  return high === 0 && (low & ~components) === 0 && (low & XSTATE_X87) !== 0 && (low & (XSTATE_SSE | XSTATE_AVX)) !== XSTATE_AVX;
}
