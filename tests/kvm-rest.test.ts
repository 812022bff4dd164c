import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine, type MachineOptions } from '@vm/core';
import { prepareEntry } from '@vm/pc';
import { kvmEngine, type KvmVcpu } from '@vm/vcpu-kvm';
import { CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBX, RCX } from '@vm/x86';
import { describe, expect } from 'vitest';
import { itWithKvm, kvmHost } from './kvm-host.ts';

// With the kernel's interrupt chip a guest that halts or computes does not come out of KVM_RUN: the machine's thread sleeps until it does.

const { processor } = kvmHost();
const ENTRY = 0x10_0000, START = 0x6_0000, FIRST = 0x18_0000, SECOND = 0x7000, PORT = 0x60;
const [APIC, ICR, ICR_HIGH, SVR] = [0xfee0_0000, 0x300, 0x310, 0xf0];

/** Two processors count in RAM for ever. After each `period` of it, in loops of a kind that take long, the first one writes to a port: `seen`. */
async function counting(period: number, more: Partial<MachineOptions<KvmVcpu>> = {}): Promise<{ readonly machine: Machine<KvmVcpu>; readonly seen: () => number }> {
  const apic = (register: number) => mem(4, { base: RBX, displacement: register });
  const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX));
  for (const command of [0x4500, 0x4600 | (START >>> 12)]) code.mov(apic(ICR_HIGH), 1 << 24).mov(apic(ICR), command);
  code.mov(r32(RBX), FIRST).xor(r32(RAX), r32(RAX)).label('again').mov(r32(RCX), period).label('round').inc(r32(RAX)).mov(mem(4, { base: RBX }), r32(RAX)).dec(r32(RCX)).jcc(CONDITION_NE, 'round').out(PORT, r8(RAX)).jmp('again');
  const second = createAssembler(16, { origin: START }).mov(r16(RBX), SECOND).xor(r16(RAX), r16(RAX)).label('round').inc(r16(RAX)).mov(mem(2, { base: RBX }), r16(RAX)).jmp('round').bytes();
  let writes = 0;
  const port: DeviceModule<void, 'pio'> = {
    manifest: { abi: 1, id: 'test.port', version: '1.0.0', state: 0, needs: ['pio'] },
    create: ({ pio }) => (pio.claim('port', 1, { read: () => 0, write: () => void writes++ }, [1]).map(PORT), {}),
  };
  const machine = await createMachine<KvmVcpu>({
    engine: kvmEngine({ ...processor, threads: true, interruptChip: 'kernel' }), processors: 2, ramBytes: 2 << 20, devices: [device('port', port)], interrupts: (services) => createApicFabric(services, { processors: 2, bus: new ApicBus() }),
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code.bytes());
      memory.copyIn(START, second);
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
    ...more,
  });
  return { machine, seen: () => writes };
}
const counters = ({ memory }: Machine<KvmVcpu>): readonly [number, number] => [memory.read(FIRST, 4), memory.read(SECOND, 2)];
const kicks = ({ vcpus }: Machine<KvmVcpu>): number => vcpus.reduce((sum, vcpu) => sum + (new Map(vcpu.counts()).get('kicks') ?? 0), 0);
const slices = ({ counters: all }: Machine<KvmVcpu>): number => Number(all.read()['loop.slices']);
/** The event loop stands still between two looks. */
const until = async (isSo: () => boolean): Promise<void> => { while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20)); };

const goesOn = async (machine: Machine<KvmVcpu>): Promise<void> => {
  const begun = counters(machine);
  await until(() => counters(machine).every((count, i) => count !== begun[i]));
};

describe('a machine whose guests are quiet', () => {
  itWithKvm('long', 'is looked at when they are taken out, and not all the time', async () => {
    const { machine } = await counting(-1);
    await using _ = machine;
    await machine.powerUp();
    await until(() => counters(machine).every((count) => count > 0));
    const before = [kicks(machine), slices(machine)] as const;
    await until(() => kicks(machine) >= before[0] + 20); // ten a second, of each of two
    expect(slices(machine) - before[1]).toBeLessThan(160); // 47 have been seen, and 395 without rest; on a slow host there are fewer
  }, 60_000);

  itWithKvm('long', 'hears of an exit that comes to its sleep, again and again', async () => {
    const { machine, seen } = await counting(3000);
    await using _ = machine;
    await machine.powerUp();
    await until(() => seen() >= 100);
    expect(machine.phase).toBe('running');
  }, 60_000);

  itWithKvm('long', 'stands still when it is asked to, goes on, and is saved as one whose processors run', async () => {
    const saved: Uint8Array[] = [];
    {
      const { machine } = await counting(-1);
      await using _ = machine;
      await machine.powerUp();
      await goesOn(machine);
      for (let turn = 0; turn < 5; turn++) {
        await machine.pause();
        const at = counters(machine);
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(counters(machine)).toEqual(at);
        await machine.resume();
        await goesOn(machine);
      }
      await machine.save((piece) => void saved.push(piece)); // out of its sleep
      await goesOn(machine);
    }
    const { machine } = await counting(-1, { restore: { bytes: Buffer.concat(saved) } });
    await using _ = machine;
    await machine.powerUp();
    await goesOn(machine);
  }, 60_000);

  itWithKvm('long', 'keeps its process while it sleeps, and not when it stands still', () => {
    const script = `
      import { ApicBus, createApicFabric } from '@vm/apic';
      import { createMachine } from '@vm/core';
      import { prepareEntry } from '@vm/pc';
      import { kvmEngine } from '@vm/vcpu-kvm';
      const machine = await createMachine({
        engine: kvmEngine(${JSON.stringify({ ...processor, threads: true, interruptChip: 'kernel' })}), ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [],
        load: ({ memory, vcpu }) => { memory.copyIn(${ENTRY}, Uint8Array.of(0xeb, 0xfe)); vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ${ENTRY} })); },
      });
      await machine.powerUp();
      setTimeout(async () => { await machine.pause(); console.log('paused'); }, 500).unref();
    `;
    const { status, signal, stdout } = spawnSync(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8', timeout: 60_000 });
    expect([status, signal, stdout]).toEqual([0, null, 'paused\n']);
  }, 90_000);
});
