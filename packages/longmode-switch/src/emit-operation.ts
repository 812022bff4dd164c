/** The instructions of each operation. They use EAX, ECX, EDX, ESI and EDI, and nothing of one operation is left to the next. */
import {
  type Assembler, addressOf, control, CONDITION_E, CONDITION_NE, debug, DS, ES, far, FLAG_VM, FS, GS, mem, MSR_EFER, MSR_FS_BASE, MSR_GS_BASE, MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, PTE_PRESENT,
  PTE_WRITABLE, R10, R11, R12, R13, R14, R15, R8, R9, RAX, RBP, RBX, RCX, RDI, RDX, r16, r32, r64, RSI, RSP, segment, SELECTOR_RPL_MASK, SS, VECTOR_NMI,
} from '@vm/x86';
import type { Operation } from './operation.ts';
import type { Plan } from './planner.ts';
import type { World } from './processor-model.ts';
import type { StepName } from './step.ts';
import * as area from './switch-area.ts';
import type { SwitchArea } from './switch-area.ts';
import type { Exchanged, SwitchSetup } from './switch-setup.ts';

/** What is known while a transition is written. */
export interface EmitContext {
  readonly setup: SwitchSetup;
  readonly area: SwitchArea;
  /** Of the code segment here. */
  bits: 64 | 32;
  /** Where the page is entered, and where the 64-bit side goes on. */
  readonly entry: number;
  readonly resume: string;
  /** Makes labels of one code different. */
  unique: number;
}

const HOST_REGISTERS = [RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15];
const HOST_BASES = [MSR_FS_BASE, MSR_GS_BASE];
const SYSENTER = [MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP];
const BREAKPOINTS = [0, 1, 2, 3, 6];
const FX_BYTES = 512;
const NO_BREAKPOINTS = 0x400;

/** An address in the second page; in 64-bit code too it is absolute. */
const inData = (context: EmitContext, bytes: number, offset: number) => mem(bytes, { displacement: context.area.page + 0x1000 + offset });

export function emitOperation(a: Assembler, operation: Operation, context: EmitContext): void {
  const { setup } = context;
  // What only the 64-bit side does is 64-bit code, even in an order where other code comes to it.
  a.mode(isHostOnly(operation) ? 64 : context.bits);
  switch (operation.kind) {
    case 'interrupts-off': a.cli(); break;
    case 'map-page': mapPage(a, operation.world, context); break;
    case 'copy-code': copyCode(a, context); break;
    case 'save': (operation.world === 'host' ? saveHost : saveLegacy)(a, context); break;
    case 'restore': restoreHost(a, context); break;
    case 'stack': moveStack(a, operation.owner, context); break;
    case 'gdt': a.lgdt(inData(context, 0, operation.owner === 'host' ? area.HOST_GDT_POINTER : area.PAGE_GDT_POINTER)); break;
    case 'idt': loadGates(a, operation.owner, context); break;
    case 'data-segments': {
      a.mov(r32(RAX), area.DATA);
      for (const one of [DS, ES, SS]) a.mov(segment(one), r16(RAX));
      break;
    }
    case 'jump': jump(a, operation.to, context); break;
    case 'next': {
      const label = `next-${context.unique++}`;
      a.jmp(label).label(label);
      break;
    }
    case 'code-segment': loadCodeSegment(a, operation.bits, context); break;
    case 'cr0': writeControl(a, 0, operation.value, context); break;
    case 'cr4': writeControl(a, 4, operation.value, context); break;
    case 'cr3': writeControl(a, 3, (operation.world === 'host' ? setup.host.cr3 - (setup.host.cr3 % 4096) : setup.legacy.cr3) + operation.low, context); break;
    case 'efer': writeModel(a, MSR_EFER, operation.value); break;
    case 'free-task': freeTask(a, operation.world, context); break;
    case 'load-task': a.mov(r32(RAX), operation.world === 'host' ? context.area.hostTask.selector : area.LEGACY_TASK).ltr(r16(RAX)); break;
  }
}

function isHostOnly(operation: Operation): boolean {
  switch (operation.kind) {
    case 'save': case 'restore': case 'free-task': return operation.world === 'host';
    case 'stack': return operation.owner === 'host';
    case 'jump': return operation.to === 'host';
    default: return false;
  }
}

function writeControl(a: Assembler, number: number, value: number, { bits }: EmitContext): void {
  a.mov(r32(RAX), value).mov(control(number), bits === 64 ? r64(RAX) : r32(RAX));
}

function writeModel(a: Assembler, register: number, value: number): void {
  a.mov(r32(RCX), register).xor(r32(RDX), r32(RDX)).mov(r32(RAX), value).wrmsr();
}

