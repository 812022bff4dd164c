import { CONDITION_NE, createAssembler, r32, r64, RAX, RBX, RCX, RDX } from '@vm/x86';
import { expect, it } from 'vitest';
import * as state from '../cpu-state.ts';
import { FlatMachine } from '../flat-machine.ts';
import { readState } from '../flat-state.ts';

const AT = 0x1_0000;
const OTHER = 0x1_1000;

it.each(['eager', 'on'] as const)('two processors run the same code as if nothing were translated: %s', (mode) => {
  const seen = (['off', mode] as const).map((translator) => {
    const machine = new FlatMachine('long', { processors: 2, processor: { translator } });
    const loop = createAssembler(64).label('outer');
    for (let i = 0; i < 10; i++) loop.add(r32(RAX), i + 1).test(r32(RAX), 1 << i).jcc(CONDITION_NE, `skip ${i}`).xor(r32(RDX), r32(RAX)).label(`skip ${i}`);
    machine.put(AT, loop.dec(r32(RCX)).jcc(CONDITION_NE, 'outer').hlt().bytes());
    machine.put(OTHER, createAssembler(64).label('again').add(r32(RAX), 1).dec(r32(RDX)).jcc(CONDITION_NE, 'again').mov(r32(RCX), 6000).mov(r32(RBX), AT).jmp(r64(RBX)).bytes());
    machine.vcpus.forEach((vcpu, i) => {
      vcpu.loadBootState({ ...machine.entry, rip: i === 0 ? AT : OTHER });
      vcpu.state.set64(state.GPR + RCX * 8, 6000, 0);
      vcpu.state.set64(state.GPR + RDX * 8, 3000, 0);
    });
    for (let slice = 0; slice < 120; slice++) for (const vcpu of machine.vcpus) vcpu.run(997 + slice);
    // The code that both have run changes under both.
    machine.put(AT + 2, [0x55]);
    for (let slice = 0; slice < 120; slice++) for (const vcpu of machine.vcpus) vcpu.run(2997 + slice);
    return machine.vcpus.map((vcpu) => ({ registers: readState(vcpu), retired: vcpu.retired }));
  });
  const [expected, found] = seen;
  found?.forEach(({ registers, retired }, i) => {
    expect({ i, registers, retired }).toEqual({ i, registers: expected?.[i]?.registers, retired: expected?.[i]?.retired });
  });
});
