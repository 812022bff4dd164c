/** LMS-05 on the engine: the processor model is not the only judge of which orders are legal. */
import { describe, expect, it } from 'vitest';
import { claimedOrders, smallMutations } from '../../packages/longmode-switch/src/switch-orders.ts';
import { runnableSetup } from './order-run.ts';
import { compareOrders, everyNth } from './orders.ts';

const SHARE = 97;

for (const format of ['32-bit', 'pae', 'unpaged'] as const) {
  describe.each(['to-legacy', 'to-long'] as const)(`${format}, %s`, (direction) => {
    it('every omission and every exchange of neighbours ends on the engine as on the model', () => {
      const { same, wrong, hidden } = compareOrders(format, direction, smallMutations(runnableSetup(format), direction));
      expect(same).toBeGreaterThan(8);
      expect(wrong).toBeGreaterThan(8);
      expect(hidden).toBeGreaterThan(0);
    });

    it('so does a sample of the orders of the claimed steps', () => {
      const { wrong, accepted } = compareOrders(format, direction, everyNth(claimedOrders(runnableSetup(format), direction), SHARE, 0));
      expect(wrong).toBeGreaterThan(0);
      expect(accepted).toBeGreaterThan(0);
    });
  });
}
