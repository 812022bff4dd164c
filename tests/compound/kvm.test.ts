/** Under KVM, with blocks behind exits and without: what programs and their devices see is the same. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect } from 'vitest';
import type { CompoundOptions } from '@vm/trap-compound';
import { Random } from '../../packages/vcpu-wasm/src/native/random.ts';
import { createAssembler, mem, r32, RAX, RBX, RCX, RSI } from '@vm/x86';
import { itWithKvm, kvmHost } from '../kvm-host.ts';
import { type KvmMode, KvmTrapMachine, type SeenUnderKvm } from './kvm-machine.ts';
import { kvmHandlers, writeKvmProgram } from './kvm-traps.ts';
import { PORTS } from './queued-device.ts';
import { ENTRY } from './random-traps.ts';

const SEED = Number(process.env['VM_SEED'] ?? 1);
const PROGRAMS = Number(process.env['VM_PROGRAMS'] ?? (process.env['VM_LONG'] === undefined ? 40 : 1500)); // in each mode
const { processor } = kvmHost();
const SHORT = 1; // as short as runs can be
/** What is compared with accesses one by one. `saved`: after each run the processor goes on with its own saved state. */
interface Way { readonly compound: CompoundOptions; readonly lists?: boolean; readonly instructions?: number; readonly saved?: boolean }
const WAYS: readonly Way[] = [
  { compound: { policy: 'fixed' } }, { compound: { policy: 'fixed', window: 5, gap: 1 } }, { compound: { policy: 'adaptive' } }, { compound: { policy: 'fixed' }, lists: true }, { compound: { policy: 'fixed', accesses: 3 }, lists: true, instructions: SHORT },
  { compound: { policy: 'fixed' }, instructions: SHORT, saved: true },
];
const FOREVER = 1e9;
/** A KVM that is itself interrupted takes an interrupt an instruction later now and then, without any block: a run is compared with several. */
const MOST_RUNS = 20;

describe.each(['real', 'protected', 'long'] as const satisfies readonly KvmMode[])(`random programs in %s mode, VM_SEED=${SEED}`, (mode) => {
  itWithKvm(mode, 'CMP-01 CMP-05 CMP-08 CMP-09 CMP-10 CMP-12 CMP-13 CMP-14: with blocks and without, registers, memory and accesses are the same', async () => {
    await using singly = await KvmTrapMachine.create(processor, null);
    const machines = await Promise.all(WAYS.map(({ compound, lists }) => KvmTrapMachine.create(processor, compound, lists)));
    const handlers = kvmHandlers(mode);
    const run = (machine: KvmTrapMachine, program: Uint8Array, instructions: number, saved: boolean): SeenUnderKvm =>
      machine.run(program, mode, handlers, instructions, (vcpu) => { if (saved) vcpu.load(vcpu.save(), false); });
    const random = new Random(SEED * 8 + ['real', 'protected', 'long'].indexOf(mode));
    for (let number = 0; number < PROGRAMS; number++) {
      const program = writeKvmProgram(random, mode);
      const expected = [singly.run(program, mode, handlers, FOREVER)];
      expect(expected[0]!.ended, `program ${number}`).toBe(true);
      for (const [i, { instructions = FOREVER, saved = false }] of WAYS.entries()) {
        let seen = run(machines[i]!, program, instructions, saved);
        for (let again = 0; again < MOST_RUNS && !expected.some((one) => isDeepStrictEqual(one, seen)); again++) {
          expected.push(singly.run(program, mode, handlers, FOREVER));
          seen = run(machines[i]!, program, instructions, saved);
        }
        if (!expected.some((one) => isDeepStrictEqual(one, seen))) expect(seen, `program ${number}, ${JSON.stringify(WAYS[i])}`).toEqual(expected[0]);
      }
    }
    expect(machines[0]!.blocks).toBeGreaterThan(PROGRAMS);
    expect(machines[1]!.blocks).toBeGreaterThan(machines[0]!.blocks);
    if (mode !== 'protected') expect(machines[3]!.takenBack).toBeGreaterThan(0); // by a line in the middle of a list
    for (const machine of machines) await machine[Symbol.asyncDispose]();
  }, 3600_000);
});

describe('a block of a lent processor', () => {
  const compare = async (write: (code: ReturnType<typeof createAssembler>, tables: number) => void): Promise<{ readonly blocks: number; readonly spared: number; readonly trace: readonly string[] }> => {
    await using singly = await KvmTrapMachine.create(processor, null);
    await using compounded = await KvmTrapMachine.create(processor, { policy: 'fixed' });
    const run = (machine: KvmTrapMachine) => {
      const code = createAssembler(64, { origin: ENTRY });
      write(code, machine.directory());
      return machine.run(code.hlt().bytes(), 'long', kvmHandlers('long'), FOREVER);
    };
    const [expected, seen] = [run(singly), run(compounded)];
    expect(seen).toEqual(expected);
    const counts = new Map(compounded.machine.vcpu.counts());
    return { blocks: counts.get('compound.blocks') ?? 0, spared: counts.get('compound.spared') ?? 0, trace: seen.trace };
  };

  itWithKvm('long', 'CMP-07: walks page tables as they are now, and leaves accessed and dirty bits to the processor', async () => {
    const { spared, trace } = await compare((code, directory) => {
      code.mov(r32(RBX), directory).mov(r32(RSI), 0x20_0000).mov(mem(4, { base: RSI, displacement: 0x500 }), 0x22);
      for (let i = 0; i < 8; i++) {
        // The second 2 MiB are now the first, now themselves; each second time nobody has been there before.
        const bits = i % 4 < 2 ? 0xe3 : 0x83;
        code.mov(mem(4, { base: RBX, displacement: 8 }), (i % 2 === 0 ? 0 : 0x20_0000) | bits).invlpg(mem(1, { base: RSI })).out(PORTS, r32(RAX));
        code.mov(r32(RAX), mem(4, { base: RSI, displacement: 0x500 })).out(PORTS, r32(RAX)).mov(mem(4, { base: RSI, displacement: 0x504 }), r32(RAX)).out(PORTS, r32(RAX));
        code.mov(r32(RCX), mem(4, { base: RBX, displacement: 8 })).mov(r32(RAX), r32(RCX)).out(PORTS, r32(RAX));
      }
      code.mov(mem(4, { base: RBX, displacement: 8 }), 0x20_00e3).invlpg(mem(1, { base: RSI }));
    });
    expect(spared).toBeGreaterThan(8);
    expect(trace.filter((line) => line.endsWith(` ${0x22}`)).length).toBeGreaterThan(4);
  });

  itWithKvm('long', 'CMP-15: ends before whatever needs registers that it has not been given, or begins a shadow', async () => {
    const others: readonly ((code: ReturnType<typeof createAssembler>) => unknown)[] = [
      (code) => code.cpuid(), (code) => code.op('fninit'), (code) => code.sti(), (code) => code.cli().sti(), (code) => code.op('clts'), (code) => code.invlpg(mem(1, { base: RSI })),
    ];
    const { blocks, spared } = await compare((code) => {
      code.mov(r32(RSI), 0x20_0000);
      for (const other of others) {
        code.mov(r32(RAX), 1).mov(r32(RCX), 0).out(PORTS, r32(RAX));
        other(code);
        code.mov(r32(RAX), 2).out(PORTS, r32(RAX)).out(PORTS, r32(RAX)).cli();
      }
    });
    expect(blocks).toBeGreaterThan(others.length);
    expect(spared).toBe(others.length + 5);
  });
});
