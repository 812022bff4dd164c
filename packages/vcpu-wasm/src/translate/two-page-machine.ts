/** A machine with a loop over two pages of code, calls and returns between them: what a region must not run stale. For tests. */
import { CONDITION_AE, CONDITION_NE, createAssembler, mem, r32, RAX, RBX, RCX, RDI, RDX, RSI } from '@vm/x86';
import type { Assembler } from '@vm/x86';
import * as state from '../cpu-state.ts';
import { FlatMachine } from '../flat-machine.ts';
import { readState, writeState } from '../flat-state.ts';
import type { FlatState } from '../flat-state.ts';
import type { TranslatorMode } from './translator-mode.ts';

export type Width = 'long' | 'protected';

/** Linear addresses. The pages behind the first two show them once more. */
export const FIRST = 0x40_0000;
export const SECOND = 0x40_1000;
export const FIRST_ALIAS = 0x40_3000;
export const SECOND_ALIAS = 0x40_2000;
/** Physical addresses; all below 4 MiB is mapped to itself too. */
export const FIRST_FRAME = 0x1_0000;
export const SECOND_FRAME = 0x2_0000;
/** Other code of the same shape. */
export const OTHER_FRAME = 0x3_0000;
export const ROUTINE = 0x5_0000;
export const DATA = 0x6_0000;
export const STACK = 0x7_0000;
/** The entry of the second page in its table. */
export const SECOND_ENTRY = { long: 0x6008, protected: 0x6004 } as const;
/** Page tables in which the second page is the other one. */
export const OTHER_TABLES = 0x7000;

const RAM_BYTES = 8 << 20;
const HLT = 0xf4;
const TURNS = 40n;
const RSP = 4;
const CR4_PSE = 0x10;
const CR0_PG = 0x8000_0000;
const DATA_BYTES = 0x200;

/** The whole of what a program can see. */
export interface Seen {
  readonly registers: FlatState;
  readonly retired: number;
  readonly data: string;
  readonly stack: string;
}

export const assembler = (width: Width, origin: number): Assembler => createAssembler(width === 'long' ? 64 : 32, { origin });

/** In code of the first page: a direct call of the second. */
export function callSecond(code: Assembler, offset: number): void {
  const distance = SECOND + offset - (FIRST + code.offset() + 5);
  code.data(0xe8, distance & 0xff, (distance >> 8) & 0xff, (distance >> 16) & 0xff, distance >>> 24);
}
/** The instructions of the loop in the first page, one a function, so that others can be put between any two. */
export const LOOP: readonly ((code: Assembler) => void)[] = [
  (code) => { code.label('loop').add(r32(RAX), 0x11); },
  (code) => { code.mov(r32(RDX), mem(4, { base: RSI })); },
  (code) => { callSecond(code, 0); },
  (code) => { code.xor(r32(RDX), r32(RAX)); },
  (code) => { code.mov(mem(4, { base: RSI, displacement: 8 }), r32(RDX)); },
  (code) => { callSecond(code, 0x80); },
  (code) => { code.adc(r32(RAX), r32(RDX)); },
  (code) => { code.dec(r32(RCX)); },
  (code) => { code.jcc(CONDITION_NE, 'loop'); },
  (code) => { code.hlt(); },
];
/** Instructions of one turn, those of the second page too. */
export const TURN = 20;
/** Loads RBX with a constant of the width of a stack slot. */
export function loadConstant(code: Assembler, width: Width, value: number): void {
  const bytes = [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24];
  if (width === 'long') code.data(0x48, 0xbb, ...bytes, 0, 0, 0, 0);
  else code.data(0xbb, ...bytes);
}
/** Where in those instructions the constant stands. */
export const CONSTANT_AT = { long: 2, protected: 1 } as const;
const IMUL_BYTES = 3;
/** Where in the second page such a constant stands. */
export const secondConstant = (width: Width): number => IMUL_BYTES + CONSTANT_AT[width];

function secondPage(width: Width, factor: number, summand: number): Uint8Array {
  const code = assembler(width, SECOND);
  code.imul(r32(RAX), r32(RAX), factor);
  loadConstant(code, width, summand);
  code.add(r32(RAX), r32(RBX)).jcc(CONDITION_AE, 'even').add(r32(RDI), 1).label('even').ret();
  code.align(0x80, HLT).mov(r32(RDX), r32(RAX)).add(r32(RDX), r32(RDI)).jmp('on').data(HLT, HLT).label('on').sub(r32(RAX), factor).ret();
  return code.bytes();
}

export class TwoPageMachine {
  readonly machine: FlatMachine;
  readonly width: Width;

  #before = 0;
  #first: Uint8Array = new Uint8Array(0);

