import { describe, expect, it } from 'vitest';
import type { BlockBackend, DeviceModule } from '../abi.ts';
import { device } from '../device-spec.ts';
import type { Engine, ExitCode, InterruptFabric, Surroundings, Vcpu } from '../engine.ts';
import { EXIT_REQUEST } from '../exit.ts';
import { createMachine, type Machine, type MachineOptions } from '../machine.ts';
import { isolatedDevice, type IsolationOptions } from './isolated-device.ts';
import * as devices from './test-devices.ts';

type Name = keyof typeof devices & string;
const DEVICES: Readonly<Record<Name, devices.TestDevice>> = { ...devices };

describe('a device in a worker', () => {
  it('answers accesses, sends messages, moves lines, and has the time of the access', async () => {
    await using machine = await made(['worker']);
    const { pio } = machine.cpu.surroundings;
    expect([pio.read(0x100, 4), pio.read(0x10c, 2), pio.read(0x10d, 1)]).toEqual([7, 0xc2, 0xd1]);
    pio.write(0x100, 4, 0xffff_ffff);
    expect(pio.read(0x100, 4)).toBe(0xffff_ffff);
    await machine.run(1234);
    expect(pio.read(0x104, 4)).toBe(12_340);
    pio.write(0x10c, 4, 1);
    pio.write(0x110, 4, 0x4041);
    pio.write(0x10c, 4, 0);
    expect(machine.told).toEqual(['pin 5 true', 'message fee00000 4041', 'pin 5 false']);
    const wide = new DataView(new ArrayBuffer(16));
    pio.readWide(0x104, 8, wide);
    expect(Array.from(new Uint8Array(wide.buffer, 0, 8))).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    pio.write(0x100, 4, 1);
    pio.writeWide(0x100, 8, wide);
    expect(pio.read(0x100, 4)).toBe(1 + 60);
  });

  it('has as many effects in one access as it likes, in order', async () => {
    await using machine = await made(['worker']);
    machine.cpu.surroundings.pio.write(0x118, 4, 1000);
    expect(machine.told.length).toBe(2000);
    expect(machine.told.every((one, i) => one === `pin 5 ${i % 2 === 0}`)).toBe(true);
  });

  it('has timers that fire at the very instruction, and keep their period', async () => {
    await using machine = await made(['worker']);
    const { cpu } = machine;
    cpu.surroundings.pio.write(0x100, 4, 0);
    cpu.surroundings.pio.write(0x104, 4, 500); // nanoseconds from now, of 10 an instruction
    const seen: string[] = [];
    cpu.each = () => {
      const count = cpu.surroundings.pio.read(0x100, 4);
      if (count >= 1000 && count !== 1000 * seen.length) seen.push(`${count} at ${cpu.retired}`);
    };
    await machine.run(1000);
    expect(seen).toEqual(['1000 at 51', '2000 at 151', '3000 at 251', '4000 at 351', '5000 at 451'] /* the instruction after the one at which it was due */);
  });

  it('reaches guest memory through the machine, which tells whoever watches the page, and nothing outside of it', async () => {
    await using machine = await made(['worker']);
    const { ram, memory } = machine.vm;
    const { pio } = machine.cpu.surroundings;
    const written: number[] = [];
    ram.watch(4, { written: (offset, bytes) => written.push(offset - ram.base, bytes) });
    new Uint8Array(ram.memory.buffer, ram.attributesOffset, ram.bytes / 4096).fill(4);
    pio.write(0x108, 4, 0x1234_5678);
    expect([memory.read(0x1000, 4), memory.read(0x1004, 4), pio.read(0x108, 2)]).toEqual([0x1234_5678, 0x1234_5679, 0x5678]);
    expect(written).toEqual([0x1000, 4, 0x1004, 4]);
    written.length = 0;
    pio.write(0x11c, 4, 100_000); // more than the mailbox holds
    expect(Array.from({ length: 100_000 }, (_, i) => memory.read(0x4000 + i, 1)).every((byte, i) => byte === ((i * 3) & 0xff))).toBe(true);
    expect(written.length).toBe(4);
    pio.write(0x11c, 4, 0x400_0000);
    expect(machine.logged.slice(-2)).toEqual(['worker info true false', 'worker warn no window']);
  });

  it('reads and writes disks of the host, which refuse it as they refuse others', async () => {
    await using machine = await made(['worker']);
    machine.disk.fill(0x33, 512, 1536);
    machine.cpu.surroundings.pio.write(0x114, 4, 1024);
    await machine.told.until('pin 5 true');
    expect([machine.vm.memory.read(0x2000, 4), machine.vm.memory.read(0x23fc, 4), machine.vm.memory.read(0x2400, 4)]).toEqual([0x3333_3333, 0x3333_3333, 0]);
    expect([machine.disk[0], machine.disk[1023], machine.disk[1024]]).toEqual([7, 7, 0x33]);
    expect(machine.logged.at(-1)).toBe('worker info RangeError ');
  });

  it('goes through the hooks of its life, and its saved state goes on in a device in this thread', async () => {
    const pieces: Uint8Array[] = [];
    {
      await using machine = await made(['worker']);
      machine.cpu.surroundings.pio.write(0x100, 4, 99);
      machine.cpu.surroundings.pio.write(0x104, 4, 777);
      await machine.vm.reset();
      await machine.vm.pause();
      expect(machine.logged).toEqual(['worker info up cold', 'worker debug started', 'worker info up reset', 'worker debug started']);
      machine.cpu.surroundings.pio.write(0x100, 4, 98);
      await machine.vm.save((piece) => void pieces.push(piece));
    }
    const bytes = Uint8Array.from(pieces.flatMap((piece) => [...piece]));
    for (const isolated of [true, false]) {
      await using machine = await made(['worker'], {}, { restore: { bytes } }, isolated);
      const again: Uint8Array[] = [];
      await machine.vm.save((piece) => void again.push(piece));
      expect(again.flatMap((piece) => [...piece])).toEqual([...bytes]);
      expect(machine.cpu.surroundings.pio.read(0x100, 4)).toBe(98);
    }
  });

  it('is refused with its own words when it cannot be made, and leaves nothing', async () => {
    await expect(made(['throwsInCreate'])).rejects.toThrow('create: throwsincreate: create failed: not like this');
    await expect(made(['overlaps'])).rejects.toThrow('overlaps.b: 0x100 to 0x103 is taken by overlaps.a');
    await expect(made(['grabs'])).rejects.toThrow(/create failed: .*pio|undefined/);
    await expect(machineOf([isolatedDevice('liar', { ...devices.liar.manifest, id: 'test.agreed' }, { url: FILE, export: 'liar' })])).rejects.toThrow(/its manifest is .*test\.another.*agreed to/);
    await expect(machineOf([isolatedDevice('none', devices.liar.manifest, { url: FILE, export: 'nobody' })])).rejects.toThrow('it exports no device module named nobody');
    await expect(machineOf([isolatedDevice('fn', devices.liar.manifest, { url: FILE, export: 'liar', config: { call: () => 1 } })])).rejects.toThrow(/its worker cannot be started/);
    expect(() => isolatedDevice('pic', { ...devices.liar.manifest, needs: ['controller'] }, { url: FILE, export: 'liar' })).toThrow(/controller, which a device in a worker cannot have/);
  });
});

