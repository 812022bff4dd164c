import { FIRST_LEGAL_VECTOR } from '../spec.ts';
import type { GuestWords } from './guest-words.ts';
import type { HypercallInput } from './hypercall-input.ts';
import type { SyntheticMessage } from './message-slot.ts';
import * as spec from './spec.ts';

/** What hypercalls do to the partition. */
export interface HypercallPorts {
  readonly processors: number;
  words(): GuestWords;
  /** A fixed interrupt for the processor of an index; those that are not there are passed over. */
  interrupt(index: number, vector: number): void;
  /** Forgets all translations of that processor. */
  flush(index: number): void;
  post(connection: number, message: SyntheticMessage): number;
  signal(connection: number, flag: number): number;
}

const FLUSH_ALL_PROCESSORS = 1;
const POST_BYTES = 256;

/** One call: its status. `done` repetitions are complete then. */
export function hypercall(call: HypercallInput, ports: HypercallPorts, privileges: readonly [low: number, high: number], hints: number): { readonly status: number; readonly done: number } {
  const result = (status: number, done = 0): { readonly status: number; readonly done: number } => ({ status, done });
  const repeats = call.code === spec.CALL_FLUSH_LIST || call.code === spec.CALL_FLUSH_LIST_EX;
  const known = isOffered(call.code, hints);
  if (!known) return result(spec.STATUS_INVALID_CODE);
  if (call.reserved || (repeats ? call.count === 0 || call.start >= call.count : call.count !== 0 || call.start !== 0)) return result(spec.STATUS_INVALID_INPUT);
  const takesSet = call.code === spec.CALL_FLUSH_SPACE_EX || call.code === spec.CALL_FLUSH_LIST_EX || call.code === spec.CALL_SEND_IPI_EX;
  if (!takesSet && call.wordsBefore !== 0) return result(spec.STATUS_INVALID_INPUT);
  const all = (): number[] => Array.from({ length: ports.processors }, (_, index) => index);
  switch (call.code) {
    case spec.CALL_LONG_SPIN_WAIT: return result(spec.STATUS_SUCCESS);
    case spec.CALL_SEND_IPI: {
      const [vector, reserved, low, high] = call.fast ? [...call.input, ...call.output] : wordsOf(call, ports, 4) ?? [];
      if (vector === undefined) return result(spec.STATUS_INVALID_ALIGNMENT);
      if (reserved !== 0 || vector < FIRST_LEGAL_VECTOR || vector > 0xff) return result(spec.STATUS_INVALID_INPUT);
      for (const index of inMask(low!, high!)) ports.interrupt(index, vector);
      return result(spec.STATUS_SUCCESS);
    }
    case spec.CALL_SEND_IPI_EX: {
      const found = call.fast ? null : wordsOf(call, ports, 6 + call.wordsBefore * 2);
      if (found === null) return result(call.fast ? spec.STATUS_INVALID_INPUT : spec.STATUS_INVALID_ALIGNMENT);
      const [vector = 0, reserved] = found;
      const set = processorSet(found.slice(2), all);
      if (set === null || reserved !== 0 || vector < FIRST_LEGAL_VECTOR || vector > 0xff) return result(spec.STATUS_INVALID_INPUT);
      for (const index of set) ports.interrupt(index, vector);
      return result(spec.STATUS_SUCCESS);
    }
    case spec.CALL_FLUSH_SPACE: case spec.CALL_FLUSH_LIST: {
      const found = call.fast ? null : wordsOf(call, ports, 6);
      if (found === null) return result(call.fast ? spec.STATUS_INVALID_INPUT : spec.STATUS_INVALID_ALIGNMENT);
      const everybody = (found[2]! & FLUSH_ALL_PROCESSORS) !== 0;
      for (const index of everybody ? all() : inMask(found[4]!, found[5]!)) ports.flush(index); // more than asked may go
      return result(spec.STATUS_SUCCESS, call.count);
    }
    case spec.CALL_FLUSH_SPACE_EX: case spec.CALL_FLUSH_LIST_EX: {
      const found = call.fast ? null : wordsOf(call, ports, 8 + call.wordsBefore * 2);
      if (found === null) return result(call.fast ? spec.STATUS_INVALID_INPUT : spec.STATUS_INVALID_ALIGNMENT);
      const set = (found[2]! & FLUSH_ALL_PROCESSORS) !== 0 ? all() : processorSet(found.slice(4), all);
      if (set === null) return result(spec.STATUS_INVALID_INPUT);
      for (const index of set) ports.flush(index);
      return result(spec.STATUS_SUCCESS, call.count);
    }
    case spec.CALL_POST_MESSAGE: {
      if ((privileges[1] & spec.MAY_POST) === 0) return result(spec.STATUS_ACCESS_DENIED);
      const found = call.fast ? null : wordsOf(call, ports, POST_BYTES / 4);
      if (found === null) return result(call.fast ? spec.STATUS_INVALID_INPUT : spec.STATUS_INVALID_ALIGNMENT);
      const [connection = 0, , type = 0, bytes = 0] = found;
      // Types from 2**31 on are the hypervisor's own.
      if (type === 0 || type >= spec.MESSAGE_OF_HYPERVISOR || bytes > spec.MOST_PAYLOAD) return result(spec.STATUS_INVALID_PARAMETER);
      return result(ports.post(connection, { type, payload: new Uint8Array(found.slice(4).buffer).slice(0, bytes), sender: connection }));
    }
    default: { // CALL_SIGNAL_EVENT
      if ((privileges[1] & spec.MAY_SIGNAL) === 0) return result(spec.STATUS_ACCESS_DENIED);
      const found = call.fast ? call.input : wordsOf(call, ports, 2);
      if (found === null) return result(spec.STATUS_INVALID_ALIGNMENT);
      return result(ports.signal(found[0]!, found[1]! & 0xffff));
    }
  }
}

