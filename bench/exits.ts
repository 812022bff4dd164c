import { readFileSync } from 'node:fs';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, PROMPT } from '@vm/cli';
import { createMachine, device, type DeviceModule, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { isolatedDevice } from '@vm/core/isolated';
import { bootGuest, prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONDITION_E, CONDITION_NE, createAssembler, r16, r32, r8, RAX, RCX, RDX } from '@vm/x86';
import { pairedRatio } from './pairs.ts';
import { DEVICES, out, repeated, type Sequence, SEQUENCES } from './device-sequences.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';
import { BUSY, BUSY_PORT } from './worker-devices.ts';

const ENTRY = 0x10_0000;
const MIB = 1 << 20;
const GUEST = 'linux-image-cloud-amd64';
const WIDE: CompoundOptions = { policy: 'fixed', handoff: 'list', window: 256, gap: 16 };

/** Sequences of accesses with blocks behind traps and without, devices with the machine and in workers; a boot of Linux. */
export const exits: Benchmark = {
  summary: 'hand-overs and time of device-heavy sequences, compounded and one by one; a boot of Linux with blocks and without',
  run: async ({ quick }) => {
    const rows: Row[] = [];
    for (const sequence of SEQUENCES) rows.push(...(await inWorker(sequence, quick)), ...(await withMachine(sequence, quick)));
    return [...rows, ...(await poll(quick)), ...(await linux(quick))];
  },
};

async function inWorker(sequence: Sequence, quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const rounds = quick ? 50 : 400;
  const each = await Loop.create(sequence, true, { ...WIDE, handoff: 'each' }, rounds);
  const setups = { fixed: await Loop.create(sequence, true, WIDE, rounds), adaptive: await Loop.create(sequence, true, { ...WIDE, policy: 'adaptive' }, rounds) };
  try {
    const times = { each: [] as number[], fixed: [] as number[], adaptive: [] as number[] };
    for (let run = 0; run <= runs; run++) {
      times.each.push(each.run());
      times.fixed.push(setups.fixed.run());
      times.adaptive.push(setups.adaptive.run());
    }
    for (const list of Object.values(times)) list.shift();
    const single = { name: 'one by one', value: each.handoffs() };
    return [
      row(`${sequence.name}, in a worker: hand-overs, fixed`, 'a run', 1, setups.fixed.handoffs(), single),
      row(`${sequence.name}, in a worker: hand-overs, adaptive`, 'a run', 1, setups.adaptive.handoffs(), single),
      row(`${sequence.name}, in a worker: time, fixed`, 'us', runs, median(times.fixed), { name: 'one by one', value: median(times.each) }),
      row(`${sequence.name}, in a worker: time, adaptive`, 'us', runs, median(times.adaptive), { name: 'one by one', value: median(times.each) }),
    ];
  } finally {
    for (const { machine } of [each, setups.fixed, setups.adaptive]) await machine[Symbol.asyncDispose]();
  }
}

async function withMachine(sequence: Sequence, quick: boolean): Promise<Row[]> {
  const pairs = quick ? 3 : 15;
  const rounds = quick ? 2000 : 20_000;
  const off = await Loop.create(sequence, false, undefined, rounds);
  const setups = { fixed: await Loop.create(sequence, false, WIDE, rounds), adaptive: await Loop.create(sequence, false, { ...WIDE, policy: 'adaptive' }, rounds) };
  try {
    const times = { off: [] as number[], fixed: [] as number[], adaptive: [] as number[] };
    for (let run = 0; run <= pairs; run++) {
      times.off.push(off.run());
      times.adaptive.push(setups.adaptive.run());
      times.fixed.push(setups.fixed.run());
    }
    for (const list of Object.values(times)) list.shift();
    const { ratio, low, high } = pairedRatio(times.adaptive, times.off);
    return [
      row(`${sequence.name}, with the machine: time, adaptive (of off ${ratio.toFixed(2)}, 95 % from ${low.toFixed(2)} to ${high.toFixed(2)})`, 'us', pairs, median(times.adaptive), { name: 'off', value: median(times.off) }),
      row(`${sequence.name}, with the machine: exits, fixed`, 'a run', 1, setups.fixed.exits(), { name: 'off', value: sequence.accesses }),
      row(`${sequence.name}, with the machine: time, fixed`, 'us', pairs, median(times.fixed), { name: 'off', value: median(times.off) }),
    ];
  } finally {
    for (const { machine } of [off, setups.fixed, setups.adaptive]) await machine[Symbol.asyncDispose]();
  }
}

/** A guest that does a sequence again and again. */
class Loop {
  readonly machine: Machine<WasmVcpu>;
  readonly #sequence: Sequence;
  readonly #rounds: number;
  #done = 0;

  private constructor(machine: Machine<WasmVcpu>, sequence: Sequence, rounds: number) {
    this.machine = machine;
    this.#sequence = sequence;
    this.#rounds = rounds;
  }

  static async create(sequence: Sequence, isolated: boolean, compound: CompoundOptions | undefined, rounds: number): Promise<Loop> {
    const module = DEVICES[sequence.device] as DeviceModule<void>;
    const spec = isolated ? isolatedDevice('device', module.manifest, { url: new URL('./worker-devices.ts', import.meta.url), export: sequence.device }) : device('device', module);
    const machine = await createMachine<WasmVcpu>({
      engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 * MIB, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [spec],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, Uint8Array.of(0xf4));
        vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    await machine.pause();
    machine.memory.copyIn(ENTRY, repeated(sequence, rounds, ENTRY));
    return new Loop(machine, sequence, rounds);
  }

  /** Microseconds a sequence. */
  run(): number {
    const { memory, vcpu } = this.machine;
    vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    const begin = performance.now();
    if (vcpu.run(this.#rounds * this.#sequence.accesses * 20) !== EXIT_HALT) throw new Error('the program did not come to its end');
    const time = performance.now() - begin;
    this.#done += this.#rounds;
    return (time * 1000) / this.#rounds;
  }

  /** Of a device in a worker, a sequence. */
  handoffs(): number {
    const counts = new Map(this.machine.vcpu.counts());
    const spared = (counts.get('compound.lists.accesses') ?? 0) - (counts.get('compound.lists') ?? 0);
    return this.#sequence.accesses - spared / this.#done;
  }
  exits(): number { return this.#sequence.accesses - (new Map(this.machine.vcpu.counts()).get('compound.spared') ?? 0) / this.#done; }
}

/** A device that is asked until it has ended, under the virtual clock: the same instructions at the same time, and how many of them were run. */
async function poll(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const waits = quick ? 100 : 1000;
  const code = out(createAssembler(32, { origin: ENTRY }).mov(r32(RCX), waits).label('round'), BUSY_PORT, 1).label('wait').in(r8(RAX), r16(RDX)).test(r8(RAX), 1).jcc(CONDITION_E, 'wait');
  const bytes = code.dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt().bytes();
  const ask = async (compound: CompoundOptions | undefined): Promise<{ readonly time: number; readonly reads: number; readonly retired: number }> => {
    await using machine = await createMachine<WasmVcpu>({
      engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 * MIB, clock: { kind: 'virtual', nanosPerInstruction: 10 },
      interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [device('busy', BUSY)],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, bytes);
        vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
      },
    });
    const begin = performance.now();
    await machine.powerUp();
    while ((machine.counters.read()['cpu.halts'] ?? 0) === 0) await new Promise((resolve) => setImmediate(resolve));
    const time = performance.now() - begin;
    await machine.pause();
    return { time: (time * 1000) / waits, reads: machine.counters.read()['device.busy.ports.reads']! / waits, retired: machine.vcpu.retired };
  };
  const [off, adaptive] = [[await ask(undefined)], [await ask({ policy: 'adaptive' })]];
  for (let run = 1; run < runs; run++) {
    off.push(await ask(undefined));
    adaptive.push(await ask({ policy: 'adaptive' }));
  }
  if (off[0]!.retired !== adaptive[0]!.retired) throw new Error('the loops did not take the same instructions');
  return [
    row('a wait of 10,000 instructions for a device: reads', 'a wait', 1, adaptive[0]!.reads, { name: 'off', value: off[0]!.reads }),
    row('a wait of 10,000 instructions for a device: time, adaptive', 'us', runs, median(adaptive.map(({ time }) => time)), { name: 'off', value: median(off.map(({ time }) => time)) }),
  ];
}

async function linux(quick: boolean): Promise<Row[]> {
  const pairs = quick ? 2 : 15;
  const files = await fetchGuest(new GuestCache(defaultCacheFolder()), GUEST, createProgress(process.stderr));
  const [kernel, initrd] = [readFileSync(files.kernel), readFileSync(files.initrd)];
  const boot = async (compound: CompoundOptions | undefined): Promise<{ readonly time: number; readonly exits: number }> => {
    const begin = process.cpuUsage();
    await using guest = await bootGuest({ engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 128 * MIB, kernel, initrd, commandLine: 'console=ttyS0', clock: { kind: 'virtual', nanosPerInstruction: 10 } });
    await guest.waitFor(PROMPT.trim());
    const { user, system } = process.cpuUsage(begin);
    return { time: (user + system) / 1000, exits: new Map(guest.machine.vcpu.counts()).get('compound.traps') ?? 0 };
  };
  const times = { off: [] as number[], adaptive: [] as number[] };
  for (let run = 0; run < pairs; run++) {
    times.off.push((await boot(undefined)).time);
    times.adaptive.push((await boot({ policy: 'adaptive' })).time);
  }
  const all = (await boot({ policy: 'off' })).exits;
  const fixed = (await boot({ policy: 'fixed' })).exits;
  const { ratio, low, high } = pairedRatio(times.adaptive, times.off);
  return [
    row('a boot of Linux: exits, fixed', 'exits', 1, fixed, { name: 'off', value: all }),
    row(`a boot of Linux: CPU time, adaptive (of off ${ratio.toFixed(3)}, 95 % from ${low.toFixed(3)} to ${high.toFixed(3)})`, 'ms', pairs, median(times.adaptive), { name: 'off', value: median(times.off) }),
  ];
}