  /** `loop` is the code of the first page; default LOOP. */
  constructor(width: Width, translator: TranslatorMode, loop: readonly ((code: Assembler) => void)[] = LOOP) {
    this.width = width;
    this.machine = new FlatMachine(width, { ramBytes: RAM_BYTES, processor: { translator }, code: { codePages: 64, codeBytes: 1 << 20 } });
    this.load(loop);
  }
  /** Puts another program into the first page. */
  load(loop: readonly ((code: Assembler) => void)[]): void {
    const first = assembler(this.width, FIRST);
    for (const write of loop) write(first);
    this.#first = first.bytes();
    this.reset();
  }
  /** As at the start, but for decoded and translated code that still stands for what memory holds. */
  reset(): void {
    const { machine, width } = this;
    this.#fill(FIRST_FRAME, this.#first);
    this.#fill(SECOND_FRAME, secondPage(width, 3, 0x1234_5678));
    this.#fill(OTHER_FRAME, secondPage(width, 7, 0x7654_3211));
    // What is there without paging.
    this.#fill(FIRST, this.#first);
    this.#fill(SECOND, secondPage(width, 5, 0x0bad_cafe));
    machine.bytes.fill(0, DATA, DATA + 4096);
    machine.bytes.fill(0, STACK - 4096, STACK);
    if (width === 'long') this.#writeLongTables();
    else this.#writeTables();
    machine.enter(FIRST);
    for (let register = 0; register < 16; register++) machine.setGpr(register, 0n);
    machine.flags = 2;
    machine.setGpr(RSI, BigInt(DATA));
    machine.setGpr(RSP, BigInt(STACK));
    machine.setGpr(RCX, TURNS);
    machine.view.setUint32(DATA, 0x9e37_79b9, true);
    this.#before = machine.vcpu.retired;
  }
  #fill(frame: number, code: Uint8Array): void {
    const page = new Uint8Array(4096).fill(HLT);
    page.set(code);
    if (Buffer.compare(page, this.machine.bytes.subarray(frame, frame + 4096)) !== 0) this.machine.put(frame, page);
  }
  #writeLongTables(): void {
    const { view, bytes } = this.machine;
    bytes.copyWithin(OTHER_TABLES, 0x2000, 0x5000);
    view.setUint32(OTHER_TABLES, (OTHER_TABLES + 0x1000) | 7, true);
    view.setUint32(OTHER_TABLES + 0x1000, (OTHER_TABLES + 0x2000) | 7, true);
    for (const [tables, table, second] of [[0x2000, 0x6000, SECOND_FRAME], [OTHER_TABLES, 0xa000, OTHER_FRAME]] as const) {
      view.setUint32(tables + 0x2000 + 2 * 8, table | 7, true);
      [FIRST_FRAME, second, SECOND_FRAME, FIRST_FRAME].forEach((frame, i) => view.setUint32(table + i * 8, frame | 7, true));
    }
  }
  /** Two levels, with large pages but for the third 2 MiB. */
  #writeTables(): void {
    const { view } = this.machine;
    for (const [tables, table, second] of [[0x2000, 0x6000, SECOND_FRAME], [OTHER_TABLES, 0xa000, OTHER_FRAME]] as const) {
      view.setUint32(tables, 0x87, true);
      view.setUint32(tables + 4, table | 7, true);
      [FIRST_FRAME, second, SECOND_FRAME, FIRST_FRAME].forEach((frame, i) => view.setUint32(table + i * 4, frame | 7, true));
    }
    const { entry } = this.machine;
    this.machine.entry = { ...entry, cr0: (entry.cr0 | CR0_PG) >>> 0, cr3: 0x2000, cr4: entry.cr4 | CR4_PSE };
  }

  /** Instructions that ran in translated code. */
  get translated(): number { return this.machine.vcpu.state.number(state.REGION_INSTRUCTIONS); }
  get entries(): number { return new Map(this.machine.vcpu.counts()).get('translator.entries') ?? 0; }

  run(instructions: number): void { this.machine.vcpu.run(instructions); }

  /** Runs other code to its HLT, as if an interrupt had come, and comes back to where the program was. */
  interrupt(write: (code: Assembler) => void): void {
    const { machine } = this;
    const { vcpu } = machine;
    const { rip, rflags, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi } = readState(vcpu);
    const code = assembler(this.width, ROUTINE);
    write(code);
    machine.put(ROUTINE, code.hlt().bytes());
    this.#goTo(BigInt(ROUTINE));
    if (!machine.run()) throw new Error('the routine did not reach its end');
    writeState(vcpu, { rflags, rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi });
    this.#goTo(rip);
  }
  #goTo(rip: bigint): void {
    const { state: s } = this.machine.vcpu;
    s.view.setBigUint64(s.at + state.RIP, rip, true);
    s.set(state.CURRENT_UOP, s.at + state.STATIC_UOPS);
  }

  see(): Seen {
    const { machine } = this;
    const text = (at: number): string => Buffer.from(machine.bytes.subarray(at, at + DATA_BYTES)).toString('hex');
    return { registers: readState(machine.vcpu), retired: machine.vcpu.retired - this.#before, data: text(DATA), stack: text(STACK - DATA_BYTES) };
  }
}
