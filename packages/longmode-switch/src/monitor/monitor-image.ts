/** Monitor and guest as one image that multiboot loads. */
import {
  type Assembler, CONDITION_E, CR0_ET, CR0_NE, CR0_PE, CR0_PG, CR0_TS, CR0_WP, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PAE, CR4_PGE, createAssembler, EFER_LME, mem, R15, r32, r64, r8, RAX, RBX, RCX, RDI, RSI,
} from '@vm/x86';
import { type EmitContext, emitSteps } from '../emit-operation.ts';
import { planSwitch } from '../planner.ts';
import { SwitchRefusal } from '../refusal.ts';
import * as area from '../switch-area.ts';
import { buildDataPage, type SwitchArea } from '../switch-area.ts';
import { buildSwitchPage, type Excursion, type SwitchPage } from '../switch-page.ts';
import type { Exchanged, SwitchSetup } from '../switch-setup.ts';
import { emitExcursions, frame } from './excursions.ts';
import { emitConsole, emitConsoleStart, emitData, emitInterrupts, emitNmiTicks, emitStart, emitThreads, emitTimerStart, HOST_GATES, HOST_GDT_BYTES, HOST_TASK, type HostControl, out, USER_CODE_64, type Variable, variable, VARIABLES } from './host-code.ts';
import * as map from './memory-map.ts';
import { buildPrograms, PROGRAM_RESULTS, programResults, RESULT_BYTES } from './programs.ts';
import type { LegacyGuest, MonitorOptions } from './monitor-options.ts';
import { buildTables, type MonitorTables } from './page-tables.ts';
import { emitRealStart } from './real-start.ts';
import { emitVirtual8086 } from './virtual-8086.ts';

export interface MonitorImage {
  /** What multiboot loads, up to the end of the guest. */
  readonly bytes: Uint8Array;
  readonly loadAddress: number;
  readonly setup: SwitchSetup;
  readonly excursion: Excursion;
  readonly page: SwitchPage;
  /** Physical addresses of what the monitor counts. */
  readonly variables: Readonly<Record<Variable, number>>;
  /** Physical address of the subroutine that is one excursion, and of its last instruction. */
  readonly excursionCode: { readonly first: number; readonly last: number };
  /** Physical address and bytes of the 64-bit side's code. */
  readonly host: { readonly at: number; readonly bytes: number };
  readonly parts: readonly { readonly at: number; readonly bits: 16 | 32 | 64; readonly name: string; readonly code: Uint8Array }[];
}

const PAGE = 0x1000;
/** Parts of the image, behind the code of the 64-bit side. */
const CODE_MOST = 0xc000;
const TABLES_AT: number = map.IMAGE + CODE_MOST;
const TABLES_MOST = 0x10000;
const PROGRAMS_AT: number = TABLES_AT + TABLES_MOST;
const SWITCH_AT: number = PROGRAMS_AT + map.PROGRAM_PAGES * PAGE;
const END: number = SWITCH_AT + 2 * PAGE;
const HOST_CR4: number = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT;
const HOST_CR0: number = (CR0_PG | CR0_PE | CR0_ET | CR0_NE | CR0_WP) >>> 0;
const DEFAULT_ROUNDS = 200_000;
const DEFAULT_WATCHDOG = 2000;
const DEFAULT_HZ = 1000;
const RFLAGS_IF = 0x202;
const MOST_KEY = 0x7f;
const EXIT_PORT = 0xf4;
/** Where Bochs is told to end. */
const BOCHS_END_PORT = 0x8900;
const TEXTS = {
  hello: 'monitor: in long mode\r\n', line: '\r\n', exit: 'monitor: the guest has ended\r\n', watchdog: 'monitor: the guest asks for nothing, and has been stopped\r\n', service: 'monitor: the guest asks for what there is not, and has been stopped\r\n',
  fault: 'monitor: a fault of the guest: ', 'host-fault': 'monitor: a fault of its own: ', right: 'right\r\n', wrong: 'WRONG\r\n', first: 'monitor: first program: ', second: 'monitor: second program: ', end: 'monitor: end\r\n', statistics: 'monitor: ',
  halted: 'monitor: the guest waits for what does not come\r\n',
} as const;

