import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine, type Plain } from '@vm/core';
import type { Surroundings } from '@vm/core/engine';
import { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_REQUEST, PAGE_READ_ONLY } from '@vm/core/exit';
import { readSnapshot } from '@vm/core/snapshot';
import { prepareEntry } from '@vm/pc';
import { kvmEngine, type KvmVcpu, probeKvm } from '@vm/vcpu-kvm';
import { lentEngine, wasmEngine } from '@vm/vcpu-wasm';
import { type Assembler, CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBX, RCX, RDX } from '@vm/x86';
import { describe, expect, it } from 'vitest';
import { switchedEngine } from '../packages/cli/src/switched-engine.ts';
import { Kick, KICK_SIGNAL } from '../packages/vcpu-kvm/src/kick.ts';
import { libc } from '../packages/vcpu-kvm/src/libc.ts';
import { slotsOf } from '../packages/vcpu-kvm/src/memory-slots.ts';
import { itWithKvm, kvmHost } from './kvm-host.ts';

const ENTRY = 0x10_0000;
const MIB = 1 << 20;
const { processor } = kvmHost();

const program = (write: (code: Assembler) => void): Uint8Array => {
  const code = createAssembler(64, { origin: ENTRY });
  write(code);
  return code.bytes();
};
const forever = (code: Assembler): void => void code.label('round').inc(r32(RCX)).jmp('round');

/** A machine in long mode at the program, paused before its first instruction. */
async function machineOf(bytes: Uint8Array, devices: Parameters<typeof device>[] = [], ramBytes = 2 * MIB): Promise<Machine<KvmVcpu>> {
  const machine = await createMachine<KvmVcpu>({
    engine: kvmEngine(processor), ramBytes, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: devices.map((one) => device(...one)),
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, bytes);
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
  });
  await machine.powerUp();
  await machine.pause();
  machine.vcpu.loadBootState(prepareEntry(machine.memory, { bits: 64, rip: ENTRY }));
  return machine;
}

describe('a host without KVM', () => {
  it('is told in one line what is missing', () => {
    for (const path of ['/dev/no-such-kvm', '/dev/null']) {
      const { usable, text, modes } = probeKvm(path);
      expect([usable, text.split('\n').length, Object.values(modes)]).toEqual([false, 1, [false, false, false, false, false]]);
      expect(text).toMatch(/^KVM: /);
    }
  });
  it('can import the package, in which nothing is opened by that', () => {
    const script = "import { createRequire } from 'node:module'; import { kvmEngine } from '@vm/vcpu-kvm'; kvmEngine(); console.log(Object.keys(createRequire(import.meta.url).cache).length);";
    expect(execFileSync(process.execPath, ['--conditions=vm-source', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], { cwd: new URL('..', import.meta.url), encoding: 'utf8' })).toBe('0\n');
  });
});

describe('the memory slots of a machine', () => {
  const ram = (readOnly: readonly number[], firmware = 0) => {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const pages = 16 + firmware;
    const attributes = new Uint8Array(memory.buffer, 0, pages);
    for (const page of readOnly) attributes[page] = PAGE_READ_ONLY;
    return { memory, base: 0x1_0000, bytes: pages * 4096, ranges: [{ gpa: 0, offset: 0x1_0000, bytes: 0x1_0000 }], attributesOffset: 0, offsetOf: () => -1, watch: () => undefined, written: () => undefined };
  };
  it('are cut where pages are read-only, and at the window of the interrupt controller', () => {
    expect(slotsOf(ram([]), -1)).toEqual([{ gpa: 0, offset: 0x1_0000, bytes: 0x1_0000, readOnly: false }]);
    expect(slotsOf(ram([2, 3]), 0x8000).map(({ gpa, bytes, readOnly }) => [gpa, bytes, readOnly])).toEqual([[0, 0x2000, false], [0x2000, 0x2000, true], [0x4000, 0x4000, false], [0x9000, 0x7000, false]]);
  });
  it('have firmware end at 4 GiB', () => {
    expect(slotsOf(ram([16, 17], 2), -1).at(-1)).toEqual({ gpa: 2 ** 32 - 0x2000, offset: 0x2_0000, bytes: 0x2000, readOnly: true });
  });
});

