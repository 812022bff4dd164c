import { itCounts } from './interrupt-counts.ts';

// Ten million.
itCounts({ width: 64, processors: 4, ends: 'explicit', total: 3_000_000, seed: 11 });
itCounts({ width: 32, processors: 8, ends: 'x2apic', total: 3_000_000, seed: 12 });
itCounts({ width: 64, processors: 2, ends: 'lazy', total: 3_000_000, seed: 13 });
itCounts({ width: 32, processors: 1, ends: 'explicit', total: 1_000_000, seed: 14 });
