import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';
import { ApicBus, type ApicFabric, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine, type MachineOptions } from '@vm/core';
import { EXIT_BUDGET, EXIT_HALT } from '@vm/core/exit';
import { prepareEntry } from '@vm/pc';
import { ENGINE_PROGRAMS, firstParting, recordProgram } from '@vm/testkit';
import { kvmEngine, type KvmVcpu } from '@vm/vcpu-kvm';
import { wasmEngine } from '@vm/vcpu-wasm';
import { CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBX, RCX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { itWithKvm, kvmHost } from './kvm-host.ts';

const { probe, processor } = kvmHost();
const ENTRY = 0x10_0000, START = 0x6_0000, FIRST = 0x18_0000, SECOND = 0x7000;
const [APIC, ICR, ICR_HIGH, SVR] = [0xfee0_0000, 0x300, 0x310, 0xf0];
const CYCLES = process.env['VM_LONG'] === '1' ? 1000 : 30;
const AT_ONCE = 10; // most of a cycle is the start of a thread, which all processors of the host can help with
const MOST_LEFT_BYTES = 256 * 2 ** 20; // what allocators may keep; a thread that stays has 5 MiB and more

/** Two processors, the second started by the first; each counts in RAM for ever. */
async function counting({ threads = true, restore }: { readonly threads?: boolean; readonly restore?: NonNullable<MachineOptions['restore']> } = {}): Promise<Machine<KvmVcpu>> {
  const apic = (register: number) => mem(4, { base: RBX, displacement: register });
  const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX));
  for (const command of [0x4500, 0x4600 | (START >>> 12)]) code.mov(apic(ICR_HIGH), 1 << 24).mov(apic(ICR), command);
  code.mov(r32(RBX), FIRST).xor(r32(RAX), r32(RAX)).label('round').inc(r32(RAX)).mov(mem(4, { base: RBX }), r32(RAX)).jmp('round');
  const second = createAssembler(16, { origin: START }).mov(r16(RBX), SECOND).xor(r16(RAX), r16(RAX)).label('round').inc(r16(RAX)).mov(mem(2, { base: RBX }), r16(RAX)).jmp('round').bytes();
  return createMachine<KvmVcpu>({
    engine: kvmEngine({ ...processor, threads }), processors: 2, ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 2, bus: new ApicBus() }), devices: [],
    ...(restore === undefined ? {} : { restore }),
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, code.bytes());
      memory.copyIn(START, second);
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
  });
}
const counters = ({ memory }: Machine<KvmVcpu>): readonly [number, number] => [memory.read(FIRST, 4), memory.read(SECOND, 2)];
const block = (milliseconds: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
const soon = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** In turn with the event loop, until it is so. */
async function until(isSo: () => boolean): Promise<void> { while (!isSo()) await soon(); }

describe('processors of KVM in threads', () => {
  for (const mode of ['real', 'protected', 'paging', 'pae', 'long'] as const) {
    itWithKvm(mode, `do what the software engine does, exit by exit, ${mode} mode`, async () => {
      for (const program of ENGINE_PROGRAMS.filter(({ modes, native }) => modes.includes(mode) && (probe.usable || !native.includes(mode)))) {
        const [software, threaded] = [await recordProgram(wasmEngine({ ...processor, translator: 'off' }), program, mode), await recordProgram(kvmEngine({ ...processor, threads: true }), program, mode)];
        expect([program.name, firstParting(software, threaded)]).toEqual([program.name, null]);
      }
    }, 120_000);
  }

  itWithKvm('long', 'run at the same time, and stand still when the machine does', async () => {
    await using machine = await counting();
    await machine.powerUp();
    await until(() => counters(machine).every((count) => count > 0));
    const before = counters(machine);
    block(300); // nobody serves anybody meanwhile: only threads can get on
    const after = counters(machine);
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    await machine.pause();
    const paused = counters(machine);
    block(100);
    expect(counters(machine)).toEqual(paused);
    await machine.resume();
    await until(() => counters(machine).every((count, i) => count !== paused[i]));
    expect(machine.vcpu.describe()).toMatch(/^at 10:/); // while it runs
    const asked = counters(machine);
    await until(() => counters(machine).every((count, i) => count !== asked[i]));
  }, 60_000);

  itWithKvm('long', 'are saved as they run, and go on from there in threads, and in turn in one', async () => {
    const saved: Uint8Array[] = [];
    let at: readonly [number, number] = [0, 0];
    {
      await using machine = await counting();
      await machine.powerUp();
      await until(() => counters(machine).every((count) => count > 1000));
      await machine.pause();
      at = counters(machine);
      await machine.save((piece) => void saved.push(piece));
    }
    for (const threads of [true, false]) {
      await using machine = await counting({ threads, restore: { bytes: Buffer.concat(saved) } });
      await machine.powerUp();
      await until(() => counters(machine).every((count, i) => count !== at[i]));
      expect(counters(machine)[0]).toBeGreaterThan(at[0]); // a processor without its registers would have begun at 0
    }
  }, 60_000);

  itWithKvm('long', `begin and end ${CYCLES} times, ${AT_ONCE} at once, without a descriptor, a mapping, a timer, a thread or memory left over`, async () => {
    const bytes = createAssembler(64, { origin: ENTRY }).mov(r32(RCX), 3).label('round').dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt().bytes();
    const memories = Array.from({ length: AT_ONCE }, () => new WebAssembly.Memory({ initial: 64, maximum: 64 }));
    const begin = (memory: WebAssembly.Memory): Promise<Machine<KvmVcpu>> => createMachine<KvmVcpu>({
      engine: kvmEngine({ ...processor, threads: true }), ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [], createMemory: () => memory,
    });
    const live = async (machine: Machine<KvmVcpu>): Promise<void> => {
      machine.memory.copyIn(ENTRY, bytes);
      machine.vcpu.loadBootState(prepareEntry(machine.memory, { bits: 64, rip: ENTRY }));
      let exit: number = EXIT_BUDGET;
      while (exit === EXIT_BUDGET) exit = machine.vcpu.run(1e6);
      expect(exit).toBe(EXIT_HALT);
      machine.vcpu.reset();
      await machine.powerUp();
      await machine[Symbol.asyncDispose]();
    };
    const lives = async (): Promise<void> => { for (const machine of await Promise.all(memories.map(begin))) await live(machine); };
    const maps = (): number => readFileSync('/proc/self/maps', 'utf8').split('\n').filter((line) => line.includes('kvm')).length;
    const timers = (): number => readFileSync('/proc/self/timers', 'utf8').split('\n').filter((line) => line.startsWith('ID:')).length;
    const tasks = (): number => readdirSync('/proc/self/task').length;
    const counts = (): readonly number[] => [readdirSync('/proc/self/fd').length, maps(), timers()];
    const resident = (): number => {
      collect();
      return process.memoryUsage.rss();
    };
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let i = 0; i < 3; i++) await lives();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const [before, threads, residentBefore] = [counts(), tasks(), resident()];
    for (let i = 0; i < CYCLES; i += AT_ONCE) await lives();
    const end = performance.now() + 20_000; // threads end in their own time
    await until(() => (tasks() <= threads && counts().every((count, i) => count <= before[i]!)) || performance.now() > end);
    expect([tasks() <= threads, counts().map((count, i) => count <= before[i]!)]).toEqual([true, [true, true, true]]);
    expect(resident() - residentBefore).toBeLessThan(MOST_LEFT_BYTES);
  }, 600_000);

  itWithKvm('long', 'are taken out of a loop without exits by each of 200 interrupts', async () => {
    const [IDT, VECTOR, EOI] = [0x11_0000, 0x51, 0xb0];
    let seen = 0;
    const shown: DeviceModule<void, 'pio'> = {
      manifest: { abi: 1, id: 'test.shown', version: '1.0.0', state: 0, needs: ['pio'] },
      create: ({ pio }) => (pio.claim('port', 1, { read: () => 0, write: () => void seen++ }, [1]).map(0x60), {}),
    };
    const apic = (register: number) => mem(4, { base: RBX, displacement: register });
    const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX)).lidt(mem(0, { label: 'table' })).sti().label('round').inc(r32(RCX)).jmp('round');
    code.label('handler').out(0x60, r8(RAX)).mov(apic(EOI), 0).size(8).iret().align(8).label('table').data(0xff, 0x0f).dataAddress('table at', 8).label('table at');
    const bytes = code.bytes();
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(code.offsetOf('table')! + 2, BigInt(IDT), true);
    const handler = ENTRY + code.offsetOf('handler')!;
    const gate = new Uint32Array([(0x10 << 16) | (handler & 0xffff), (handler & 0xffff_0000) | 0x8e00, 0, 0]);
    let fabric: ApicFabric | null = null;
    await using machine = await createMachine<KvmVcpu>({
      engine: kvmEngine({ ...processor, threads: true }), ramBytes: 2 << 20, interrupts: (services) => (fabric = createApicFabric(services, { processors: 1, bus: new ApicBus() })), devices: [device('shown', shown)],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, bytes);
        memory.copyIn(IDT + VECTOR * 16, new Uint8Array(gate.buffer));
        vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    await until(() => fabric!.apics[0]!.isAccepting());
    for (let i = 1; i <= 200; i++) {
      fabric!.apics[0]!.accept(0, VECTOR, false);
      await until(() => seen === i);
    }
    expect(new Map(machine.vcpu.counts()).get('interrupts')).toBe(200);
  }, 60_000);

  itWithKvm('long', 'whose thread is lost stop their machine, and it goes away as others do', async () => {
    const threads = process.getBuiltinModule('node:worker_threads');
    const made: Worker[] = [];
    const { Worker: Original } = threads;
    threads.Worker = class extends Original { constructor(...options: ConstructorParameters<typeof Original>) { super(...options); made.push(this); } } as typeof Original;
    try {
      await using machine = await counting();
      await machine.powerUp();
      await until(() => counters(machine).every((count) => count > 0));
      await made[1]!.terminate();
      expect(await machine.stopped()).toBe('failed');
      expect(made.length).toBe(2);
    } finally {
      threads.Worker = Original;
    }
  }, 60_000);

  // Tests are no place to end a process from, so that others do it.
  for (const [how, end, code] of [['throws', "throw new Error('on purpose')", 1], ['ends', 'process.exit(7)', 7], ['comes to its end', 'await machine.pause()', 0]] as const) {
    itWithKvm('long', `do not keep a process that ${how}`, () => {
      const script = `
        import { ApicBus, createApicFabric } from '@vm/apic';
        import { createMachine } from '@vm/core';
        import { prepareEntry } from '@vm/pc';
        import { kvmEngine } from '@vm/vcpu-kvm';
        const machine = await createMachine({
          engine: kvmEngine(${JSON.stringify({ ...processor, threads: true })}), ramBytes: 2 << 20, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [],
          load: ({ memory, vcpu }) => { memory.copyIn(${ENTRY}, Uint8Array.of(0xeb, 0xfe)); vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ${ENTRY} })); },
        });
        await machine.powerUp();
        await new Promise((resolve) => setTimeout(resolve, 50));
        ${end};
      `;
      const { status, signal, stderr } = spawnSync(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8', timeout: 60_000 });
      expect([status, signal, stderr.includes('on purpose') || code !== 1]).toEqual([code, null, true]);
    }, 90_000);
  }

  itWithKvm('long', 'leave no descriptor and no thread of the first behind when the second cannot be made', async () => {
    const held = (): readonly number[] => ['fd', 'task'].map((what) => readdirSync(`/proc/self/${what}`).length);
    const make = async (): Promise<void> => {
      const interrupts = (services: Parameters<typeof createApicFabric>[0]): ApicFabric => {
        const fabric = createApicFabric(services, { processors: 2, bus: new ApicBus() });
        const hypervisor = { leaf: () => null, call: () => false };
        return Object.assign(fabric, { port: ((port) => (index: number) => (index === 0 ? port(0) : { ...port(index), hypervisor }))(fabric.port.bind(fabric)) });
      };
      await expect(createMachine({ engine: kvmEngine({ ...processor, threads: true }), processors: 2, ramBytes: 2 << 20, interrupts, devices: [] })).rejects.toThrow('choose no enlightenment');
    };
    await make();
    const before = held();
    for (let i = 0; i < 5; i++) await make();
    const end = performance.now() + 20_000; // threads end in their own time
    await until(() => held().every((count, i) => count <= before[i]!) || performance.now() > end);
    expect(held().map((count, i) => count <= before[i]!)).toEqual([true, true]);
  }, 60_000);

  it('are not to be had together with blocks behind exits', async () => {
    const lent = { reserveBytes: () => 0, createProcessor: () => { throw new Error('never'); }, tearDown: () => undefined };
    const options = { ramBytes: 2 << 20, interrupts: (services: Parameters<typeof createApicFabric>[0]) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [] };
    await expect(createMachine({ ...options, engine: kvmEngine({ ...processor, threads: true, lent: lent as never }) })).rejects.toThrow('choose threads or compounding');
  });
});
