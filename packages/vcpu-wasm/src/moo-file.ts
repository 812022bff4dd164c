/** Reads MOO files, version 1: recorded single steps of a processor (for tests). */

/** Register order of the format; later ones may be absent. */
export const MOO_REGISTERS = ['ax', 'bx', 'cx', 'dx', 'cs', 'ss', 'ds', 'es', 'sp', 'bp', 'si', 'di', 'ip', 'flags'] as const;

export interface MooState {
  /** In the order of MOO_REGISTERS; undefined where the state does not say. */
  readonly registers: (number | undefined)[];
  readonly ram: (readonly [address: number, value: number])[];
}
export interface MooCase {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly initial: MooState;
  readonly final: MooState;
  /** Exception raised, or -1. */
  readonly exception: number;
  readonly hash: string;
}

export function* readMoo(file: Uint8Array): Generator<MooCase> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (const { tag, at, end } of chunks(file, view, 0, file.length)) if (tag === 'TEST') yield readCase(file, view, at + 4, end);
}

function* chunks(file: Uint8Array, view: DataView, from: number, to: number): Generator<{ tag: string; at: number; end: number }> {
  for (let at = from; at < to; ) {
    const bytes = view.getUint32(at + 4, true);
    yield { tag: text(file, at, 4), at: at + 8, end: at + 8 + bytes };
    at += 8 + bytes;
  }
}
const text = (file: Uint8Array, at: number, length: number): string => String.fromCharCode(...file.subarray(at, at + length));

function readCase(file: Uint8Array, view: DataView, from: number, to: number): MooCase {
  let name = '';
  let bytes = new Uint8Array(0);
  let initial: MooState = { registers: [], ram: [] };
  let final = initial;
  let exception = -1;
  let hash = '';
  for (const { tag, at, end } of chunks(file, view, from, to)) {
    if (tag === 'NAME') name = text(file, at + 4, view.getUint32(at, true));
    else if (tag === 'BYTS') bytes = file.slice(at + 4, at + 4 + view.getUint32(at, true));
    else if (tag === 'INIT') initial = readState(file, view, at, end);
    else if (tag === 'FINA') final = readState(file, view, at, end);
    else if (tag === 'EXCP') exception = view.getUint8(at);
    else if (tag === 'HASH') hash = Buffer.from(file.subarray(at, end)).toString('hex');
  }
  return { name, bytes, initial, final, exception, hash };
}

function readState(file: Uint8Array, view: DataView, from: number, to: number): MooState {
  const registers: (number | undefined)[] = [];
  const ram: (readonly [number, number])[] = [];
  for (const { tag, at: start } of chunks(file, view, from, to)) {
    let at = start;
    if (tag === 'REGS') {
      const mask = view.getUint16(at, true);
      for (let i = 0; i < MOO_REGISTERS.length; i++) if (((mask >> i) & 1) !== 0) registers[i] = view.getUint16(at += 2, true);
    } else if (tag === 'RAM ') {
      const count = view.getUint32(at, true);
      at += 4;
      for (let i = 0; i < count; i++, at += 5) ram.push([view.getUint32(at, true), view.getUint8(at + 4)]);
    }
  }
  return { registers, ram };
}
