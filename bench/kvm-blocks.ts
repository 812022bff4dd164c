/** Device-heavy sequences under KVM: each access an exit, or the nearby ones finished at one. */
import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { isolatedDevice } from '@vm/core/isolated';
import { prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { kvmEngine, kvmLacks, type KvmVcpu } from '@vm/vcpu-kvm';
import { lentEngine } from '@vm/vcpu-wasm';
import { DEVICES, repeated, type Sequence, SEQUENCES } from './device-sequences.ts';
import { pairedRow, type Row, row } from './registry.ts';

const ENTRY = 0x10_0000;
const MIB = 1 << 20;
const FOREVER = 1e12;
const EXITS = ['exits.io', 'exits.mmio'] as const;

/** Exits and times with the machine's devices, hand-overs with such in a worker. */
export async function blockRows(quick: boolean): Promise<Row[]> {
  const rows: Row[] = [];
  for (const sequence of SEQUENCES) rows.push(...(await withMachine(sequence, quick)), ...(await inWorker(sequence, quick)));
  return rows;
}

async function withMachine(sequence: Sequence, quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const rounds = quick ? 50 : 300;
  const setups = [await Loop.create(sequence, false, null, rounds), await Loop.create(sequence, false, { policy: 'fixed' }, rounds), await Loop.create(sequence, false, { policy: 'adaptive' }, rounds)] as const;
  try {
    const [off, fixed, adaptive] = measure(setups, runs);
    const [single, , chosen] = setups;
    return [
      row(`${sequence.name}: exits, fixed`, 'a run', 1, setups[1].exits(), { name: 'off', value: single.exits() }),
      row(`${sequence.name}: exits, adaptive`, 'a run', 1, chosen.exits(), { name: 'off', value: single.exits() }),
      pairedRow(`${sequence.name}: time, fixed`, 'us', fixed!, off!, 'off'),
      pairedRow(`${sequence.name}: time, adaptive`, 'us', adaptive!, off!, 'off'),
    ];
  } finally {
    for (const { machine } of setups) await machine[Symbol.asyncDispose]();
  }
}

async function inWorker(sequence: Sequence, quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const rounds = quick ? 20 : 100;
  const setups = [await Loop.create(sequence, true, null, rounds), await Loop.create(sequence, true, { policy: 'adaptive' }, rounds)] as const;
  try {
    const [off, adaptive] = measure(setups, runs);
    return [
      row(`${sequence.name}, in a worker: hand-overs, adaptive`, 'a run', 1, setups[1].handoffs(), { name: 'off', value: setups[0].handoffs() }),
      pairedRow(`${sequence.name}, in a worker: time, adaptive`, 'us', adaptive!, off!, 'off'),
    ];
  } finally {
    for (const { machine } of setups) await machine[Symbol.asyncDispose]();
  }
}

/** In turn; the first run of each, in which V8 compiles and the policy learns, is not among them. */
function measure(setups: readonly Loop[], runs: number): number[][] {
  const times = setups.map(() => [] as number[]);
  for (let run = 0; run <= runs; run++) setups.forEach((setup, i) => times[i]!.push(setup.run()));
  for (const list of times) list.shift();
  return times;
}

class Loop {
  readonly machine: Machine<KvmVcpu>;
  readonly #sequence: Sequence;
  readonly #rounds: number;
  /** Of the last run. */
  #counts: ReadonlyMap<string, number> = new Map();
  #before: ReadonlyMap<string, number> = new Map();

  private constructor(machine: Machine<KvmVcpu>, sequence: Sequence, rounds: number) {
    this.machine = machine;
    this.#sequence = sequence;
    this.#rounds = rounds;
  }

  static async create(sequence: Sequence, isolated: boolean, compound: CompoundOptions | null, rounds: number): Promise<Loop> {
    const module = DEVICES[sequence.device] as DeviceModule<void>;
    const spec = isolated ? isolatedDevice('device', module.manifest, { url: new URL('./worker-devices.ts', import.meta.url), export: sequence.device }) : device('device', module);
    const cpuModel = 'x86-64-v1';
    const processor = { cpuModel, cpuWithout: kvmLacks({ cpuModel }) } as const;
    const machine = await createMachine<KvmVcpu>({
      engine: kvmEngine({ ...processor, ...(compound === null ? {} : { lent: lentEngine({ ...processor, compound }) }) }), ramBytes: 2 * MIB,
      interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [spec],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, Uint8Array.of(0xf4));
        vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    await machine.pause();
    machine.memory.copyIn(ENTRY, repeated(sequence, rounds, ENTRY, true));
    return new Loop(machine, sequence, rounds);
  }

  /** Microseconds a sequence. */
  run(): number {
    const { memory, vcpu } = this.machine;
    vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    this.#before = new Map(vcpu.counts());
    const begin = performance.now();
    if (vcpu.run(FOREVER) !== EXIT_HALT) throw new Error('the program did not come to its end');
    const time = performance.now() - begin;
    this.#counts = new Map(vcpu.counts());
    return (time * 1000) / this.#rounds;
  }

  #lately(name: string): number { return ((this.#counts.get(name) ?? 0) - (this.#before.get(name) ?? 0)) / this.#rounds; }
  exits(): number { return EXITS.reduce((sum, name) => sum + this.#lately(name), 0); }
  handoffs(): number { return this.#sequence.accesses - (this.#lately('compound.lists.accesses') - this.#lately('compound.lists')); }
}
