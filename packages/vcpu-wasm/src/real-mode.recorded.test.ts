/**
 * Real-mode integer instructions against single steps recorded from an 80286 (SingleStepTests 80286, MIT). The recordings
 * lie beside the project, or where VM_RECORDED_STEPS says; without them these tests are left out.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { CS, DS, ES, SS, RIP } from './cpu-state.ts';
import { createInstruction, decode, DECODE_OK } from '@vm/x86';
import { Excuses, noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import { FlatMachine } from './flat-machine.ts';
import { MOO_REGISTERS, readMoo } from './moo-file.ts';
import type { MooCase } from './moo-file.ts';

const named = process.env['VM_RECORDED_STEPS'];
const FOLDER = named === undefined ? new URL('../../../../shared/data/sst80286/', import.meta.url) : pathToFileURL(`${named}/`);
const present = existsSync(FOLDER);
const CASES = process.env['VM_LONG'] === '1' ? Number.POSITIVE_INFINITY : 120; // of each file
/** General registers by their place in the format. */
const GPR: readonly (readonly [place: number, register: number])[] = [[0, 0], [1, 3], [2, 1], [3, 2], [8, 4], [9, 5], [10, 6], [11, 7]];
const FLAGS = 13;
const CF = 1, PF = 4, AF = 16, ZF = 64, SF = 128, OF = 0x800;
const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

/** Flags that the manuals leave undefined (SDM vol. 1, appendix A), by instruction file. */
function undefinedFlags(file: string): number {
  const opcode = file.split('.')[0] ?? '';
  const extension = file.split('.')[1];
  if (/^(C0|C1|D0|D1|D2|D3)$/.test(opcode)) {
    // Shifts leave AF, counts other than 1 leave OF.
    return (Number(extension) >= 4 ? AF : 0) | (/^D[01]$/.test(opcode) ? 0 : OF | (Number(extension) >= 4 ? CF : 0));
  }
  if (opcode === '27' || opcode === '2F') return OF;
  if (opcode === '37' || opcode === '3F') return OF | SF | ZF | PF;
  if (opcode === 'D4' || opcode === 'D5') return OF | AF | CF;
  if (/^F[67]$/.test(opcode) && (extension === '6' || extension === '7')) return ARITHMETIC;
  if (/^F[67]$/.test(opcode) && (extension === '4' || extension === '5')) return SF | ZF | AF | PF;
  if (opcode === '69' || opcode === '6B') return SF | ZF | AF | PF;
  if (/^(0[89A-D]|2[0-5]|3[0-5]|8[45]|A[89])$/.test(opcode) || (/^8[0-3]$/.test(opcode) && /^[146]$/.test(extension ?? '')) || (/^F[67]$/.test(opcode) && extension === '0')) return AF;
  return 0;
}

const VECTOR_UD = 6, VECTOR_SS = 12, VECTOR_GP = 13;
const LONGEST = 10; // bytes of an instruction on the 80286, and one for the HLT behind it
/** Recordings that cannot be right, by hash. */
const MISRECORDED: Readonly<Record<string, string>> = { ba5bb16b5a4306333a359c3abd2169b871ffa42c: 'the recording has SS on the stack where INT pushes CS' };
const PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0xf0, 0xf2, 0xf3]);
const instruction = createInstruction();
/** Why a case does not apply to a later processor, or null. */
function excuse({ bytes, exception, hash, initial }: MooCase, form: string): string | null {
  const misrecorded = MISRECORDED[hash];
  if (misrecorded !== undefined) return misrecorded;
  if (bytes.length > LONGEST + 1) return 'more than 10 bytes, which only the 80286 refuses';
  const refused = exception === VECTOR_UD && form !== 'CD'; // INT raises what it is told to
  const known = decode(16, bytes, 0, bytes.length, instruction) === DECODE_OK && !isLesOfRegister(bytes);
  if (known && refused) return 'an encoding that is invalid on the 80286 and that later processors have';
  if (!known && !refused) return 'LOCK before what it does not go with: the 80286 ignores it there, later processors raise #UD';
  if (form === 'C4' && exception < 0 && isAcrossEnd(initial.ram)) return 'a far pointer across the end of a segment: the 80286 takes its second word from the beginning, later processors raise an exception';
  return null;
}
/** Words were read at 0xfffe and at 0 of a segment. */
function isAcrossEnd(ram: MooCase['initial']['ram']): boolean {
  const addresses = new Set(ram.map(([address]) => address));
  return ram.some(([address]) => addresses.has(address + 0xfffe));
}
/** VEX, which real mode does not have. */
function isLesOfRegister(bytes: Uint8Array): boolean {
  const opcode = bytes.findIndex((byte) => !PREFIXES.has(byte));
  return (bytes[opcode] === 0xc4 || bytes[opcode] === 0xc5) && bytes[opcode + 1]! >= 0xc0;
}

