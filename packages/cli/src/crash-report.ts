import type { Machine } from '@vm/core';
import { describeProcessor, inspectProcessor, type ProcessorEvent, readLinear, type WasmVcpu } from '@vm/vcpu-wasm';
import { findShift } from './kernel-shift.ts';
import { isSoftware, type MachineVcpu, presentOf } from './machine-vcpu.ts';
import type { SymbolTable } from './symbol-table.ts';

const STACK_BYTES = 2048; // looked through for return addresses
const MOST_FRAMES = 16;

/** What is known of a guest that crashed: each processor, what it did last, and with symbols where it was. */
export function describeCrash({ vcpus, ram }: Pick<Machine<MachineVcpu>, 'vcpus' | 'ram'>, symbols: SymbolTable | null): string {
  if (vcpus.length === 1) return describeOne({ vcpu: vcpus[0]!, ram }, symbols);
  return vcpus.map((vcpu, index) => `processor ${index}${vcpu.retired === 0 ? ', which has not been started' : `:\n${describeOne({ vcpu, ram }, symbols)}`}`).join('\n');
}

function describeOne({ vcpu: machineVcpu, ram }: Pick<Machine<MachineVcpu>, 'vcpu' | 'ram'>, symbols: SymbolTable | null): string {
  const vcpu = presentOf(machineVcpu);
  if (!isSoftware(vcpu)) return vcpu.describe();
  const shift = symbols === null ? 0n : findShift(vcpu, symbols);
  const nameOf = (address: bigint): string | null => symbols?.nameOf(address - shift) ?? null;
  const inSymbols = (address: bigint): string => (nameOf(address) === null ? '' : ` ${nameOf(address)!}`);
  const lines = [describeProcessor(vcpu)];
  const events = vcpu.events.list();
  if (events.length > 0) {
    lines.push('last events, the newest last, and how many instructions ago:');
    for (const event of events) lines.push(`  ${String(vcpu.retired - event.instructions).padStart(9)}  ${describeEvent(event)}${event.kind === 'exception' ? inSymbols(event.address) : ''}`);
  }
  if (symbols !== null) lines.push(...describeStack({ vcpu, ram }, nameOf, shift));
  return lines.join('\n');
}

function describeEvent({ kind, address, bytes, value, errorCode }: ProcessorEvent): string {
  const hex = (number: number | bigint, digits: number): string => number.toString(16).padStart(digits, '0');
  switch (kind) {
    case 'exception': return `${kind} ${hex(value, 2)}${errorCode < 0 ? '' : ` error ${hex(errorCode, 4)}`} at ${hex(address, 16)}`;
    case 'interrupt': return `${kind} ${hex(value, 2)}`;
    case 'in':
    case 'out': return `${kind} port ${hex(address, 4)} ${hex(value, 2 * bytes)}`;
    default: return `${kind} memory ${hex(address, 8)} ${hex(value, 2 * Math.min(bytes, 4))}`;
  }
}

/** Where the kernel was, as far as its stack tells: every word that points behind a symbol, which is more than was called. */
function describeStack({ vcpu, ram }: Pick<Machine<WasmVcpu>, 'vcpu' | 'ram'>, nameOf: (address: bigint) => string | null, shift: bigint): string[] {
  const { rip, stack, wordBytes } = inspectProcessor(vcpu);
  const bytes = readLinear(vcpu, ram, stack, STACK_BYTES);
  const view = new DataView(bytes.buffer);
  const frames: string[] = [`  ${nameOf(rip) ?? `0x${rip.toString(16)}`} (here)`];
  for (let at = 0; at + wordBytes <= bytes.length && frames.length < MOST_FRAMES; at += wordBytes) {
    const name = nameOf(wordBytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
    if (name?.includes('+') === true) frames.push(`  ${name}`); // a return address is never the first one of a function
  }
  return [`where it was, with what its stack holds of addresses in the kernel${shift === 0n ? '' : ` (which has moved itself by 0x${shift.toString(16)})`}:`, ...frames];
}
