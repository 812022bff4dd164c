/** `off`: the interpreter alone; `eager`: everything at its first branch; `on`: what is hot. */
export type TranslatorMode = 'off' | 'eager' | 'on';
export const TRANSLATOR_MODES: readonly TranslatorMode[] = ['off', 'eager', 'on'];

let chosen: TranslatorMode = 'on';
/** What engines made without a word about it do. */
export const defaultTranslatorMode = (): TranslatorMode => chosen;
/** For test runs that take every suite through all modes. */
export function setDefaultTranslatorMode(mode: TranslatorMode): void { chosen = mode; }
