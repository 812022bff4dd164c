import { createAssembler, mem, r32, r64, r8, RAX, RBX, RCX, RDX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { FlatMachine } from './flat-machine.ts';

const PAGE = 0x1_0000;

describe('decoded code', () => {
  it('goes on in the next page after an instruction that ends exactly at the page end', () => {
    const machine = new FlatMachine('long');
    // The pages are decoded in the order A, B: whatever stands behind A's map is B's, and B is not what follows A.
    const a = PAGE;
    const b = 0x4_0000;
    machine.put(a, createAssembler(64).hlt().bytes());
    machine.put(b, createAssembler(64).mov(r32(RAX), 99).hlt().bytes());
    for (const start of [a, b]) {
      machine.enter(start);
      expect(machine.run()).toBe(true);
    }
    const head = createAssembler(64).mov(r32(RAX), 1).bytes();
    machine.put(a + 4096 - head.length, head);
    machine.put(a + 4096, createAssembler(64).add(r32(RAX), 7).hlt().bytes());
    machine.enter(a + 4096 - head.length);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RAX)).toBe(8n);
  });

  it('runs instructions that span two pages anywhere in a large RAM', () => {
    const machine = new FlatMachine('protected', { ramBytes: 2 ** 31 + 2 ** 20 });
    const code = createAssembler(32).mov(r32(RAX), 0x1234_5678).hlt().bytes();
    for (const page of [PAGE, 0x7fff_0000, 0x8000_0000]) {
      machine.put(page + 4096 - 3, code);
      machine.enter(page + 4096 - 3);
      expect(machine.run()).toBe(true);
      expect(machine.gpr(RAX)).toBe(0x1234_5678n);
    }
  });

  it('notices a change in the second page of an instruction that spans two', () => {
    const machine = new FlatMachine('long');
    const start = PAGE + 4096 - 3;
    for (const value of [0x11, 0x22, 0x33]) {
      machine.put(start, createAssembler(64).mov(r32(RAX), value << 24).hlt().bytes());
      machine.enter(start);
      expect(machine.run()).toBe(true);
      expect(machine.gpr(RAX)).toBe(BigInt(value << 24));
      // Only the byte in the second page changes here, by a store of the guest in between.
      const patch = createAssembler(64).mov(r64(RBX), start + 4).mov(mem(1, { base: RBX }), 0x55).hlt().bytes();
      machine.put(0x2_0000, patch);
      machine.enter(0x2_0000);
      expect(machine.run()).toBe(true);
      machine.enter(start);
      expect(machine.run()).toBe(true);
      expect(machine.gpr(RAX)).toBe(0x5500_0000n);
    }
  });

  it('runs what was stored over the very next instruction', () => {
    const machine = new FlatMachine('long');
    // mov byte [next + 1], 42; next: mov al, 1; hlt
    const write = (at: number) => createAssembler(64, { origin: PAGE }).mov(r64(RBX), at).mov(mem(1, { base: RBX }), 42);
    const length = write(PAGE).bytes().length;
    machine.put(PAGE, write(PAGE + length + 1).mov(r8(RAX), 1).hlt().bytes());
    machine.enter(PAGE);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RAX)).toBe(42n);
  });

  it('notices a store through another virtual address, again and again', () => {
    const machine = new FlatMachine('long');
    // The third 2 MiB show the first 2 MiB once more.
    machine.view.setUint32(0x4000 + 2 * 8, 0x87, true);
    const target = 0x2_0000;
    machine.put(target, createAssembler(64).mov(r32(RAX), 0).op('ret').bytes());
    const code = createAssembler(64).mov(r64(RBX), 0x40_0000 + target + 1).mov(r32(RCX), 5).xor(r32(RDX), r32(RDX)).mov(r64(6), target)
      .label('next').mov(mem(4, { base: RBX }), r32(RCX)).call(r64(6)).add(r32(RDX), r32(RAX)).dec(r32(RCX)).jcc(5, 'next').hlt();
    machine.put(PAGE, code.bytes());
    machine.enter(PAGE);
    machine.setGpr(4, 0x3_0000n);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RDX)).toBe(15n);
  });
});

describe('the code cache', () => {
  it('drops everything when it is full, and the program notices nothing', () => {
    const machine = new FlatMachine('long', { code: { codePages: 4, codeBytes: 0x1_0000 } });
    // Thirty pages, each of which adds its number and jumps to the next; every tenth jump crosses a page end.
    const pages = 30;
    for (let page = 0; page < pages; page++) {
      const at = PAGE + page * 0x2000 + (page % 10 === 9 ? 4096 - 3 : 0);
      const next = PAGE + (page + 1) * 0x2000 + ((page + 1) % 10 === 9 ? 4096 - 3 : 0);
      const code = createAssembler(64, { origin: at }).add(r32(RAX), page);
      machine.put(at, page === pages - 1 ? code.dec(r32(RCX)).mov(r64(RBX), PAGE).jcc(4, 'end').jmp(r64(RBX)).label('end').hlt().bytes() : code.mov(r64(RBX), next).jmp(r64(RBX)).bytes());
    }
    machine.enter(PAGE);
    machine.setGpr(RCX, 50n);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RAX)).toBe(BigInt((50 * pages * (pages - 1)) / 2));
    expect(machine.vcpu.code.flushes).toBeGreaterThan(50);
  });
});
