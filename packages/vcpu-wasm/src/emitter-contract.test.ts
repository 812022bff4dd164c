/**
 * The emitter contract: nothing architectural changes before the last access of an instruction that can fault. Every form
 * that touches memory runs with each of its pages missing, and read-only, in turn; the state is compared with that before.
 */
import { createInstruction, decode, DECODE_OK, METHOD_VECTOR_INDEX, ROWS } from '@vm/x86';
import type { Row } from '@vm/x86';
import { EXIT_SHUTDOWN } from '@vm/core/exit';
import { noteCases } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { AVAILABLE } from './cpu-model.ts';
import { EMITTERS } from './emitters.ts';
import { FlatMachine } from './flat-machine.ts';
import type { FlatMode } from './flat-machine.ts';
import { formOf } from './form.ts';

const CODE = 0x8000;
const CODE_END = CODE + 4096;
const DIRECTORY = 0xa000;
const TABLES = 0xb000; // four: the paging structures of both modes
const AREA = 0x40_0000;
/** Linear pages that instructions reach: memory operand, source index, destination index, stack; each with a neighbour. */
const PAGES = 8;
const FRAMES = 0x10_0000;
/** Vector register that indexes gathers. */
const INDEX = 4;
const RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7;
const IMPLICIT: ReadonlySet<string> = new Set(['push', 'pop', 'pusha', 'popa', 'pushf', 'popf', 'push_seg', 'pop_seg', 'call', 'callf', 'ret', 'retf', 'iret', 'enter', 'leave', 'movs',
  'cmps', 'stos', 'lods', 'scas', 'ins', 'outs', 'xlat', 'maskmovq', 'maskmovdqu', 'vmaskmovdqu']);
/** Memory operands that are not accessed. */
const NOT_ACCESSED: ReadonlySet<string> = new Set(['lea', 'nop', 'prefetchw', 'prefetchnta', 'prefetcht0', 'prefetcht1', 'prefetcht2', 'clflush', 'clflushopt', 'clwb', 'invlpg']);

interface Encoding { readonly key: string; readonly name: string; readonly bytes: Uint8Array }

/** One encoding of each form that reaches memory, with [rbx + 0] as its operand where it has one. */
function encodings(bits: 32 | 64): Encoding[] {
  const found = new Map<string, Encoding>();
  const instruction = createInstruction();
  const code = new Uint8Array(16);
  for (const mandatory of [[], [0xf3], [0xf2]]) {
    for (const size of [[], [0x66]]) {
      for (const rex of bits === 64 ? [[], [0x48]] : [[]]) {
        for (const map of [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]) {
          for (let opcode = 0; opcode < 256; opcode++) {
            for (let reg = 0; reg < 8; reg++) {
              const start = [...size, ...mandatory, ...rex, ...map, opcode];
              code.fill(0);
              code.set([...start, 0x43 | (reg << 3), 0]); // [rbx + disp8]
              if (decode(bits, code, 0, 15, instruction) !== DECODE_OK || instruction.length < start.length) continue;
              if (instruction.modrm >= 0 && instruction.modrm !== (0x43 | (reg << 3))) continue; // what stands for an opcode here is a prefix or an escape
              const name = ROWS[instruction.row]?.name ?? '';
              if (EMITTERS[name] === undefined || (instruction.isMemory === 0 && !IMPLICIT.has(name)) || instruction.base === -1 && instruction.isMemory !== 0) continue;
              const { key } = formOf(instruction, bits === 64);
              if (!found.has(key)) found.set(key, { key, name, bytes: code.slice(0, instruction.length) });
              if (instruction.modrm < 0) break;
            }
          }
        }
      }
    }
  }
  // VEX, with xmm1 in vvvv where there is a register; gathers have their three registers and an index.
  for (const modrm of [...Array.from({ length: 8 }, (_, reg) => 0x43 | (reg << 3)), 0x54]) {
    for (const vvvv of [0x70, 0x78]) {
      for (const wide of [0, 0x80]) {
        for (let at = 0; at < 3 * 8 * 256; at++) {
          code.fill(0);
          code.set([0xc4, 0xe1 + (at >> 11), wide | vvvv | ((at >> 8) & 7), at & 255, modrm, modrm === 0x54 ? 0x23 : 0, 0]); // [rbx + disp8] or [rbx + xmm4 + disp8]
          if (decode(bits, code, 0, 15, instruction) !== DECODE_OK || instruction.isMemory === 0) continue;
          const row = ROWS[instruction.row] as Row;
          if ((modrm === 0x54) !== row.operands.some((operand) => operand.method === METHOD_VECTOR_INDEX) || EMITTERS[row.name] === undefined) continue;
          const { key } = formOf(instruction, bits === 64);
          if (!found.has(key)) found.set(key, { key, name: row.name, bytes: code.slice(0, instruction.length) });
        }
      }
    }
  }
  return [...found.values()];
}