function isOffered(code: number, hints: number): boolean {
  switch (code) {
    case spec.CALL_LONG_SPIN_WAIT: case spec.CALL_POST_MESSAGE: case spec.CALL_SIGNAL_EVENT: return true;
    case spec.CALL_SEND_IPI: case spec.CALL_SEND_IPI_EX: return (hints & spec.HINT_CLUSTER_IPI) !== 0;
    case spec.CALL_FLUSH_SPACE: case spec.CALL_FLUSH_LIST: case spec.CALL_FLUSH_SPACE_EX: case spec.CALL_FLUSH_LIST_EX: return (hints & spec.HINT_REMOTE_FLUSH) !== 0;
    default: return false;
  }
}

/** Parameters in memory: in one page, and aligned to 8 bytes. */
function wordsOf({ input }: HypercallInput, ports: HypercallPorts, count: number): Uint32Array | null {
  const gpa = input[1] * 0x1_0000_0000 + input[0];
  const bytes = count * 4;
  if ((input[0] & 7) !== 0 || (input[0] & 0xfff) + bytes > 4096) return null;
  const at = ports.words().locate(gpa, bytes);
  return at < 0 ? null : new Uint32Array(ports.words().read(at, bytes).buffer);
}

function inMask(low: number, high: number): number[] {
  const found: number[] = [];
  for (let index = 0; index < 64; index++) if (((index < 32 ? low : high) & (1 << (index & 31))) !== 0) found.push(index);
  return found;
}

/** A sparse set of processors: format, mask of banks of 64, and a quadword for each bank in the mask (TLFS, 7.8.7.3). Null: malformed. */
function processorSet(words: Uint32Array, all: () => number[]): readonly number[] | null {
  const [format, formatHigh, banksLow, banksHigh] = words as unknown as [number, number, number, number];
  if (formatHigh !== 0 || format > 1) return null;
  if (format === 1) return all();
  const banks = inMask(banksLow, banksHigh);
  if (words.length < 4 + banks.length * 2) return null;
  return banks.flatMap((bank, i) => inMask(words[4 + i * 2]!, words[5 + i * 2]!).map((index) => bank * 64 + index));
}
