import { createAssembler, mem, r16, r32, r64, RAX, RBX, RCX, segment, VECTOR_BP, VECTOR_DE, VECTOR_GP, VECTOR_PF, VECTOR_UD, xmm } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { runFlat } from './flat-runner.ts';

const AT = 0x1_0000;
const code = (bits: 16 | 32 | 64) => createAssembler(bits, { origin: AT });

describe('runFlat', () => {
  it('begins with nothing but RFLAGS and the floating-point controls, and stops behind HLT', () => {
    for (const mode of ['real', 'protected', 'long'] as const) {
      const result = runFlat({ code: [0x90, 0xf4], at: 0x100, mode });
      expect(result).toMatchObject({
        stop: 'halt', exception: null, instructions: 2, rip: 0x102n, rflags: 0x202n, rax: 0n, rsp: 0n, r15: 0n, x87Control: 0x37f, x87Status: 0, x87Tag: 0xffff, mxcsr: 0x1f80,
      });
      expect(result.xmm).toEqual(Array.from({ length: 16 }, () => [0n, 0n]));
    }
  });

  it('sets every register and gives it back', () => {
    const lanes = (seed: bigint) => Array.from({ length: 16 }, (_, i) => [seed + BigInt(i), ~BigInt(i) & 0xffff_ffff_ffff_ffffn] as const);
    const registers = {
      rax: 0x8000_0000_0000_0001n, rsp: 0x7000n, r15: 15n, rflags: 0x8d7n, fsBase: 0x1234_5678_9abcn, xmm: lanes(100n), ymmHigh: lanes(200n), mxcsr: 0x1fa0,
      x87: Array.from({ length: 8 }, (_, i) => ({ mantissa: 0x8000_0000_0000_0000n + BigInt(i), exponent: 0x3fff + i })), x87Control: 0x27f, x87Status: 0x2800, x87Tag: 0x0c0c,
    };
    const result = runFlat({ code: [0xf4], at: AT, mode: 'long', registers });
    expect(result).toMatchObject({ ...registers, stop: 'halt', cs: 8, ss: 16 });
  });

  it('has its own tables where no memory is wanted', () => {
    const load = code(32).mov(r32(RBX), mem(4, { base: RAX })).op('ud2').bytes();
    for (const mapped of ['all', 'given'] as const) {
      const places = [0xfd00_0000, 0xfdff_f000, 0xfb00_0000, 0x3d12_3000];
      const result = runFlat({ code: load, at: AT, mode: 'protected', mapped, registers: { rax: 0xfdff_f000 }, memory: places.map((at) => ({ at, bytes: [1, 2, 3, 4] })) });
      expect(result).toMatchObject({ stop: 'exception', exception: VECTOR_UD, rbx: 0x0403_0201n });
      expect([...result.read(0xfd00_0000, 4)]).toEqual([1, 2, 3, 4]);
    }
  });

  it('puts memory anywhere and shows what became of it', () => {
    const regions = [0x1_0000_0ff8n, 0xe000_0000n, 0x7fff_ffff_f000n, 0xffff_8000_0000_0000n];
    const store = code(64).mov(r64(RBX), mem(8, { base: RAX })).add(r64(RBX), 1).mov(mem(8, { base: RAX, displacement: 8 }), r64(RBX)).hlt().bytes();
    for (const at of regions) {
      const result = runFlat({ code: store, at: AT, mode: 'long', registers: { rax: at }, memory: [{ at, bytes: [1, 2, 3, 4, 5, 6, 7, 8] }, { at: at + 4096n, bytes: 100 }] });
      expect(result.stop).toBe('halt');
      expect([...result.read(at, 16)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 2, 2, 3, 4, 5, 6, 7, 8]);
    }
    const high = runFlat({ code: createAssembler(32).mov(mem(4, { base: RAX }), r32(RAX)).hlt().bytes(), at: 0xffff_0000, mode: 'protected', registers: { rax: 0xe000_0000 }, memory: [{ at: 0xe000_0000, bytes: 4 }] });
    expect([...high.read(0xe000_0000, 4)]).toEqual([0, 0, 0, 0xe0]);
  });

  it('leaves nothing behind for the next run', () => {
    const fill = code(64).mov(mem(4, { displacement: 0x5000 }), 7).mov(mem(4, { displacement: 0x30_0000 }), 7).op('cpuid').hlt().bytes();
    expect(runFlat({ code: fill, at: AT, mode: 'long', memory: [{ at: 0xe000_0000n, bytes: [9] }] }).read(0x30_0000, 1)[0]).toBe(7);
    const result = runFlat({ code: [0xf4], at: 0x2_0000, mode: 'long', memory: [{ at: 0xd000_0000n, bytes: 1 }] });
    expect(result).toMatchObject({ rbx: 0n, rcx: 0n });
    for (const at of [0x5000, 0x30_0000, AT, 0xd000_0000]) expect(result.read(at, 2)).toEqual(Uint8Array.of(0, 0));
    expect(result.read(0xe000_0000, 2)).toEqual(Uint8Array.of(0xff, 0xff));
  });

  it('stops at an address, and the byte there stays what it was', () => {
    const loop = code(64).label('next').inc(r64(RAX)).jmp('next').bytes();
    const result = runFlat({ code: loop, at: AT, mode: 'long', stopAt: AT + 3 });
    expect(result).toMatchObject({ stop: 'address', rip: BigInt(AT + 3), rax: 1n, instructions: 2 });
    expect(result.read(AT + 3, 1)[0]).toBe(loop[3]);
    expect(runFlat({ code: loop, at: AT, mode: 'long', budget: 999 })).toMatchObject({ stop: 'budget', rax: 500n, instructions: 999 });
  });

  it('names the exception and leaves the state as the handler would find it', () => {
    const cases = [
      [code(64).op('ud2'), VECTOR_UD, 0], [code(64).op('div', r64(RCX)), VECTOR_DE, 0], [code(64).op('int3'), VECTOR_BP, 1], [code(64).op('int', 0x42), 0x42, 2],
      [code(64).mov(r64(RCX), mem(8, { base: RBX })), VECTOR_GP, 0],
    ] as const;
    for (const [bytes, vector, length] of cases) {
      const result = runFlat({ code: bytes.bytes(), at: AT, mode: 'long', registers: { rax: 5, rbx: 0x8000_0000_0000_0000n, rsp: 0x7000 } });
      expect(result).toMatchObject({ stop: 'exception', exception: vector, rip: BigInt(AT + length), rax: 5n, rsp: 0x7000n });
      expect(result.read(0x6f00, 0x100).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('maps only what it was given when it is told to', () => {
    for (const mode of ['protected', 'long'] as const) {
      for (const ring of [0, 3] as const) {
        const bits = mode === 'long' ? 64 : 32;
        const load = createAssembler(bits).mov(r32(RAX), mem(4, { base: RBX })).hlt().bytes();
        const store = createAssembler(bits).mov(mem(4, { base: RBX }), r32(RAX)).hlt().bytes();
        const common = { at: AT, mode, ring, mapped: 'given', memory: [{ at: 0x9000, bytes: [1, 0, 0, 0], readOnly: true }] } as const;
        expect(runFlat({ ...common, code: load, registers: { rbx: 0x9000 } })).toMatchObject({ stop: 'halt', rax: 1n });
        expect(runFlat({ ...common, code: load, registers: { rbx: 0xa123 } })).toMatchObject({ stop: 'exception', exception: VECTOR_PF, cr2: 0xa123n });
        expect(runFlat({ ...common, code: store, registers: { rbx: 0x9000 } })).toMatchObject({ stop: 'exception', exception: VECTOR_PF });
      }
    }
  });

  it('tells the error code that an exception would push', () => {
    const common = { at: AT, mode: 'long', mapped: 'given', memory: [{ at: 0x9000, bytes: 4096, readOnly: true, noExecute: true }] } as const;
    const store = code(64).mov(mem(4, { base: RBX }), r32(RAX)).hlt().bytes();
    const faults = [
      [{ code: store, registers: { rbx: 0x9ff0 } }, VECTOR_PF, 3, 0x9ff0n],
      [{ code: store, registers: { rbx: 0xa000 }, ring: 3 }, VECTOR_PF, 6, 0xa000n],
      [{ code: store, registers: { rip: 0x9004 } }, VECTOR_PF, 0x11, 0x9004n],
      [{ code: code(64).mov(segment(3), r16(RBX)).bytes(), registers: { rbx: 0x1234 } }, VECTOR_GP, 0x1234, 0n],
      [{ code: code(64).op('int', 0x42).bytes(), registers: {} }, 0x42, null, 0n],
      [{ code: code(64).op('int', VECTOR_GP).bytes(), registers: {} }, VECTOR_GP, null, 0n],
      [{ code: code(64).mov(r64(RCX), mem(8, { base: RBX })).bytes(), registers: { rbx: 1n << 63n } }, VECTOR_GP, 0, 0n],
      [{ code: code(64).op('ud2').bytes(), registers: {} }, VECTOR_UD, null, 0n],
    ] as const;
    for (const [request, exception, errorCode, cr2] of faults) expect(runFlat({ ...common, ...request })).toMatchObject({ stop: 'exception', exception, errorCode, cr2 });
    expect(runFlat({ code: [0xf4], at: AT, mode: 'long', ring: 3 }).errorCode).toBe(null);
  });

  it('runs in ring 3, where HLT is a fault and ends the run all the same', () => {
    const bytes = code(64).op('mov_seg', r32(RCX), segment(1)).hlt().bytes();
    expect(runFlat({ code: bytes, at: AT, mode: 'long', ring: 3 })).toMatchObject({ stop: 'halt', exception: null, rcx: 0x33n, rip: BigInt(AT + bytes.length) });
    expect(runFlat({ code: [0xfa], at: AT, mode: 'long', ring: 3 })).toMatchObject({ stop: 'exception', exception: VECTOR_GP });
  });

  it('delivers exceptions of real mode through the table at 0, and tells them too', () => {
    const handler = [0x34, 0x12, 0x00, 0x20]; // 2000:1234
    const result = runFlat({
      code: [0x31, 0xc9, 0xf7, 0xf1], at: 0x500, mode: 'real', registers: { ss: 0x3000, rsp: 0x100, rax: 7 },
      memory: [{ at: 0, bytes: handler }, { at: 0x2_1234, bytes: [0xf4] }],
    });
    expect(result).toMatchObject({ stop: 'halt', exception: VECTOR_DE, cs: 0x2000, rip: 0x1235n, rsp: 0xfan });
    expect([...result.read(0x3_00fa, 4)]).toEqual([0x02, 0x05, 0, 0]);
  });

  it('runs xmm code in protected mode', () => {
    const bytes = createAssembler(32).op('movd', xmm(1), r32(RAX)).op('paddd', xmm(1), xmm(1)).hlt().bytes();
    expect(runFlat({ code: bytes, at: AT, mode: 'protected', registers: { rax: 21 } }).xmm[1]).toEqual([42n, 0n]);
  });

  it('goes on from its own result', () => {
    const first = runFlat({ code: [0x48, 0xff, 0xc0, 0xf4], at: AT, mode: 'long', registers: { rax: 1, xmm: [[5n, 6n]] } });
    const second = runFlat({ code: [0x48, 0xff, 0xc0, 0xf4], at: AT, mode: 'long', registers: { ...first, rip: AT } });
    expect([second.rax, second.xmm[0], second.stop]).toEqual([3n, [5n, 6n], 'halt']);
  });

  it('refuses what it cannot do', () => {
    expect(() => runFlat({ code: [0xf4], at: AT, mode: 'protected', registers: { eax: 1 } as never })).toThrow(/nothing is named eax/);
    expect(() => runFlat({ code: [0xf4], at: 0x1_0000_0000n, mode: 'protected' })).toThrow(/below 4 GiB/);
    expect(() => runFlat({ code: [0xf4], at: AT, mode: 'long', memory: [0xfd00_0000, 0xfb00_0000, 0x7d00_0000, 0x3d00_0000].map((at) => ({ at, bytes: 1 })) })).toThrow(/no room for tables/);
    expect(() => runFlat({ code: [0xf4], at: AT, mode: 'long', registers: { ds: 0x77 } })).toThrow(/selector/);
    expect(() => runFlat({ code: [0xf4], at: AT, mode: 'real', ring: 3 })).toThrow(/ring/);
    expect(() => runFlat({ code: [0xf4], at: AT, mode: 'long', memory: [{ at: 0x2000_0000, bytes: 64 << 20 }] })).toThrow(/at most/);
  });
});
