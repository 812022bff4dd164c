/** Takes a whole test run through one mode of the translator: VM_TRANSLATOR=off, on or eager. */
import { setDefaultTranslatorMode, TRANSLATOR_MODES } from '../../packages/vcpu-wasm/src/translate/translator-mode.ts';

const wanted = process.env['VM_TRANSLATOR'];
if (wanted !== undefined) {
  const mode = TRANSLATOR_MODES.find((known) => known === wanted);
  if (mode === undefined) throw new Error(`VM_TRANSLATOR is ${wanted}; it can be ${TRANSLATOR_MODES.join(', ')}`);
  setDefaultTranslatorMode(mode);
}