describe('a hostile device in a worker', () => {
  const QUICK = { answerMs: 200 };
  const cases: readonly [name: Name, why: RegExp][] = [
    ['hangs', /did not answer within 0\.2 s/], ['throws', /burnt out/], ['exits', /its worker has ended/], ['eats', /did not answer within|has ended|memory limit/], ['talks', /at most 256 of a kind|did not answer within/],
  ];
  it.each(cases)('that %s in an access is the open bus from then on, told once and counted, and the machine goes on', async (name, why) => {
    await using machine = await made([name], QUICK, { onFault: 'go-on' });
    const { pio } = machine.cpu.surroundings;
    expect(machine.told).toEqual(['pin 5 true']);
    expect([pio.read(0x100, 1), pio.read(0x100, 1)]).toEqual([0xff, 0xff]);
    expect(machine.told).toEqual(['pin 5 true', 'pin 5 false']);
    expect(machine.logged.filter((line) => line.includes('is cut off')).length).toBe(1);
    expect(machine.logged.join()).toMatch(why);
    expect(machine.vm.counters.read()[`device.${name}.faults`]).toBe(1);
    await machine.run(100);
    expect(machine.vm.phase).toBe('running');
  });

  it('that hangs in a timer stops the machine, if that is the policy', async () => {
    await using machine = await made(['hangs'], QUICK);
    machine.cpu.surroundings.pio.write(0x100, 1, 100);
    machine.cpu.left = 1000;
    await machine.vm.resume();
    expect(await machine.vm.stopped()).toBe('faulted');
    expect(machine.cpu.retired).toBe(10);
  });

  it('that crashes when nobody waits for it is told as well', async () => {
    await using machine = await made(['crashes'], {}, { onFault: 'go-on' });
    expect(machine.cpu.surroundings.pio.read(0x100, 1)).toBe(1);
    await machine.told.until('pin 5 false');
    expect(machine.logged.join()).toMatch(/crashes\.worker .*later/);
    expect(machine.cpu.surroundings.pio.read(0x100, 1)).toBe(0xff);
  });

  it('that answers nonsense answers a number', async () => {
    await using machine = await made(['nonsense']);
    expect(machine.cpu.surroundings.pio.read(0x100, 1)).toBe(0);
  });

  it('that hangs in create, load, or a hook that never settles is named, and its worker ended', async () => {
    await expect(made(['hangsInCreate'], { startMs: 500 })).rejects.toThrow(/create: hangsincreate: create failed: it did not answer within 0\.5 s/);
    await expect(made(['neverUp'], { hookMs: 50 })).rejects.toThrow(/powerUp: neverup: powerUp failed: it was not done within 0\.05 s/);
    await expect(made(['neverStops'], { hookMs: 50 })).rejects.toThrow(/stop: neverstops: stop failed: it was not done/);
    const going = await made(['neverGone'], { hookMs: 50 });
    await expect(going.vm[Symbol.asyncDispose]()).rejects.toThrow(/tearDown: nevergone: tearDown failed: it was not done/);
    expect(going.vm.phase).toBe('off');
    const pieces: Uint8Array[] = [];
    {
      await using machine = await made(['hangsInLoad'], QUICK);
      await machine.vm.save((piece) => void pieces.push(piece));
    }
    await expect(made(['hangsInLoad'], QUICK, { restore: { bytes: Uint8Array.from(pieces.flatMap((piece) => [...piece])) } })).rejects.toThrow(/load: hangsinload: load failed: it did not answer/);
  });
});