/** Throws SwitchRefusal when the guest does not fit or the options contradict each other. */
export function buildMonitor(options: MonitorOptions): MonitorImage {
  const { guest } = options;
  const most = { flat: map.FLAT_MEMORY_END - map.FLAT_MEMORY - 0x1_0000, real: map.REAL_MOST, disk: map.DISK_MOST }[guest.kind];
  if (guest.bytes.length === 0 || guest.bytes.length > most) throw new SwitchRefusal('E_IMAGE', `the guest has ${guest.bytes.length} bytes, and 1 to ${most} can be loaded`);
  if (guest.kind === 'disk' && options.paging === 'unpaged') throw new SwitchRefusal('E_IMAGE', 'a guest on a disk needs page tables: its memory is elsewhere than it thinks');
  if (guest.kind === 'real' && (options.paging ?? 'unpaged') !== 'unpaged') throw new SwitchRefusal('E_IMAGE', 'a guest in real mode has no page tables');
  if (guest.kind === 'real' && (options.excursion ?? 'always') !== 'always') throw new SwitchRefusal('E_IMAGE', 'a guest in real mode has no ring 3 and no requests that wait: excursions cannot be avoided or batched');
  const tables = buildTables(TABLES_AT, PROGRAMS_AT, guest.kind === 'real' ? 'unpaged' : options.paging ?? '32-bit');
  const setup = setupOf(tables, options.exchange ?? [], guest.kind);
  const order = options.order ?? 'claimed';
  const excursion = { toLegacy: planSwitch(setup, 'to-legacy', { order }), toLong: planSwitch(setup, 'to-long', { order }) };
  const at = { page: map.SWITCH_PAGE, hostBase: map.HOST_BASE, entries: tables.entries, source: { at: SWITCH_AT, bytes: PAGE } };
  // The page knows nothing of where the host's descriptors are but through pointers; its code is the same wherever they lie.
  const page = buildSwitchPage({ ...at, hostTask: { descriptor: 0n, selector: HOST_TASK } }, [excursion], guest.kind === 'real' ? 'real' : 'protected');
  const host = { ...setup.host };
  const assemble = (descriptor: bigint): HostCode => writeHost(options, { ...at, hostTask: { descriptor, selector: HOST_TASK } }, excursion, page, host, tables);
  const first = assemble(map.HOST_BASE);
  const code = assemble(map.HOST_BASE + BigInt(first.addressOf('host-gdt') + HOST_TASK));
  if (code.bytes.length > CODE_MOST) throw new SwitchRefusal('E_OVERLAP', `the monitor's code has ${code.bytes.length} bytes, and there is room for ${CODE_MOST}`);
  const payload = guest.kind === 'disk' ? map.DISK : map.FLAT_MEMORY;
  const bytes = new Uint8Array(payload + guest.bytes.length - map.IMAGE);
  const put = (address: number, part: Uint8Array): void => bytes.set(part, address - map.IMAGE);
  put(map.IMAGE, fillHost(code, tables));
  put(TABLES_AT, tables.bytes);
  put(PROGRAMS_AT, buildPrograms(options.rounds ?? DEFAULT_ROUNDS));
  put(SWITCH_AT, page.code);
  const high = (name: string): bigint => map.HOST_BASE + BigInt(code.addressOf(name));
  put(SWITCH_AT + PAGE, buildDataPage(map.SWITCH_PAGE, { hostGdt: { base: high('host-gdt'), limit: HOST_GDT_BYTES - 1 }, hostGates: { base: high('host-gates'), limit: HOST_GATES * 16 - 1 } }, page));
  put(payload, guest.bytes);
  const variables = Object.fromEntries(VARIABLES.map((name) => [name, code.addressOf(name)])) as Record<Variable, number>;
  return {
    bytes, loadAddress: map.IMAGE, setup, excursionCode: { first: code.addressOf('switch'), last: code.addressOf('switch-last') }, excursion, page, variables, host: { at: map.IMAGE, bytes: code.bytes.length },
    parts: [
      ...code.parts.map((part, i) => ({ ...part, code: code.bytes.subarray(part.at - map.IMAGE, (code.parts[i + 1]?.at ?? map.IMAGE + code.codeBytes) - map.IMAGE) })),
      ...page.parts.map((part, i) => ({ ...part, code: page.code.subarray(part.at - map.SWITCH_PAGE, (page.parts[i + 1]?.at ?? map.SWITCH_PAGE + page.code.length) - map.SWITCH_PAGE) })),
    ],
  };
}

