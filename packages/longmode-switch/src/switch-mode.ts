/** The same plans from outside: a virtual processor that stands still is moved from one mode to the other. */
import { CR0_PG, DESCRIPTOR_DB, DESCRIPTOR_G, DESCRIPTOR_L, DESCRIPTOR_PRESENT, DESCRIPTOR_S, EFER_LMA, RSP } from '@vm/x86';
import type { Plan } from './planner.ts';
import type { World } from './processor-model.ts';
import { SwitchRefusal } from './refusal.ts';
import { CODE_32, CODE_64, DATA } from './switch-area.ts';
import type { SwitchSetup } from './switch-setup.ts';

/** What a virtual processor offers: its state by the names of a saved machine, and taking it back. */
export interface StatefulProcessor {
  save(): unknown;
  load(state: unknown, fresh: boolean): void;
}

export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}

/** Where a processor goes on in a mode. */
export interface ModeEntry {
  readonly rip: bigint;
  /** 16 registers of 8 bytes, as instructions encode them. */
  readonly general: Uint8Array;
  readonly rflags: number;
  readonly gdt: DescriptorTable;
  readonly idt: DescriptorTable;
  readonly task: { readonly selector: number; readonly base: bigint; readonly limit: number };
  /** With PAE tables: the four page directory pointers, which the processor reads when CR3 is written. */
  readonly directoryPointers?: Uint8Array;
}

type Fields = Readonly<Record<string, unknown>>;
interface Segment {
  readonly selector: number;
  readonly attributes: number;
  readonly limit: number;
  readonly base: bigint;
}

const FLAT = 0xffff_ffff;
const ALWAYS_ONE = 2;
const CODE = 0xb00;
const WRITABLE = 0x300;
const TASK_BUSY = 0xb00;
const PLAIN = DESCRIPTOR_PRESENT | DESCRIPTOR_S | DESCRIPTOR_G;
const GENERAL_BYTES = 128;
const POINTERS_BYTES = 32;

/** An entry with all registers 0 but for the stack's. */
export function modeEntry(rip: number, rsp: number, tables: Pick<ModeEntry, 'gdt' | 'idt' | 'task' | 'directoryPointers'>): ModeEntry {
  const general = new Uint8Array(GENERAL_BYTES);
  new DataView(general.buffer).setBigUint64(RSP * 8, BigInt(rsp), true);
  return { rip: BigInt(rip), general, rflags: ALWAYS_ONE, ...tables };
}

/**
 * Puts the processor where the plan ends, at `entry`, and tells where it was, for the way back. Throws SwitchRefusal, with nothing
 * changed, when it is not in the mode that the plan begins in.
 */
export function switchMode(vcpu: StatefulProcessor, plan: Plan, entry: ModeEntry): ModeEntry {
  const { from, to, setup } = plan;
  const state = vcpu.save() as Fields;
  const is = (name: string): number => Number(BigInt.asUintN(52, state[name] as bigint));
  for (const [name, wanted] of [['cr0', from.cr0], ['cr4', from.cr4], ['efer', from.efer], ['cr3', rootOf(setup, from.root)]] as const) {
    if (is(name) !== wanted) throw new SwitchRefusal('E_FEATURE', `the processor is not in the mode that the plan begins in: its ${name.toUpperCase()} is 0x${is(name).toString(16)}, and the plan's 0x${wanted.toString(16)}`);
  }
  if (setup.legacy.format === 'pae' && to.root === 'legacy' && entry.directoryPointers?.length !== POINTERS_BYTES) throw new SwitchRefusal('E_FEATURE', 'with PAE tables, the four page directory pointers have to be given');
  const long = (to.efer & EFER_LMA) !== 0;
  const data: Segment = { selector: DATA, attributes: PLAIN | DESCRIPTOR_DB | WRITABLE, limit: FLAT, base: 0n };
  const code: Segment = { ...data, selector: long ? CODE_64 : CODE_32, attributes: PLAIN | (long ? DESCRIPTOR_L : DESCRIPTOR_DB) | CODE };
  const task: Segment = { ...entry.task, attributes: DESCRIPTOR_PRESENT | TASK_BUSY };
  vcpu.load({
    ...state, rip: entry.rip, general: entry.general.slice(), rflags: entry.rflags, cpl: 0, cs: code, ds: data, es: data, ss: data, tr: task, ldtr: { selector: 0, attributes: 0, limit: 0, base: 0n }, plainLimits: 0,
    cr0: BigInt(to.cr0), cr4: BigInt(to.cr4), efer: BigInt(to.efer), cr3: BigInt(rootOf(setup, to.root)), directoryPointers: entry.directoryPointers?.slice() ?? new Uint8Array(POINTERS_BYTES),
    gdtBase: entry.gdt.base, gdtLimit: BigInt(entry.gdt.limit), idtBase: entry.idt.base, idtLimit: BigInt(entry.idt.limit),
    // None of what one mode has translated serves the other, global or not.
    translations: null, repeating: false,
  }, false);
  return entryOf(state, (from.cr0 & CR0_PG) !== 0 && from.root === 'legacy' && setup.legacy.format === 'pae');
}

function rootOf({ host, legacy }: SwitchSetup, world: World): number {
  return world === 'host' ? host.cr3 : legacy.cr3;
}

function entryOf(state: Fields, hasPointers: boolean): ModeEntry {
  const table = (name: string): DescriptorTable => ({ base: state[`${name}Base`] as bigint, limit: Number(state[`${name}Limit`]) });
  const { selector, base, limit } = state['tr'] as Segment;
  return {
    rip: state['rip'] as bigint, general: (state['general'] as Uint8Array).slice(), rflags: state['rflags'] as number, gdt: table('gdt'), idt: table('idt'), task: { selector, base, limit },
    ...(hasPointers ? { directoryPointers: (state['directoryPointers'] as Uint8Array).slice() } : {}),
  };
}
