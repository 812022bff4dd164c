/** Guests that make it as hard as they can for the translator: it stays right, and nothing grows. */
import { CONDITION_E, CONDITION_NE, createAssembler, EFER_NXE, mem, r32, r64, RAX, RBX, RCX, RDX, RSI } from '@vm/x86';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { FlatMachine } from '../flat-machine.ts';
import { readState } from '../flat-state.ts';
import type { TranslatorMode } from './translator-mode.ts';

const PAGE = 0x1_0000;
const PAGES = 30;
const STRIDE = 0x2000;
const SMALL = { codePages: 4, codeBytes: 0x1_0000 };
/** Slots that both interpreters' tables have got. */
const grown = (): number => spy.mock.results.length;
let spy = vi.spyOn(WebAssembly.Table.prototype, 'grow');
afterEach(() => { spy.mockRestore(); });

const count = (machine: FlatMachine, name: string): number => new Map(machine.vcpu.counts()).get(`translator.${name}`) ?? 0;

/** Pages of code, each of which loops a little, adds its number and jumps to the next; `turns` times. */
function manyPages(translator: TranslatorMode, turns: bigint, processor: { readonly translatedBytes?: number } | null = null): FlatMachine {
  const machine = new FlatMachine('long', processor === null ? { code: SMALL, processor: { translator } } : { processor: { translator, ...processor } });
  for (let page = 0; page < PAGES; page++) {
    const at = PAGE + page * STRIDE;
    const code = createAssembler(64, { origin: at }).mov(r32(RDX), 3).label('again').add(r32(RAX), page).dec(r32(RDX)).jcc(CONDITION_NE, 'again');
    if (page < PAGES - 1) code.mov(r64(RBX), at + STRIDE).jmp(r64(RBX));
    else code.dec(r32(RCX)).mov(r64(RBX), PAGE).jcc(CONDITION_E, 'end').jmp(r64(RBX)).label('end').hlt();
    machine.put(at, code.bytes());
  }
  // With NXE generated code answers misses of fetches, by what it remembers of decoded pages.
  machine.entry = { ...machine.entry, efer: machine.entry.efer | EFER_NXE };
  machine.enter(PAGE);
  machine.setGpr(RCX, turns);
  return machine;
}

describe('a guest with more code than there is room for', () => {
  it('runs as if there were enough, and what is dropped is used again', () => {
    spy = vi.spyOn(WebAssembly.Table.prototype, 'grow');
    const interpreted = manyPages('off', 20n);
    const translated = manyPages('eager', 20n);
    for (const machine of [interpreted, translated]) while (!machine.run(777)) expect(machine.vcpu.retired).toBeLessThan(100_000);
    expect(readState(translated.vcpu)).toEqual(readState(interpreted.vcpu));
    expect(translated.gpr(RAX)).toBe(BigInt((20 * 3 * PAGES * (PAGES - 1)) / 2));
    expect(translated.vcpu.retired).toBe(interpreted.vcpu.retired);
    expect(translated.vcpu.code.flushes).toBeGreaterThan(50);
    expect(count(translated, 'regions')).toBeGreaterThan(200);
    expect(count(translated, 'executed')).toBeGreaterThan(1000);
    expect(grown()).toBeLessThan(100);
  });
});

/** A loop of many branches runs `inner` times, then it changes an instruction of itself; `turns` times. */
function patchesItself(translator: TranslatorMode, turns: number, inner: number): FlatMachine {
  const machine = new FlatMachine('long', { processor: { translator } });
  const write = (patched: number): { readonly bytes: Uint8Array; readonly constant: number } => {
    const code = createAssembler(64, { origin: PAGE }).label('outer').mov(r32(RCX), inner).label('loop');
    for (let i = 0; i < 12; i++) code.add(r32(RAX), i).test(r32(RAX), 1 << i).jcc(CONDITION_E, `skip ${i}`).xor(r32(RDX), r32(RAX)).label(`skip ${i}`);
    const constant = PAGE + code.offset() + 2;
    code.data(0x81, 0xc2, 1, 0, 0, 0).dec(r32(RCX)).jcc(CONDITION_NE, 'loop'); // add edx, imm32
    code.mov(r64(RBX), patched).mov(mem(4, { base: RBX }), r32(RDX)).dec(r32(RSI)).jcc(CONDITION_NE, 'outer').hlt();
    return { bytes: code.bytes(), constant };
  };
  machine.put(PAGE, write(write(PAGE).constant).bytes);
  machine.enter(PAGE);
  machine.setGpr(RSI, BigInt(turns));
  return machine;
}