function mapPage(a: Assembler, world: World, { area: { entries, page, hostBase }, bits, setup }: EmitContext): void {
  if (entries === undefined || (world === 'legacy' && entries.legacy === null)) return;
  const at = world === 'host' ? entries.host : entries.legacy!;
  const step = world === 'host' ? 8 : entries.legacyBytes;
  if (world === 'legacy' && setup.legacy.format === 'unpaged') return;
  const base = bits === 64 ? { base: RDI } : {};
  const from = bits === 64 ? 0 : at;
  if (bits === 64) a.mov(r64(RDI), hostBase + BigInt(at));
  for (const i of [0, 1]) {
    a.mov(mem(4, { ...base, displacement: from + i * step }), page + i * 0x1000 + (PTE_PRESENT | PTE_WRITABLE));
    if (step === 8) a.mov(mem(4, { ...base, displacement: from + i * step + 4 }), 0);
  }
}

function copyCode(a: Assembler, { area: { source, page, hostBase }, bits }: EmitContext): void {
  if (bits === 64) a.mov(r64(RSI), hostBase + BigInt(source.at)).mov(r64(RDI), hostBase + BigInt(page));
  else a.mov(r32(RSI), source.at).mov(r32(RDI), page);
  a.mov(r32(RCX), Math.ceil(source.bytes / 4)).cld().rep().size(4).movs();
}

const isExchanged = ({ setup }: EmitContext, what: Exchanged): boolean => setup.exchange?.includes(what) ?? false;

function pushModel(a: Assembler, register: number): void {
  a.mov(r32(RCX), register).rdmsr().push(r64(RDX)).push(r64(RAX));
}

function popModel(a: Assembler, register: number): void {
  a.mov(r32(RCX), register).pop(r64(RAX)).pop(r64(RDX)).wrmsr();
}

/** On the host's own stack. */
function saveHost(a: Assembler, context: EmitContext): void {
  a.pushf();
  for (const one of HOST_REGISTERS) a.push(r64(one));
  for (const one of [DS, ES, FS, GS]) a.mov(r32(RAX), segment(one)).push(r64(RAX));
  for (const one of HOST_BASES) pushModel(a, one);
  if (isExchanged(context, 'sysenter')) for (const one of SYSENTER) pushModel(a, one);
  if (isExchanged(context, 'breakpoints')) {
    for (const one of [...BREAKPOINTS, 7]) a.mov(r64(RAX), debug(one)).push(r64(RAX));
    a.mov(r32(RAX), NO_BREAKPOINTS).mov(debug(7), r64(RAX));
  }
  if (isExchanged(context, 'floating-point')) a.mov(r64(RAX), r64(RSP)).sub(r64(RSP), FX_BYTES + 16).and(r64(RSP), -16).mov(mem(8, { base: RSP, displacement: FX_BYTES }), r64(RAX)).size(8).op('fxsave', mem(0, { base: RSP }));
}

function restoreHost(a: Assembler, context: EmitContext): void {
  if (isExchanged(context, 'floating-point')) a.size(8).op('fxrstor', mem(0, { base: RSP })).mov(r64(RSP), mem(8, { base: RSP, displacement: FX_BYTES }));
  if (isExchanged(context, 'breakpoints')) for (const one of [7, ...BREAKPOINTS.toReversed()]) a.pop(r64(RAX)).mov(debug(one), r64(RAX));
  if (isExchanged(context, 'sysenter')) for (const one of SYSENTER.toReversed()) popModel(a, one);
  // The selectors first: loading them changes the bases.
  const bases = HOST_BASES.length * 16;
  for (const [i, one] of [GS, FS, ES, DS].entries()) a.mov(r32(RAX), mem(4, { base: RSP, displacement: bases + i * 8 })).mov(segment(one), r16(RAX));
  for (const one of HOST_BASES.toReversed()) popModel(a, one);
  a.add(r64(RSP), 4 * 8);
  for (const one of HOST_REGISTERS.toReversed()) a.pop(r64(one));
  a.popf();
}

/**
 * What a gate and its stub have left on the stack, into the frame: vector and error code, and behind them EIP to GS, of which
 * ring 0 has only the first three.
 */
