export { CPU_MODEL_NAMES, DEFAULT_CPU_MODEL } from './cpu-model.ts';
export type { CpuModelName } from './cpu-model.ts';
export { wasmEngine } from './engine.ts';
export type { WasmEngineOptions } from './engine.ts';
export type { EntryState, SegmentState } from './entry-state.ts';
export type { InterpreterHalf, InterpreterImage } from './interpreter-image.ts';
export { describeProcessor } from './processor-text.ts';
export type { WasmVcpu } from './vcpu.ts';