function setupOf(tables: MonitorTables, exchange: readonly Exchanged[], kind: LegacyGuest['kind']): SwitchSetup {
  const usesFloats = exchange.includes('floating-point');
  return {
    exchange,
    page: map.SWITCH_PAGE, mappedAt: { host: null, legacy: null }, establish: true, legacyTask: kind !== 'real',
    host: { cr0: HOST_CR0, cr3: tables.hostRoot, cr4: HOST_CR4, efer: EFER_LME },
    legacy: { format: tables.legacyFormat, cr0: ((tables.legacyFormat === 'unpaged' ? 0 : CR0_PG) | CR0_PE | CR0_ET | CR0_NE | (usesFloats ? 0 : CR0_TS)) >>> 0, cr3: tables.legacyRoot, cr4: tables.legacyCr4 | (usesFloats ? CR4_OSFXSR | CR4_OSXMMEXCPT : 0), efer: 0 },
    memory: [
      { name: 'the image', start: map.IMAGE, end: END }, { name: "the guest's memory in protected mode, or its disk", start: map.FLAT_MEMORY, end: map.FLAT_MEMORY_END },
      { name: "the guest's memory in virtual-8086 mode", start: map.LOW_MEMORY, end: map.LOW_MEMORY + map.LOW_MEMORY_BYTES },
      ...(kind === 'real' ? [{ name: "the guest's memory in real mode", start: 0, end: map.SWITCH_PAGE }] : []),
    ],
  };
}

interface HostCode {
  readonly bytes: Uint8Array;
  readonly codeBytes: number;
  readonly handlers: readonly number[];
  readonly parts: readonly { readonly at: number; readonly bits: 16 | 32 | 64; readonly name: string }[];
  addressOf(label: string): number;
}

/** The 64-bit side, from its start to its data. */
function writeHost(options: MonitorOptions, at: SwitchArea, excursion: Excursion, page: SwitchPage, host: HostControl, tables: MonitorTables): HostCode {
  const a = createAssembler(32, { origin: map.IMAGE });
  const parts: { at: number; bits: 16 | 32 | 64; name: string }[] = [];
  const part = (bits: 32 | 64, name: string): void => void parts.push({ at: map.IMAGE + a.offset(), bits, name });
  emitStart(a, map.IMAGE, tables.startEntry, host);
  part(64, 'the monitor');
  emitMain(a, options);
  const handlers = emitInterrupts(a);
  emitConsole(a);
  emitExcursions(a, options.guest.kind === 'real' ? 'always' : options.excursion ?? 'avoid', options.watchdogTicks ?? DEFAULT_WATCHDOG, options.guest.kind !== 'real');
  if (options.guest.kind === 'disk') emitVirtual8086(a, options.guest.bytes.length);
  else a.label('virtual').jmp('fault');
  const prepared = planSwitch({ ...excursion.toLegacy.setup, prepared: true }, 'to-legacy', { order: options.order ?? 'claimed' });
  part(64, 'the first excursion');
  emitExcursion(a, 'switch-first', excursion, at, page, 0);
  part(64, 'an excursion');
  emitExcursion(a, 'switch', { ...excursion, toLegacy: prepared }, at, page, 50);
  const codeBytes = a.offset();
  for (const [name, text] of Object.entries(TEXTS)) a.label(`text-${name}`).data(...bytesOf(text), 0);
  a.label('keys').data(...bytesOf(options.guest.kind === 'disk' ? options.guest.keys ?? '' : ''), 0);
  emitData(a);
  const bytes = a.bytes();
  return { bytes, codeBytes, handlers, parts, addressOf: (label) => map.IMAGE + (a.offsetOf(label) ?? 0) };
}