describe('real mode, against an 80286', () => {
  const machine = present ? new FlatMachine('real', { ramBytes: 18 << 20 }) : null;
  const files = present ? readdirSync(FOLDER).filter((name) => name.endsWith('.MOO.gz')) : ['all instructions'];
  const revoked = new Set(present ? readFileSync(new URL('revocation_list.txt', FOLDER), 'utf8').split(/\s+/) : []);

  it.skipIf(!present).each(files)('%s [needs the recorded 80286 steps]', (file) => {
    const wrong: string[] = [];
    const excused = new Excuses();
    const form = file.replace('.MOO.gz', '');
    let run = 0;
    for (const test of readMoo(gunzipSync(readFileSync(new URL(file, FOLDER))))) {
      if (run >= CASES) break;
      const reason = revoked.has(test.hash) ? 'withdrawn by the authors of the recordings' : excuse(test, form);
      if (reason !== null) {
        excused.add(reason, form);
        continue;
      }
      run++;
      const difference = compare(machine!, test, undefinedFlags(file));
      if (difference !== '') wrong.push(`${test.name} (${Buffer.from(test.bytes).toString('hex')}):${difference}`);
    }
    noteCases({ suite: 'recorded-80286', run, passed: run - wrong.length, excused: excused.list() });
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(run).toBeGreaterThan(0);
  });
});

function compare(machine: FlatMachine, { initial, final, exception }: MooCase, ignored: number): string {
  const { vcpu } = machine;
  const { state } = vcpu;
  const start = initial.registers as number[];
  machine.enter(0);
  for (const [address, value] of initial.ram) machine.put(address, [value]);
  // Beyond the end of the stack segment later processors raise #SS where the 80286 raises its #13: both go to one handler.
  if (exception === VECTOR_GP) machine.put(VECTOR_SS * 4, machine.bytes.subarray(VECTOR_GP * 4, VECTOR_GP * 4 + 4));
  for (const [place, register] of GPR) state.setGpr(register, start[place]!, 0);
  [CS, SS, DS, ES].forEach((segment, i) => vcpu.segments.setRealMode(segment, start[4 + i]!));
  state.set64(RIP, start[12]!, 0);
  vcpu.flags.write(start[FLAGS]! & 0xfff);
  let difference = machine.run(70_000) ? '' : ' no HLT';
  const got: number[] = [];
  for (const [place, register] of GPR) got[place] = state.gpr(register) & 0xffff;
  [CS, SS, DS, ES].forEach((segment, i) => { got[4 + i] = state.selector(segment); });
  got[12] = state.get(RIP) & 0xffff;
  got[FLAGS] = vcpu.flags.read() & 0xfff & ~ignored;
  for (let i = 0; i <= FLAGS; i++) {
    const wanted = (final.registers[i] ?? start[i]!) & (i === FLAGS ? 0xfff & ~ignored : 0xffff);
    if (got[i] !== wanted) difference += ` ${MOO_REGISTERS[i]} ${got[i]!.toString(16)} instead of ${wanted.toString(16)}`;
  }
  // Where an exception pushed byte `i` of the flags.
  const pushed = (i: number): number => (start[5]! << 4) + (((final.registers[8] ?? start[8]!) + 4 + i) & 0xffff);
  for (const [address, value] of final.ram) {
    // The flags that an exception pushes carry the undefined bits too.
    const mask = exception < 0 ? 0xff : address === pushed(0) ? ~ignored & 0xff : address === pushed(1) ? (~ignored >> 8) & 0x0f : 0xff;
    if (((machine.bytes[address]! ^ value) & mask) !== 0) difference += ` [${address.toString(16)}] ${machine.bytes[address]!.toString(16)} instead of ${value.toString(16)}`;
  }
  return difference;
}
