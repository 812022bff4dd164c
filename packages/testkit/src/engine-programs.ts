/** Small programs without an operating system, whose every access to devices two engines have to agree on. */
import { addressOf, type Assembler, CONDITION_E, CONDITION_NE, control, createAssembler, mem, r16, r32, r64, r8, RAX, RBX, RCX, RDI, RDX, RSI, RSP, segment, SS, st, xmm } from '@vm/x86';

/** What a program begins in. With paging the first 4 MiB are mapped to themselves, and the page of the device. */
export type EngineMode = 'real' | 'protected' | 'paging' | 'pae' | 'long';

export interface EngineProgram {
  readonly name: string;
  readonly modes: readonly EngineMode[];
  /** In which of them only a processor does it that runs guest code itself, and not the emulator of a hypervisor, which has no floating point and few ways through gates. */
  readonly native: readonly EngineMode[];
  write(code: Assembler, mode: EngineMode): void;
  /** Labels of its handlers, by vector. */
  readonly gates?: Readonly<Record<number, string>>;
}

/** Where things lie, in physical and linear addresses. */
export const CODE = 0x8000, DATA = 0xa000, STACK = 0x7f00, DEVICE = 0xd000_0000;
/** Ports of the device: any data, a vector to raise, one to raise later, and the end. */
export const DATA_PORT = 0x60, RAISE_PORT = 0x70, LATER_PORT = 0x72, END_PORT = 0x74;
/** With paging, the page at this linear address is DATA, the next one is not there, the one after it is DATA for reading only. */
export const MAPPED = 0x40_0000;
/** A task whose stack is for ring 0. */
export const TASK_SELECTOR = 0x40;

const FLAT: readonly EngineMode[] = ['protected', 'paging', 'pae', 'long'];
const PAGED: readonly EngineMode[] = ['paging', 'pae', 'long'];
const ALL: readonly EngineMode[] = ['real', ...FLAT];

/** Shows a byte. */
const show = (code: Assembler, value: number): Assembler => code.mov(r8(RAX), value).out(DATA_PORT, r8(RAX));
/** Shows EAX, and two more registers through it. */
const showWord = (code: Assembler): Assembler => code.out(DATA_PORT, r32(RAX));
const showAll = (code: Assembler, ...registers: readonly number[]): Assembler => registers.reduce((all, one) => showWord(all.mov(r32(RAX), r32(one))), code);
const raise = (code: Assembler, vector: number): Assembler => code.mov(r8(RAX), vector).out(RAISE_PORT, r8(RAX));
const done = (code: Assembler): Assembler => code.mov(r8(RAX), 1).out(END_PORT, r8(RAX)).hlt();
const returns = (code: Assembler, mode: EngineMode): Assembler => (mode === 'long' ? code.size(8).iret() : mode === 'real' ? code.iret() : code.size(4).iret());
const wide = (mode: EngineMode) => (mode === 'long' ? r64 : mode === 'real' ? r16 : r32);
const wordBytes = (mode: EngineMode): number => (mode === 'long' ? 8 : mode === 'real' ? 2 : 4);
/** A handler that shows its mark and returns. */
const handler = (code: Assembler, mode: EngineMode, label: string, mark: number): Assembler => returns(show(code.label(label).push(wide(mode)(RAX)), mark).pop(wide(mode)(RAX)), mode);
/** A handler of a fault: shows its mark, the error code where there is one, and goes on `skip` bytes later. */
function faultHandler(code: Assembler, mode: EngineMode, label: string, { mark, hasCode, skip }: { readonly mark: number; readonly hasCode: boolean; readonly skip: number }): Assembler {
  const reg = wide(mode);
  const bytes = wordBytes(mode);
  code.label(label);
  if (hasCode) showWord(code.pop(reg(RAX)));
  show(code, mark);
  const rip = mem(bytes, { base: RSP });
  return returns(code.mov(reg(RAX), rip).add(reg(RAX), skip).mov(rip, reg(RAX)), mode);
}

