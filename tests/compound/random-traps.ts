/** Random programs full of accesses to devices, with all that may come between them. */
import { addressOf, createAssembler, debug, mem, r16, r32, r64, r8, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from '@vm/x86';
import { INTERRUPT, PLAIN_PORTS, PORTS, SOON, WINDOW } from './queued-device.ts';

export interface Chance {
  below(count: number): number;
  once(times: number): boolean;
  pick<T>(from: readonly T[]): T;
}

export const ENTRY = 0x10_0000;
export const DATA = 0x20_0000;
export const GATES = 0x30_0000;
export const INTERRUPT_HANDLER = 0x31_0000;
export const FAULT_HANDLER = 0x31_0100;
export const DEBUG_HANDLER = 0x31_0200;
export const VECTOR = 0x40;
const COUNTERS = DATA + 0x8000;
const OPEN_PORT = 0x80;
const GENERAL = [RAX, RBX, RDX, RDI, RBP] as const;
const ALU = ['add', 'or', 'and', 'sub', 'xor'] as const;

export function writeProgram(random: Chance, bits: 32 | 64): Uint8Array {
  const code = createAssembler(bits, { origin: ENTRY });
  const wide = bits === 64 ? r64 : r32;
  const general = (): number => random.pick(GENERAL);
  const datum = (): ReturnType<typeof mem> => mem(4, { base: RSI, displacement: random.once(2) ? 0x100 + random.below(0x80) : random.below(0xff8) });
  const port = (from: number, size: number): number => from + (random.below(8) & ~(size - 1));
  const sized = { 1: r8, 2: r16, 4: r32 } as const;
  const device = (): void => {
    const size = random.pick([1, 1, 2, 4] as const);
    const to = port(random.once(6) ? PLAIN_PORTS : PORTS, size);
    if (random.once(4) && to % 8 === INTERRUPT && !random.once(3)) return;
    const isWrite = random.below(3) < 2;
    if (random.once(2)) {
      if (isWrite) code.out(to, sized[size](RAX));
      else code.in(sized[size](RAX), to);
      return;
    }
    code.mov(r32(RDX), to);
    if (isWrite) code.out(r16(RDX), sized[size](RAX));
    else code.in(sized[size](RAX), r16(RDX));
  };
  let labels = 0;
  const steps: readonly (() => void)[] = [
    device, device, device, device, device,
    () => code.mov(r32(general()), random.below(0x1_0000)),
    () => code.op(random.pick(ALU), r32(general()), r32(general())),
    () => code.op(random.pick(ALU), r32(general()), datum()),
    () => code.mov(datum(), r32(general())),
    () => code.op(random.pick(ALU), datum(), r32(general())),
    () => { code.push(wide(general())).pop(wide(general())); },
    () => { code.mov(r32(RBX), WINDOW).mov(mem(4, { base: RBX, displacement: 4 * random.below(4) }), r32(RAX)); },
    () => { code.mov(r32(RBX), WINDOW).mov(r32(RAX), mem(4, { base: RBX, displacement: 4 * random.below(4) })).mov(mem(4, { base: RBX, displacement: 8 }), r32(RDX)); },
    () => { code.mov(r32(RBX), WINDOW).add(mem(4, { base: RBX, displacement: 12 }), r32(RAX)); },
    () => { if (random.once(2)) code.out(OPEN_PORT, r8(RAX)); else code.in(r8(RAX), OPEN_PORT); },
    () => { code.push(wide(RSI)).push(wide(RCX)).mov(r32(RCX), random.below(9)).mov(r32(RDX), PORTS + random.below(4)).rep().size(1).outs().pop(wide(RCX)).pop(wide(RSI)); },
    () => { code.push(wide(RCX)).mov(r32(RCX), random.below(random.once(2) ? 9 : 200)).mov(r32(RDI), DATA + 0x2000 + random.below(0x1000)).mov(r32(RDX), PORTS + random.below(4)).rep().size(1).ins().pop(wide(RCX)); },
    () => { code.push(wide(RCX)).push(wide(RSI)).mov(r32(RCX), 1 + random.below(40)).mov(r32(RDI), DATA + 0x2ff0).rep().size(1).movs().pop(wide(RSI)).pop(wide(RCX)); },
    () => { if (random.once(3)) code.cli(); else code.sti(); },
    () => { code.pushf().popf(); },
    () => { code.mov(r32(RBX), 0).div(r8(RBX)); }, // #DE, two bytes long: the handler steps over it
    () => { code.cpuid().mov(r32(RCX), r32(RBP)); },
    () => { code.rdtsc(); },
    () => { code.lock().add(datum(), r32(RAX)); },
    () => { code.mov(r32(RBX), DATA + 0xffe).mov(mem(4, { base: RBX }), r32(RAX)); }, // across two pages
    () => { const name = `over${labels++}`; code.test(r8(RAX), 1).jcc(4, name).inc(r32(RDI)).label(name); },
    () => {
      // Single steps: each instruction until the flag is clear again is followed by a trap.
      code.pushf().op('or', mem(4, { base: RSP }), 0x100).popf();
      for (let i = random.below(4); i >= 0; i--) random.pick([device, () => void code.inc(r32(RDI)), () => void code.mov(datum(), r32(RAX))])();
      code.pushf().op('and', mem(4, { base: RSP }), ~0x100).popf();
    },
    () => {
      // A breakpoint at an instruction or at a word, and traps around it.
      const name = `break${labels++}`;
      const atCode = random.once(2);
      code.mov(r32(RBX), atCode ? addressOf(name) : DATA + 0x140).mov(debug(0), wide(RBX)).mov(r32(RBX), atCode ? 2 : 0xd_0002).mov(debug(7), wide(RBX));
      device();
      code.label(name);
      device();
      code.mov(mem(4, { base: RSI, displacement: 0x140 }), r32(RAX));
      device();
      code.mov(r32(RBX), 0).mov(debug(7), wide(RBX));
    },
    () => { const name = `call${labels++}`; code.call(name).jmp(`${name}back`).label(name).inc(r32(RDI)).ret().label(`${name}back`); },
  ];
  code.mov(r32(RSI), DATA).mov(mem(4, { base: RSI, displacement: 0x7000 }), 3 + random.below(6)).sti().label('turn');
  const length = 4 + random.below(30);
  for (let i = 0; i < length; i++) {
    if (random.once(20)) {
      // The immediate of the instruction behind it.
      const name = `late${labels++}`;
      code.mov(r32(RBX), addressOf(name)).mov(mem(1, { base: RBX, displacement: 1 }), r8(RAX));
      if (random.once(2)) device();
      code.label(name).mov(r8(RDX), 7);
    } else random.pick(steps)();
  }
  code.mov(r32(RSI), DATA).dec(mem(4, { base: RSI, displacement: 0x7000 }));
  code.jcc(4, 'end').jmp('turn').label('end').cli().hlt();
  return code.bytes();
}

/** Asks the device, counts, and returns. */
export function interruptHandler(bits: 32 | 64): Uint8Array {
  const wide = bits === 64 ? r64 : r32;
  const code = createAssembler(bits, { origin: INTERRUPT_HANDLER }).push(wide(RAX)).in(r8(RAX), PORTS + 1).out(PLAIN_PORTS, r8(RAX)).out(PORTS + SOON - 3, r8(RAX)).pop(wide(RAX));
  return code.push(wide(RBX)).mov(r32(RBX), COUNTERS).inc(mem(4, { base: RBX })).pop(wide(RBX)).size(bits === 64 ? 8 : 4).iret().bytes();
}
/** Of a division: steps over its two bytes. */
export function faultHandler(bits: 32 | 64): Uint8Array {
  const wide = bits === 64 ? r64 : r32;
  const bytes = bits === 64 ? 8 : 4;
  return createAssembler(bits, { origin: FAULT_HANDLER }).push(wide(RAX)).mov(wide(RAX), mem(bytes, { base: 4, displacement: bytes })).add(wide(RAX), 2).mov(mem(bytes, { base: 4, displacement: bytes }), wide(RAX)).pop(wide(RAX)).size(bytes).iret().bytes();
}

/** Counts, and goes on behind a breakpoint: with RF the instruction is done this time. */
export function debugHandler(bits: 32 | 64): Uint8Array {
  const wide = bits === 64 ? r64 : r32;
  const bytes = bits / 8;
  return createAssembler(bits, { origin: DEBUG_HANDLER }).op('or', mem(4, { base: RSP, displacement: 2 * bytes }), 0x1_0000)
    .push(wide(RBX)).mov(r32(RBX), COUNTERS).inc(mem(4, { base: RBX, displacement: 4 })).pop(wide(RBX)).size(bits === 64 ? 8 : 4).iret().bytes();
}
