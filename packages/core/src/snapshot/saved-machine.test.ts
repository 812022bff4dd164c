import { crc32 as zlibCrc } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Capability, Device, DeviceModule, Plain } from '../abi.ts';
import { device } from '../device-spec.ts';
import type { Engine, ExitCode, InterruptFabric, Surroundings, Vcpu } from '../engine.ts';
import { VmError } from '../errors.ts';
import { EXIT_BUDGET } from '../exit.ts';
import { createMachine, type Machine, type MachineOptions } from '../machine.ts';
import { type PageCodec, readSnapshot } from './saved-machine.ts';

const KiB = 1024;

describe('a saved machine', () => {
  it('goes on in another one: time, RAM, processor, interrupts, devices in order, lines told whole', async () => {
    const first = await machineOf();
    await first.vm.powerUp();
    first.vm.memory.copyIn(5 * 4096 + 7, Uint8Array.of(1, 2, 3));
    first.engine.cpu.work(1234);
    first.things[1]!.count = 77;
    const bytes = await first.save({ about: { who: 'me' } });
    expect([first.vm.phase, first.vm.lifecycle.started]).toEqual(['running', true]);
    const second = await machineOf({ restore: { bytes } });
    second.log.length = 0;
    await second.vm.powerUp();
    await second.vm.pause();
    expect(second.log).toEqual(['one up restore', 'two up restore', 'one load 0', 'two load 77', 'one start', 'two start', 'two stop', 'one stop']);
    expect([second.vm.clock.now(), second.engine.cpu.retired, second.engine.fabric.loaded]).toEqual([12_340, 1234, 5]);
    expect([...second.vm.memory.readWindow(5 * 4096 + 7, 3)!]).toEqual([1, 2, 3]);
    expect(second.told).toEqual(['3 high', '4 low']); // also what is low: the controller came up with levels of its own
    expect(readSnapshot(bytes).head.about).toEqual({ who: 'me' });
    expect(await second.save({ about: { who: 'me' } })).toEqual(bytes);
    for (const { vm } of [first, second]) await vm[Symbol.asyncDispose]();
  });

  it('saving is nothing to the machine, paused or not, and a failed one leaves it running', async () => {
    const { vm, save, things, engine } = await machineOf();
    await vm.powerUp();
    engine.cpu.work(10);
    const now = vm.clock.now();
    const bytes = await save();
    await vm.pause();
    expect(await save()).toEqual(bytes);
    expect([vm.lifecycle.started, vm.clock.now()]).toEqual([false, now]);
    await vm.resume();
    things[0]!.failsAt = 'save';
    await expect(save()).rejects.toThrow(/save: one: save failed: not today/);
    expect([vm.phase, vm.lifecycle.started]).toEqual(['running', true]);
    things[0]!.failsAt = '';
    await expect(vm.save(() => { throw new Error('the disk is full'); })).rejects.toThrow('the disk is full');
    expect([vm.phase, vm.lifecycle.started]).toEqual(['running', true]);
    things[0]!.state = (() => {}) as never;
    await expect(save()).rejects.toThrow(/one: save gave what is no plain data/);
    await vm[Symbol.asyncDispose]();
    await expect(save()).rejects.toThrow(VmError);
  });

  it('a device that refuses its state takes the whole machine down again, in reverse', async () => {
    const first = await machineOf();
    await first.vm.powerUp();
    const bytes = await first.save();
    await first.vm[Symbol.asyncDispose]();
    const second = await machineOf({ restore: { bytes } });
    second.things[1]!.failsAt = 'load';
    second.log.length = 0;
    await expect(second.vm.powerUp()).rejects.toThrow(/load: two: load failed: not today/);
    expect(second.log).toEqual(['one up restore', 'two up restore', 'one load 0', 'two down', 'one down']);
    expect(second.vm.phase).toBe('powering-down');
    await second.vm.powerUp(); // and it can be turned on as a new one
    expect(second.log.slice(5)).toEqual(['one up cold', 'two up cold', 'one start', 'two start']);
    await second.vm[Symbol.asyncDispose]();
  });

  it('is refused before anything is made where the machine is another one, with the reason', async () => {
    const { vm, save } = await machineOf();
    await vm.powerUp();
    const bytes = await save();
    await vm[Symbol.asyncDispose]();
    const refused = async (more: Parameters<typeof machineOf>[0]): Promise<string> => {
      const made: string[] = [];
      const error: unknown = await machineOf({ restore: { bytes }, made, ...more }).catch((one: unknown) => one);
      expect(VmError.is(error) && error.code, String(error)).toBe('E_STATE');
      expect(made).toEqual([]);
      return (error as Error).message.replace('the saved machine cannot go on here: ', '');
    };
    expect(await refused({ ramBytes: 128 * KiB })).toBe('it has 0.0625 MiB of RAM with 0 MiB of firmware, and this machine 0.125 MiB with 0 MiB');
    expect(await refused({ model: 'other' })).toBe('its processor is plain, and that of this machine other');
    expect(await refused({ state: 3 })).toBe('its processor is saved as test 1, and this engine loads test 3');
    expect(await refused({ names: ['one'] })).toBe('it has a device two (test.thing), and this machine has none of that name');
    expect(await refused({ names: ['one', 'two', 'three'] })).toBe('this machine has a device three (test.thing), which the saved one has not');
    expect(await refused({ id: 'test.other' })).toBe('its device one is test.thing, and that of this machine test.other');
    expect(await refused({ version: 3 })).toBe('one: test.thing saved state version 2, and the present one loads from 3 on');
    expect(await refused({ version: 1 })).toBe('one: test.thing saved state version 2, and the present one knows 1');
    const older = await machineOf({ restore: { bytes }, version: 3, oldest: 2 });
    await older.vm.powerUp();
    await older.vm[Symbol.asyncDispose]();
  });

  it('needs the codec it was packed with', async () => {
    const swap: PageCodec = { name: 'swap', pack: (pages) => pages.toReversed(), unpack: (packed) => packed.toReversed(), crc32: (part, before) => zlibCrc(part, before) };
    const { vm, save } = await machineOf();
    await vm.powerUp();
    vm.memory.write(0x3000, 4, 0x1234_5678);
    const bytes = await save({ codec: swap });
    expect(await save({ codec: { ...swap, isZero: (some) => some.every((byte) => byte === 0) } })).toEqual(bytes);
    await vm[Symbol.asyncDispose]();
    await expect(machineOf({ restore: { bytes } })).rejects.toThrow('its pages are packed with swap, and nothing is there to unpack them');
    const other = await machineOf({ restore: { bytes, codec: swap } });
    await other.vm.powerUp();
    expect(other.vm.memory.read(0x3000, 4)).toBe(0x1234_5678);
    await other.vm[Symbol.asyncDispose]();
    const broken = await machineOf({ restore: { bytes, codec: { ...swap, unpack: () => new Uint8Array(5) } } });
    await expect(broken.vm.powerUp()).rejects.toThrow('have another size');
    await broken.vm[Symbol.asyncDispose]();
  });

  it('cut off at any byte, or with any byte changed, is refused', async () => {
    const { vm, save } = await machineOf();
    await vm.powerUp();
    vm.memory.write(0x3000, 4, 5);
    const bytes = await save();
    await vm[Symbol.asyncDispose]();
    const code = (given: Uint8Array): unknown => {
      try {
        readSnapshot(given);
        return 'read';
      } catch (error) {
        return VmError.is(error) ? error.code : error;
      }
    };
    expect(code(bytes)).toBe('read');
    for (let end = 0; end < bytes.length; end++) expect(code(bytes.subarray(0, end)), `cut at ${end}`).toBe('E_STATE');
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << (at & 7);
      expect(code(changed), `byte ${at}`).toBe('E_STATE');
    }
    expect(code(Uint8Array.of(...bytes, 0))).toBe('E_STATE');
  });

  it('with hostile frames whose checksums are right, is refused or loaded, and nothing else happens', async () => {
    const seed = Number(process.env['VM_SEED'] ?? 1);
    let state = seed >>> 0;
    const random = (below: number): number => Math.floor(((state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32) * below);
    const { vm, save } = await machineOf();
    await vm.powerUp();
    vm.memory.write(0x3000, 4, 5);
    const frames = framesOf(await save());
    await vm[Symbol.asyncDispose]();
    for (let i = 0; i < 400; i++) {
      const hostile = frames.map((frame) => frame.slice());
      for (let k = random(3); k >= 0; k--) {
        const at = random(hostile.length);
        const kind = random(8);
        if (kind === 0) hostile.splice(at, 1);
        else if (kind === 1) hostile.splice(random(hostile.length), 0, hostile[at]!);
        else if (hostile[at] !== undefined) for (let n = random(3); n >= 0; n--) hostile[at]![random(2) === 0 ? random(4) : 12 + random(Math.max(1, Math.min(60, hostile[at]!.length - 12)))] = random(256);
        if (hostile.length === 0) break;
      }
      const where = `VM_SEED=${seed}, case ${i}`;
      try {
        const { vm: other } = await machineOf({ restore: { bytes: joined(hostile) } });
        try {
          await other.powerUp();
        } finally {
          await other[Symbol.asyncDispose]();
        }
      } catch (error) {
        for (const one of error instanceof AggregateError ? (error.errors as unknown[]) : [error]) expect(VmError.is(one), `${where}: ${String(one)}`).toBe(true);
      }
    }
  });

  it('an engine that cannot save says so', async () => {
    const { vm, save } = await machineOf({ state: 0 });
    await vm.powerUp();
    await expect(save()).rejects.toMatchObject({ code: 'E_ENGINE' });
    await vm[Symbol.asyncDispose]();
  });
});

