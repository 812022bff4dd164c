import { createAssembler, r32, r64, RAX, RCX, RSP } from '@vm/x86';
import type { InterruptPort } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_HALT, EXIT_REQUEST, EXIT_SHUTDOWN } from '@vm/core/exit';
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';

const CODE = 0x8000;
const HANDLER = 0x9000;
const IDT = 0x5000;
const VECTOR = 0x40;
const IF = 0x200;

/** An interrupt port whose one interrupt is raised by hand. */
class OneInterrupt implements InterruptPort {
  pending = false;
  readonly low = 0;
  readonly high = 0;
  priority = 0;
  isPending(): boolean { return this.pending; }
  acknowledge(): number { this.pending = false; return VECTOR; }
  window(): number { return -1; }
  readRegister(): number { return 0; }
  writeRegister(): void { /* has none */ }
  readModelRegister(): boolean { return false; }
  writeModelRegister(): boolean { return false; }
}

function start(code: Uint8Array, flags: number): { machine: FlatMachine; port: OneInterrupt; raise(): void } {
  const port = new OneInterrupt();
  const machine = new FlatMachine('long', { interrupts: port });
  machine.put(HANDLER, createAssembler(64).op('mov', r64(15), r64(RCX)).add(r32(14), 1).size(8).iret().bytes());
  machine.view.setUint32(IDT + VECTOR * 16, (8 << 16) | HANDLER, true);
  machine.view.setUint32(IDT + VECTOR * 16 + 4, 0x8e00, true);
  machine.put(CODE, code);
  machine.enter(CODE);
  machine.vcpu.state.set64(state.IDTR_BASE, IDT, 0);
  machine.vcpu.state.set(state.IDTR_LIMIT, 0xfff);
  machine.setGpr(RSP, 0x7000n);
  machine.flags = flags;
  return { machine, port, raise: () => { port.pending = true; machine.vcpu.signal(); } };
}

const counting = (): Uint8Array => createAssembler(64).xor(r32(RCX), r32(RCX)).label('next').inc(r64(RCX)).jmp('next').bytes();

