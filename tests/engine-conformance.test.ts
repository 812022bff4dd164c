import { ENGINE_PROGRAMS, type EngineMode, type EngineProgram, firstParting, recordProgram } from '@vm/testkit';
import { kvmEngine } from '@vm/vcpu-kvm';
import { wasmEngine } from '@vm/vcpu-wasm';
import { describe, expect, it } from 'vitest';
import { itWithKvm, kvmHost } from './kvm-host.ts';

const { probe, processor } = kvmHost();
/** What the software engine does, interpreted. */
const software = new Map<string, Promise<readonly string[]>>();
function recordOf(program: EngineProgram, mode: EngineMode): Promise<readonly string[]> {
  const name = `${program.name}: ${mode}`;
  const record = software.get(name) ?? recordProgram(wasmEngine({ ...processor, translator: 'off' }), program, mode);
  software.set(name, record);
  return record;
}
const CASES = ENGINE_PROGRAMS.flatMap((program) => program.modes.map((mode) => ({ program, mode })));

describe('the programs that engines are compared with', () => {
  it('run to their ends, interpreted and translated alike', async () => {
    for (const { program, mode } of CASES) {
      const interpreted = await recordOf(program, mode);
      expect([program.name, mode, interpreted.includes('stopped: power-off')]).toEqual([program.name, mode, true]);
      if (mode !== 'long') continue;
      const translated = await recordProgram(wasmEngine({ ...processor, translator: 'eager' }), program, mode);
      expect([program.name, mode, firstParting(interpreted, translated)]).toEqual([program.name, mode, null]);
    }
  });
  it('part where they should', () => {
    expect([firstParting(['a', 'b'], ['a', 'b']), firstParting(['a', 'b'], ['a', 'c']), firstParting(['a'], ['a', 'c'])]).toEqual([null, 'line 2: "b" and "c", after ["a"]', 'line 2: "nothing" and "c", after ["a"]']);
  });
});

describe('KVM and the software engine, exit by exit', () => {
  for (const mode of ['real', 'protected', 'paging', 'pae', 'long'] as const) {
    // A KVM that is itself in a virtual machine may interpret, and knows few instructions then.
    const mine = CASES.filter((one) => one.mode === mode && (probe.usable || !one.program.native.includes(mode)));
    itWithKvm(mode, `are the same in ${mine.length} programs, ${mode} mode`, async () => {
      for (const { program } of mine) {
        const kvm = await recordProgram(kvmEngine(processor), program, mode);
        expect([program.name, firstParting(await recordOf(program, mode), kvm)]).toEqual([program.name, null]);
      }
    });
  }
});