function saveLegacy(a: Assembler, context: EmitContext): void {
  const at = (index: number) => mem(4, { displacement: context.area.page + 0x1000 + area.FRAME + index * 4 });
  const { eflags, cs, esp, ss, es, ds, fs, gs } = area.FRAME_INDEX;
  const all = `save-${context.unique++}`;
  a.pusha().mov(r32(RBX), segment(DS)).mov(r32(RBP), segment(ES)).mov(r32(RAX), area.DATA).mov(segment(DS), r16(RAX)).mov(segment(ES), r16(RAX)).cld();
  a.mov(r32(RSI), r32(RSP)).mov(r32(RDI), context.area.page + 0x1000 + area.FRAME).mov(r32(RCX), esp);
  a.test(mem(1, { base: RSP, displacement: eflags * 4 + 2 }), FLAG_VM >>> 16).jcc(CONDITION_NE, `${all}-virtual`);
  a.test(mem(1, { base: RSP, displacement: cs * 4 }), SELECTOR_RPL_MASK).jcc(CONDITION_NE, `${all}-user`);
  // Ring 0: its stack goes on behind the flags.
  a.rep().size(4).movs().mov(at(esp), r32(RSI)).mov(r32(RAX), segment(SS)).mov(at(ss), r32(RAX)).jmp(`${all}-segments`);
  a.label(`${all}-virtual`).mov(r32(RCX), area.FRAME_WORDS).rep().size(4).movs().jmp(`${all}-done`);
  a.label(`${all}-user`).mov(r32(RCX), es).rep().size(4).movs();
  a.label(`${all}-segments`).mov(at(ds), r32(RBX)).mov(at(es), r32(RBP));
  for (const [one, index] of [[FS, fs], [GS, gs]] as const) a.mov(r32(RAX), segment(one)).mov(at(index), r32(RAX));
  a.label(`${all}-done`);
}

function moveStack(a: Assembler, owner: 'host' | 'page' | 'legacy', context: EmitContext): void {
  const top = context.area.page + 0x1000 + area.STACK_TOP;
  if (owner === 'host') a.mov(r64(RSP), inData(context, 8, area.SAVED_RSP));
  else if (context.bits === 64) a.mov(inData(context, 8, area.SAVED_RSP), r64(RSP)).mov(r32(RSP), top);
  else a.mov(inData(context, 4, area.SAVED_ESP), r32(RSP)).mov(r32(RSP), top);
}

/** Back on the host's gates, NMIs that came on the way are raised: as often as they came. */
function loadGates(a: Assembler, owner: 'host' | 'page' | 'legacy', context: EmitContext): void {
  a.lidt(inData(context, 0, owner === 'host' ? area.HOST_GATES_POINTER : owner === 'page' ? area.PAGE_GATES_POINTER : area.LEGACY_GATES_POINTER));
  if (owner !== 'host') return;
  const label = `held-${context.unique++}`;
  a.xor(r32(RBX), r32(RBX)).xchg(inData(context, 4, area.NMIS_HELD), r32(RBX)).test(r32(RBX), r32(RBX)).jcc(CONDITION_E, `${label}-none`);
  a.label(label).int(VECTOR_NMI).dec(r32(RBX)).jcc(CONDITION_NE, label).label(`${label}-none`);
}

function jump(a: Assembler, to: 'host' | 'page', context: EmitContext): void {
  const { bits } = context;
  if (to === 'host') a.jmp(inData(context, 8, area.SAVED_RIP));
  else if (bits === 64) a.lea(r64(RAX), mem(0, { label: context.resume })).mov(inData(context, 8, area.SAVED_RIP), r64(RAX)).mov(r32(RAX), context.entry).jmp(r64(RAX));
  else {
    const label = `page-${context.unique++}`;
    a.mov(r32(RAX), addressOf(label)).jmp(r32(RAX)).label(label);
  }
}

function loadCodeSegment(a: Assembler, bits: 64 | 32, context: EmitContext): void {
  const label = `code-${context.unique++}`;
  if (context.bits === 64) {
    // 64-bit code has far jumps through memory only; the pointer lies behind it.
    a.jmpf(mem(6, { label: `${label}-pointer` })).label(`${label}-pointer`).dataAddress(label, 4).data(bits === 64 ? area.CODE_64 : area.CODE_32, 0);
  } else a.size(4).jmpf(far(bits === 64 ? area.CODE_64 : area.CODE_32, label));
  a.mode(bits).label(label);
  context.bits = bits;
}

function freeTask(a: Assembler, world: World, context: EmitContext): void {
  if (world === 'legacy') a.and(inData(context, 1, area.GDT + area.LEGACY_TASK + 5), 0xfd);
  else a.mov(r64(RAX), context.area.hostTask.descriptor + 5n).and(mem(1, { base: RAX }), 0xfd);
}

/** The steps of a plan up to the jump out of this code, or those behind it. */
export function emitSteps(a: Assembler, plan: Plan, part: 'first' | 'second', context: EmitContext, before?: (step: StepName) => void): void {
  let here: 'first' | 'second' = 'first';
  for (const { name, does } of plan.steps) {
    if (here === part) before?.(name);
    for (const operation of does) {
      if (here === part) emitOperation(a, operation, context);
      if (operation.kind === 'jump' && (plan.direction === 'to-legacy' || operation.to === 'host')) here = 'second';
    }
  }
}