// What the tests above are made of.

interface Thing { count: number; failsAt: string; state: Plain | undefined }
interface Made {
  readonly vm: Machine<StillCpu>;
  readonly engine: StillEngine;
  readonly things: Thing[];
  readonly log: string[];
  readonly told: string[];
  save(options?: { readonly about?: Plain; readonly codec?: PageCodec }): Promise<Uint8Array>;
}

/** Runs only as far as a test says. */
class StillCpu implements Vcpu {
  retired = 0;
  fresh = false;
  readonly surroundings: Surroundings;

  constructor(surroundings: Surroundings) {
    this.surroundings = surroundings;
  }

  run(): ExitCode { return EXIT_BUDGET; }
  work(instructions: number): void { this.retired += instructions; }
  signal(): void {}
  stopAfter(): void {}
  reset(): void {}
  save(): Plain { return { retired: this.retired }; }
  load(state: Plain, fresh: boolean): void {
    const { retired } = (state ?? {}) as { retired?: Plain };
    if (typeof retired !== 'number') throw new TypeError('retired expected a number');
    this.retired = retired;
    this.fresh = fresh;
  }
}

class StillEngine implements Engine<StillCpu> {
  readonly abi = 0;
  readonly id = 'test.still';
  readonly features: readonly string[] = [];
  readonly fabric: InterruptFabric & { loaded: number };
  readonly processorState?: { readonly id: string; readonly version: number; readonly model: string };
  cpu!: StillCpu; // set by createVcpu

