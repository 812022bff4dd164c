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

describe('code that changes', () => {
  it('at the very next instruction, wherever in a page and across its end that lies', () => {
    // mov byte [next + 1], value; next: mov al, old; hlt. The store and what it changes take all places around a page end.
    const machine = new FlatMachine('protected');
    for (let place = 4096 - 24; place <= 4096 + 2; place++) {
      const at = PAGE + place;
      const store = (next: number): Uint8Array => createAssembler(32).mov(mem(1, { displacement: next + 1 }), 42).bytes();
      const next = at + store(0).length;
      machine.put(at, [...store(next), 0xb0, 1, 0xf4]);
      for (let round = 0; round < 2; round++) {
        machine.enter(at);
        expect(machine.run()).toBe(true);
        expect(machine.gpr(RAX) & 0xffn).toBe(42n);
        machine.put(next + 1, [1]);
      }
    }
  });

  it('by a store to two pages at once, the second of which is running', () => {
    const machine = new FlatMachine('long');
    // The second page begins with mov al, 1; ret. A store of 8 bytes from 4 before its start changes its first four.
    const second = PAGE + 4096;
    machine.put(second, [0xb0, 1, 0xc3]);
    const code = createAssembler(64).mov(r64(6), second).call(r64(6)).mov(r64(RBX), second - 4).mov(r64(7), mem(8, { base: RBX, displacement: 0x100 })).mov(mem(8, { base: RBX }), r64(7)).call(r64(6)).hlt().bytes();
    machine.put(second - 4 + 0x100, [0, 0, 0, 0, 0xb0, 99, 0xc3, 0]);
    machine.put(0x3_0000, code);
    machine.enter(0x3_0000);
    machine.setGpr(4, 0x4_0000n);
    expect(machine.run()).toBe(true);
    expect(machine.gpr(RAX) & 0xffn).toBe(99n);
  });

  it('through an alias, at an instruction that spans two pages which are not neighbours in memory', () => {
    const machine = new FlatMachine('long');
    // 4 KiB pages at 4 MiB: two neighbours that show two frames far apart, and at 5 MiB the second of them once more.
    const TABLE = 0x6000;
    machine.view.setUint32(0x4000 + 2 * 8, TABLE | 7, true);
    const first = 0x5_0000, other = 0x7_0000;
    machine.view.setUint32(TABLE, first | 7, true);
    machine.view.setUint32(TABLE + 8, other | 7, true);
    machine.view.setUint32(TABLE + 256 * 8, other | 7, true);
    // mov eax, imm32 with two bytes of the immediate in the second page; ret
    machine.put(first + 4096 - 3, [0xb8, 0x11, 0x22]);
    machine.put(other, [0x33, 0x44, 0xc3]);
    const code = createAssembler(64).mov(r64(6), 0x40_0000 + 4096 - 3).call(r64(6)).mov(r32(RDX), r32(RAX)).mov(r64(RBX), 0x50_0000).mov(mem(1, { base: RBX, displacement: 1 }), 0x55).call(r64(6)).hlt();
    machine.put(0x3_0000, code.bytes());
    machine.enter(0x3_0000);
    machine.setGpr(4, 0x4_0000n);
    expect(machine.run()).toBe(true);
    expect([machine.gpr(RDX), machine.gpr(RAX)]).toEqual([0x4433_2211n, 0x5533_2211n]);
  });

  it('when the page behind an instruction is exchanged for another one', () => {
    const machine = new FlatMachine('long');
    const TABLE = 0x6000;
    machine.view.setUint32(0x4000 + 2 * 8, TABLE | 7, true);
    machine.view.setUint32(TABLE, 0x5_0000 | 7, true);
    machine.view.setUint32(TABLE + 8, 0x7_0000 | 7, true);
    machine.put(0x5_0000 + 4096 - 3, [0xb8, 0x11, 0x22]);
    machine.put(0x7_0000, [0x33, 0x44, 0xc3]);
    machine.put(0x9_0000, [0x77, 0x66, 0xc3]);
    const code = createAssembler(64).mov(r64(6), 0x40_0000 + 4096 - 3).call(r64(6)).mov(r32(RDX), r32(RAX))
      .mov(r64(RBX), TABLE).mov(r32(7), 0x9_0007).mov(mem(4, { base: RBX, displacement: 8 }), r32(7)).mov(r64(RBX), 0x40_1000).invlpg(mem(1, { base: RBX })).call(r64(6)).hlt();
    machine.put(0x3_0000, code.bytes());
    machine.enter(0x3_0000);
    machine.setGpr(4, 0x4_0000n);
    expect(machine.run()).toBe(true);
    expect([machine.gpr(RDX), machine.gpr(RAX)]).toEqual([0x4433_2211n, 0x6677_2211n]);
  });

  it('by a device, between two runs and for code that has run often', () => {
    const machine = new FlatMachine('long');
    const code = (value: number): Uint8Array => createAssembler(64).mov(r32(RCX), 500).xor(r32(RDX), r32(RDX)).label('next').add(r32(RDX), value).dec(r32(RCX)).jcc(5, 'next').hlt().bytes();
    for (const value of [1, 2, 3, 4]) {
      // `put` stores as devices do: past the processor, with a notice.
      machine.put(PAGE, code(value));
      for (let round = 0; round < 3; round++) {
        machine.enter(PAGE);
        expect(machine.run()).toBe(true);
        expect(machine.gpr(RDX)).toBe(BigInt(500 * value));
      }
    }
  });

  it('in the middle of a loop that has run often', () => {
    const machine = new FlatMachine('long');
    // Every hundredth round the loop changes what its next instruction adds.
    const a = (at: number) => createAssembler(64, { origin: PAGE }).mov(r32(RCX), 2000).xor(r32(RDX), r32(RDX)).xor(r32(7), r32(7)).mov(r64(RBX), at)
      .label('next').inc(r32(7)).cmp(r32(7), 100).jcc(5, 'add').xor(r32(7), r32(7)).add(mem(1, { base: RBX }), 1).label('add').add(r32(RDX), 1);
    const length = a(PAGE + 0x800).bytes().length;
    machine.put(PAGE, a(PAGE + length - 1).dec(r32(RCX)).jcc(5, 'next').hlt().bytes());
    machine.enter(PAGE);
    expect(machine.run()).toBe(true);
    let expected = 0;
    for (let i = 1, step = 1; i <= 2000; i++) { if (i % 100 === 0) step++; expected += step; }
    expect(machine.gpr(RDX)).toBe(BigInt(expected));
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