describe('a processor of KVM', () => {
  itWithKvm('long', 'works in the very memory of the machine, in both directions', async () => {
    await using machine = await machineOf(program((code) => code.mov(r32(RBX), 0x18_0000).mov(r32(RAX), mem(4, { base: RBX })).add(r32(RAX), 1).mov(mem(4, { base: RBX, displacement: 4 }), r32(RAX)).hlt()));
    machine.memory.write(0x18_0000, 4, 0x1234);
    expect(machine.vcpu.run(1e9)).toBe(EXIT_HALT);
    expect(machine.memory.read(0x18_0004, 4)).toBe(0x1235);
  });

  itWithKvm('long', 'cannot store to pages that are read-only', async () => {
    await using machine = await machineOf(program((code) => code.mov(r32(RBX), 0x18_0000).mov(mem(4, { base: RBX }), 0x55).mov(r32(RAX), mem(4, { base: RBX })).mov(mem(4, { base: RBX, displacement: 0x1000 }), r32(RAX)).hlt()));
    const { ram, memory, vcpu } = machine;
    memory.write(0x18_0000, 4, 0x77);
    new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / 4096)[0x180] = PAGE_READ_ONLY;
    vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    expect(vcpu.run(1e9)).toBe(EXIT_HALT);
    expect([memory.read(0x18_0000, 4), memory.read(0x18_1000, 4)]).toEqual([0x77, 0x77]);
  });

  itWithKvm('long', 'comes back from an endless loop when its time is up, again and again, and gets on', async () => {
    await using machine = await machineOf(program(forever));
    let before = -1n;
    // The shortest run there is may be over before the guest is entered, when the host has other work.
    for (let runs = 0, gotOn = 0; gotOn < 20; runs++) {
      expect(runs).toBeLessThan(10_000);
      expect(machine.vcpu.run(1)).toBe(EXIT_BUDGET);
      const now = new DataView(machine.vcpu.inspect().rows.general.buffer).getBigUint64(8, true);
      expect(now >= before).toBe(true);
      if (now > before) gotOn++;
      before = now;
    }
  });

  itWithKvm('long', 'leaves behind the access in which a device asks for it, with the instruction finished', async () => {
    let vcpu: KvmVcpu | null = null;
    const stopper: DeviceModule<void, 'pio'> = {
      manifest: { abi: 1, id: 'test.stopper', version: '1.0.0', state: 0, needs: ['pio'] },
      create: ({ pio }) => {
        pio.claim('port', 4, { read: () => (vcpu?.stopAfter(0), 0x1234_5678), write: () => undefined }).map(0x60);
        return {};
      },
    };
    await using machine = await machineOf(program((code) => code.mov(r32(RBX), 1).in(r32(RAX), 0x60).mov(r32(RBX), 2).hlt()), [['stopper', stopper]]);
    vcpu = machine.vcpu;
    expect(vcpu.run(1e9)).toBe(EXIT_REQUEST);
    const general = new DataView(vcpu.inspect().rows.general.buffer);
    expect([general.getBigUint64(0, true), general.getBigUint64(24, true)]).toEqual([0x1234_5678n, 1n]);
    expect(vcpu.run(1e9)).toBe(EXIT_HALT);
    expect(new DataView(vcpu.inspect().rows.general.buffer).getBigUint64(24, true)).toBe(2n);
  });

  itWithKvm('long', 'goes on with the state of a software engine, and a software engine with its', async () => {
    const bytes = program((code) => code.mov(r32(RBX), 3).op('fninit').in(r8(RAX), 0x60).mov(r32(RCX), 0x1234).mov(r16(RDX), 0x5678).in(r8(RAX), 0x60).inc(r32(RBX)).hlt());
    for (const [first, second] of [[wasmEngine(processor), kvmEngine(processor)], [wasmEngine(processor), wasmEngine(processor)]] as const) {
      expect(await savedTwice(bytes, first, second)).toEqual([3, 4]);
    }
    const simple = program((code) => code.mov(r32(RBX), 3).in(r8(RAX), 0x60).mov(r32(RCX), 0x1234).mov(r16(RDX), 0x5678).in(r8(RAX), 0x60).inc(r32(RBX)).hlt());
    expect(await savedTwice(simple, kvmEngine(processor), wasmEngine(processor))).toEqual([3, 4]);
    expect(await savedTwice(simple, kvmEngine(processor), kvmEngine(processor))).toEqual([3, 4]);
  });

  for (const compound of [null, { policy: 'fixed' }] as const) {
    itWithKvm('long', `takes over from a software engine in the middle, and hands back, with code that changes itself all the while, ${compound === null ? 'alone' : 'and a processor lent to it'}`, async () => {
      const seen: number[] = [];
      const counter: DeviceModule<void, 'pio'> = {
        manifest: { abi: 1, id: 'test.counter', version: '1.0.0', state: 0, needs: ['pio'] },
        create: ({ pio }) => (pio.claim('port', 4, { read: () => 0, write: (_offset, _size, value) => void seen.push(value) }).map(0x60), {}),
      };
      // Each number says what is added to it, and the program writes that into the instruction that adds.
      const bytes = program((code) => {
        code.xor(r32(RAX), r32(RAX)).label('add').add(r32(RAX), 1).out(0x60, r32(RAX)).mov(r32(RCX), r32(RAX)).op('and', r32(RCX), 3).inc(r32(RCX)).mov(r32(RBX), ENTRY + (code.offsetOf('add') as number) + 2).mov(mem(1, { base: RBX }), r8(RCX)).jmp('add');
      });
      const software = wasmEngine({ ...processor, translator: 'off' });
      const lent = compound === null ? {} : { lent: lentEngine({ ...processor, compound, reservedBytes: (processors) => software.reserveBytes(processors) }) };
      const engine = switchedEngine(software, kvmEngine({ ...processor, ...lent }), 'wasm');
      await using machine = await createMachine({
        engine, ramBytes: 2 * MIB, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [device('counter', counter)],
        load: ({ memory, vcpu }) => {
          memory.copyIn(ENTRY, bytes);
          vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
        },
      });
      await machine.powerUp();
      for (const to of ['kvm', 'wasm', 'kvm', 'wasm'] as const) {
        const wanted = seen.length + 20;
        while (seen.length < wanted) await new Promise((resolve) => setImmediate(resolve));
        await machine.pause();
        machine.vcpu.group.move(to);
        expect(machine.vcpu.group.name).toBe(to);
        // While RAM is packed, the engine that notes stores stays.
        const ahead = await machine.packAhead();
        expect(ahead === null).toBe(to === 'wasm');
        if (ahead !== null) expect(() => machine.vcpu.group.move('wasm')).toThrow('the machine is being saved');
        ahead?.close();
        await machine.resume();
      }
      const wanted = seen.length + 20;
      while (seen.length < wanted) await new Promise((resolve) => setImmediate(resolve));
      await machine.pause();
      expect(seen.every((value, i) => i === 0 || value === seen[i - 1]! + (seen[i - 1]! & 3) + 1)).toBe(true);
    }, 180_000);
  }

  itWithKvm('long', 'names the pages that a guest has stored to since it was last asked', async () => {
    const engine = kvmEngine({ ...processor, lent: lentEngine({ ...processor, compound: { policy: 'fixed' } }) });
    let surroundings: Surroundings | null = null;
    // Each turn stores to three pages, the last of them by what a block would do behind an exit.
    const bytes = program((code) => code.label('turn').mov(r32(RBX), 0x18_0000).mov(mem(4, { base: RBX }), r32(RCX)).mov(mem(4, { base: RBX, displacement: 0x1ff8 }), r32(RCX)).out(0x60, r32(RAX)).mov(mem(4, { base: RBX, displacement: 0x8000 }), r32(RCX)).inc(r32(RCX)).hlt().jmp('turn'));
    await using machine = await createMachine<KvmVcpu>({
      engine: { ...engine, createVcpu: (index, given) => engine.createVcpu(index, (surroundings = given)) }, ramBytes: 2 * MIB,
      interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [],
    });
    const entry = prepareEntry(machine.memory, { bits: 64, rip: ENTRY });
    const turn = (): readonly (readonly [gpa: number, bytes: number])[] => {
      machine.memory.copyIn(ENTRY, bytes);
      machine.vcpu.loadBootState(entry);
      expect(machine.vcpu.run(1e9)).toBe(EXIT_HALT);
      const pages: (readonly [number, number])[] = [];
      engine.dirtyPages((gpa, length) => void pages.push([gpa, length]));
      return pages.filter(([gpa]) => gpa >= 0x18_0000);
    };
    expect(turn()).toEqual([]); // nobody logs
    const blocks = (): number => new Map(machine.vcpu.counts()).get('compound.blocks') ?? 0;
    expect(blocks()).toBe(1);
    engine.logStores();
    const stored = [[0x18_0000, 0x2000], [0x18_8000, 0x1000]];
    expect(turn()).toEqual(stored);
    expect(blocks()).toBe(1);
    const again: number[] = [];
    engine.dirtyPages((gpa) => void again.push(gpa));
    expect(again).toEqual([]);
    // Other slots come in between: what was noted of the old ones is kept.
    machine.vcpu.loadBootState(entry);
    expect(machine.vcpu.run(1e9)).toBe(EXIT_HALT);
    const { ram } = surroundings!;
    new Uint8Array(ram.memory.buffer)[ram.attributesOffset + 0x1c0] = PAGE_READ_ONLY;
    expect(turn()).toEqual(stored);
    engine.endLog();
    expect(turn()).toEqual([]);
  });

  for (const threads of [false, true]) {
    itWithKvm('long', `is saved while it runs${threads ? ' in a thread' : ''}, and stands still for the pages stored to since`, async () => {
      // Eight pages are counted in, one after the other, for ever; 5 MiB are not touched.
      const bytes = program((code) => code.label('again').mov(r32(RBX), 0x18_0000).mov(r32(RDX), 8).label('page').inc(r32(RAX)).mov(mem(4, { base: RBX, displacement: 4 }), r32(RAX)).add(r32(RBX), 0x1000).dec(r32(RDX)).jcc(CONDITION_NE, 'page').jmp('again'));
      const options = {
        ramBytes: 8 * MIB, devices: [], interrupts: (services: Parameters<typeof createApicFabric>[0]) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
        load: ({ memory, vcpu }: Machine<KvmVcpu>) => {
          for (let gpa = 3 * MIB; gpa < 8 * MIB; gpa += 4096) memory.write(gpa, 4, gpa);
          memory.copyIn(ENTRY, bytes);
          vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
        },
      };
      await using machine = await createMachine<KvmVcpu>({ ...options, engine: kvmEngine({ ...processor, threads }) });
      await machine.powerUp();
      const counted = (): number => machine.memory.read(0x18_7004, 4);
      const until = async (isSo: () => boolean): Promise<void> => { while (!isSo()) await new Promise((resolve) => setImmediate(resolve)); };
      await until(() => counted() > 0);
      const ahead = (await machine.packAhead())!;
      const before = counted();
      await until(() => counted() !== before); // it runs on, and stores to what is packed
      await machine.pause();
      const saved = async (more: Parameters<typeof machine.save>[1] = {}): Promise<Uint8Array> => {
        const pieces: Uint8Array[] = [];
        await machine.save((piece) => void pieces.push(piece), more);
        return Buffer.concat(pieces);
      };
      const early = await saved({ ahead });
      ahead.close();
      expect(ahead.standing).toBeGreaterThanOrEqual(8);
      expect(ahead.standing).toBeLessThan(100); // of 2048, 1280 of which are not zeros
      const [a, b] = [readSnapshot(early), readSnapshot(await saved())];
      const without = ({ head, devices, interrupts, processor: of }: typeof a): unknown => ({ head, devices, interrupts, processor: { ...(of as Readonly<Record<string, Plain>>), tscOffset: null } });
      expect(without(a)).toEqual(without(b)); // but for the two readings of the counter and the clock
      const ramOf = ({ pages }: typeof a): Uint8Array => {
        const ram = new Uint8Array(8 * MIB);
        for (const { first, packed } of pages) ram.set(packed, first * 4096);
        return ram;
      };
      expect(Buffer.compare(ramOf(a), ramOf(b))).toBe(0);
      await using again = await createMachine<KvmVcpu>({ ...options, engine: kvmEngine({ ...processor, threads }), restore: { bytes: early } });
      await again.powerUp();
      const at = counted();
      await until(() => again.memory.read(0x18_7004, 4) !== at);
    }, 60_000);
  }

  itWithKvm('long', 'has a time-stamp counter that stands with machine time, in what is saved too', async () => {
    await using machine = await machineOf(program(forever));
    await machine.resume();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await machine.pause();
    const offset = (): bigint => (machine.vcpu.save() as { readonly tscOffset: bigint }).tscOffset;
    const before = offset();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(Number(offset() - before)).toBeLessThan(250e6); // ticks; there is no host of less than a gigahertz
  });

  itWithKvm('long', 'refuses states that no processor can be in', async () => {
    await using machine = await machineOf(program(forever));
    const good = machine.vcpu.save() as Readonly<Record<string, never>>;
    for (const wrong of [null, {}, { ...good, cr0: 0x8000_0000n }, { ...good, efer: 0x400n }, { ...good, cr3: -1n }, { ...good, x87: new Uint8Array(1) }, { ...good, rflags: 2 ** 31 }, { ...good, cpl: 3.5 }, { ...good, cs: { selector: 8, attributes: 1, limit: 0, base: 0n } }]) {
      expect(() => machine.vcpu.load(wrong as never, false)).toThrow(/^/);
      expect(() => machine.vcpu.load(wrong as never, false)).not.toThrow('Cannot read');
    }
    machine.vcpu.load(good as never, false);
    expect(machine.vcpu.run(1e5)).toBe(EXIT_BUDGET);
  });

  itWithKvm('long', 'is gone with its machine, and says so', async () => {
    const machine = await machineOf(program(forever));
    const { vcpu } = machine;
    await machine[Symbol.asyncDispose]();
    expect(vcpu.run(1000)).toBe(EXIT_FAIL);
    expect(() => vcpu.save()).toThrow('torn down');
    expect(() => vcpu.reset()).toThrow('torn down');
    expect(() => vcpu.notify('nmi', 0)).toThrow('torn down');
  });

  itWithKvm('long', 'names what the host has not, and refuses guests the virtual clock', async () => {
    const options = { ramBytes: MIB, interrupts: (services: Parameters<typeof createApicFabric>[0]) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [] };
    await expect(createMachine({ ...options, engine: kvmEngine(processor), clock: { kind: 'virtual', nanosPerInstruction: 10 } })).rejects.toMatchObject({ code: 'E_ENGINE' });
    if (processor.cpuWithout!.length > 0) await expect(createMachine({ ...options, engine: kvmEngine({ cpuModel: 'x86-64-v1' }) })).rejects.toThrow(processor.cpuWithout!.join(', '));
  });
});

