/** Runs orders of steps on the engine: each is written as machine code as it stands, legal or not. */
import { runFlat } from '@vm/vcpu-wasm/flat';
import { type Assembler, addressOf, control, createAssembler, DS, ES, far, mem, MSR_EFER, r16, r32, r64, RAX, RBX, RCX, RDX, RSP, segment, SS } from '@vm/x86';
import { type EmitContext, emitSteps } from '../../packages/longmode-switch/src/emit-operation.ts';
import { HOST_BASE } from '../../packages/longmode-switch/src/monitor/memory-map.ts';
import { buildTables } from '../../packages/longmode-switch/src/monitor/page-tables.ts';
import type { LegacyFormat } from '../../packages/longmode-switch/src/processor-model.ts';
import { sampleSetup } from '../../packages/longmode-switch/src/sample-setup.ts';
import { allSteps, type Direction, type Step, type StepName } from '../../packages/longmode-switch/src/step.ts';
import * as area from '../../packages/longmode-switch/src/switch-area.ts';
import { stateOf, type SwitchSetup } from '../../packages/longmode-switch/src/switch-setup.ts';

const START = 0x20_0000; // the code of the 64-bit side, and its tables behind it
const TABLES = 0x21_0000;
const SOURCE = 0x2c_0000; // the code of the page before it is copied
const HOST_STACK = 0x2d_0000;
const PAGE = 0x9_0000;
const REPORT = PAGE + 0x1800; // CR0, CR3, CR4, EFER, limits of GDTR and IDTR, TR, the word at PROBE
const PROBE = 0x4000_0000;
const HOST_FRAME = 0x2e_0000;
const LEGACY_FRAME = 0x80_0000;
export const HOST_WORD = 0x1111;
export const LEGACY_WORD = 0x2222;
const GLOBAL = 0x100;
const LEGACY_START = PAGE + 0x1c00;
const HOST_TASK = 0x48;
const HOST_GDT_BYTES = 0x58;
const GOOD = 0x600d;
const PAGE_BYTES = 0x1000;

/** What the processor is at the end, with what it read at an address that both sides map to different memory; null where it never came there. */
export type Outcome = readonly number[] | null;

/** A set-up whose tables are there: those of the monitor. */
export function runnableSetup(format: LegacyFormat): SwitchSetup {
  const tables = buildTables(TABLES, SOURCE, format === 'pae' ? 'pae' : '32-bit');
  const sample = sampleSetup(format);
  return { ...sample, host: { ...sample.host, cr3: tables.hostRoot }, legacy: { ...sample.legacy, cr3: format === 'unpaged' ? 0 : tables.legacyRoot } };
}