const FILE = new URL('./test-devices.ts', import.meta.url);

/** A list that can be waited for. */
class Told extends Array<string> {
  #waiting: { readonly text: string; resolve(): void } | null = null;
  note(text: string): void {
    this.push(text);
    if (this.#waiting?.text === text) this.#waiting.resolve();
  }
  until(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { text, resolve };
      if (this.includes(text)) resolve();
    });
  }
}

interface Made extends AsyncDisposable {
  readonly vm: Machine;
  readonly cpu: IdleCpu;
  readonly told: Told;
  readonly logged: string[];
  readonly disk: Uint8Array;
  run(instructions: number): Promise<void>;
}

async function made(names: readonly Name[], limits: IsolationOptions = {}, options: Partial<MachineOptions> = {}, isolated = true): Promise<Made> {
  const specs = names.map((name) => {
    const module = DEVICES[name];
    return isolated ? isolatedDevice(name.toLowerCase(), module.manifest, { url: FILE, export: name, config: {} }, limits) : device(name.toLowerCase(), module, {});
  });
  const machine = await machineOf(specs, options);
  try {
    await machine.vm.powerUp();
    await machine.vm.pause();
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
  return machine;
}

async function machineOf(specs: MachineOptions['devices'], options: Partial<MachineOptions> = {}): Promise<Made> {
  const told = new Told();
  const logged: string[] = [];
  const disk = new Uint8Array(4096);
  const engine = new IdleEngine();
  const listener: DeviceModule<void, 'controller'> = {
    manifest: { abi: 1, id: 'test.listener', version: '1.0.0', state: 0, needs: ['controller'] },
    create: (ctx) => (ctx.controller.attach(0, 8, { setLine: (pin, high) => told.note(`pin ${pin} ${high}`) }), {}),
  };
  const fabric: InterruptFabric = {
    port: () => PORT, message: (address, data) => told.note(`message ${address.toString(16)} ${data.toString(16)}`), external: () => {}, reset: () => {}, save: () => null, load: () => {},
  };
  const vm = await createMachine({
    engine, ramBytes: 1 << 20, devices: [...specs, device('listener', listener)], interrupts: () => fabric, clock: { kind: 'virtual', nanosPerInstruction: 10 },
    blocks: { disk0: backend(disk) }, log: (source, level, text) => void logged.push(`${source} ${level} ${text}`), ...options,
  });
  const { cpu } = engine;
  return {
    vm, cpu, told, logged, disk,
    run: async (instructions) => {
      cpu.left = instructions;
      const done = new Promise<void>((resolve) => (cpu.done = resolve));
      await vm.resume();
      await done;
      await vm.pause();
    },
    [Symbol.asyncDispose]: () => vm[Symbol.asyncDispose](),
  };
}

function backend(disk: Uint8Array): BlockBackend {
  const check = (at: number, bytes: number): void => { if (at + bytes > disk.length) throw new RangeError('beyond the end'); };
  return {
    bytes: disk.length, writable: true,
    read: async (at, into) => (check(at, into.length), void into.set(disk.subarray(at, at + into.length))),
    write: async (at, from) => (check(at, from.length), void disk.set(from, at)),
    flush: async () => {}, discard: async () => {}, writeZeroes: async () => {},
  };
}

const PORT = {
  isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => {}, readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0,
};

/** Retires what it may, one instruction after the other. */
class IdleCpu implements Vcpu {
  retired = 0;
  left = 0;
  each = (): void => {};
  done = (): void => {};
  #stopAt = Infinity;
  readonly surroundings: Surroundings;
  constructor(surroundings: Surroundings) { this.surroundings = surroundings; }
  run(instructions: number): ExitCode {
    this.#stopAt = this.retired + instructions;
    while (this.left > 0 && this.retired < this.#stopAt) {
      this.retired++;
      this.left--;
      this.each();
    }
    if (this.left === 0) this.done();
    return EXIT_REQUEST;
  }
  signal(): void {}
  stopAfter(instructions: number): void { this.#stopAt = Math.min(this.#stopAt, this.retired + instructions); }
  reset(): void {}
  save(): number { return this.retired; }
  load(state: unknown): void { this.retired = state as number; }
}

class IdleEngine implements Engine<IdleCpu> {
  readonly abi = 0;
  readonly id = 'vm.idle';
  readonly features: readonly string[] = [];
  readonly processorState = { id: 'vm.idle', version: 1, model: 'idle' };
  cpu!: IdleCpu;
  reserveBytes(): number { return 0x1000; }
  createVcpu(_index: number, surroundings: Surroundings): IdleCpu { return (this.cpu = new IdleCpu(surroundings)); }
  tearDown(): void {}
}
