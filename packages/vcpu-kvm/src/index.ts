export { kvmEngine, kvmLacks } from './engine.ts';
export type { InterruptChipKind, KvmEngine, KvmEngineOptions } from './engine.ts';
export type { KvmVcpu } from './vcpu.ts';
export { KvmError } from './kvm-error.ts';
export { probeKvm, PROBED_MODES } from './probe.ts';
export type { KvmProbe, ProbedMode } from './probe.ts';
