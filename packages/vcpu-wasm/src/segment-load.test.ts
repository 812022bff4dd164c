/** MOV and POP into data segment registers in generated code against `Segmentation.load`, with descriptors and selectors of all kinds. */
import { describe, expect, it } from 'vitest';
import * as state from './cpu-state.ts';
import { FlatMachine } from './flat-machine.ts';
import { Random } from './native/random.ts';

const AT = 0x8000, TABLE = 0x9000, STACK = 0x2_0000;
const RAX = 0, RSP = 4;
const SEED = Number(process.env['VM_SEED'] ?? 1);
const ROUNDS = 3000;
const DATA = 0x00cf_9300, CODE = 0x00cf_9b00, USER = 0x6000;
/** High halves of descriptors, the first of them in the place that null selectors name. */
const DESCRIPTORS = [
  DATA, DATA, CODE, DATA | USER, CODE | USER, 0x7fcf_9342, DATA & ~0x8000, DATA & ~0x100, DATA & ~0x200, DATA | 0x400, CODE | 0x600, DATA & ~0x80_0000, DATA & ~0x1000,
  DATA & ~0x1_0000, 0x01cf_f300, DATA & ~0x40_0000, 0x00cf_b300, 0x008f_8200, CODE & ~0x200,
];
const FORMS = [
  ['MOV ES', state.ES, [0x8e, 0xc0]], ['MOV DS', state.DS, [0x8e, 0xd8]], ['MOV FS', state.FS, [0x8e, 0xe0]], ['MOV GS', state.GS, [0x8e, 0xe8]],
  ['POP ES', state.ES, [0x07]], ['POP DS', state.DS, [0x1f]], ['POP FS', state.FS, [0x0f, 0xa1]], ['POP GS of 16 bits', state.GS, [0x66, 0x0f, 0xa9]],
] as const;

function prepare(machine: FlatMachine, bytes: readonly number[], random: Random): number {
  const { vcpu, view } = machine;
  machine.put(AT, bytes);
  machine.enter(AT);
  DESCRIPTORS.forEach((high, i) => {
    view.setUint32(TABLE + i * 8, random.once(6) ? random.next() : 0xffff, true);
    view.setUint32(TABLE + i * 8 + 4, high, true);
  });
  vcpu.state.set64(state.GDTR_BASE, TABLE, 0);
  vcpu.state.set(state.GDTR_LIMIT, DESCRIPTORS.length * 8 - (random.once(8) ? 60 : 1));
  const selector = random.once(8) ? random.next() & 0xffff : random.below(DESCRIPTORS.length + 1) * 8 + (random.once(2) ? 0 : random.below(4)) + (random.once(8) ? 4 : 0);
  machine.setGpr(RAX, BigInt(selector));
  machine.setGpr(RSP, BigInt(STACK));
  view.setUint32(STACK, (random.next() & 0xffff_0000) | selector, true);
  for (const segment of [state.ES, state.DS, state.FS, state.GS]) vcpu.segments.restore(segment, [0x08, DATA & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
  if (random.once(8)) {
    vcpu.segments.restore(state.SS, [0x2b, (DATA | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    vcpu.segments.restore(state.CS, [0x23, (CODE | USER) & 0x00f0_ff00, 0, 0, 0xffff_ffff]);
    vcpu.segments.setCpl(3);
  }
  return selector;
}
function segmentsOf({ vcpu: { state: s } }: FlatMachine): string {
  const part = (from: number, to: number): string => Buffer.from(s.u8.buffer, s.at + from, to - from).toString('hex');
  return [part(state.SEGMENT_BASE, state.FLAG_RESULT), part(state.STACK_MASK, state.CPL), part(state.SEGMENT, state.CR0), s.get(state.FLAT)].join(' ');
}

describe.each(FORMS)('%s', (name, segment, bytes) => {
  it(`loads what Segmentation.load does, seed ${SEED}`, () => {
    const [generated, written] = [new FlatMachine('protected'), new FlatMachine('protected')];
    let loads = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const selector = [generated, written].map((machine) => prepare(machine, bytes, new Random(SEED * ROUNDS + round)))[0] as number;
      const before = segmentsOf(generated);
      const faults = generated.vcpu.exceptions.reduce((sum, count) => sum + count, 0);
      generated.vcpu.run(1);
      const faulted = generated.vcpu.exceptions.reduce((sum, count) => sum + count, 0) > faults;
      let refused = false;
      try {
        written.vcpu.segments.load(segment, selector);
      } catch {
        refused = true;
      }
      expect([round, faulted]).toEqual([round, refused]);
      if (refused) { if (generated.vcpu.state.get(state.RIP) === AT) expect([round, segmentsOf(generated)]).toEqual([round, before]); continue; }
      loads++;
      expect([round, segmentsOf(generated), generated.gpr(RSP)]).toEqual([round, segmentsOf(written), BigInt(STACK + (name.startsWith('POP') ? (bytes[0] === 0x66 ? 2 : 4) : 0))]);
      expect(Buffer.from(generated.bytes.buffer, generated.bytes.byteOffset + TABLE, DESCRIPTORS.length * 8).equals(Buffer.from(written.bytes.buffer, written.bytes.byteOffset + TABLE, DESCRIPTORS.length * 8))).toBe(true);
    }
    const asked = new Map(generated.vcpu.counts()).get(name.startsWith('POP') ? 'system.pop_segment' : 'system.load_segment') ?? 0;
    expect(loads).toBeGreaterThan(ROUNDS / 5);
    expect(ROUNDS - asked).toBeGreaterThan(loads / 8);
  });
});
