/**
 * Generated functions that answer a miss of the TLB: from the shadow tables of @vm/shadow-mmu, whose layout its README has, or without such from the
 * guest's own tables. They raise nothing, and change nothing that a guest can see: what the shadow tables allow has
 * its accessed and dirty bits set already, and where the guest's lack one `PageWalk` walks, as in all cases that are rare.
 */
import { CR0_PG, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_LMA, EFER_NXE, PTE_ACCESSED, PTE_DIRTY, PTE_LARGE, PTE_NX_HIGH, PTE_PRESENT, PTE_USER, PTE_WRITABLE } from '@vm/x86';
import {
  ENTRY_BYTES, ENTRY_RIGHTS, FETCH_SUPERVISOR, FETCH_USER, PROCESSOR_LEVELS, PROCESSOR_ROOT, READ_OPEN, READ_USER, RIGHT_HUGE, RIGHT_LARGE, TABLE_ENTRIES, WRITE_OPEN, WRITE_USER,
} from '@vm/shadow-mmu';
import * as state from './cpu-state.ts';
import { type Access, FETCH, LARGE_RESERVED, LARGE_RESERVED_32, PAE_RESERVED_HIGH, PHYSICAL_BITS, RESERVED_FRAME_HIGH, WRITE } from './page-walk.ts';
import type { CodeWriter, Label } from './wasm/code-writer.ts';
import { I32, I64 } from './wasm/code-writer.ts';
import type { ModuleWriter, Signature } from './wasm/module-writer.ts';
import { pushCodeMapPlace, pushLargePart, pushTlbPlace } from './tlb-place.ts';
import { TAG_USER } from './tlb.ts';

/** (s, address, bytes) -> 1: the TLB answers for the address now; 0: it does not. */
export const REFILL: Signature = { parameters: [I32, I64, I32], results: [I32] };

const STATE = 0, ADDRESS = 1, BYTES = 2, TABLE = 3, RIGHTS = 4, FRAME = 5, OFFSET = 6, ENTRY = 7, PART = 8, GUEST_ENTRY = 9, ALLOWED = 10;
const LONG_LEVELS = 4;
/** Of the tag of a fetch. */
const CODE_SIZE = 3;
const FRAME_MASK: number = 2 ** (PHYSICAL_BITS - 12) - 1;

/** `long`: for 64-bit mode alone. */
export function defineRefill(module: ModuleWriter, code: CodeWriter, index: number, access: Access, long: boolean): void {
  const write = access === WRITE;
  code.reset();
  const fail = code.block();
  code.get(ADDRESS).wrap().const32(0xfff).and32().get(BYTES).add32().const32(4096).gtU32().brIf(fail);
  code.get(STATE).load32(state.SHADOW_BLOCK).tee(ENTRY);
  code.if();
  fromShadowTables(code, access, fail);
  code.else();
  fromGuestTables(code, access, long, fail);
  code.end();
  if (write) {
    code.get(STATE).load32(state.ATTRIBUTES).get(OFFSET).get(STATE).load32(state.RAM_BASE).sub32().const32(12).shrU32().add32().load8U32().brIf(fail);
  }
  if (access === FETCH) findCode(code, fail);
  pushTlbPlace(code.get(ADDRESS)).get(STATE).load32(state.TLB_BASE).add32().set(ENTRY);
  // Whoever writes to a page reads it too.
  for (const tlb of write ? [state.READ_TLB, state.WRITE_TLB] : [access === FETCH ? state.FETCH_TLB : state.READ_TLB]) {
    code.get(ENTRY).get(ADDRESS).const(-4096).and().get(STATE).load(access === FETCH ? state.FETCH_TAG : state.DATA_TAG).or().store(tlb);
    code.get(ENTRY).get(OFFSET).get(ADDRESS).wrap().const32(-4096).and32().sub32().store32(tlb + state.TLB_ADDEND);
  }
  if (access === FETCH) code.get(ENTRY).get(FRAME).store32(state.FETCH_TLB + state.TLB_CODE_PAGE);
  if (write) noteWriter(code);
  noteLarge(code, RIGHT_LARGE, state.LARGE_SHIFT, state.LARGE_PAGES);
  noteLarge(code, RIGHT_HUGE, state.HUGE_SHIFT, state.HUGE_PAGES);
  const count = COUNTERS[access];
  code.get(STATE).get(STATE).load(count).const(1).add().store(count);
  code.const32(1).return();
  code.end();
  code.const32(0);
  module.define(index, [I32, I32, I32, I32, I32, I32, I64, I32], code);
}
const COUNTERS = [state.SHADOW_READS, state.SHADOW_WRITES, state.SHADOW_FETCHES] as const;

