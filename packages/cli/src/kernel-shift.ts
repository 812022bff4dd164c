import { inspectProcessor, type WasmVcpu } from '@vm/vcpu-wasm';
import type { SymbolTable } from './symbol-table.ts';

const SYSCALL_ENTRIES = ['entry_SYSCALL_64'];
const SYSENTER_ENTRIES = ['entry_SYSENTER_32', 'entry_SYSENTER_compat'];

/** Kernels move themselves to a place of their choice; the system call entry tells where to, once it is set. */
export function findShift(vcpu: WasmVcpu, symbols: SymbolTable): bigint {
  const { systemCallEntry, sysenterEntry } = inspectProcessor(vcpu);
  for (const [entry, names] of [[systemCallEntry, SYSCALL_ENTRIES], [sysenterEntry, SYSENTER_ENTRIES]] as const) {
    if (entry === 0n) continue;
    for (const name of names) {
      const expected = symbols.addressOf(name);
      if (expected !== null) return entry - expected;
    }
  }
  return 0n;
}
