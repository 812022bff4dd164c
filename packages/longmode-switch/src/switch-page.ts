/**
 * The code of the first page: the ways there and back for each format of the legacy side, handlers that note an NMI in any mode,
 * the way into the legacy side's own code, and a stub for each of its vectors.
 */
import {
  addressOf, type Assembler, CONDITION_AE, CONDITION_B, CONDITION_E, CONDITION_NE, createAssembler, DS, ES, FLAG_VM, FS, GS, mem, r16, r32, r8, RAX, RBX, RCX, RDI, RSI, RSP, segment, SELECTOR_RPL_MASK, SS, VECTOR_NMI, VECTORS_WITH_ERROR_CODE,
} from '@vm/x86';
import { type EmitContext, emitSteps } from './emit-operation.ts';
import type { Plan } from './planner.ts';
import { emitProtectedNmi, emitRealEntry, emitRealNmi, emitRealVectors } from './real-mode.ts';
import { SwitchRefusal } from './refusal.ts';
import * as area from './switch-area.ts';
import type { PageEntries, SwitchArea } from './switch-area.ts';

export interface Excursion {
  readonly toLegacy: Plan;
  readonly toLong: Plan;
}

export interface SwitchPage extends PageEntries {
  readonly code: Uint8Array;
  /** Where each excursion enters the page. */
  readonly entries: readonly number[];
  /** Where code of other bits begins, for a listing. */
  readonly parts: readonly { readonly at: number; readonly bits: 16 | 32 | 64; readonly name: string }[];
}

const PAGE_BYTES = 0x1000;
const VECTORS = 256;
/** Nothing of the legacy side has run: an NMI came on the way. */
export const VECTOR_HELD_BACK = 0x100;
const { eflags, cs, esp, vector, ds, es, fs, gs } = area.FRAME_INDEX;

/** With `real`, the guest runs in real mode, which the plans' unpaged protected mode leads to. */
export function buildSwitchPage(at: SwitchArea, excursions: readonly Excursion[], mode: 'protected' | 'real' = 'protected'): SwitchPage {
  const { page } = at;
  const a = createAssembler(64, { origin: page });
  const here = (): number => page + a.offset();
  const data = (offset: number) => mem(4, { displacement: page + PAGE_BYTES + offset });
  const frame = (index: number) => data(area.FRAME + index * 4);
  const parts: { at: number; bits: 16 | 32 | 64; name: string }[] = [];
  const part = (bits: 16 | 32 | 64, name: string): void => {
    a.mode(bits);
    parts.push({ at: here(), bits, name });
  };
  const entries: number[] = [];
  excursions.forEach(({ toLegacy, toLong }, i) => {
    const context: EmitContext = { setup: toLegacy.setup, area: at, bits: 64, unique: 100 * i, entry: 0, resume: '' };
    part(64, `to legacy, ${toLegacy.setup.legacy.format}`);
    entries.push(here());
    emitSteps(a, toLegacy, 'second', context);
    a.mov(data(area.WAY_OUT), addressOf(`out-${i}`)).mov(data(area.WAY_BACK), addressOf(`back-${i}`)).jmp('enter');
    part(32, `to long, ${toLegacy.setup.legacy.format}`);
    a.label(`out-${i}`);
    if (mode === 'real') {
      // The way out of real mode has saved them.
      a.label(`back-${i}`);
      emitSteps(a, { ...toLong, steps: toLong.steps.filter(({ name }) => name !== 'save') }, 'first', context);
      return;
    }
    let isSaved = false;
    emitSteps(a, toLong, 'first', context, (step) => {
      if (isSaved) a.label(`back-${i}`);
      isSaved = step === 'save';
    });
  });
  part(64, 'an NMI on the way, in long mode');
  const long = here();
  a.inc(data(area.NMIS_HELD)).size(8).iret();
  part(32, 'an NMI on the way, in protected mode');
  const legacy = here();
  if (mode === 'real') emitProtectedNmi(a, page);
  else a.inc(mem(4, { displacement: page + PAGE_BYTES + area.NMIS_HELD, segment: SS })).iret();
  part(16, 'an NMI on the way, in real mode');
  const real = here();
  emitRealNmi(a, page);
  part(32, 'into the legacy side');
  emitHeldBack(a, data, frame);
  if (mode === 'real') {
    const { cr0 } = excursions[0]!.toLegacy.setup.legacy;
    part(16, 'into real mode');
    emitRealEntry(a, page, cr0);
    part(16, 'vectors of real mode, and the way out');
    const realStubs = emitRealVectors(a, page, cr0);
    return { ...finish(a), entries, parts, nmi: { long, legacy, real }, stubs: [], realStubs };
  }
  emitEntry(a, at.page, frame);
  part(32, 'vectors of the legacy side');
  const stubs = Array.from({ length: VECTORS }, (_, number) => {
    const stub = here();
    if (number === VECTOR_NMI) emitNmiStub(a, page, legacy);
    if (number === area.SERVICE_VECTOR) emitBatching(a, page);
    if (number >= 32 || ((VECTORS_WITH_ERROR_CODE >> number) & 1) === 0) a.push(0);
    a.push((number << 24) >> 24).jmp('common');
    return stub;
  });
  a.label('common').and(mem(4, { base: RSP }), 0xff);
  a.jmp(mem(4, { displacement: page + PAGE_BYTES + area.WAY_OUT, segment: SS }));
  return { ...finish(a), entries, parts, nmi: { long, legacy, real }, stubs };
}

