export { type Bench, bench } from './device-bench.ts';
export { createVirtualClock, type VirtualClock } from './virtual-clock.ts';
