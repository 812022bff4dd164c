export { countingGuest } from './counting-guest.ts';
export { countApart, countTogether } from './two-machines.ts';
