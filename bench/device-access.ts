import { ApicBus, createApicFabric } from '@vm/apic';
import { createMachine, device, type DeviceModule, type DeviceSpec, type Engine, type IoHandler, type Machine } from '@vm/core';
import type { IoBus } from '@vm/core/engine';
import { EXIT_HALT } from '@vm/core/exit';
import { isolatedDevice } from '@vm/core/isolated';
import { prepareEntry } from '@vm/pc';
import { wasmEngine, type WasmVcpu } from '@vm/vcpu-wasm';
import { CONDITION_NE, createAssembler, r16, r32, r8, RAX, RCX, RDX } from '@vm/x86';
import { COUNTER, COUNTER_PORT } from './counter-device.ts';
import { median, type Row, row } from './registry.ts';

const ENTRY = 0x10_0000;
const PORTS = 8; // that are read in turn, each a device of its own
const STEP = 0x10;
const FEW = 5;
const MANY = 100;

/** What a port read by guest code costs beyond the engine's exit: with the machine and in a worker, among few devices and among many. */
export async function accessRows(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const reads = quick ? 80_000 : 800_000;
  // In turn, so that what else goes on in the host touches all.
  const setups = { exit: await loopOver([], new Counter(), reads), few: await loopOver(await counters(PORTS), null, reads), many: await loopOver(await counters(MANY), null, reads) };
  const worker = isolatedDevice('counter', COUNTER.manifest, { url: new URL('./counter-device.ts', import.meta.url), export: 'COUNTER' });
  const isolated = await loopOver([worker], null, reads / 40, 1);
  try {
    const times = { exit: [] as number[], few: [] as number[], many: [] as number[], isolated: [] as number[] };
    for (let run = 0; run <= runs; run++) {
      for (const name of ['exit', 'few', 'many'] as const) times[name].push(setups[name].run());
      times.isolated.push(isolated.run());
    }
    for (const list of Object.values(times)) list.shift(); // V8 compiles
    const best = { exit: Math.min(...times.exit), few: Math.min(...times.few), many: Math.min(...times.many) };
    return [
      row('the engine\'s exit for a port read, with nothing behind it', 'ns', runs, best.exit),
      row(`a port read over the exit, ${PORTS} devices in turn`, 'ns', runs, best.few - best.exit),
      row(`a port read over the exit, ${PORTS} of ${MANY} devices in turn`, 'ns', runs, best.many - best.exit, { name: `of ${PORTS} devices`, value: best.few - best.exit }),
      row('a port read over the exit, device in a worker', 'ns', runs, median(times.isolated) - best.exit, { name: 'with the machine', value: best.few - best.exit }),
    ];
  } finally {
    for (const { machine } of [...Object.values(setups), isolated]) await machine[Symbol.asyncDispose]();
  }
}

/** What more devices cost a machine that is made and powered up. */
export async function manyDevicesRows(quick: boolean): Promise<Row[]> {
  const runs = quick ? 3 : 15;
  const times: Record<number, number[]> = { [FEW]: [], [MANY]: [] };
  for (let run = 0; run <= runs; run++) {
    for (const count of [FEW, MANY]) {
      const specs = await counters(count);
      const begin = performance.now();
      const machine = await machineWith(specs, null);
      await machine.powerUp();
      times[count]!.push(performance.now() - begin);
      await machine[Symbol.asyncDispose]();
    }
  }
  const [few, many] = [FEW, MANY].map((count) => median(times[count]!.slice(1))) as [number, number];
  return [row(`a machine of ${MANY} devices, made and powered up`, 'ms', runs, many, { name: `of ${FEW}`, value: few })];
}

class Counter implements IoHandler {
  #count = 0;
  read(): number { return (this.#count = (this.#count + 1) & 0xff); }
  write(_offset: number, _size: number, value: number): void { this.#count = value; }
}

/** Kinds of device that have nothing in common: each has code of its own, as V8 sees it. */
export async function counters(count: number): Promise<DeviceSpec[]> {
  const kinds = Array.from({ length: count }, (_, i) => `class { #count = ${i}; read() { return (this.#count = (this.#count + ${2 * i + 1}) & 0xff); } write(offset, size, value) { this.#count = value; } }`);
  const made = (await import(`data:text/javascript,export default [${encodeURIComponent(kinds.join(','))}]`)) as { readonly default: readonly (new () => IoHandler)[] };
  return made.default.map((Kind, i) => {
    const module: DeviceModule<void, 'pio'> = {
      manifest: { abi: 1, id: `bench.counter-${i}`, version: '0.0.0', state: 0, needs: ['pio'] },
      create: (ctx) => (ctx.pio.claim('count', 1, new Kind(), [1]).map(COUNTER_PORT + i * STEP), {}),
    };
    return device(`counter-${i}`, module);
  });
}

interface PortLoop {
  readonly machine: Machine<WasmVcpu>;
  /** Nanoseconds a read. */
  run(): number;
}

/** A guest that reads ports and does nothing else. `direct` is what the engine reads in place of the bus. */
async function loopOver(devices: readonly DeviceSpec[], direct: IoHandler | null, reads: number, ports = PORTS): Promise<PortLoop> {
  const machine = await machineWith(devices, direct);
  await machine.powerUp();
  await machine.pause();
  const code = createAssembler(32).mov(r32(RCX), reads / ports).label('next');
  // Ports far into the list, so that those of many are not the first.
  for (let i = 0; i < ports; i++) code.mov(r32(RDX), COUNTER_PORT + (devices.length - 1 - i > 0 ? devices.length - 1 - i : 0) * STEP).in(r8(RAX), r16(RDX));
  machine.memory.copyIn(ENTRY, code.dec(r32(RCX)).jcc(CONDITION_NE, 'next').hlt().bytes());
  return {
    machine,
    run: () => {
      machine.vcpu.loadBootState(prepareEntry(machine.memory, { bits: 32, rip: ENTRY }));
      const begin = performance.now();
      if (machine.vcpu.run(reads * 8) !== EXIT_HALT) throw new Error('the program did not come to its end');
      return ((performance.now() - begin) * 1e6) / reads;
    },
  };
}

function machineWith(devices: readonly DeviceSpec[], direct: IoHandler | null): Promise<Machine<WasmVcpu>> {
  return createMachine<WasmVcpu>({
    engine: direct === null ? wasmEngine() : withoutBus(wasmEngine(), direct),
    ramBytes: 2 * 2 ** 20,
    interrupts: (services) => createApicFabric(services, { processors: 1, bus: new ApicBus() }),
    devices,
    load: ({ memory, vcpu }) => {
      memory.copyIn(ENTRY, Uint8Array.of(0xf4));
      vcpu.loadBootState(prepareEntry(memory, { bits: 32, rip: ENTRY }));
    },
  });
}

function withoutBus(engine: Engine<WasmVcpu>, handler: IoHandler): Engine<WasmVcpu> {
  const pio: IoBus = { read: (_address, size) => handler.read(0, size), write: (_address, size, value) => handler.write(0, size, value), readWide: () => {}, writeWide: () => {} };
  return { ...engine, createVcpu: (index, surroundings) => engine.createVcpu(index, { ...surroundings, pio }) };
}
