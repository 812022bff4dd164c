/** Code in a segment that begins anywhere: misses of fetches are answered for linear addresses, and the instruction pointer stays one of the segment. */
import { CONDITION_NE, control, CR0_PG, CR4_PSE, createAssembler, r32, RAX, RBX, RCX, RDX } from '@vm/x86';
import { expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { CODE_32, SELECTOR_CODE } from './flat-tables.ts';

const CODE = 0x1_0000, DIRECTORY = 0x2000, STACK = 0x2_0000;
const LARGE_PAGE = 0x87;
const TURNS = 50;
const RSP = 4;

it.each([0, 0x1000, 0x1234, 0xffff_0ff8].flatMap((base) => (['off', 'eager'] as const).map((translator) => [base, translator] as const)))('base %i, translator %s', (base, translator) => {
  const machine = new FlatMachine('protected', { processor: { translator } });
  const { view, vcpu } = machine;
  view.setUint32(DIRECTORY, LARGE_PAGE, true);
  // A turn goes through both pages, and every turn forgets all translations.
  const code = createAssembler(32).label('turn').mov(r32(RAX), control(3)).mov(control(3), r32(RAX)).add(r32(RBX), 1).call('other').add(r32(RDX), r32(RAX)).dec(r32(RCX)).jcc(CONDITION_NE, 'turn').hlt();
  machine.put(CODE, code.align(0x1000, 0x90).label('other').pop(r32(RAX)).push(r32(RAX)).ret().bytes());
  machine.entry = { ...machine.entry, cr0: (machine.entry.cr0 | CR0_PG) >>> 0, cr3: DIRECTORY, cr4: machine.entry.cr4 | CR4_PSE };
  machine.enter((CODE - base) >>> 0);
  vcpu.segments.setSegment(state.CS, SELECTOR_CODE, CODE_32, base, 0, 0xffff_ffff);
  machine.setGpr(RCX, BigInt(TURNS));
  machine.setGpr(RSP, BigInt(STACK));
  expect(machine.run()).toBe(true);
  expect(Number(machine.gpr(RBX))).toBe(TURNS);
  // Where the calls come back to, as the segment has it.
  const back = CODE + 3 + 3 + 3 + 5 - base;
  expect(machine.gpr(RDX)).toBe(BigInt.asUintN(32, BigInt(back) * BigInt(TURNS)));
  if (vcpu.memory.shadow === null) expect(vcpu.state.number(state.SHADOW_FETCHES)).toBeGreaterThan(TURNS);
});