describe('a guest that writes its code anew again and again', () => {
  it.each(['eager', 'on'] as const)('runs right, translated: %s', (mode) => {
    spy = vi.spyOn(WebAssembly.Table.prototype, 'grow');
    const turns = mode === 'on' ? 40 : 120;
    const inner = mode === 'on' ? 6000 : 40;
    const interpreted = patchesItself('off', turns, inner);
    const translated = patchesItself(mode, turns, inner);
    for (const machine of [interpreted, translated]) expect(machine.run(50_000_000)).toBe(true);
    expect(readState(translated.vcpu)).toEqual(readState(interpreted.vcpu));
    expect(translated.vcpu.retired).toBe(interpreted.vcpu.retired);
    expect(count(translated, 'regions')).toBeGreaterThan(8);
    expect(grown()).toBeLessThan(100);
  });

  it('is left to the interpreter after a while, unless everything has to be translated', () => {
    const once = patchesItself('on', 20, 6000);
    const often = patchesItself('on', 40, 6000);
    for (const machine of [once, often]) expect(machine.run(50_000_000)).toBe(true);
    expect(count(once, 'regions')).toBeGreaterThan(8);
    expect(count(often, 'regions')).toBe(count(once, 'regions'));
    const all = patchesItself('eager', 40, 100);
    expect(all.run(50_000_000)).toBe(true);
    expect(count(all, 'executed')).toBeGreaterThan(all.vcpu.retired * 0.9);
  });
});

describe('a guest with more hot code than may be translated', () => {
  it('runs as if there were no limit, the oldest regions going first', () => {
    const LIMIT = 0x1_0000;
    const machines = (['off', 'eager'] as const).map((translator) => manyPages(translator, 400n, { translatedBytes: LIMIT }));
    for (const machine of machines) while (!machine.run(777)) expect(machine.vcpu.retired).toBeLessThan(1_000_000);
    const [interpreted, translated] = machines as [FlatMachine, FlatMachine];
    expect(readState(translated.vcpu)).toEqual(readState(interpreted.vcpu));
    expect(count(translated, 'evictions')).toBeGreaterThan(5);
    expect(count(translated, 'bytesLive')).toBeLessThan(LIMIT + 0x8000);
    // Each eviction leaves most of it in place.
    expect(count(translated, 'bytes') / count(translated, 'evictions')).toBeLessThan(LIMIT);
  });
});

/** Branches to the instruction behind them, taken and not, each after an addition; and a LOOP of that kind. */
function branchesToNext(translator: TranslatorMode, branches: number): FlatMachine {
  const machine = new FlatMachine('long', { processor: { translator } });
  const code = createAssembler(64, { origin: PAGE }).label('start');
  for (let i = 0; i < branches; i++) code.add(r32(RAX), i - 3).data(i % 5 === 4 ? 0xe2 : 0x74 + (i & 1), 0); // loop, jz, jnz
  machine.put(PAGE, code.dec(r32(RDX)).jcc(CONDITION_NE, 'start').hlt().bytes());
  machine.enter(PAGE);
  machine.setGpr(RCX, 1000n);
  machine.setGpr(RDX, 5n);
  return machine;
}

describe('a guest whose branches all lead to the next instruction', () => {
  it('gets code that grows with them and does not double with each', () => {
    const bytes = [8, 16].map((branches) => {
      const [translated, interpreted] = (['eager', 'off'] as const).map((mode) => branchesToNext(mode, branches)) as [FlatMachine, FlatMachine];
      for (const machine of [translated, interpreted]) while (!machine.run(50)) expect(machine.vcpu.retired).toBeLessThan(10_000);
      expect(readState(translated.vcpu)).toEqual(readState(interpreted.vcpu));
      expect(translated.vcpu.retired).toBe(interpreted.vcpu.retired);
      expect(count(translated, 'executed')).toBeGreaterThan(branches);
      return count(translated, 'bytes') / count(translated, 'regions');
    });
    expect(bytes[1]).toBeLessThan(3 * bytes[0]!);
  });
});
