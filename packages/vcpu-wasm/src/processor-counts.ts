import * as state from './cpu-state.ts';
import type { WasmVcpu } from './vcpu.ts';

/** What is a processor's own, by name. */
export function* processorCounts({ interrupts, exceptions, memory, code, state: view }: WasmVcpu): Generator<readonly [name: string, count: number]> {
  yield ['interrupts', interrupts];
  for (const [vector, count] of exceptions.entries()) if (count > 0) yield [`exceptions.${vector}`, count];
  const [reads, writes, fetches] = [view.number(state.SHADOW_READS), view.number(state.SHADOW_WRITES), view.number(state.SHADOW_FETCHES)];
  yield ['tlb.readMisses', memory.readMisses + reads];
  yield ['tlb.writeMisses', memory.writeMisses + writes];
  yield ['tlb.refills', reads + writes + fetches];
  yield ['tlb.fetchMisses', memory.fetchMisses + fetches];
  yield ['tlb.flushes', memory.tlb.flushes];
  yield ['deviceAccesses', memory.deviceAccesses];
  yield ['code.decoded', code.decoded];
}
