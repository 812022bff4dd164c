/** What `@vm/vcpu-wasm/flat` exports. */
export { runFlat } from './flat-runner.ts';
export type { FlatRegion, FlatRequest, FlatResult } from './flat-runner.ts';
export { GENERAL_REGISTERS, SEGMENT_REGISTERS } from './flat-state.ts';
export type { FlatRegisters, FlatState, GeneralRegister, SegmentRegister, VectorLanes, X87Register } from './flat-state.ts';
export type { FlatMode } from './flat-machine.ts';