/** FRAME = decode map of the page at OFFSET. */
function findCode(code: CodeWriter, fail: Label): void {
  pushCodeMapPlace(code.get(OFFSET)).get(STATE).add32().tee(PART).load32(state.CODE_MAPS);
  code.get(STATE).load32(state.FETCH_TAG).const32(CODE_SIZE).and32().get(OFFSET).or32().ne32().brIf(fail);
  code.get(PART).load32(state.CODE_MAPS + state.CODE_MAP_MAP).set(FRAME);
}

/** OFFSET = where the page lies in the linear memory, RIGHTS as in the tables; ENTRY is the processor's block. */
function fromShadowTables(code: CodeWriter, access: Access, fail: Label): void {
  code.get(ENTRY).load32(PROCESSOR_ROOT).tee(TABLE).eqz32().brIf(fail);
  code.get(ENTRY).load32(PROCESSOR_LEVELS).const32(LONG_LEVELS).eq32();
  code.if();
  requireCanonical(code, fail);
  step(code, 39, fail);
  code.end();
  step(code, 30, fail);
  step(code, 21, fail);
  entryOf(code, 12);
  code.tee(ENTRY).load32(ENTRY_RIGHTS).tee(RIGHTS);
  pushNeed(code, access);
  code.and32().eqz32().brIf(fail);
  code.get(ENTRY).load32().set(FRAME);
  offsetOfFrame(code, fail);
}
/** Pushes the right that the access needs, 0 where TypeScript has to hear of it. */
function pushNeed(code: CodeWriter, access: Access): void {
  if (access === FETCH) code.const32(FETCH_USER).const32(FETCH_SUPERVISOR).get(STATE).load32(state.FETCH_TAG).const32(TAG_USER).and32().select();
  else code.get(STATE).load32(access === WRITE ? state.SHADOW_WRITE_NEED : state.SHADOW_READ_NEED);
}
function requireCanonical(code: CodeWriter, fail: Label): void { code.get(ADDRESS).const(16).shl().const(16).shrS().get(ADDRESS).ne().brIf(fail); }