export function runOrder(setup: SwitchSetup, direction: Direction, names: readonly StepName[]): Outcome {
  const all = allSteps(setup, direction);
  const steps = names.map((name) => all.find((step) => step.name === name) as Step);
  const plan = { direction, setup, steps, dropped: [], from: stateOf(setup, 'host'), to: stateOf(setup, 'legacy') };
  const tables = buildTables(TABLES, SOURCE, setup.legacy.format === 'pae' ? 'pae' : '32-bit');
  const isToLegacy = direction === 'to-legacy';
  const code = createAssembler(32, { origin: START });
  const page = createAssembler(64, { origin: PAGE });
  const context: EmitContext = {
    setup, bits: isToLegacy ? 64 : 32, unique: 0, entry: PAGE, resume: 'resume',
    area: { page: PAGE, hostBase: HOST_BASE, entries: tables.entries, source: { at: SOURCE, bytes: PAGE_BYTES }, hostTask: { descriptor: HOST_BASE + BigInt(START + 0x1000 + HOST_TASK), selector: HOST_TASK } },
  };
  if (isToLegacy) {
    startInLongMode(code, setup);
    code.mov(r32(RAX), mem(4, { displacement: PROBE }));
    emitSteps(code, plan, 'first', context);
    code.label('resume').hlt();
    emitSteps(page.mode(context.bits), plan, 'second', context);
    report(page, context.bits, setup.legacy.format !== 'unpaged');
  } else {
    emitSteps(page.mode(32), plan, 'first', context);
    page.hlt();
    emitSteps(code.mode(context.bits).label('resume'), plan, 'second', context);
    report(code, context.bits, true);
  }
  const hostTables = new Uint8Array(HOST_GDT_BYTES);
  const data = dataPage();
  const view = new DataView(data.buffer);
  hostTables.set(data.subarray(0, area.LEGACY_TASK));
  const task = HOST_BASE + BigInt(START + 0x2000);
  const hostView = new DataView(hostTables.buffer);
  hostView.setBigUint64(HOST_TASK, 0x67n | ((task & 0xff_ffffn) << 16n) | ((isToLegacy ? 0x89n : 0x8bn) << 40n) | (((task >> 24n) & 0xffn) << 56n), true);
  hostView.setBigUint64(HOST_TASK + 8, task >> 32n, true);
  const legacy = createAssembler(32, { origin: LEGACY_START });
  if (isToLegacy) data[area.GDT + area.LEGACY_TASK + 5]! |= 2; // from the last time
  else {
    startInLegacyMode(legacy, setup);
    view.setBigUint64(area.SAVED_RIP, HOST_BASE + BigInt(START), true);
    view.setBigUint64(area.SAVED_RSP, HOST_BASE + BigInt(HOST_STACK), true);
    const words = new DataView(tables.bytes.buffer);
    for (const [at, bytes] of [[tables.entries.host, 8], [tables.entries.legacy!, tables.entries.legacyBytes]] as const) for (const i of [0, 1]) words.setUint32(at - TABLES + i * bytes, (PAGE + i * PAGE_BYTES) | 3, true);
    words.setUint32(tables.startEntry - TABLES, 0, true); // only who starts in the image needs it
    // This code writes to tables, and copies, by physical addresses.
    if (setup.legacy.format === 'pae') words.setUint32(setup.legacy.cr3 + PAGE_BYTES + 8 - TABLES, START | 0x83, true);
    else for (let at = START; at < HOST_STACK; at += PAGE_BYTES) words.setUint32(tables.entries.legacy! - TABLES + ((at - PAGE) / PAGE_BYTES) * 4, at | 3, true);
    data.set(legacy.bytes(), LEGACY_START - PAGE - PAGE_BYTES);
  }
  mapProbe(new DataView(tables.bytes.buffer), setup);
  const pageBytes = page.bytes();
  const result = runFlat({
    mode: 'protected', at: isToLegacy ? START : LEGACY_START, code: isToLegacy ? code.bytes() : legacy.bytes(), budget: 20_000,
    memory: [
      ...(isToLegacy ? [] : [{ at: START, bytes: code.bytes() }, { at: PAGE, bytes: pageBytes }]), { at: SOURCE, bytes: pageBytes }, { at: PAGE + PAGE_BYTES, bytes: data }, { at: TABLES, bytes: tables.bytes },
      { at: START + 0x1000, bytes: hostTables }, { at: START + 0x2000, bytes: new Uint8Array(0x68) }, { at: HOST_STACK, bytes: new Uint8Array(0x400) }, { at: HOST_FRAME, bytes: new Uint8Array(Uint32Array.of(HOST_WORD).buffer) }, { at: LEGACY_FRAME, bytes: new Uint8Array(Uint32Array.of(LEGACY_WORD).buffer) },
    ],
  });
  if (result.stop !== 'halt') return null;
  const words = new Uint32Array(result.read(REPORT, 36).slice().buffer);
  return words[0] === GOOD ? Array.from(words.subarray(1)) : null;
}

/** The same linear address, global on both sides, and not the same memory. */
function mapProbe(tables: DataView, { legacy, host }: SwitchSetup): void {
  tables.setUint32(host.cr3 + 7 * PAGE_BYTES - TABLES, HOST_FRAME | GLOBAL | 3, true); // the first page of the programs
  if (legacy.format === '32-bit') tables.setUint32(legacy.cr3 + (PROBE >>> 22) * 4 - TABLES, LEGACY_FRAME | GLOBAL | 0x83, true);
  if (legacy.format === 'pae') {
    tables.setUint32(legacy.cr3 + 8 - TABLES, (legacy.cr3 + PAGE_BYTES) | 1, true); // the second GiB is the first
    tables.setUint32(legacy.cr3 + 2 * PAGE_BYTES - TABLES, LEGACY_FRAME | GLOBAL | 3, true);
  }
}

function dataPage(): Uint8Array {
  const nowhere = { base: HOST_BASE, limit: 0 };
  return area.buildDataPage(PAGE, { hostGdt: { base: HOST_BASE + BigInt(START + 0x1000), limit: HOST_GDT_BYTES - 1 }, hostGates: nowhere }, { nmi: { long: 0, legacy: 0, real: 0 }, stubs: [] });
}