describe('several processors of KVM', () => {
  for (const threads of [false, true]) itWithKvm('long', `are started by messages of their local APICs, and interrupt themselves, ${threads ? 'in threads' : 'in turn'}`, async () => {
    const [APIC, ICR, ICR_HIGH, SVR, EOI, START, IDT, VECTOR] = [0xfee0_0000, 0x300, 0x310, 0xf0, 0xb0, 0x6_0000, 0x11_0000, 0x51];
    const seen: string[] = [];
    const shown: DeviceModule<void, 'pio'> = {
      manifest: { abi: 1, id: 'test.shown', version: '1.0.0', state: 0, needs: ['pio'] },
      create: ({ pio }) => (pio.claim('port', 2, { read: () => 0, write: (offset, _size, value) => void seen.push(`${offset === 0 ? 'first' : 'second'} ${value}`) }, [1]).map(0x60), {}),
    };
    // The second one: shows itself, then waits with interrupts on.
    const second = createAssembler(16, { origin: START }).xor(r16(RAX), r16(RAX)).mov(r8(RAX), 1).out(0x61, r8(RAX)).hlt().bytes();
    const gate = new DataView(new ArrayBuffer(16));
    const apic = (register: number) => mem(4, { base: RBX, displacement: register });
    const code = createAssembler(64, { origin: ENTRY }).mov(r32(RBX), APIC | 0).mov(r32(RAX), 0x1ff).mov(apic(SVR), r32(RAX));
    for (const command of [0x4500, 0x4600 | (START >>> 12)]) code.mov(apic(ICR_HIGH), 1 << 24).mov(apic(ICR), command);
    code.mov(r32(RCX), 200).label('wait').dec(r32(RCX)).jcc(CONDITION_NE, 'wait').mov(r8(RAX), 1).out(0x60, r8(RAX)); // the other has its turn
    code.lidt(mem(0, { label: 'table' })).mov(apic(ICR), 0x4_0000 | VECTOR).sti().hlt().mov(r8(RAX), 3).out(0x60, r8(RAX)).label('end').hlt().jmp('end');
    code.label('handler').mov(r8(RAX), 2).out(0x60, r8(RAX)).mov(apic(EOI), 0).size(8).iret().align(8).label('table').data(0xff, 0x0f).dataAddress('table at', 8).label('table at');
    const bytes = code.bytes();
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(code.offsetOf('table')! + 2, BigInt(IDT), true);
    const handler = ENTRY + code.offsetOf('handler')!;
    gate.setUint32(0, (0x10 << 16) | (handler & 0xffff), true);
    gate.setUint32(4, (handler & 0xffff_0000) | 0x8e00, true);
    await using machine = await createMachine<KvmVcpu>({
      engine: kvmEngine({ ...processor, threads }), processors: 2, ramBytes: 2 * MIB, interrupts: (services) => createApicFabric(services, { processors: 2, bus: new ApicBus() }), devices: [device('shown', shown)],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, bytes);
        memory.copyIn(START, second);
        memory.copyIn(IDT + VECTOR * 16, new Uint8Array(gate.buffer));
        vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    const halts = (): number | undefined => new Map(machine.vcpus[1]!.counts()).get('exits.hlt');
    while (seen.length < 4 || halts() === undefined) await new Promise((resolve) => setImmediate(resolve));
    await machine.pause();
    expect(seen.toSorted()).toEqual(['first 1', 'first 2', 'first 3', 'second 1']);
    expect(seen.filter((one) => one.startsWith('first'))).toEqual(['first 1', 'first 2', 'first 3']);
    expect([machine.vcpus[0]!.retired > 0, machine.vcpus[1]!.retired > 0, halts()]).toEqual([true, true, 1]);
  }, 120_000);
});

describe('a thread in KVM_RUN', () => {
  itWithKvm('long', 'is brought back by a signal of another thread, and by one that came before', async () => {
    await using machine = await machineOf(program(forever));
    const kick = new Kick(libc());
    kick.send(); // waits for the next run
    machine.vcpu.run(60e9);
    const sender = new Worker(`
      const { workerData } = require('node:worker_threads');
      const koffi = require(workerData.koffi);
      const kill = koffi.load(null).func('syscall', 'long', ['long', 'long', 'long', 'long']);
      setInterval(() => kill(234, workerData.pid, workerData.thread, workerData.signal), 5);
    `, { eval: true, workerData: { koffi: new URL('../packages/vcpu-kvm/node_modules/koffi', import.meta.url).pathname, pid: process.pid, thread: kick.thread, signal: KICK_SIGNAL } });
    await new Promise((resolve) => sender.once('online', resolve));
    for (let i = 0; i < 10; i++) machine.vcpu.run(60e9); // the timer alone would take ten minutes
    await sender.terminate();
    kick.close();
    expect(new Map(machine.vcpu.counts()).get('kicks')).toBe(11);
  }, 120_000);

  itWithKvm('long', 'is begun and ended a thousand times without a descriptor, a mapping or a thread left over', async () => {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 64 });
    const bytes = program((code) => code.mov(r32(RCX), 3).label('round').dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt());
    const life = async (): Promise<void> => {
      await using machine = await createMachine<KvmVcpu>({
        engine: kvmEngine(processor), ramBytes: 2 * MIB, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [], createMemory: () => memory,
      });
      machine.memory.copyIn(ENTRY, bytes);
      machine.vcpu.loadBootState(prepareEntry(machine.memory, { bits: 64, rip: ENTRY }));
      if (machine.vcpu.run(1e9) !== EXIT_HALT) throw new Error('the program did not come to its end');
      machine.vcpu.reset();
      await machine.powerUp();
    };
    const counts = (): readonly number[] => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length, readFileSync('/proc/self/maps', 'utf8').split('\n').filter((line) => line.includes('kvm')).length, timers()];
    for (let i = 0; i < 10; i++) await life();
    const before = counts();
    for (let i = 0; i < 1000; i++) await life();
    expect(counts()).toEqual(before);
  }, 300_000);
});

