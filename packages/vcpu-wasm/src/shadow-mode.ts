import type { ShadowPolicyName } from '@vm/shadow-mmu';

/** `off`: the TLB is filled by walks of the guest's tables alone, and emptied at every switch; otherwise what @vm/shadow-mmu does at one. */
export type ShadowMode = 'off' | ShadowPolicyName;
export const SHADOW_MODES: readonly ShadowMode[] = ['off', 'flush', 'cached', 'diff'];

let chosen: ShadowMode = 'off';
let audited = false;
/** What engines made without a word about it do. */
export const defaultShadowMode = (): ShadowMode => chosen;
export const isShadowAudited = (): boolean => audited;
/** For test runs that take every suite through all modes. */
export function setDefaultShadowMode(mode: ShadowMode, audit: boolean): void {
  chosen = mode;
  audited = audit;
}