export const ENGINE_PROGRAMS: readonly EngineProgram[] = [
  {
    name: 'ports of each size, in and out, by number and by register', modes: ALL, native: [],
    write: (code) => {
      show(code, 0x41).mov(r16(RAX), 0x1234).out(DATA_PORT, r16(RAX)).mov(r32(RAX), 0x89ab_cdef | 0).out(DATA_PORT, r32(RAX)).mov(r16(RDX), DATA_PORT + 4);
      code.xor(r32(RAX), r32(RAX)).in(r8(RAX), r16(RDX)).out(DATA_PORT, r32(RAX)).in(r16(RAX), r16(RDX)).out(DATA_PORT, r32(RAX)).in(r32(RAX), DATA_PORT).out(r16(RDX), r32(RAX));
    },
  },
  {
    name: 'strings of bytes and words to ports and back', modes: ALL, native: [],
    write: (code) => {
      code.cld().mov(r16(RDX), DATA_PORT).mov(r32(RDI), DATA).mov(r32(RCX), 5).rep().size(1).ins();
      code.mov(r32(RCX), 3).rep().size(2).ins().mov(r32(RSI), DATA).mov(r32(RCX), 11).rep().size(1).outs().mov(r32(RSI), DATA + 1).mov(r32(RCX), 2).rep().size(4).outs();
      showAll(code, RSI, RDI, RCX);
    },
  },
  {
    name: 'memory of a device in each size, read and written', modes: FLAT, native: [],
    write: (code) => {
      const at = (bytes: number, displacement: number) => mem(bytes, { base: RBX, displacement });
      code.mov(r32(RBX), DEVICE | 0).mov(r8(RAX), at(1, 0x10)).mov(at(1, 0x11), r8(RAX)).mov(r16(RAX), at(2, 0x20)).mov(at(2, 0x22), r16(RAX)).mov(r32(RAX), at(4, 0x30)).mov(at(4, 0x34), r32(RAX)).mov(at(4, 0x38), 0x55aa);
      code.movzx(r32(RCX), at(1, 0x13)).movsx(r32(RSI), at(2, 0x16));
      showAll(code, RCX, RSI);
    },
  },
  {
    name: 'instructions that read and write a register of a device', modes: FLAT, native: [],
    write: (code) => {
      const at = (displacement: number) => mem(4, { base: RBX, displacement });
      code.mov(r32(RBX), DEVICE | 0).mov(r32(RAX), 0x1111).add(at(0), r32(RAX)).or(at(4), 0x80).xor(r32(RCX), r32(RCX)).xchg(at(8), r32(RCX)).inc(at(12)).cmp(at(16), r32(RAX)).test(at(20), 1).mov(r32(RDX), at(24));
      showAll(code, RCX, RDX);
    },
  },
  {
    name: 'copies from RAM into a device and back', modes: FLAT, native: [],
    write: (code) => {
      code.cld().mov(r32(RDI), DATA).mov(r32(RCX), 4).mov(r32(RAX), 0x0102_0304).rep().size(4).stos().mov(r32(RSI), DATA).mov(r32(RDI), DEVICE | 0).mov(r32(RCX), 4).rep().size(4).movs();
      code.mov(r32(RSI), (DEVICE + 0x40) | 0).mov(r32(RDI), DATA + 0x20).mov(r32(RCX), 3).rep().size(2).movs().mov(r32(RBX), DATA + 0x20).mov(r32(RAX), mem(4, { base: RBX }));
      showAll(showWord(code), RSI, RDI, RCX);
    },
  },
  {
    name: 'arithmetic in a loop, a memory, a stack', modes: FLAT, native: [],
    write: (code, mode) => {
      code.mov(r32(RAX), 1).mov(r32(RCX), 12).mov(r32(RBX), DATA).label('round').imul(r32(RAX), r32(RAX), 0x1003).add(r32(RAX), r32(RCX)).mov(mem(4, { base: RBX }), r32(RAX)).add(r32(RBX), 4).dec(r32(RCX)).jcc(CONDITION_NE, 'round');
      showWord(code);
      code.push(wide(mode)(RAX)).call('twice').pop(wide(mode)(RDX)).jmp('after').label('twice').add(r32(RAX), r32(RAX)).ret().label('after');
      showAll(code, RAX, RDX, RBX).mov(r32(RCX), 7).mov(r32(RDX), 0).mov(r32(RAX), 1000).div(r32(RCX));
      showAll(showWord(code), RDX);
    },
  },
  {
    name: 'an interrupt comes behind the instruction that raised it, and not before flags allow it', modes: ALL, native: ALL, gates: { 0x41: 'one', 0x42: 'two' },
    write: (code, mode) => {
      show(raise(code.sti(), 0x41), 0x10);
      show(raise(code.cli(), 0x42), 0x11);
      show(show(code.sti(), 0x12), 0x13); // one instruction behind STI is still without
      done(code);
      handler(handler(code, mode, 'one', 0xa1), mode, 'two', 0xa2);
    },
  },
  {
    name: 'HLT waits for an interrupt that comes later', modes: ALL, native: ['protected', 'paging', 'pae'], gates: { 0x43: 'late' },
    write: (code, mode) => {
      // STI holds the interrupt back for one instruction more, however slow everything is.
      code.mov(r8(RAX), 0x43).out(LATER_PORT, r8(RAX)).sti().hlt();
      show(code, 0x20).cli().mov(r8(RAX), 0x43).out(LATER_PORT, r8(RAX)).sti().hlt();
      done(show(code, 0x21));
      handler(code, mode, 'late', 0xa3);
    },
  },
  {
    name: 'CPUID says the same of the same processor', modes: ['protected', 'long'], native: ['protected', 'long'],
    write: (code) => {
      for (const leaf of [0, 1, 7, 0xd, 0x4000_0000, 0x8000_0000, 0x8000_0001, 0x8000_0002, 0x8000_0003, 0x8000_0004, 0x8000_0007, 0x8000_0008]) {
        showWord(code.mov(r32(RAX), leaf | 0).xor(r32(RCX), r32(RCX)).cpuid());
        showAll(code, RBX, RCX, RDX);
      }
    },
  },
  {
    name: 'model-specific registers, and one that there is not', modes: ['protected', 'long'], native: ['protected', 'long'], gates: { 13: 'none' },
    write: (code, mode) => {
      for (const index of [0x1b, 0x277, 0xfe, 0x8b, 0xc000_0081, 0xc001_0015]) showAll(showWord(code.mov(r32(RCX), index | 0).rdmsr()), RDX);
      for (const [index, low, high] of [[0xc000_0082, 0x1234_5678, 0xffff_8000], [0xc000_0081, 0, 0x23_0010], [0x277, 0x0007_0406, 0x0007_0106]] as const) {
        showAll(showWord(code.mov(r32(RCX), index | 0).mov(r32(RAX), low).mov(r32(RDX), high | 0).wrmsr().rdmsr()), RDX);
      }
      code.mov(r32(RCX), 0x1234).rdmsr().mov(r32(RCX), 0xc000_0080 | 0).mov(r32(RAX), 2).xor(r32(RDX), r32(RDX)).wrmsr();
      done(show(code, 0x30));
      faultHandler(code, mode, 'none', { mark: 0xad, hasCode: true, skip: 2 });
    },
  },
  {
    name: 'exceptions with their vectors and error codes', modes: FLAT, native: FLAT, gates: { 0: 'divide', 3: 'breakpoint', 6: 'undefined', 13: 'protection', 0x50: 'software' },
    write: (code, mode) => {
      code.xor(r32(RCX), r32(RCX)).xor(r32(RDX), r32(RDX)).mov(r32(RAX), 5).div(r32(RCX));
      code.ud2().int3().int(0x50).mov(r16(RBX), 0x1234).mov(segment(SS), r16(RBX));
      done(show(code, 0x31));
      faultHandler(code, mode, 'divide', { mark: 0xb0, hasCode: false, skip: 2 });
      faultHandler(code, mode, 'undefined', { mark: 0xb6, hasCode: false, skip: 2 });
      faultHandler(code, mode, 'protection', { mark: 0xbd, hasCode: true, skip: 2 });
      handler(handler(code, mode, 'breakpoint', 0xb3), mode, 'software', 0xb5);
    },
  },
  {
    name: 'page faults, with the address in CR2', modes: PAGED, native: PAGED, gates: { 14: 'page' },
    write: (code, mode) => {
      code.mov(r32(RBX), MAPPED).mov(mem(4, { base: RBX }), 0x0bad).mov(r32(RBX), DATA).mov(r32(RCX), mem(4, { base: RBX }));
      showAll(code, RCX).mov(r32(RBX), MAPPED + 0x1234).data(0x8b, 0x0b); // mov ecx, [rbx]: two bytes
      code.mov(r32(RBX), MAPPED + 0x2010).data(0x89, 0x0b).data(0x8b, 0x0b);
      showAll(code, RCX);
      done(show(code, 0x32));
      code.label('page').mov(wide(mode)(RAX), control(2));
      showWord(code);
      faultHandler(code, mode, 'page code', { mark: 0xbe, hasCode: true, skip: 2 });
    },
  },
  {
    name: 'control registers read back as they were written', modes: FLAT, native: FLAT,
    write: (code, mode) => {
      const reg = wide(mode);
      for (const number of [0, 3, 4]) showWord(code.mov(reg(RAX), control(number)));
      showWord(code.mov(reg(RAX), control(0)).or(reg(RAX), 0x1_0000).mov(control(0), reg(RAX)).mov(reg(RAX), control(0)));
      showWord(code.mov(reg(RAX), control(4)).or(reg(RAX), 0x80).mov(control(4), reg(RAX)).mov(reg(RAX), control(4)));
      if (mode === 'long') showWord(code.mov(r32(RAX), 5).mov(control(8), r64(RAX)).xor(r32(RAX), r32(RAX)).mov(r64(RAX), control(8)));
    },
  },
  {
    name: 'CR3 loaded anew', modes: FLAT, native: FLAT,
    write: (code, mode) => {
      const reg = wide(mode);
      showWord(code.mov(reg(RAX), control(3)).mov(control(3), reg(RAX)).mov(r32(RBX), DATA).mov(mem(4, { base: RBX }), 0x1234_5678).mov(r32(RAX), mem(4, { base: RBX })));
    },
  },
  {
    name: 'the x87, its constants, and its state in memory', modes: FLAT, native: FLAT,
    write: (code) => {
      const at = (bytes: number, displacement: number) => mem(bytes, { base: RBX, displacement });
      code.mov(r32(RBX), DATA).op('fninit').op('fldpi').op('fld1').op('fadd', st(0), st(1)).op('fsqrt').op('fst', at(8, 0)).mov(r32(RAX), at(4, 0));
      showWord(code).mov(r32(RAX), at(4, 4));
      showWord(code).op('fnstcw', at(2, 0x10)).movzx(r32(RAX), at(2, 0x10));
      showWord(code).op('fnstsw', r16(RAX)).and(r32(RAX), 0xfdff); // without the way of the last rounding, which not every emulator keeps
      showWord(code);
    },
  },
  {
    name: 'vectors of SSE2', modes: FLAT, native: FLAT,
    write: (code) => {
      const at = (bytes: number, displacement: number) => mem(bytes, { base: RBX, displacement });
      code.mov(r32(RBX), DATA);
      for (let i = 0; i < 4; i++) code.mov(at(4, i * 4), (0x3f80_0000 + i * 0x12_3456) | 0);
      code.op('movups', xmm(1), at(16, 0)).op('addps', xmm(1), xmm(1)).op('movups', at(16, 0x20), xmm(1)).op('pxor', xmm(2), xmm(2)).op('paddd', xmm(2), xmm(1)).op('movd', r32(RAX), xmm(2));
      showWord(code).mov(r32(RAX), at(4, 0x2c));
      showWord(code);
    },
  },
  {
    name: 'code that changes itself', modes: FLAT, native: [],
    write: (code, mode) => {
      code.mov(r32(RCX), 3).label('again').label('patched').mov(r32(RAX), 0x11);
      showWord(code).mov(wide(mode)(RBX), addressOf('patched')).add(mem(1, { base: RBX, displacement: 1 }), 0x11).dec(r32(RCX)).jcc(CONDITION_NE, 'again');
    },
  },
  {
    name: 'a bit that a device sets after some reads', modes: ALL, native: [],
    write: (code) => void show(code.label('busy').in(r8(RAX), DATA_PORT + 8).test(r8(RAX), 0x80).jcc(CONDITION_E, 'busy'), 0x51),
  },
  {
    name: 'ring 3 and the way back through a gate', modes: ['paging', 'pae', 'long'], native: ['paging', 'pae', 'long'], gates: { 0x60: 'call' },
    write: (code, mode) => {
      const reg = wide(mode);
      code.mov(r32(RAX), TASK_SELECTOR).ltr(r16(RAX)).mov(r32(RCX), STACK - 0x400).push(0x2b).push(reg(RCX)).pushf().push(mode === 'long' ? 0x33 : 0x23).mov(reg(RAX), addressOf('user')).push(reg(RAX));
      returns(code, mode).label('user').mov(r32(RCX), 0x77).int(0x60).label('call');
      showAll(show(code, 0xc0), RCX).pop(reg(RAX)).pop(reg(RAX));
      showWord(code).pop(reg(RAX)).pop(reg(RAX));
      showWord(code);
    },
  },
];

/** The bytes of a program, which ends itself, and where its handlers are. */
export function assembleProgram(program: EngineProgram, mode: EngineMode): { readonly bytes: Uint8Array; readonly gates: ReadonlyMap<number, number> } {
  const code = createAssembler(mode === 'real' ? 16 : mode === 'long' ? 64 : 32, { origin: CODE });
  program.write(code, mode);
  done(code);
  return { bytes: code.bytes(), gates: new Map(Object.entries(program.gates ?? {}).map(([vector, label]) => [Number(vector), CODE + code.offsetOf(label)!])) };
}
