export type { Chain, Ring, RingPlace, Segment } from './chain.ts';
export { PackedRing } from './packed-ring.ts';
export { SplitRing } from './split-ring.ts';
export { virtioBlk, type VirtioBlkConfig } from './virtio-blk.ts';
export { type ConsoleEnd, virtioConsole, type VirtioConsoleConfig } from './virtio-console.ts';
export { type VirtioModel, type VirtioOptions, VirtioPci, type VirtioServices } from './virtio-pci.ts';
export { virtioRng, type VirtioRngConfig } from './virtio-rng.ts';