/** Maps AREA with single pages that can be taken away. */
function mapArea(machine: FlatMachine, mode: FlatMode): (page: number, rights: number) => void {
  const { view } = machine;
  const entry = (at: number, value: number): void => view.setUint32(at, value, true);
  const table = TABLES;
  if (mode === 'long') entry(0x4000 + (AREA >>> 21) * 8, table | 7);
  else {
    // 32-bit paging: the first 4 MiB as one page, the second by a table.
    entry(DIRECTORY, 0x87);
    entry(DIRECTORY + (AREA >>> 22) * 4, table | 7);
  }
  return (page, rights) => entry(table + page * (mode === 'long' ? 8 : 4), rights === 0 ? 0 : (FRAMES + page * 4096) | rights);
}

function snapshot(machine: FlatMachine): string {
  const { state: s } = machine.vcpu;
  const part = (from: number, to: number): string => Buffer.from(s.u8.buffer, s.at + from, to - from).toString('hex');
  return [machine.flags.toString(16), s.get(state.RIP).toString(16), part(state.GPR, state.ZERO), part(state.SEGMENT_BASE, state.FLAG_RESULT), part(state.XMM, state.X87),
    part(state.X87, state.X87_OPCODE), s.get(state.MXCSR).toString(16), part(state.SEGMENT, state.CR0), part(state.GDTR_BASE, state.TSC_OFFSET)].join(' ');
}

describe('the emitter contract', () => {
  it.each([['long', 64], ['protected', 32]] as const)('a fault leaves everything as it was, in %s mode', (mode, bits) => {
    const machine = new FlatMachine(mode, { processor: { cpuFeatures: [...AVAILABLE] } });
    const { state: s } = machine.vcpu;
    const setPage = mapArea(machine, mode);
    const frames = machine.bytes.subarray(FRAMES, FRAMES + PAGES * 4096);
    const pattern = Uint8Array.from(frames, (_, i) => (i * 37 + (i >>> 8)) & 0x7f);
    const wrong = new Set<string>();
    const neverFaulted: string[] = [];
    let faults = 0;
    const run = (bytes: Uint8Array, offset: number, missing: number, rights: number): boolean => {
      for (let page = 0; page < PAGES; page++) setPage(page, page === missing ? rights : 3);
      frames.set(pattern);
      machine.put(CODE_END - bytes.length - 1, [...bytes, 0xf4]);
      machine.enter(CODE_END - bytes.length - 1);
      s.set(state.CR0, (s.get(state.CR0) | 0x8001_0000) >>> 0); // paging, and read-only means it for level 0 too
      if (mode === 'protected') { s.set64(state.CR3, DIRECTORY, 0); s.set(state.CR4, s.get(state.CR4) | 0x10); }
      machine.vcpu.memory.tlb.clear();
      for (let register = 0; register < 16; register++) machine.setGpr(register, 1n);
      const at = (page: number): bigint => BigInt(AREA + page * 4096 + offset);
      machine.setGpr(RBX, at(0));
      machine.setGpr(RSI, at(2));
      machine.setGpr(RDI, at(4));
      machine.setGpr(RSP, at(6));
      machine.setGpr(RBP, at(6));
      // Every element of a mask is chosen, every index is 0.
      s.u8.fill(0x80, s.at + state.XMM, s.at + state.X87);
      for (const half of [state.XMM, state.YMM_HIGH]) s.u8.fill(0, s.at + half + INDEX * 16, s.at + half + INDEX * 16 + 16);
      machine.flags = 0x8d7;
      s.set(state.IDTR_LIMIT, 0); // no handler: the fault ends in a shut-down with the state as it was
      const before = snapshot(machine);
      const rip = s.get(state.RIP);
      if (machine.vcpu.run(1) !== EXIT_SHUTDOWN) return false;
      // A branch to where nothing is has run; the fault is the next instruction's.
      if (s.get(state.RIP) !== rip) return false;
      faults++;
      if (snapshot(machine) !== before || Buffer.compare(frames, pattern) !== 0) wrong.add(`missing page ${missing} (rights ${rights}), offset ${offset}`);
      return true;
    };
    const failures: string[] = [];
    for (const { key, name, bytes } of encodings(bits)) {
      let faulted = false;
      for (const rights of [0, 1]) {
        // In the middle of a page, and across its end with the neighbour missing.
        for (let page = 0; page < PAGES; page++) {
          wrong.clear();
          faulted = run(bytes, page % 2 === 0 ? 0x800 : 0xfff, page, rights) || faulted;
          for (const where of wrong) failures.push(`${key}: ${where}`);
        }
      }
      if (!faulted && !NOT_ACCESSED.has(name)) neverFaulted.push(key);
    }
    noteCases({ suite: 'emitter-contract', run: faults, passed: faults - failures.length });
    expect(failures.slice(0, 20)).toEqual([]);
    expect(neverFaulted.slice(0, 20)).toEqual([]);
    expect(faults).toBeGreaterThan(1000);
  });
});
