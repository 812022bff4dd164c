/** Takes a whole test run through one mode of the shadow page tables: VM_SHADOW=off, flush, cached or diff; with VM_SHADOW_AUDIT=1 checked all the time. */
import { setDefaultShadowMode, SHADOW_MODES } from '../../packages/vcpu-wasm/src/shadow-mode.ts';

const wanted = process.env['VM_SHADOW'];
if (wanted !== undefined) {
  const mode = SHADOW_MODES.find((known) => known === wanted);
  if (mode === undefined) throw new Error(`VM_SHADOW is ${wanted}; it can be ${SHADOW_MODES.join(', ')}`);
  setDefaultShadowMode(mode, process.env['VM_SHADOW_AUDIT'] === '1');
}