/** The same by the guest's tables (SDM vol. 3, sections 4.3 to 4.5), where every accessed and dirty bit that it takes is set. */
function fromGuestTables(code: CodeWriter, access: Access, long: boolean, fail: Label): void {
  const NEED = PART;
  pushNeed(code, access);
  code.tee(NEED).eqz32().brIf(fail);
  code.const32(-1).set(ALLOWED).const32(0).set(RIGHTS);
  const leaf = code.block();
  if (!long) {
    code.get(STATE).load32(state.EFER).const32(EFER_LMA).and32().eqz32();
    code.if();
    code.get(STATE).load32(state.CR0).const32(CR0_PG).and32().eqz32().brIf(fail);
    code.get(STATE).load32(state.CR4).const32(CR4_PAE).and32();
    code.if();
    code.get(ADDRESS).const(30).shrU().wrap().const32(3).and32().const32(3).shl32().get(STATE).add32().load(state.PDPTE).tee(GUEST_ENTRY);
    code.wrap().const32(PTE_PRESENT).and32().eqz32();
    code.get(GUEST_ENTRY).const64(0, RESERVED_FRAME_HIGH | PAE_RESERVED_HIGH | PTE_NX_HIGH).and().eqz().eqz32().or32().brIf(fail); // of a saved machine
    code.get(GUEST_ENTRY).const(12).shrU().wrap().const32(FRAME_MASK).and32().set(FRAME);
    wideLevels(code, access, [21, 12], RESERVED_FRAME_HIGH | PAE_RESERVED_HIGH, leaf, fail);
    code.br(leaf).end();
    narrowLevels(code, access, leaf, fail);
    code.br(leaf).end();
  }
  requireCanonical(code, fail);
  code.get(STATE).load(state.CR3).const(12).shrU().wrap().set(FRAME);
  wideLevels(code, access, [39, 30, 21, 12], RESERVED_FRAME_HIGH, leaf, fail);
  code.end();
  offsetOfFrame(code, fail);
  const user = access === FETCH ? FETCH_USER : READ_USER | WRITE_USER;
  if (access === WRITE) code.get(ALLOWED).const32(PTE_WRITABLE).and32().eqz32().brIf(fail);
  code.get(NEED).const32(user).and32();
  code.if();
  code.get(ALLOWED).const32(PTE_USER).and32().eqz32().brIf(fail);
  code.else();
  // What supervisors are kept from: SMEP, and SMAP unless user pages are open to them.
  if (access === FETCH) code.const32(1);
  else code.get(NEED).const32(READ_OPEN | WRITE_OPEN).and32().eqz32();
  code.get(STATE).load32(state.CR4).const32(access === FETCH ? CR4_SMEP : CR4_SMAP).and32().const32(0).ne32().and32();
  code.get(ALLOWED).const32(PTE_USER).and32().const32(0).ne32().and32().brIf(fail);
  code.end();
}
/** From FRAME down through entries of 8 bytes: ALLOWED is what all of them have, FRAME the page's. */
function wideLevels(code: CodeWriter, access: Access, shifts: readonly number[], reservedHigh: number, leaf: Label, fail: Label): void {
  const write = access === WRITE;
  // Bit 63 means something by EFER alone.
  code.get(STATE).load32(state.EFER).const32(EFER_NXE).and32().eqz32().brIf(fail);
  for (const shift of shifts) {
    offsetOfFrame(code, fail);
    code.get(ADDRESS).const(shift).shrU().wrap().const32(0x1ff).and32().const32(3).shl32().get(OFFSET).add32().load().tee(GUEST_ENTRY);
    const wanted = PTE_PRESENT | PTE_ACCESSED | (shift === 12 && write ? PTE_DIRTY : 0);
    code.wrap().tee(ENTRY).const32(wanted).and32().const32(wanted).ne32();
    code.get(GUEST_ENTRY).const64(0, reservedHigh | (access === FETCH ? PTE_NX_HIGH : 0)).and().eqz().eqz32().or32().brIf(fail);
    code.get(ALLOWED).get(ENTRY).and32().set(ALLOWED);
    code.get(GUEST_ENTRY).const(12).shrU().wrap().const32(FRAME_MASK).and32().set(FRAME);
    if (shift === 12) continue;
    code.get(ENTRY).const32(PTE_LARGE).and32();
    if (shift > 21) { code.brIf(fail); continue; }
    code.if();
    code.get(ENTRY).const32(LARGE_RESERVED).and32().brIf(fail);
    if (write) code.get(ENTRY).const32(PTE_DIRTY).and32().eqz32().brIf(fail);
    code.get(FRAME).const32(~0x1ff).and32().get(ADDRESS).const(12).shrU().wrap().const32(0x1ff).and32().or32().set(FRAME);
    code.const32(RIGHT_LARGE).set(RIGHTS).br(leaf);
    code.end();
  }
}
/** The same from CR3 through two levels of 4 bytes an entry. */
function narrowLevels(code: CodeWriter, access: Access, leaf: Label, fail: Label): void {
  const write = access === WRITE;
  code.get(STATE).load32(state.CR3).const32(12).shrU32().set(FRAME);
  for (const shift of [22, 12]) {
    offsetOfFrame(code, fail);
    code.get(ADDRESS).wrap().const32(shift).shrU32().const32(0x3ff).and32().const32(2).shl32().get(OFFSET).add32().load32().tee(ENTRY);
    const wanted = PTE_PRESENT | PTE_ACCESSED | (shift === 12 && write ? PTE_DIRTY : 0);
    code.const32(wanted).and32().const32(wanted).ne32().brIf(fail);
    code.get(ALLOWED).get(ENTRY).and32().set(ALLOWED).get(ENTRY).const32(12).shrU32().set(FRAME);
    if (shift === 12) continue;
    code.get(ENTRY).const32(PTE_LARGE).and32().const32(0).ne32().get(STATE).load32(state.CR4).const32(CR4_PSE).and32().const32(0).ne32().and32();
    code.if();
    // Bits of the address above 32 (PSE-36), which RAM of such a guest hardly has, are left to TypeScript.
    code.get(ENTRY).const32(LARGE_RESERVED_32).and32().brIf(fail);
    if (write) code.get(ENTRY).const32(PTE_DIRTY).and32().eqz32().brIf(fail);
    code.get(FRAME).const32(~0x3ff).and32().get(ADDRESS).wrap().const32(12).shrU32().const32(0x3ff).and32().or32().set(FRAME);
    code.const32(RIGHT_LARGE).set(RIGHTS).br(leaf);
    code.end();
  }
}

