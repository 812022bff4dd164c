/**
 * Random programs that read and write through two address spaces, edit the page tables of both, and say so as they should: they find
 * the same whatever keeps translations, interpreted and translated. Seeds are printed.
 */
import { createHash } from 'node:crypto';
import { control, createAssembler, EFER_NXE, mem, r64, RAX, RBX, RCX, RDI, RSI } from '@vm/x86';
import { expect, it } from 'vitest';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';
import { SHADOW_MODES } from './shadow-mode.ts';
import type { ShadowMode } from './shadow-mode.ts';
import type { TranslatorMode } from './translate/translator-mode.ts';

const CODE = 0x9_0000;
const ROOTS = [0x2000, 0x6000] as const, DIRECTORIES = [0x4000, 0x8000] as const, TABLES = [0xa000, 0xb000] as const;
const SMALL = 0x40_0000, LARGE = 0x60_0000; // 4 KiB pages, and a large page
const PAGES = 48;
const FRAMES = 0x20_0000;
const LARGE_FRAMES = [0x20_0000, 0x40_0000] as const;
const RIGHTS = 7, LARGE_RIGHTS = 0x87;
/** Accessed and dirty already: generated code takes such an entry without asking. */
const USED = 0x60;
const rightsOf = (seed: number): number => (seed % 2 === 0 ? RIGHTS : RIGHTS | USED);
const OPERATIONS = 160, TURNS = 5;
const R8 = 8, R12 = 12;
const SEEDS = Number(process.env['VM_SEEDS'] ?? 6), FIRST = Number(process.env['VM_SEED'] ?? 1);

function program(seed: number): Uint8Array {
  const random = new Random(seed);
  const rights = rightsOf(seed);
  const below = (count: number): number => random.below(count);
  const code = createAssembler(64, { origin: CODE }).mov(r64(R8), seed).mov(r64(R12), TURNS).label('turn');
  let space = 0;
  const use = (next: number): void => {
    code.mov(r64(RAX), ROOTS[next] as number).mov(control(3), r64(RAX));
    space = next;
  };
  const page = (): number => below(PAGES) * 4096;
  const anywhere = (): number => (below(4) === 0 ? LARGE + below(512) * 4096 : SMALL + page()) + below(500) * 8 + (below(16) === 0 ? 3 : 0);
  for (let i = 0; i < OPERATIONS; i++) {
    const kind = below(20);
    if (kind < 6) code.mov(r64(RBX), anywhere()).mov(r64(RAX), mem(8, { base: RBX })).add(r64(R8), r64(RAX));
    else if (kind < 10) code.mov(r64(RBX), anywhere()).mov(mem(8, { base: RBX }), r64(R8));
    else if (kind < 12) code.mov(r64(RBX), anywhere()).add(mem(8, { base: RBX }), r64(R8));
    else if (kind === 12) code.mov(r64(RSI), SMALL + page() / 2).mov(r64(RDI), SMALL + (PAGES / 2) * 4096 + page() / 4).mov(r64(RCX), 1 + below(6000)).rep().size(1).movs();
    else if (kind < 15) use(1 - space);
    else if (kind < 18) {
      const at = below(PAGES), of = below(2);
      code.mov(r64(RBX), (TABLES[of] as number) + at * 8).mov(r64(RAX), (FRAMES + page()) | rights).mov(mem(8, { base: RBX }), r64(RAX));
      if (of === space) {
        if (below(4) === 0) use(space);
        else code.mov(r64(RBX), SMALL + at * 4096).invlpg(mem(1, { base: RBX }));
      }
    } else if (kind === 18) {
      code.mov(r64(RBX), (DIRECTORIES[space] as number) + 3 * 8).mov(r64(RAX), (LARGE_FRAMES[below(2)] as number) | LARGE_RIGHTS | (rights & USED)).mov(mem(8, { base: RBX }), r64(RAX));
      code.mov(r64(RBX), LARGE + below(512) * 4096).invlpg(mem(1, { base: RBX }));
    } else code.mov(r64(RBX), (TABLES[below(2)] as number) + below(PAGES) * 8).mov(r64(RAX), mem(8, { base: RBX })).add(r64(R8), r64(RAX)); // accessed, dirty
  }
  use(0);
  return code.sub(r64(R12), 1).jcc(5, 'turn').hlt().bytes();
}

function run(seed: number, code: Uint8Array, shadow: ShadowMode, translator: TranslatorMode): { readonly seen: unknown; readonly refills: number } {
  const machine = new FlatMachine('long', { ramBytes: 8 << 20, processor: { shadow, translator, auditShadow: true } });
  machine.entry = { ...machine.entry, efer: machine.entry.efer | EFER_NXE }; // without it generated code does not walk
  const { view } = machine;
  view.setUint32(ROOTS[1], 0x7000 | RIGHTS, true);
  view.setUint32(0x7000, DIRECTORIES[1] | RIGHTS, true);
  for (let i = 0; i < 512; i++) view.setUint32(DIRECTORIES[1] + i * 8, (i * 0x20_0000) | LARGE_RIGHTS, true);
  DIRECTORIES.forEach((directory, i) => {
    view.setUint32(directory + 2 * 8, (TABLES[i] as number) | rightsOf(seed), true);
    view.setUint32(directory + 3 * 8, LARGE_FRAMES[0] | LARGE_RIGHTS | (rightsOf(seed) & USED), true);
    for (let page = 0; page < PAGES; page++) view.setUint32((TABLES[i] as number) + page * 8, (FRAMES + ((page * 7 + i) % PAGES) * 4096) | rightsOf(seed), true);
  });
  machine.put(CODE, code);
  machine.enter(CODE);
  expect(machine.run(10_000_000)).toBe(true);
  const memory = createHash('sha256').update(machine.bytes).digest('hex');
  return { seen: [machine.gpr(R8), machine.vcpu.retired, memory], refills: new Map(machine.vcpu.counts()).get('tlb.refills') ?? 0 };
}

it(`a program finds the same in memory whatever keeps translations, seeds ${FIRST} to ${FIRST + SEEDS - 1}`, () => {
  let refills = 0;
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const code = program(seed);
    const expected = run(seed, code, 'off', 'off').seen;
    for (const translator of ['off', 'eager'] as const) {
      for (const shadow of SHADOW_MODES) {
        const found = run(seed, code, shadow, translator);
        expect([seed, shadow, translator, found.seen]).toEqual([seed, shadow, translator, expected]);
        refills += found.refills;
      }
    }
  }
  expect(refills).toBeGreaterThan(1000 * SEEDS);
});