/** Timers of this process. */
function timers(): number { return readFileSync('/proc/self/timers', 'utf8').split('\n').filter((line) => line.startsWith('ID:')).length; }

/** Runs to the first port access on one engine, goes on on another one: EBX there and at the end. */
async function savedTwice(bytes: Uint8Array, first: ReturnType<typeof wasmEngine> | ReturnType<typeof kvmEngine>, second: ReturnType<typeof wasmEngine> | ReturnType<typeof kvmEngine>): Promise<readonly number[]> {
  const seen: number[] = [];
  const pieces: Uint8Array[] = [];
  const options = (engine: typeof first, stop: () => void) => ({
    engine: engine as ReturnType<typeof kvmEngine>, ramBytes: 2 * MIB, interrupts: (services: Parameters<typeof createApicFabric>[0]) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
    devices: [device('stopper', { manifest: { abi: 1, id: 'test.stopper', version: '1.0.0', state: 0, needs: ['pio'] }, create: ({ pio }) => (pio.claim('port', 1, { read: () => (stop(), 0), write: () => undefined }, [1]).map(0x60), {}) } satisfies DeviceModule<void, 'pio'>)],
    load: ({ memory, vcpu }: Machine<KvmVcpu>) => {
      memory.copyIn(ENTRY, bytes);
      vcpu.loadBootState(prepareEntry(memory, { bits: 64, rip: ENTRY }));
    },
  });
  const ebx = (machine: Machine<KvmVcpu>): number => new DataView((machine.vcpu.save() as { readonly general: Uint8Array }).general.slice().buffer).getUint32(24, true);
  {
    const late: { machine: Machine<KvmVcpu> | null } = { machine: null };
    await using machine = (late.machine = await createMachine<KvmVcpu>(options(first, () => late.machine!.requestStop('power-off'))));
    await machine.powerUp();
    await machine.stopped();
    seen.push(ebx(machine));
    await machine.save((piece) => void pieces.push(piece));
  }
  const late: { machine: Machine<KvmVcpu> | null } = { machine: null };
  await using machine = (late.machine = await createMachine<KvmVcpu>({ ...options(second, () => undefined), restore: { bytes: Buffer.concat(pieces) } }));
  await machine.powerUp();
  while ((machine.counters.read()['cpu.halts'] ?? 0) === 0) await new Promise((resolve) => setImmediate(resolve));
  await machine.pause();
  seen.push(ebx(machine));
  return seen;
}
