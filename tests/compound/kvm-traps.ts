/** Random programs for processors that count no time: accesses to devices, and all that may come between them. */
import { addressOf, createAssembler, mem, r16, r32, r64, r8, RAX, RBP, RBX, RCX, RDI, RDX, RSI } from '@vm/x86';
import { type KvmMode, REAL } from './kvm-machine.ts';
import { PLAIN_PORTS, PORTS, WINDOW } from './queued-device.ts';
import { type Chance, DATA, ENTRY, FAULT_HANDLER, INTERRUPT_HANDLER } from './random-traps.ts';

const GENERAL = [RAX, RBX, RDX, RDI, RBP] as const;
const ALU = ['add', 'or', 'and', 'sub', 'xor'] as const;
const BITS = { real: 16, protected: 32, long: 64 } as const;

/** Bounded in what KVM's emulator has to do: hosts without hardware for a mode emulate each instruction. `patched`: one step in so many changes the code behind it; 0: none does. */
export function writeKvmProgram(random: Chance, mode: KvmMode, patched: number = 12): Uint8Array {
  const bits = BITS[mode];
  const isReal = mode === 'real';
  const returns = mode !== 'protected'; // KVM's emulator, which is all that some hosts have for it, knows no IRET there
  const code = createAssembler(bits, { origin: isReal ? REAL.entry : ENTRY });
  const wide = bits === 64 ? r64 : bits === 32 ? r32 : r16;
  const word = isReal ? r16 : r32;
  const bytes = isReal ? 2 : 4;
  const data = isReal ? REAL.data : DATA;
  const general = (): number => random.pick(GENERAL);
  const datum = (): ReturnType<typeof mem> => mem(bytes, { base: RSI, displacement: random.below(0x7f0) });
  const sized = { 1: r8, 2: r16, 4: r32 } as const;
  let labels = 0;
  const access = (): void => {
    const size = random.pick([1, 1, 2, 4] as const);
    const to = (random.once(6) ? PLAIN_PORTS : PORTS) + (random.below(8) & ~(size - 1));
    if (to % 8 === 4 && !random.once(3)) return;
    const isWrite = random.below(3) < 2;
    if (random.once(2)) {
      if (isWrite) code.out(to, sized[size](RAX));
      else code.in(sized[size](RAX), to);
      return;
    }
    code.mov(word(RDX), to);
    if (isWrite) code.out(r16(RDX), sized[size](RAX));
    else code.in(sized[size](RAX), r16(RDX));
  };
  const steps: readonly (() => void)[] = [
    access, access, access, access, access, access,
    () => code.mov(word(general()), random.below(0x8000)),
    () => code.op(random.pick(ALU), word(general()), word(general())),
    () => code.op(random.pick(ALU), word(general()), datum()),
    () => code.mov(datum(), word(general())),
    () => code.op(random.pick(ALU), datum(), word(general())),
    () => { code.push(wide(general())).pop(wide(general())); },
    () => { if (!isReal) code.mov(r32(RBX), WINDOW).mov(mem(4, { base: RBX, displacement: 8 * random.below(4) }), r32(RAX)); },
    () => { if (!isReal) code.mov(r32(RBX), WINDOW).mov(r32(RAX), mem(4, { base: RBX, displacement: 4 * random.below(4) })).mov(mem(4, { base: RBX, displacement: 8 }), r32(RDX)); },
    () => { code.push(wide(RCX)).mov(word(RCX), random.below(12)).mov(word(RDI), data + 0x1000 + random.below(0x100)).mov(word(RDX), PORTS + random.below(4)).cld().rep().size(1).ins().pop(wide(RCX)); },
    () => { code.push(wide(RSI)).push(wide(RCX)).mov(word(RCX), random.below(9)).mov(word(RDX), PORTS + random.below(4)).cld().rep().size(1).outs().pop(wide(RCX)).pop(wide(RSI)); },
    () => { code.push(wide(RCX)).push(wide(RSI)).mov(word(RCX), 1 + random.below(20)).mov(word(RDI), data + 0xff0).cld().rep().size(1).movs().pop(wide(RSI)).pop(wide(RCX)); },
    // No access behind STI: KVM's emulator forgets to look for interrupts where an exit ends a shadow.
    () => { if (random.once(3) || !returns) code.cli(); else code.sti().mov(word(RDI), word(RDI)); },
    () => { code.pushf().popf(); },
    () => { if (returns) code.mov(word(RBX), 0).div(r8(RBX)); }, // #DE, two bytes long: the handler steps over it
    () => { if (!isReal) code.mov(r32(RBX), DATA + 0xffe).mov(mem(4, { base: RBX }), r32(RAX)); }, // across two pages
    () => { const name = `over${labels++}`; code.test(r8(RAX), 1).jcc(4, name).inc(word(RDI)).label(name); },
    () => { const name = `call${labels++}`; code.call(name).jmp(`${name}back`).label(name).inc(word(RDI)).ret().label(`${name}back`); },
  ];
  code.mov(word(RSI), data).mov(mem(2, { base: RSI, displacement: 0x800 }), 2 + random.below(3));
  (returns ? code.sti().mov(word(RDI), word(RDI)) : code).label('turn');
  for (let i = 4 + random.below(24); i >= 0; i--) {
    if (!isReal && patched > 0 && random.once(patched)) {
      // The immediate of the instruction behind it, and of one further on.
      const name = `late${labels++}`;
      code.mov(r32(RBX), addressOf(name)).mov(mem(1, { base: RBX, displacement: 1 }), r8(RAX));
      if (random.once(2)) access();
      code.label(name).mov(r8(RDX), 7);
    } else random.pick(steps)();
  }
  code.mov(word(RSI), data).dec(mem(2, { base: RSI, displacement: 0x800 }));
  code.jcc(4, 'end').jmp('turn').label('end').cli().hlt();
  return code.bytes();
}

/** Asks the device and returns; the other one steps over the two bytes of a division. */
export function kvmHandlers(mode: KvmMode): { readonly interrupt: Uint8Array; readonly fault: Uint8Array } {
  const bits = BITS[mode];
  const wide = bits === 64 ? r64 : bits === 32 ? r32 : r16;
  const bytes = ({ 16: 2, 32: 4, 64: 8 } as const)[bits];
  const isReal = mode === 'real';
  const interrupt = createAssembler(bits, { origin: isReal ? REAL.interrupt : INTERRUPT_HANDLER }).push(wide(RAX)).in(r8(RAX), PORTS + 1).out(PLAIN_PORTS, r8(RAX)).pop(wide(RAX)).size(bytes).iret();
  const fault = createAssembler(bits, { origin: isReal ? REAL.fault : FAULT_HANDLER });
  if (isReal) fault.push(r16(RBP)).mov(r16(RBP), r16(4)).add(mem(2, { base: RBP, displacement: 2 }), 2).pop(r16(RBP));
  else fault.push(wide(RAX)).mov(wide(RAX), mem(bytes, { base: 4, displacement: bytes })).add(wide(RAX), 2).mov(mem(bytes, { base: 4, displacement: bytes }), wide(RAX)).pop(wide(RAX));
  return { interrupt: interrupt.bytes(), fault: fault.size(bytes).iret().bytes() };
}