function finish(a: Assembler): { readonly code: Uint8Array } {
  const code = a.bytes();
  if (code.length > PAGE_BYTES) throw new SwitchRefusal('E_OVERLAP', `the code of the transition has ${code.length} bytes and has to fit a page`);
  return { code };
}

/** Straight back when an NMI waits. */
function emitHeldBack(a: Assembler, data: (offset: number) => ReturnType<typeof mem>, frame: (index: number) => ReturnType<typeof mem>): void {
  a.label('enter').cmp(data(area.NMIS_HELD), 0).jcc(CONDITION_E, 'go').mov(frame(vector), VECTOR_HELD_BACK).jmp(data(area.WAY_BACK));
}

/** From the frame to the code of the legacy side. */
function emitEntry(a: Assembler, page: number, frame: (index: number) => ReturnType<typeof mem>): void {
  const top = page + PAGE_BYTES + area.STACK_TOP;
  a.label('go').cld().mov(r32(RSI), page + PAGE_BYTES + area.FRAME).mov(r32(RCX), area.FRAME_WORDS).mov(r32(RDI), top - area.FRAME_WORDS * 4);
  a.test(frame(eflags), FLAG_VM).jcc(CONDITION_NE, 'copy').test(frame(cs), SELECTOR_RPL_MASK).jcc(CONDITION_NE, 'copy');
  // Ring 0 is returned to on its own stack.
  a.mov(r32(RCX), esp).mov(r32(RDI), frame(esp)).sub(r32(RDI), esp * 4);
  a.label('copy').mov(r32(RSP), r32(RDI)).rep().size(4).movs().test(frame(eflags), FLAG_VM).jcc(CONDITION_NE, 'return');
  for (const [one, index] of [[GS, gs], [FS, fs], [ES, es], [DS, ds]] as const) a.mov(r32(RAX), frame(index)).mov(segment(one), r16(RAX));
  a.label('return').popa().add(r32(RSP), 8).iret();
}

/** An NMI between the page and the code of the legacy side is noted as on the way. */
function emitNmiStub(a: Assembler, page: number, noted: number): void {
  a.test(mem(1, { base: RSP, displacement: 10 }), FLAG_VM >>> 16).jcc(CONDITION_NE, 'nmi').cmp(mem(2, { base: RSP, displacement: 4 }), area.CODE_32).jcc(CONDITION_NE, 'nmi');
  a.cmp(mem(4, { base: RSP }), page).jcc(CONDITION_B, 'nmi').cmp(mem(4, { base: RSP }), page + PAGE_BYTES).jcc(CONDITION_AE, 'nmi');
  a.push(noted).ret().label('nmi');
}

/** A character that is put, and may wait, is noted; the guest goes on at once. */
function emitBatching(a: Assembler, page: number): void {
  const word = (offset: number) => mem(4, { displacement: page + PAGE_BYTES + offset, segment: SS });
  a.cmp(word(area.BATCH_ALLOWED), 0).jcc(CONDITION_E, 'ask').cmp(r32(RAX), area.SERVICE_PUT).jcc(CONDITION_NE, 'ask').cmp(word(area.BATCH_COUNT), area.BATCH_MOST).jcc(CONDITION_AE, 'ask');
  a.push(r32(RCX)).mov(r32(RCX), word(area.BATCH_COUNT)).mov(mem(1, { base: RCX, displacement: page + PAGE_BYTES + area.BATCH, segment: SS }), r8(RBX)).inc(word(area.BATCH_COUNT)).pop(r32(RCX)).iret().label('ask');
}