/** A fault is the end: there is a table of gates without any. */
function noGates(a: Assembler): void {
  a.lidt(mem(0, { label: 'no-gates' })).jmp('gates-gone').align(8).label('no-gates').data(...new Uint8Array(16)).label('gates-gone');
}

function startInLongMode(a: Assembler, { host }: SwitchSetup): void {
  noGates(a);
  a.lgdt(mem(0, { label: 'gdt' })).mov(r32(RAX), host.cr4 & 0xfff).mov(control(4), r32(RAX)).mov(r32(RAX), host.cr3).mov(control(3), r32(RAX));
  a.mov(r32(RCX), MSR_EFER).xor(r32(RDX), r32(RDX)).mov(r32(RAX), host.efer).wrmsr().mov(r32(RAX), host.cr0).mov(control(0), r32(RAX)).size(4).jmpf(far(area.CODE_64, 'long'));
  a.align(8).label('gdt').data(HOST_GDT_BYTES - 1, 0).dataAddress('gdt-base', 4).label('gdt-base').mode(64);
  a.data(...dataPage().subarray(0, area.LEGACY_TASK)).label('long').mov(r64(RBX), HOST_BASE).lea(r64(RAX), mem(0, { label: 'high' })).add(r64(RAX), r64(RBX)).jmp(r64(RAX));
  a.label('high').mov(r64(RSP), HOST_BASE + BigInt(HOST_STACK + 0x400)).mov(r32(RAX), host.cr4).mov(control(4), r64(RAX));
  a.lgdt(mem(0, { label: 'high-gdt' })).jmp('go').align(8).label('high-gdt').data(HOST_GDT_BYTES - 1, 0);
  const base = HOST_BASE + BigInt(START + 0x1000);
  for (let i = 0n; i < 8n; i++) a.data(Number((base >> (i * 8n)) & 0xffn));
  a.label('go').mov(r32(RAX), HOST_TASK).ltr(r16(RAX));
}

function startInLegacyMode(a: Assembler, { legacy, legacyTask }: SwitchSetup): void {
  noGates(a);
  const data = (offset: number) => mem(0, { displacement: PAGE + PAGE_BYTES + offset });
  a.lgdt(data(area.PAGE_GDT_POINTER)).size(4).jmpf(far(area.CODE_32, 'flat')).label('flat').mov(r32(RAX), area.DATA);
  for (const one of [DS, ES, SS]) a.mov(segment(one), r16(RAX));
  a.mov(r32(RSP), PAGE + PAGE_BYTES + area.STACK_TOP).mov(r32(RAX), legacy.cr4).mov(control(4), r32(RAX)).mov(r32(RAX), legacy.cr3).mov(control(3), r32(RAX)).mov(r32(RAX), legacy.cr0).mov(control(0), r32(RAX));
  if (legacyTask) a.mov(r32(RAX), area.LEGACY_TASK).ltr(r16(RAX));
  if (legacy.format !== 'unpaged') a.mov(r32(RAX), mem(4, { displacement: PROBE }));
  // As a gate and its stub leave it.
  a.size(4).pushf().push(area.CODE_32).mov(r32(RAX), addressOf('flat')).push(r32(RAX)).push(0).push(0x20).mov(r32(RAX), PAGE).jmp(r32(RAX));
}

/** The mode of the processor, in words that are the same from 32-bit and from 64-bit code. */
function report(a: Assembler, bits: 64 | 32, probes: boolean): void {
  const at = (word: number, bytes = 4) => mem(bytes, { displacement: REPORT + word * 4 });
  a.mode(bits);
  const wide = bits === 64 ? r64(RAX) : r32(RAX);
  for (const [i, number] of [0, 3, 4].entries()) a.mov(wide, control(number)).mov(at(1 + i), r32(RAX));
  a.mov(r32(RCX), MSR_EFER).rdmsr().mov(at(4), r32(RAX));
  a.sgdt(mem(0, { displacement: REPORT + 64 })).movzx(r32(RAX), mem(2, { displacement: REPORT + 64 })).mov(at(5), r32(RAX));
  a.sidt(mem(0, { displacement: REPORT + 64 })).movzx(r32(RAX), mem(2, { displacement: REPORT + 64 })).mov(at(6), r32(RAX));
  a.str(r32(RAX)).mov(at(7), r32(RAX));
  if (probes) a.mov(r32(RAX), mem(4, { displacement: PROBE })).mov(at(8), r32(RAX));
  a.mov(at(0), GOOD).hlt();
}
