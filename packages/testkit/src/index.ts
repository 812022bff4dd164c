export { type CipherConformanceOptions, cipherConformance, type CipherUnderTest, type ConformanceCase, type SectorCipherUnderTest } from './cipher-conformance.ts';
export { type CrashCut, crashCuts, type CrashStep, type CutOptions, type RecordableFile, recordSteps, replayCut } from './crash-cuts.ts';
export { type Bench, bench } from './device-bench.ts';
export { type FlatMode, type FlatRegion, type FlatRegisters, type FlatRequest, type FlatResult, type FlatState, runFlat, type VectorLanes, type X87Register } from '@vm/vcpu-wasm/flat';
export { deviceConformance, type DeviceConformanceOptions, type DeviceUnderTest } from './device-conformance.ts';
export { type EngineUnderTest, firstParting, recordProgram } from './engine-conformance.ts';
export { ENGINE_PROGRAMS, type EngineMode, type EngineProgram } from './engine-programs.ts';
export { PCI_MEMORY, PCI_MESSAGE, PCI_PIN, PCI_PORTS } from './fixed-pci.ts';
export { createVirtualClock, type VirtualClock } from './virtual-clock.ts';
