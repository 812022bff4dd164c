/** What a debugger asks a processor that stands still. */
import type { Ram } from '@vm/core/engine';
import { EFER_LMA } from '@vm/x86';
import * as state from './cpu-state.ts';
import { READ } from './page-walk.ts';
import type { TracedRegion } from './translate/region-trace.ts';
import type { WasmVcpu } from './vcpu.ts';

export interface InspectedProcessor {
  readonly rip: bigint; // linear, with the base of CS
  readonly stack: bigint; // linear address of the top of the stack
  readonly wordBytes: 4 | 8; // of addresses in this mode
  /** Where SYSCALL and SYSENTER lead to; 0: nowhere yet. */
  readonly systemCallEntry: bigint;
  readonly sysenterEntry: bigint;
}

export function inspectProcessor({ state: view }: Pick<WasmVcpu, 'state'>): InspectedProcessor {
  const wide = (offset: number): bigint => (BigInt(view.high(offset)) << 32n) | BigInt(view.get(offset));
  const long = (view.get(state.EFER) & EFER_LMA) !== 0;
  const base = (segment: number): bigint => (long ? 0n : BigInt(view.base(segment)));
  return {
    rip: wide(state.RIP) + base(state.CS),
    stack: wide(state.GPR + 4 * 8) + base(state.SS),
    wordBytes: long ? 8 : 4,
    systemCallEntry: wide(state.MSR_LSTAR),
    sysenterEntry: wide(state.MSR_SYSENTER_EIP),
  };
}

/** The bytes at a linear address as the kernel sees them, fewer where a page is missing or no RAM. */
export function readLinear({ state: view, memory }: Pick<WasmVcpu, 'state' | 'memory'>, ram: Ram, address: bigint, bytes: number): Uint8Array {
  const read: number[] = [];
  const faultAddress = [view.get(state.CR2), view.high(state.CR2)] as const;
  try {
    for (let i = 0; i < bytes; i++) {
      const at = address + BigInt(i);
      memory.walk.translate(Number(at & 0xffff_ffffn), Number((at >> 32n) & 0xffff_ffffn), READ, true);
      if (memory.walk.offset < 0) break;
      read.push(view.u8[memory.walk.offset]!);
    }
  } catch {
    // a page that is not there ends it
  }
  view.set64(state.CR2, faultAddress[0], faultAddress[1]);
  return Uint8Array.from(read);
}

/** What the engine counted of the translated regions of all processors, with its option `traceRegions`; those in which most instructions ran come first. */
export function tracedRegions({ translator }: Pick<WasmVcpu, 'translator'>): readonly TracedRegion[] {
  return translator.regionsTraced;
}
