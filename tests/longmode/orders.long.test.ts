import { expect, it } from 'vitest';
import { claimedOrders } from '../../packages/longmode-switch/src/switch-orders.ts';
import { runnableSetup } from './order-run.ts';
import { compareOrders } from './orders.ts';

for (const format of ['32-bit', 'pae'] as const) {
  for (const direction of ['to-legacy', 'to-long'] as const) {
    it(`every order of the seven claimed steps ends on the engine as on the model: ${format}, ${direction}`, () => {
      const { same, wrong, hidden } = compareOrders(format, direction, claimedOrders(runnableSetup(format), direction));
      expect(same + wrong + hidden).toBe(5040);
    });
  }
}
