import { type BlockBackend, type Capability, createMachine, type Device, type DeviceContext, type DeviceSpec, type Engine, type InterruptFabric, type IoHandler, type IoSpace, type Machine, type Plain, type Size, type Vcpu } from '@vm/core';
import type { ExitCode, IoBus, Surroundings } from '@vm/core/engine';
import type { RestoreOptions } from '@vm/core/snapshot';
import { EXIT_REQUEST } from '@vm/core/exit';
import { fixedPci } from './fixed-pci.ts';

const NANOS_PER_INSTRUCTION = 10;
const RAM_BYTES = 0x1_0000;
const RESERVE_BYTES = 0x1000;
const PINS = 32;
const SLICE_NANOS = 1e6;

/** A place where a device answers, or could. */
export interface ClaimedRegion {
  readonly name: string;
  readonly space: 'pio' | 'mmio';
  readonly bytes: number;
  /** -1 while it is nowhere. */
  base(): number;
}
export interface DeviceMachineOptions {
  readonly devices: readonly DeviceSpec[];
  readonly blocks?: Readonly<Record<string, BlockBackend>>;
  readonly restore?: RestoreOptions;
  /** Called after a hook of a device has run; may throw. */
  readonly after?: (name: string, hook: keyof Device) => void;
  /** Makes RAM; machines that follow one another may share it. */
  readonly memory?: ArrayBuffer;
}

/** A real machine around devices, with a processor that does nothing but let time pass when a test says so. */
export class DeviceMachine {
  readonly regions: ClaimedRegion[] = [];
  /** What happened that the guest could notice: changes of pins as an interrupt controller hears them, and messages. */
  readonly trace: string[] = [];
  readonly faults: string[] = [];
  readonly levels: boolean[] = Array.from({ length: PINS }, () => false);
  readonly pio: IoBus;
  readonly mmio: IoBus;
  readonly vm: Machine<IdleCpu>;
  readonly #turns: (() => void)[];

  /** Use `createDeviceMachine`. */
  constructor(vm: Machine<IdleCpu>, turns: (() => void)[]) {
    this.vm = vm;
    this.#turns = turns;
    ({ pio: this.pio, mmio: this.mmio } = vm.vcpu.surroundings);
  }

  async powerUp(): Promise<void> {
    await this.vm.powerUp();
    await this.vm.pause();
  }