function bytesOf(text: string): readonly number[] {
  return Array.from(text, (letter) => {
    const code = letter.charCodeAt(0);
    if (code === 0 || code > MOST_KEY) throw new SwitchRefusal('E_IMAGE', `there is no key for ${JSON.stringify(letter)}`);
    return code;
  });
}

/** Subroutine of the 64-bit side: there, and behind it the way back. */
function emitExcursion(a: Assembler, name: string, { toLegacy, toLong }: Excursion, at: SwitchArea, page: SwitchPage, unique: number): void {
  const context: EmitContext = { setup: toLegacy.setup, area: at, bits: 64, unique, entry: page.entries[0]!, resume: `${name}-resume` };
  a.label(name);
  emitSteps(a, toLegacy, 'first', context);
  a.label(context.resume);
  emitSteps(a, toLong, 'second', context);
  a.label(`${name}-last`).ret();
}

function emitMain(a: Assembler, options: MonitorOptions): void {
  emitConsoleStart(a);
  a.lea(r64(RSI), mem(0, { label: 'text-hello' })).call('puts');
  // The page of data; the switch itself copies the page of code.
  a.mov(r64(RSI), map.HOST_BASE + BigInt(SWITCH_AT + PAGE)).mov(r64(RDI), r64(R15)).mov(r32(RCX), PAGE / 8).cld().rep().size(8).movs();
  emitThreads(a);
  emitTimerStart(a, options.hz ?? DEFAULT_HZ);
  if (options.nmiTicks !== false) emitNmiTicks(a);
  if (options.guest.kind === 'real') emitRealStart(a, options.guest.bytes.length);
  else if (options.guest.kind === 'flat') {
    const first = { cs: area.CODE_32, eip: map.FLAT_MEMORY, eflags: RFLAGS_IF, esp: map.FLAT_MEMORY_END - 0x100, ss: area.DATA, ds: area.DATA, es: area.DATA, fs: area.DATA, gs: area.DATA };
    for (const [name, value] of Object.entries(first)) a.mov(frame(area.FRAME_INDEX[name as keyof typeof first]), value);
  } else a.call('virtual-start');
  if (options.excursion === 'batch') a.mov(mem(4, { base: R15, displacement: area.BATCH_ALLOWED }), 1);
  a.jmp('guest-loop');
  // RSI: why. The host's programs come to their ends, too.
  a.label('stopped').call('puts');
  programResults(options.rounds ?? DEFAULT_ROUNDS).forEach((wanted, i) => {
    const at = map.HOST_BASE + BigInt(PROGRAMS_AT + PROGRAM_RESULTS - map.PROGRAMS + i * RESULT_BYTES);
    a.mov(r64(RBX), at).sti().label(`wait-${i}`).pause().cmp(mem(8, { base: RBX, displacement: 8 }), 0).jcc(CONDITION_E, `wait-${i}`).cli();
    a.lea(r64(RSI), mem(0, { label: i === 0 ? 'text-first' : 'text-second' })).call('puts').mov(r64(RAX), wanted).cmp(r64(RAX), mem(8, { base: RBX })).lea(r64(RSI), mem(0, { label: 'text-right' })).jcc(CONDITION_E, `right-${i}`);
    a.inc(variable('faulted')).lea(r64(RSI), mem(0, { label: 'text-wrong' })).label(`right-${i}`).call('puts');
  });
  if (options.statistics === true) {
    a.lea(r64(RSI), mem(0, { label: 'text-statistics' })).call('puts');
    for (const name of ['ticks', 'reflected', 'excursions', 'avoided', 'batched', 'nmis'] as const) a.mov(r64(RBX), variable(name)).call('put-hex');
    a.lea(r64(RSI), mem(0, { label: 'text-line' })).call('puts');
  }
  a.lea(r64(RSI), mem(0, { label: 'text-end' })).call('puts').label('end').call('put-all').mov(r64(RBX), variable('exit-code')).or(r64(RBX), variable('faulted'));
  a.mov(r32(RAX), r32(RBX)).out(EXIT_PORT, r8(RAX));
  for (const letter of 'Shutdown') out(a, BOCHS_END_PORT, letter.charCodeAt(0));
  a.cli().label('for-ever').hlt().jmp('for-ever');
}

