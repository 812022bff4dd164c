import type { BlockBackend, Capability, Clock, DeviceContext, Gpa, GuestMemory, LogLevel, Phase } from './abi.ts';
import { MemoryMap, PortMap } from './address-map.ts';
import type { ClockKind } from './clock.ts';
import { Counters } from './counters.ts';
import { DeviceChanges } from './device-changes.ts';
import { CAPABILITIES, createContext } from './device-context.ts';
import type { DeviceSpec } from './device-spec.ts';
import type { Engine, FabricServices, InterruptFabric, ProcessorEvent, Ram, Vcpu } from './engine.ts';
import { VmError } from './errors.ts';
import { FaultFence } from './fault-fence.ts';
import { RamAccess } from './guest-memory.ts';
import { createHostPort, type HostPort } from './host-port.ts';
import { Bus } from './io-bus.ts';
import { Lifecycle, type LifecycleTrace } from './lifecycle.ts';
import { LineHub } from './lines.ts';
import { countMachine } from './machine-counters.ts';
import type { PciMaker } from './pci.ts';
import { processorCount, Processors } from './processor-turns.ts';
import { type CreateMemory, createRam, type MachineRam } from './ram.ts';
import { RunLoop, type StopReason } from './run-loop.ts';
import { SlotTable } from './slot-table.ts';
import { loadMachine, type MachineParts, type RestoreOptions, type SaveOptions, writeMachine } from './snapshot/machine-parts.ts';
import { packAhead, type PagesAhead } from './snapshot/pages-ahead.ts';
import { checkComposition, type PageCodec, readSnapshot, type SavedMachine, type SnapshotSink } from './snapshot/saved-machine.ts';

const ENGINE_ABI = 0;

export interface MachineOptions<V extends Vcpu = Vcpu> {
  readonly engine: Engine<V>;
  readonly processors?: number; // in turn on this thread; default: 1
  readonly ramBytes: number;
  /** Memory that ends at 4 GiB, which the guest cannot store to; `load` fills it. Default 0. */
  readonly firmwareBytes?: number;
  /** In order of dependency: powered up in this order, powered down in reverse. */
  readonly devices: readonly DeviceSpec[];
  readonly interrupts: (services: FabricServices) => InterruptFabric;
  /** Runs at each power-up and reset, with all devices up and none started: loads firmware or a kernel. */
  readonly load?: (machine: Machine<V>) => void | Promise<void>;
  readonly clock?: ClockKind; // default: host
  readonly blocks?: Readonly<Record<string, BlockBackend>>; // what devices get by name
  readonly pci?: PciMaker; // the capability `pci`; default: devices that need it are refused
  readonly onFault?: 'stop' | 'go-on'; // after a device threw where it must not; default: stop
  readonly log?: (source: string, level: LogLevel, text: string) => void; // default: nowhere
  readonly trace?: LifecycleTrace; // default: none
  readonly signal?: AbortSignal; // stops the machine
  readonly host?: HostPort; // default: the event loop of this thread
  readonly createMemory?: CreateMemory; // default: WebAssembly.Memory
  /** A saved machine of the same composition: the first power-up goes on with it. What does not fit is refused right here. */
  readonly restore?: RestoreOptions;
}

/** Makes a machine with all its devices, powered off. Throws one AggregateError when a device cannot be made. */
export async function createMachine<V extends Vcpu>(options: MachineOptions<V>): Promise<Machine<V>> {
  const { engine, devices } = options;
  if (engine.abi !== ENGINE_ABI) throw new VmError('E_ABI', `${engine.id} is made for engine ABI ${engine.abi as number}, this is ${ENGINE_ABI}`);
  if (options.clock?.kind === 'virtual' && engine.features.includes('real-time')) throw new VmError('E_ENGINE', `${engine.id} counts no instructions, which the virtual clock is made of`);
  const saved = options.restore === undefined ? null : readSnapshot(options.restore.bytes, options.restore.codec);
  if (saved !== null) checkComposition(saved, options.ramBytes + (options.firmwareBytes ?? 0), options.firmwareBytes ?? 0, engine.processorState, devices, processorCount(options));
  try {
    const machine = new Machine(options, saved);
    await machine.lifecycle.create(devices);
    return machine;
  } catch (error) {
    engine.tearDown();
    throw error;
  }
}

export class Machine<V extends Vcpu = Vcpu> {
  readonly ram: Ram;
  /** Guest RAM for loaders and inspection. */
  readonly memory: GuestMemory;
  readonly clock: Clock;
  readonly counters: Counters = new Counters();
  readonly vcpu: V; // the first, which starts by itself
  /** Not for composers. */
  readonly lifecycle: Lifecycle;
  readonly #options: MachineOptions<V>;
  readonly #ram: MachineRam;
  readonly #loop: RunLoop;
  readonly #processors: Processors<V>;
  readonly #lines: LineHub;
  readonly #fabric: InterruptFabric;
  readonly #blocks: Record<string, BlockBackend>;
  readonly #changes: DeviceChanges;
  readonly #fences = new Map<string, FaultFence>();
  readonly #table: SlotTable;
  readonly #pio: Bus;
  readonly #mmio: Bus;
  #starting: Promise<void> | null = null;
  #saved: SavedMachine | null; // until the first power-up
  #stopReason: StopReason | null = null;
  readonly #abort = (): void => this.requestStop('aborted');
  readonly #stopWaiters: ((reason: StopReason) => void)[] = [];