/** Pushes where the entry for the address is in the table. */
function entryOf(code: CodeWriter, shift: number): void {
  code.get(ADDRESS).const(shift).shrU().wrap().const32(TABLE_ENTRIES - 1).and32().const32(Math.log2(ENTRY_BYTES)).shl32().get(TABLE).add32();
}
/** TABLE = the table one level down. */
function step(code: CodeWriter, shift: number, fail: Label): void {
  entryOf(code, shift);
  code.load32().tee(TABLE).eqz32().brIf(fail);
}
/** OFFSET = where FRAME lies in the linear memory; FRAME is lost. */
function offsetOfFrame(code: CodeWriter, fail: Label): void {
  code.get(FRAME).get(STATE).load32(state.WINDOW_FRAME).eq32().brIf(fail);
  code.get(FRAME).get(STATE).load32(state.LOW_FRAMES).ltU32();
  code.if();
  code.get(FRAME).const32(12).shl32().get(STATE).load32(state.LOW_OFFSET).add32().set(OFFSET);
  code.else();
  code.get(FRAME).get(STATE).load32(state.HIGH_FRAME).sub32().tee(FRAME).get(STATE).load32(state.HIGH_FRAMES).geU32().brIf(fail);
  code.get(FRAME).const32(12).shl32().get(STATE).load32(state.HIGH_OFFSET).add32().set(OFFSET);
  code.end();
}
/** As Tlb.#noteWriter. ENTRY = address of the slot. */
function noteWriter(code: CodeWriter): void {
  const LIST = FRAME, NEXT = OFFSET, PREVIOUS = PART;
  code.get(OFFSET).const32(12).shrU32().const32(state.WRITER_PARTS - 1).and32().const32(2).shl32().get(STATE).add32().const32(state.WRITERS).add32().tee(LIST);
  code.get(ENTRY).load32(state.WRITER_LIST).ne32();
  code.if();
  code.get(ENTRY).load32(state.WRITER_LIST).const32(-1).ne32();
  code.if();
  code.get(ENTRY).load32(state.WRITER_NEXT).set(NEXT);
  code.get(ENTRY).load32(state.WRITER_PREVIOUS).tee(PREVIOUS);
  code.if();
  code.get(PREVIOUS).get(NEXT).store32(state.WRITER_NEXT);
  code.else();
  code.get(ENTRY).load32(state.WRITER_LIST).get(NEXT).store32(0);
  code.end();
  code.get(NEXT);
  code.if();
  code.get(NEXT).get(PREVIOUS).store32(state.WRITER_PREVIOUS);
  code.end();
  code.end();
  code.get(ENTRY).get(LIST).load32(0).tee(NEXT).store32(state.WRITER_NEXT);
  code.get(ENTRY).const32(0).store32(state.WRITER_PREVIOUS);
  code.get(ENTRY).get(LIST).store32(state.WRITER_LIST);
  code.get(NEXT);
  code.if();
  code.get(NEXT).get(ENTRY).store32(state.WRITER_PREVIOUS);
  code.end();
  code.get(LIST).get(ENTRY).store32(0);
  code.end();
}
/** As Tlb.noteLarge. */
function noteLarge(code: CodeWriter, right: number, shift: number, parts: number): void {
  code.get(RIGHTS).const32(right).and32();
  code.if();
  pushLargePart(code, ADDRESS, shift).get(STATE).add32().const32(1).store8From32(parts);
  code.end();
}
