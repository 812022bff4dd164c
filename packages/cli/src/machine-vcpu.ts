import type { KvmVcpu } from '@vm/vcpu-kvm';
import type { WasmVcpu } from '@vm/vcpu-wasm';
import { SwitchedVcpu } from './switched-engine.ts';

/** A processor of one of the engines that machines of this program run on. */
export type MachineVcpu = WasmVcpu | KvmVcpu | SwitchedVcpu;

/** Who runs it now. */
export function presentOf(vcpu: MachineVcpu): WasmVcpu | KvmVcpu { return vcpu instanceof SwitchedVcpu ? vcpu.present : vcpu; }
/** Only the software engine keeps what its processors did last, and can look into an address space. */
export function isSoftware(vcpu: WasmVcpu | KvmVcpu): vcpu is WasmVcpu { return 'events' in vcpu; }
