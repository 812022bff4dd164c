import { describe, expect, it } from 'vitest';
import { GUEST_CASES, tryGuests } from './random-guest.ts';

const FIRST_SEED = 1;
const LAST_SEED = 3;

describe('random guests get only what an ideal TLB may give', () => {
  for (const [name, options] of GUEST_CASES) {
    for (const processors of [1, 3]) {
      it(`${name}, ${processors} processor${processors === 1 ? '' : 's'}`, () => {
        expect(tryGuests(options, processors, FIRST_SEED, LAST_SEED)).toBeNull();
      });
    }
  }
});