  /** Lets so much time pass, and the host work. */
  async advance(nanos: number): Promise<void> {
    const { vcpu } = this.vm;
    vcpu.left += Math.ceil(nanos / NANOS_PER_INSTRUCTION);
    await this.vm.resume();
    for (let over = 0; over < 2; ) {
      for (const turn of this.#turns.splice(0)) turn();
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (vcpu.left === 0) over++; // once more, for what is due at the end
      if (this.vm.phase !== 'running' || !this.vm.lifecycle.started) break;
    }
    await this.vm.pause();
  }

  async save(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    await this.vm.save((piece) => void pieces.push(piece));
    const all = new Uint8Array(pieces.reduce((sum, one) => sum + one.length, 0));
    pieces.reduce((at, one) => (all.set(one, at), at + one.length), 0);
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vm[Symbol.asyncDispose]();
  }
}

export async function createDeviceMachine({ devices, blocks, restore, after, memory }: DeviceMachineOptions): Promise<DeviceMachine> {
  const turns: (() => void)[] = [];
  let hostTime = 0; // a slice is over after one run
  const late: { machine: DeviceMachine | null } = { machine: null };
  const regions: ClaimedRegion[] = [];
  const trace: string[] = [];
  const listener: DeviceSpec = {
    name: 'test-listener',
    manifest: { abi: 1, id: 'vm.test-listener', version: '0.0.0', state: 0, needs: ['controller'] },
    create: (ctx) => {
      (ctx as DeviceContext<'controller'>).controller.attach(0, PINS, {
        setLine: (pin, high) => {
          trace.push(`pin ${pin} ${high ? 'high' : 'low'}`);
          if (late.machine !== null) late.machine.levels[pin] = high;
        },
      });
      return { powerUp: () => void late.machine?.levels.fill(false) }; // as every controller comes up
    },
  };
  const vm = await createMachine<IdleCpu>({
    engine: idleEngine(),
    ramBytes: RAM_BYTES,
    devices: [...devices.map((spec) => observed(spec, regions, after ?? (() => {}))), listener],
    interrupts: () => idleFabric((address, data) => trace.push(`message ${address.toString(16)} ${data.toString(16)}`)),
    clock: { kind: 'virtual', nanosPerInstruction: NANOS_PER_INSTRUCTION },
    host: { now: () => (hostTime += SLICE_NANOS), soon: (turn) => void turns.push(turn), later: () => null, cancel: () => {} },
    log: (source, level, text) => {
      if (level === 'warn' && text.includes('is cut off')) late.machine?.faults.push(`${source}: ${text}`);
    },
    pci: fixedPci(),
    ...(blocks === undefined ? {} : { blocks }),
    ...(restore === undefined ? {} : { restore }),
    ...(memory === undefined ? {} : { createMemory: () => ({ buffer: memory }) }),
  });
  const machine = new DeviceMachine(vm, turns);
  machine.regions.push(...regions);
  late.machine = machine;
  Object.defineProperty(machine, 'trace', { value: trace });
  return machine;
}

/** The bytes of memory that such a machine needs. */
export const DEVICE_MACHINE_BYTES = 0x4_0000;

/** Notes what a device claims, and runs `after` behind each hook. */
function observed(spec: DeviceSpec, regions: ClaimedRegion[], after: NonNullable<DeviceMachineOptions['after']>): DeviceSpec {
  const watch = (space: 'pio' | 'mmio', inner: IoSpace): IoSpace => ({
    claim: (name: string, bytes: number, handler: IoHandler, sizes?: readonly Size[]) => {
      const region = inner.claim(name, bytes, handler, sizes);
      regions.push({ name: `${spec.name}.${name}`, space, bytes, base: () => region.base });
      return region;
    },
  });
  return {
    ...spec,
    create: (ctx, fail) => {
      const given = ctx as unknown as Readonly<Record<string, unknown>>;
      const spaces = Object.fromEntries((['pio', 'mmio'] as const).filter((space) => given[space] !== undefined).map((space) => [space, watch(space, given[space] as IoSpace)]));
      const device = spec.create({ ...given, ...spaces } as unknown as DeviceContext<Capability>, fail);
      const hooked = <Hook extends keyof Device>(hook: Hook): Device[Hook] => {
        const own = device[hook] as ((...args: unknown[]) => unknown) | undefined;
        const run = (...args: unknown[]): unknown => {
          const result = own?.apply(device, args);
          if (result instanceof Promise) return result.then(() => after(spec.name, hook));
          after(spec.name, hook);
          return result;
        };
        return run as unknown as Device[Hook];
      };
      return {
        powerUp: hooked('powerUp')!, start: hooked('start')!, stop: hooked('stop')!, powerDown: hooked('powerDown')!, tearDown: hooked('tearDown')!,
        ...(device.save === undefined ? {} : { save: hooked('save')! }), ...(device.load === undefined ? {} : { load: hooked('load')! }),
      };
    },
  };
}

/** Retires what it is given and no more, and hears of nothing. */
class IdleCpu implements Vcpu {
  retired = 0;
  /** Instructions that it may still retire. */
  left = 0;
  readonly surroundings: Surroundings;

  constructor(surroundings: Surroundings) {
    this.surroundings = surroundings;
  }

  run(instructions: number): ExitCode {
    const done = Math.min(instructions, this.left);
    this.retired += done;
    this.left -= done;
    return EXIT_REQUEST;
  }
  signal(): void {}
  stopAfter(): void {}
  reset(): void {}
  save(): Plain { return this.retired; }
  load(state: Plain): void {
    if (typeof state !== 'number') throw new TypeError('expected a number');
    this.retired = state;
  }
}

function idleEngine(): Engine<IdleCpu> {
  return {
    abi: 0, id: 'vm.idle', features: [], processorState: { id: 'vm.idle', version: 1, model: 'idle' },
    reserveBytes: () => RESERVE_BYTES, createVcpu: (_index, surroundings) => new IdleCpu(surroundings), tearDown: () => {},
  };
}

function idleFabric(message: (address: number, data: number) => void): InterruptFabric {
  const port = {
    isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => {}, readModelRegister: () => false, low: 0, high: 0,
    writeModelRegister: () => false, priority: 0,
  };
  return { port: () => port, message, external: () => {}, reset: () => {}, save: () => null, load: () => {} };
}
