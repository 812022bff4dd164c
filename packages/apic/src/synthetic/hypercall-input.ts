/** Registers of a hypercall in either form (TLFS, 3.7 and 3.8): 64-bit code passes them whole, 32-bit code as pairs. */
const RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSI = 6, RDI = 7, R8 = 8;

export interface HypercallInput {
  readonly code: number;
  readonly fast: boolean;
  readonly wordsBefore: number; // quadwords of variable header
  readonly count: number; // repetitions; 0: a call that has none
  readonly start: number;
  readonly reserved: boolean; // a bit that has to be 0 is not
  readonly input: readonly [low: number, high: number]; // an address, or the parameter itself
  readonly output: readonly [low: number, high: number]; // an address, or a second parameter
}

export function readHypercall(registers: Uint32Array, long: boolean): HypercallInput {
  const pair = (low: number, high: number): readonly [number, number] => [registers[low * 2]!, registers[high * 2]!];
  const wide = (register: number): readonly [number, number] => [registers[register * 2]!, registers[register * 2 + 1]!];
  const [low, high] = long ? wide(RCX) : pair(RAX, RDX);
  return {
    code: low & 0xffff,
    fast: (low & 0x1_0000) !== 0,
    wordsBefore: (low >>> 17) & 0x3ff,
    count: high & 0xfff,
    start: (high >>> 16) & 0xfff,
    reserved: (low & 0xf800_0000) !== 0 || (high & 0xf000_f000) !== 0,
    input: long ? wide(RDX) : pair(RCX, RBX),
    output: long ? wide(R8) : pair(RSI, RDI),
  };
}

/** The result: a status, and how many repetitions are complete, those before `start` included. */
export function writeHypercallResult(registers: Uint32Array, long: boolean, status: number, complete: number): void {
  registers[RAX * 2] = status;
  registers[RAX * 2 + 1] = long ? complete : 0;
  if (!long) {
    registers[RDX * 2] = complete;
    registers[RDX * 2 + 1] = 0;
  }
}
