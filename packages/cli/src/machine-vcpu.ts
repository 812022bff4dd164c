import type { KvmVcpu } from '@vm/vcpu-kvm';
import type { WasmVcpu } from '@vm/vcpu-wasm';

/** A processor of one of the engines that machines of this program run on. */
export type MachineVcpu = WasmVcpu | KvmVcpu;

/** Only the software engine keeps what its processors did last, and can look into an address space. */
export function isSoftware(vcpu: MachineVcpu): vcpu is WasmVcpu { return 'events' in vcpu; }
