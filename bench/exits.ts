import { readFileSync } from 'node:fs';
import { ApicBus, createApicFabric } from '@vm/apic';
import { createProgress, defaultCacheFolder, fetchGuest, GuestCache, PROMPT } from '@vm/cli';
import { createMachine, device, type DeviceModule, type Machine } from '@vm/core';
import { EXIT_HALT } from '@vm/core/exit';
import { isolatedDevice } from '@vm/core/isolated';
import { bootGuest, prepareEntry } from '@vm/pc';
import type { CompoundOptions } from '@vm/trap-compound';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { type Assembler, CONDITION_E, CONDITION_NE, createAssembler, mem, r16, r32, r8, RAX, RBX, RCX, RDI, RDX } from '@vm/x86';
import { pairedRatio } from './pairs.ts';
import { type Benchmark, median, type Row, row } from './registry.ts';
import { BUSY, BUSY_PORT, IDE, PCI, PIC, PIT, RTC, UART, VIRTIO, VIRTIO_WINDOW } from './worker-devices.ts';

const MODULES = { IDE, PCI, PIC, PIT, RTC, UART, VIRTIO };
const ENTRY = 0x10_0000;
const MIB = 1 << 20;
const GUEST = 'linux-image-cloud-amd64';
const WIDE: CompoundOptions = { policy: 'fixed', handoff: 'list', window: 256, gap: 16 };

interface Sequence {
  readonly name: string;
  readonly device: keyof typeof MODULES;
  readonly accesses: number;
  write(code: Assembler): void;
}
const out = (code: Assembler, port: number, value: number): Assembler => code.mov(r32(RAX), value).mov(r32(RDX), port).out(r16(RDX), r8(RAX));
const read = (code: Assembler, port: number): Assembler => code.mov(r32(RDX), port).in(r8(RAX), r16(RDX));
const BUFFER = 0x18_0000;
/** Of the registers of a virtio device: bytes, offset, value; a value of -1 is a read. */
const VIRTIO_SETUP: readonly (readonly [bytes: 1 | 2 | 4, offset: number, value: number])[] = [
  [1, 0x14, 0], [1, 0x14, -1], [1, 0x14, 1], [1, 0x14, 3], [4, 0x00, 0], [4, 0x04, -1], [4, 0x00, 1], [4, 0x04, -1], [4, 0x08, 0], [4, 0x0c, 0], [4, 0x08, 1], [4, 0x0c, 1], [1, 0x14, 11], [1, 0x14, -1],
  [2, 0x10, 0xffff], [2, 0x16, 0], [2, 0x18, -1], [2, 0x18, 128], [2, 0x1a, 0xffff], [4, 0x20, BUFFER], [4, 0x24, 0], [4, 0x28, BUFFER + 0x1000], [4, 0x2c, 0], [4, 0x30, BUFFER + 0x2000], [4, 0x34, 0], [2, 0x1c, 1], [1, 0x14, 15],
];
const SEQUENCES: readonly Sequence[] = [
  {
    name: '8259 pair: set up', device: 'PIC', accesses: 10,
    write: (code) => { for (const [port, value] of [[0x20, 0x11], [0x21, 0x20], [0x21, 4], [0x21, 1], [0xa0, 0x11], [0xa1, 0x28], [0xa1, 2], [0xa1, 1], [0x21, 0xfb], [0xa1, 0xff]] as const) out(code, port, value); },
  },
  { name: 'three counters of the PIT', device: 'PIT', accesses: 9, write: (code) => { for (const [i, mode] of [0x34, 0x74, 0xb6].entries()) out(out(out(code, 0x43, mode), 0x40 + i, 0x9c), 0x40 + i, 0x2e); } },
  { name: 'date of the CMOS clock', device: 'RTC', accesses: 14, write: (code) => { for (const index of [0, 2, 4, 6, 7, 8, 9]) read(out(code, 0x70, index), 0x71); } },
  {
    name: 'UART: set up, 16 bytes', device: 'UART', accesses: 25,
    write: (code) => {
      for (const [offset, value] of [[1, 0], [3, 0x80], [0, 1], [1, 0], [3, 3], [2, 7], [4, 3]] as const) out(code, 0x3f8 + offset, value);
      for (let i = 0; i < 16; i++) out(code, 0x3f8, 0x20 + i);
      read(read(code, 0x3fd), 0x3fa);
    },
  },
  {
    name: 'IDE: identify a disk, polled', device: 'IDE', accesses: 266,
    write: (code) => {
      out(code, 0x3f6, 2);
      for (const [offset, value] of [[6, 0xe0], [1, 0], [2, 0], [3, 0], [4, 0], [5, 0], [7, 0xec]] as const) out(code, 0x1f0 + offset, value);
      read(code.label('busy'), 0x1f7).test(r8(RAX), 8).jcc(CONDITION_E, 'busy');
      read(code.push(r32(RCX)).mov(r32(RCX), 256).mov(r32(RDI), BUFFER).mov(r32(RDX), 0x1f0).cld().rep().size(2).ins().pop(r32(RCX)), 0x1f7);
    },
  },
  {
    name: 'PCI: look into 32 slots', device: 'PCI', accesses: 64,
    write: (code) => {
      code.mov(r32(RBX), 0x8000_0000 | 0).label('slot').mov(r32(RAX), r32(RBX)).mov(r32(RDX), 0xcf8).out(r16(RDX), r32(RAX)).mov(r32(RDX), 0xcfc).in(r32(RAX), r16(RDX));
      code.add(r32(RBX), 0x800).test(r32(RBX), 0x1_0000).jcc(CONDITION_E, 'slot');
    },
  },
  {
    name: 'virtio: set up with one queue', device: 'VIRTIO', accesses: VIRTIO_SETUP.length,
    write: (code) => {
      const sized = { 1: r8, 2: r16, 4: r32 } as const;
      code.mov(r32(RBX), VIRTIO_WINDOW | 0);
      for (const [bytes, offset, value] of VIRTIO_SETUP) {
        const at = mem(bytes, { base: RBX, displacement: offset });
        if (value < 0) code.mov(sized[bytes](RAX), at);
        else code.mov(r32(RAX), value).mov(at, sized[bytes](RAX));
      }
    },
  },
  { name: 'UART: 16 bytes, each after a look at its status', device: 'UART', accesses: 32, write: (code) => { for (let i = 0; i < 16; i++) out(read(code.label(`wait${i}`), 0x3fd).test(r8(RAX), 0x20).jcc(CONDITION_E, `wait${i}`), 0x3f8, 0x20 + i); } },
];

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
    const module = MODULES[sequence.device] as DeviceModule<void>;
    const spec = isolated ? isolatedDevice('device', module.manifest, { url: new URL('./worker-devices.ts', import.meta.url), export: sequence.device }) : device('device', module);
    const code = createAssembler(32, { origin: ENTRY }).mov(r32(RCX), rounds).label('round');
    sequence.write(code);
    code.dec(r32(RCX)).jcc(CONDITION_NE, 'round').hlt();
    const machine = await createMachine<WasmVcpu>({
      engine: wasmEngine(compound === undefined ? {} : { compound }), ramBytes: 2 * MIB, interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }), devices: [spec],
      load: ({ memory, vcpu }) => {
        memory.copyIn(ENTRY, Uint8Array.of(0xf4));
        vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
      },
    });
    await machine.powerUp();
    await machine.pause();
    machine.memory.copyIn(ENTRY, code.bytes());
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
