import { itCounts, itCountsOnQemu } from './interrupt-counts.ts';

// A million of the ten that interrupts.long.test.ts counts.
itCounts({ width: 32, processors: 4, ends: 'explicit', total: 300_000, seed: 1 });
itCounts({ width: 64, processors: 2, ends: 'x2apic', total: 300_000, seed: 2 });
itCounts({ width: 32, processors: 3, ends: 'lazy', total: 300_000, seed: 3 });
itCounts({ width: 64, processors: 1, ends: 'explicit', total: 100_000, seed: 4 });
itCountsOnQemu({ width: 32, processors: 4, ends: 'explicit', total: 20_000, seed: 1 });