/** The host's descriptors, gates and task state. */
function fillHost(code: HostCode, _tables: MonitorTables): Uint8Array {
  const bytes = code.bytes;
  const view = new DataView(bytes.buffer);
  const at = (label: string): number => code.addressOf(label) - map.IMAGE;
  const high = (address: number): bigint => map.HOST_BASE + BigInt(address);
  // Those of the page, as far as they have the same selectors, and a code segment for the programs.
  bytes.set(buildDataPage(map.SWITCH_PAGE, { hostGdt: { base: 0n, limit: 0 }, hostGates: { base: 0n, limit: 0 } }, { nmi: { long: 0, legacy: 0, real: 0 }, stubs: [] }).subarray(0, area.LEGACY_TASK), at('host-gdt'));
  view.setBigUint64(at('host-gdt') + (USER_CODE_64 & ~7), 0x00af_fb00_0000_ffffn, true);
  const task = high(code.addressOf('host-task'));
  view.setBigUint64(at('host-gdt') + HOST_TASK, 0x67n | ((task & 0xff_ffffn) << 16n) | (0x89n << 40n) | (((task >> 24n) & 0xffn) << 56n), true);
  view.setBigUint64(at('host-gdt') + HOST_TASK + 8, task >> 32n, true);
  view.setUint16(at('host-gdt-pointer'), HOST_GDT_BYTES - 1, true);
  view.setBigUint64(at('host-gdt-pointer') + 2, high(code.addressOf('host-gdt')), true);
  view.setUint16(at('host-gates-pointer'), HOST_GATES * 16 - 1, true);
  view.setBigUint64(at('host-gates-pointer') + 2, high(code.addressOf('host-gates')), true);
  code.handlers.forEach((offset, vector) => {
    const address = high(map.IMAGE + offset);
    const ring = vector === area.SERVICE_VECTOR ? 3n : 0n;
    view.setBigUint64(at('host-gates') + vector * 16, (address & 0xffffn) | (BigInt(area.CODE_64) << 16n) | ((0x8en | (ring << 5n)) << 40n) | (((address >> 16n) & 0xffffn) << 48n), true);
    view.setBigUint64(at('host-gates') + vector * 16 + 8, address >> 32n, true);
  });
  // The guest in compatibility mode is left for a stack that the monitor's own thread does not use.
  const stacks = ['stack-compat-top', 'stack-1-top', 'stack-2-top'].map((label) => high(code.addressOf(label)));
  stacks.forEach((stack, i) => view.setBigUint64(at('ring-0-stacks') + i * 8, stack, true));
  view.setBigUint64(at('task-rsp0'), stacks[0]!, true);
  view.setUint16(at('host-task') + 0x66, 0x68, true);
  view.setBigUint64(at('data-page'), high(map.SWITCH_PAGE + PAGE), true);
  return bytes;
}
