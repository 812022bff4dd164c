export { hpet, type HpetConfig } from './hpet.ts';
export { HPET_ID, REGISTER_BYTES } from './spec.ts';