  constructor(model: string, state: number) {
    if (state > 0) this.processorState = { id: 'test', version: state, model };
    const fabric = {
      loaded: 0, port: () => ({ isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => undefined, readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0 }),
      message: () => undefined, external: () => undefined, reset: () => undefined, save: () => 5,
      load: (saved: Plain) => {
        if (typeof saved !== 'number') throw new TypeError('expected a number');
        fabric.loaded = saved;
      },
    };
    this.fabric = fabric;
  }

  reserveBytes(): number { return 100; }
  createVcpu(_index: number, surroundings: Surroundings): StillCpu { return (this.cpu = new StillCpu(surroundings)); }
  tearDown(): void {}
}

async function machineOf({ names = ['one', 'two'], id = 'test.thing', version = 2, oldest, model = 'plain', state = 1, ramBytes = 64 * KiB, made = [], ...more }: Partial<MachineOptions<StillCpu>> & {
  readonly names?: readonly string[]; readonly id?: string; readonly version?: number; readonly oldest?: number; readonly model?: string; readonly state?: number; readonly made?: string[];
} = {}): Promise<Made> {
  const engine = new StillEngine(model, state);
  const [things, log, told]: [Thing[], string[], string[]] = [[], [], []];
  const listener: DeviceModule<void, 'controller' | 'lines'> = {
    manifest: { abi: 1, id: 'test.listener', version: '0.0.0', state: 0, needs: ['controller', 'lines'] },
    create: ({ controller, lines }) => {
      const [high, low] = [lines.connect(3), lines.connect(4)];
      controller.attach(0, 16, { setLine: (pin, up) => told.push(`${pin} ${up ? 'high' : 'low'}`) });
      return { powerUp: () => (high.set(true), low.set(false)) };
    },
  };
  const module: DeviceModule<void, Capability> = {
    manifest: { abi: 1, id, version: '0.0.0', state: version, needs: [], ...(oldest === undefined ? {} : { oldestState: oldest }) },
    create: ({ name }) => {
      made.push(name);
      const thing: Thing = { count: 0, failsAt: '', state: undefined };
      things.push(thing);
      const step = (what: string, text: string): void => {
        if (thing.failsAt === what) throw new Error('not today');
        log.push(`${name} ${text}`);
      };
      return {
        powerUp: (why) => step('powerUp', `up ${why}`),
        start: () => step('start', 'start'),
        stop: () => step('stop', 'stop'),
        powerDown: () => step('powerDown', 'down'),
        save: () => {
          if (thing.failsAt === 'save') throw new Error('not today');
          return thing.state ?? { count: thing.count };
        },
        load: (saved) => {
          const { count } = (saved ?? {}) as { count?: Plain };
          if (typeof count !== 'number') throw new TypeError('count expected a number');
          step('load', `load ${count}`);
          thing.count = count;
        },
      } satisfies Device;
    },
  };
  const vm = await createMachine<StillCpu>({
    engine, ramBytes, devices: [...names.map((name) => device(name, module)), device('listener', listener)], interrupts: () => engine.fabric,
    clock: { kind: 'virtual', nanosPerInstruction: 10 },
    host: { now: () => 0, soon: () => undefined, later: () => null, cancel: () => undefined },
    ...more,
  });
  return {
    vm, engine, things, log, told,
    save: async (options = {}) => {
      const pieces: Uint8Array[] = [];
      await vm.save((piece) => void pieces.push(piece), options);
      return joined(pieces);
    },
  };
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces.map((piece, i) => (i === 0 ? piece : checked(piece)))));
}

/** A frame with the checksum that its content has. */
function checked(frame: Uint8Array): Uint8Array {
  if (frame.length < 12) return frame;
  const copy = frame.slice();
  const view = new DataView(copy.buffer);
  view.setUint32(4, copy.length - 12, true);
  view.setUint32(8, zlibCrc(copy.subarray(12), zlibCrc(copy.subarray(0, 8))), true);
  return copy;
}

/** The first 8 bytes, and the frames after them. */
function framesOf(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const frames = [bytes.slice(0, 8)];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at + 4, true)) frames.push(bytes.slice(at, at + 12 + view.getUint32(at + 4, true)));
  return frames;
}