  /** Use `createMachine`. */
  constructor(options: MachineOptions<V>, saved: SavedMachine | null) {
    this.#options = options;
    this.#saved = saved;
    this.#blocks = { ...options.blocks };
    const host = options.host ?? createHostPort();
    const count = processorCount(options);
    const log = (level: LogLevel, text: string): void => this.#log(options.engine.id, level, text);
    this.ram = this.#ram = createRam(options.ramBytes, options.engine.reserveBytes(count), options.createMemory, options.firmwareBytes);
    this.memory = new RamAccess(this.ram);
    this.#table = new SlotTable((owner, label, error) => this.#fault(owner, label, error));
    this.#pio = new Bus(this.#table, new PortMap(this.#table));
    this.#mmio = new Bus(this.#table, new MemoryMap(this.#table));
    this.#loop = new RunLoop(host, options.clock ?? { kind: 'host' }, (reason) => this.#stopped(reason), (level, text) => this.#log('machine', level, text));
    this.clock = this.#loop.clock;
    this.#lines = new LineHub((high) => this.#fabric.external(high));
    this.#fabric = options.interrupts({
      clock: this.clock,
      signal: (index) => (this.#processors.signal(index), this.#loop.wake()),
      notify: (index, event, page) => this.notify(index, event, page),
      acknowledge: () => this.#lines.acknowledge(), endOfInterrupt: (vector) => this.#lines.endOfInterrupt(vector),
      log: (level, text) => this.#log('interrupts', level, text),
    });
    this.#processors = new Processors(Array.from({ length: count }, (_, index) => options.engine.createVcpu(index, { ram: this.ram, pio: this.#pio, mmio: this.#mmio, interrupts: this.#fabric.port(index), now: () => this.#loop.clock.now(), log, wake: () => (this.#processors.signal(index), this.#loop.wake()) })));
    this.vcpu = this.vcpus[0]!;
    this.#loop.attach(this.#processors.runner);
    this.lifecycle = new Lifecycle({
      host,
      offered: new Set(Array.from(CAPABILITIES).filter((one) => one !== 'pci' || options.pci !== undefined)),
      parts: () => Object.values(this.#blocks),
      context: (spec, signal) => this.#context(spec, signal),
      release: (name) => this.#release(name),
      fail: (name, where, error) => this.#fault(name, `${name}.${where}`, error),
      log: (device, level, text) => this.#log(device, level, text),
      ...(options.trace === undefined ? {} : { trace: options.trace }),
    });
    this.#changes = new DeviceChanges({ lifecycle: this.lifecycle, loop: this.#loop, blocks: this.#blocks, hasEnded: () => this.#stopReason !== null });
    countMachine(this.counters, { engine: options.engine, processors: this.#processors, clock: this.clock, loop: this.#loop, pio: this.#pio, mmio: this.#mmio, fabric: this.#fabric, fences: this.#fences });
  }

  get phase(): Phase { return this.lifecycle.phase; }
  get vcpus(): readonly V[] { return this.#processors.all; }
  get retired(): number { return this.#processors.runner.retired; } // instructions of all processors

  /** From off to running, the processor included. Throws one AggregateError, with everything rolled back, when a device fails. */
  powerUp(): Promise<void> { return this.#saved === null ? this.#up('cold') : this.#restore(this.#saved); }

  /** Freezes machine time and all work; the phase stays `running`. Afterwards nothing is in flight. */
  async pause(): Promise<void> {
    if (this.#starting !== null) await this.#starting.catch(() => {}); // before its first instruction
    if (this.#changes.underWay !== null) await this.#changes.underWay;
    await this.#loop.park();
    await this.lifecycle.stop();
  }

  async resume(): Promise<void> {
    if (this.#changes.underWay !== null) await this.#changes.underWay;
    this.#expectRunning('resumes');
    this.#starting ??= this.#start().finally(() => (this.#starting = null));
    return this.#starting;
  }

  async #start(): Promise<void> {
    if (!this.lifecycle.started) await this.lifecycle.start();
    this.#stopReason = null;
    this.#loop.start();
  }

  /** The reset button: each device by itself to its state after power-up; then lines are told, `load` runs, all start. Claims and RAM stay. */
  async reset(): Promise<void> {
    this.#expectRunning('is reset');
    await this.powerDown();
    await this.#up('reset');
  }

  async powerDown(): Promise<void> {
    await this.pause();
    this.#lines.setLive(false);
    await this.lifecycle.powerDown();
  }

  /** Parks the processor as soon as the present instruction allows, and says why. Devices may call it through the composer. */
  requestStop(reason: StopReason): void { this.#loop.stop(reason); }

  /** What no interrupt controller holds back, for processor `index`. */
  notify(index: number, event: ProcessorEvent, page: number): void { this.#processors.notify(index, event, page); this.#loop.wake(); }

  /** Serves the host's events after the present instruction, and goes on: what they send the guest comes at this very moment of it. */
  yield(): void { this.#loop.yield(); }

  /**
   * Writes all of a running or paused machine, which then goes on as it was: for its guest no time passes. Rejects with AggregateError
   * when a device cannot be saved, and with what the sink throws.
   */
  async save(sink: SnapshotSink, options: SaveOptions = {}): Promise<void> {
    const ran = this.lifecycle.started;
    await this.pause();
    try {
      await this.lifecycle.save((states) => writeMachine(this.#parts(), states, sink, options));
    } finally {
      if (ran) await this.resume();
    }
  }

  /** Packs RAM while the machine runs: a `save` with what this gives packs no more than what has been stored to since. null: not with this engine. */
  packAhead(codec: PageCodec | null = null): Promise<PagesAhead | null> { return packAhead(this.#parts(), codec, this.#options.host ?? createHostPort()); }

  /**
   * Brings a device into a machine that runs or is paused, with back ends of its own: made and powered up as all others were, which stay
   * as they are; the processor stands meanwhile, from the present instruction on. Rejects with AggregateError, and leaves nothing of it.
   */
  add(spec: DeviceSpec, blocks: Readonly<Record<string, BlockBackend>> = {}): Promise<void> { return this.#changes.add(spec, blocks); }

  /** The way back, for devices that want `hot-remove`; whether the guest has let go of it is for the composer to know. */
  remove(name: string): Promise<void> { return this.#changes.remove(name); }

  /** Resolves when the machine stops by itself; at once when it has since it last began to run. */
  stopped(): Promise<StopReason> {
    if (this.#stopReason !== null) return Promise.resolve(this.#stopReason);
    return new Promise((resolve) => this.#stopWaiters.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#abort); // it may outlive many machines
    if (this.phase === 'off') return;
    if (this.phase === 'running') await this.powerDown();
    await this.lifecycle.tearDown();
    this.#options.engine.tearDown();
  }

  async #up(why: 'cold' | 'reset'): Promise<void> {
    await this.lifecycle.powerUp(why, () => {
      this.#fabric.reset();
      this.#processors.reset();
      return this.#options.load?.(this);
    });
    return this.#begin(false);
  }

  async #restore(saved: SavedMachine): Promise<void> {
    const { restore, createMemory } = this.#options;
    this.#saved = null;
    this.#loop.clock.set(saved.head.nanos);
    await this.lifecycle.powerUp('restore', () => loadMachine(this.#parts(), saved, restore!, createMemory !== undefined), saved.devices);
    return this.#begin(true);
  }

  #expectRunning(what: string): void { if (this.phase !== 'running') throw new VmError('E_PHASE', `only a running machine ${what}; this one is ${this.phase}`); }

  #parts(): MachineParts { return { engine: this.#options.engine, firmwareBytes: this.#options.firmwareBytes ?? 0, clock: this.#loop.clock, fabric: this.#fabric, processors: this.#processors, ram: this.#ram }; }

  async #begin(restored: boolean): Promise<void> {
    this.#lines.setLive(true, restored);
    this.#options.signal?.addEventListener('abort', this.#abort);
    await this.resume();
    if (this.#options.signal?.aborted === true) this.requestStop('aborted');
  }

  #context(spec: DeviceSpec, signal: AbortSignal): DeviceContext<Capability> {
    const fence = new FaultFence((where, error) => this.#fault(spec.name, `${spec.name}.${where}`, error));
    this.#fences.set(spec.name, fence);
    const message = (address: Gpa, data: number): void => this.#fabric.message(address, data);
    return createContext(spec, signal, { fence, pio: this.#pio, mmio: this.#mmio, lines: this.#lines, clock: this.#loop.clock, memory: this.memory, blocks: this.#blocks, message, log: (level, text) => this.#log(spec.name, level, text), pci: this.#options.pci });
  }

  #release(owner: string): void {
    for (const bus of [this.#pio, this.#mmio]) bus.release(owner);
    const fence = this.#fences.get(owner);
    if (fence?.tripped !== true) this.#fences.delete(owner); // a failure stays counted
    fence?.end(this.#loop.clock);
  }

  #fault(owner: string, label: string, error: unknown): void {
    this.#table.cutOff(owner);
    if (this.#fences.get(owner)?.trip() === false) return; // it is told once
    this.#log(owner, 'warn', `${label} threw and is cut off: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    if (this.#options.onFault !== 'go-on') this.requestStop('faulted');
  }

  #stopped(reason: StopReason): void {
    this.#stopReason = reason;
    for (const resolve of this.#stopWaiters.splice(0)) resolve(reason);
  }

  #log(source: string, level: LogLevel, text: string): void { this.#options.log?.(source, level, text); }
}