describe('the processor', () => {
  it('runs exactly as many instructions as it was given', () => {
    const { machine } = start(counting(), 2);
    for (const [budget, counter] of [[1, 0n], [1, 1n], [1, 1n], [1, 2n], [1000, 502n], [7, 505n]] as const) {
      const before = machine.vcpu.retired;
      expect(machine.vcpu.run(budget)).toBe(EXIT_BUDGET);
      expect(machine.vcpu.retired - before).toBe(budget);
      expect(machine.gpr(RCX)).toBe(counter);
    }
  });

  it('takes an interrupt before the next instruction, wherever it is raised (IRQ-32)', () => {
    for (const budget of [1, 2, 3, 10, 11, 1000, 1001]) {
      const { machine, raise } = start(counting(), 2 | IF);
      machine.vcpu.run(budget);
      raise();
      machine.vcpu.run(1); // the first instruction of the handler
      expect(machine.gpr(15)).toBe(machine.gpr(RCX));
      machine.vcpu.run(2);
      expect(machine.gpr(14)).toBe(1n);
      expect(machine.gpr(RCX)).toBe(BigInt(Math.floor(budget / 2)));
    }
  });

  it('holds an interrupt while they are disabled, and takes it after the instruction behind STI (IRQ-23)', () => {
    const code = createAssembler(64).xor(r32(RCX), r32(RCX)).inc(r64(RCX)).op('sti').inc(r64(RCX)).inc(r64(RCX)).hlt().bytes();
    const { machine, raise } = start(code, 2);
    machine.vcpu.run(1);
    raise();
    expect(machine.vcpu.run(1000)).toBe(EXIT_HALT);
    expect(machine.gpr(14)).toBe(1n);
    expect(machine.gpr(15)).toBe(2n);
    expect(machine.gpr(RCX)).toBe(3n);
  });

  it('takes a non-maskable interrupt whatever IF says, and the next one after IRET (IRQ-25)', () => {
    const { machine } = start(createAssembler(64).xor(r32(RCX), r32(RCX)).hlt().inc(r64(RCX)).hlt().bytes(), 2);
    machine.view.setUint32(IDT + 2 * 16, (8 << 16) | HANDLER, true);
    machine.view.setUint32(IDT + 2 * 16 + 4, 0x8e00, true);
    const { vcpu } = machine;
    expect(vcpu.run(10)).toBe(EXIT_HALT);
    vcpu.notify('nmi', 0);
    vcpu.run(1); // the first instruction of the handler
    vcpu.notify('nmi', 0);
    vcpu.notify('nmi', 0); // one waits at most
    vcpu.run(1);
    expect(machine.gpr(14)).toBe(1n);
    vcpu.run(1); // IRET
    expect(machine.gpr(RCX)).toBe(0n);
    vcpu.run(2);
    expect([machine.gpr(14), machine.gpr(RCX)]).toEqual([2n, 0n]);
    expect(vcpu.run(100)).toBe(EXIT_HALT);
    expect([machine.gpr(14), machine.gpr(RCX)]).toEqual([2n, 1n]);
  });

  it('takes two non-maskable interrupts that came together, and no third one, from its saved state too (IRQ-25)', () => {
    for (const isSaved of [false, true]) {
      const { machine } = start(createAssembler(64).xor(r32(RCX), r32(RCX)).hlt().inc(r64(RCX)).hlt().bytes(), 2);
      machine.view.setUint32(IDT + 2 * 16, (8 << 16) | HANDLER, true);
      machine.view.setUint32(IDT + 2 * 16 + 4, 0x8e00, true);
      const { vcpu } = machine;
      expect(vcpu.run(10)).toBe(EXIT_HALT);
      for (let i = 0; i < 3; i++) vcpu.notify('nmi', 0);
      if (isSaved) vcpu.load!(structuredClone(vcpu.save!()), false);
      expect(vcpu.run(100)).toBe(EXIT_HALT);
      expect([machine.gpr(14), machine.gpr(RCX)]).toEqual([2n, 1n]);
    }
  });

  it.each([['the boot processor goes on at the reset vector', 0x100], ['another waits for a start-up message', 0]])('goes back to its beginning at INIT, keeping some of its state: %s', (_which, low) => {
    const { machine, port } = start(counting(), 2 | IF);
    Object.assign(port, { low, readModelRegister: () => true });
    const { vcpu } = machine;
    const { state: s } = vcpu;
    vcpu.run(10);
    s.set64(state.MSR_LSTAR, 0x1234, 0);
    s.set64(state.XMM, 7, 8);
    vcpu.notify('init', 0);
    const first = vcpu.run(0);
    expect([s.get(state.CR0), s.get(state.CR4), s.get(state.EFER), s.get(state.MSR_LSTAR), s.get(state.XMM), machine.flags]).toEqual([0x10, 0, 0, 0x1234, 7, 2]);
    if (low !== 0) {
      expect([s.selector(state.CS), s.base(state.CS), s.get(state.RIP)]).toEqual([0xf000, 0xffff_0000, 0xfff0]);
      return;
    }
    expect(first).toBe(EXIT_HALT);
    machine.put(0x9000, createAssembler(16).mov(r32(RAX), 5).hlt().bytes());
    vcpu.notify('startup', 9);
    expect(vcpu.run(10)).toBe(EXIT_HALT);
    expect([machine.gpr(RAX), s.selector(state.CS)]).toEqual([5n, 0x900]);
  });

  it('waits in HLT and goes on behind it (IRQ-24)', () => {
    const { machine, raise } = start(createAssembler(64).hlt().mov(r32(RAX), 7).hlt().bytes(), 2 | IF);
    expect(machine.vcpu.run(1000)).toBe(EXIT_HALT);
    const { retired } = machine.vcpu;
    expect(machine.vcpu.run(1000)).toBe(EXIT_HALT);
    expect(machine.vcpu.retired).toBe(retired);
    raise();
    expect(machine.vcpu.run(1000)).toBe(EXIT_HALT);
    expect(machine.gpr(RAX)).toBe(7n);
  });

  it('does not sleep in HLT behind STI with an interrupt that waits (IRQ-24)', () => {
    const { machine, raise } = start(createAssembler(64).op('sti').hlt().mov(r32(RAX), 7).op('cli').hlt().bytes(), 2);
    raise();
    expect(machine.vcpu.run(1000)).toBe(EXIT_HALT);
    expect([machine.gpr(14), machine.gpr(RAX)]).toEqual([1n, 7n]);
  });

  it('leaves earlier when asked to', () => {
    const { machine } = start(counting(), 2);
    machine.vcpu.run(10);
    const { retired } = machine.vcpu;
    machine.vcpu.stopAfter(5); // between runs there is nothing to shorten
    expect(machine.vcpu.run(20)).toBe(EXIT_BUDGET);
    expect(machine.vcpu.retired - retired).toBe(20);
  });

  it('counts the instruction in whose middle it is asked to leave', () => {
    const { machine, port } = start(createAssembler(64).mov(r32(RCX), 0x1b).rdmsr().nop().nop().nop().nop().nop().nop().hlt().bytes(), 2);
    port.readModelRegister = () => {
      machine.vcpu.stopAfter(3);
      return true;
    };
    expect(machine.vcpu.run(20)).toBe(EXIT_REQUEST);
    expect(machine.vcpu.retired).toBe(4); // one before RDMSR, RDMSR, two behind it
  });

  it('shuts down at a fault without handlers', () => {
    const { machine } = start(createAssembler(64).ud2().bytes(), 2);
    machine.vcpu.state.set(state.IDTR_LIMIT, 0);
    expect(machine.vcpu.run(10)).toBe(EXIT_SHUTDOWN);
    expect(machine.vcpu.exceptions[6]).toBe(1);
  });

  it('tells a shutdown on purpose from one by a fault', () => {
    const shutdown = (code: Uint8Array, idtLimit: number): boolean => {
      const { machine } = start(code, 2);
      machine.vcpu.state.set(state.IDTR_LIMIT, idtLimit);
      expect(machine.vcpu.run(10)).toBe(EXIT_SHUTDOWN);
      const { shutDownOnPurpose } = machine.vcpu;
      machine.vcpu.reset();
      expect(machine.vcpu.shutDownOnPurpose).toBe(false);
      return shutDownOnPurpose;
    };
    const int3 = Uint8Array.of(0xcc);
    expect(shutdown(int3, 0)).toBe(true);
    expect(shutdown(int3, 0x2f)).toBe(false);
    expect(shutdown(createAssembler(64).ud2().bytes(), 0)).toBe(false);
    expect(shutdown(Uint8Array.of(0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0x70), 0)).toBe(false); // mov rax, [0x70000000]: no such page
  });

  it('comes back although interrupts and breakpoints never end', () => {
    const { machine, port, raise } = start(counting(), 2 | IF);
    // A trap gate leaves IF set, and this interrupt is pending again at once.
    machine.view.setUint32(IDT + VECTOR * 16 + 4, 0x8f00, true);
    port.acknowledge = () => VECTOR;
    machine.setGpr(RSP, 0x30_0000n);
    raise();
    expect(machine.vcpu.run(1000)).toBe(EXIT_BUDGET);
    expect(machine.vcpu.interrupts).toBeLessThanOrEqual(1001); // one before each instruction, one behind the last
    // A breakpoint on the handler of breakpoints.
    machine.view.setUint32(IDT + 16, (8 << 16) | HANDLER, true);
    machine.view.setUint32(IDT + 20, 0x8e00, true);
    port.pending = false;
    machine.vcpu.state.set64(state.DR, HANDLER, 0);
    machine.vcpu.state.set64(state.DR + 56, 0x402, 0);
    machine.vcpu.debugRegistersChanged();
    expect(machine.vcpu.run(1000)).not.toBe(EXIT_HALT);
  });

  it('finishes a long REP in pieces that interrupts come between', () => {
    const code = createAssembler(64).mov(r32(RCX), 0x4_0000).mov(r32(7), 0x10_0000).mov(r32(RAX), 0x5a).rep().size(1).stos().hlt().bytes();
    const { machine, raise } = start(code, 2 | IF);
    machine.vcpu.run(10);
    raise();
    expect(machine.vcpu.run(10_000)).toBe(EXIT_HALT);
    expect(machine.gpr(14)).toBe(1n);
    expect(machine.gpr(15)).toBeGreaterThan(0n);
    expect(machine.bytes.subarray(0x10_0000, 0x14_0000).every((byte) => byte === 0x5a)).toBe(true);
  });

  it.each([['between two elements of a REP', 4, true], ['before its first element', 3, false], ['behind its last element', 6, false]] as const)('an interrupt %s finds %i instructions done, and RF set: %s', (_where, instructions, resumes) => {
    const code = createAssembler(64).mov(r32(RCX), 3).mov(r32(7), 0x10_0001).std().rep().size(1).stos().nop().hlt().bytes();
    const { machine, raise } = start(code, 2 | IF);
    expect(machine.vcpu.run(instructions)).toBe(EXIT_BUDGET);
    raise();
    expect(machine.vcpu.run(10)).toBe(EXIT_HALT);
    expect((machine.view.getUint32(0x7000 - 24, true) & 0x1_0000) !== 0).toBe(resumes);
  });

  // SDM vol. 3, sections 21.3.3.2 and 21.4.
  it.each([[3, true, 0], [3, false, 1], [0, true, 1]])('level %i with CR4.PVI %s runs %i instructions while VIF and VIP are both set', (level, virtual, instructions) => {
    const machine = new FlatMachine('protected');
    machine.put(CODE, [0x90, 0x0f, 0x0b]);
    machine.enter(CODE);
    machine.vcpu.segments.setCpl(level);
    machine.vcpu.state.set(state.CR4, virtual ? 2 : 0);
    machine.flags = 0x18_0002;
    expect(machine.vcpu.run(10)).toBe(EXIT_SHUTDOWN);
    expect([machine.vcpu.state.get(state.RIP) - CODE, machine.vcpu.exceptions[virtual && level === 3 ? 13 : 6]]).toEqual([instructions, 1]);
  });
});
