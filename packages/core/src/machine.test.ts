import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Capability, Device, DeviceContext, DeviceModule, Line, Timer } from './abi.ts';
import { device } from './device-spec.ts';
import type { Engine, ExitCode, InterruptFabric, Surroundings, Vcpu } from './engine.ts';
import { EXIT_BUDGET, EXIT_FAIL, EXIT_HALT, EXIT_REQUEST, EXIT_SHUTDOWN } from './exit.ts';
import { createMachine, type Machine, type MachineOptions } from './machine.ts';

describe('a machine under the virtual clock', () => {
  it('delivers a timer after exactly the instructions that its time is worth', async () => {
    const seen: number[] = [];
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const vm = await machineOf(engine, [device('timer', alarm, { times: [100, 1_000, 1_005, 50_000], fired: () => seen.push(engine.cpu.retired) })]);
    await runUntil(vm, () => seen.length === 4);
    // 10 ns an instruction: the first boundary at or after the time.
    expect(seen).toEqual([10, 100, 101, 5_000]);
  });

  it('is refused with an engine that counts no instructions', async () => {
    const engine = Object.assign(new ScriptedEngine((cpu) => cpu.work()), { features: ['real-time'] });
    await expect(machineOf(engine, [])).rejects.toMatchObject({ code: 'E_ENGINE' });
    await expect(machineOf(engine, [], { clock: { kind: 'host' } })).resolves.toBeDefined();
  });

  it('shortens the present run when a device arms a timer in the middle of it', async () => {
    const seen: number[] = [];
    const engine = new ScriptedEngine((cpu) => {
      if (cpu.retired === 1_000) cpu.surroundings.pio.write(0x10, 4, 70);
      return cpu.work();
    });
    const vm = await machineOf(engine, [device('timer', portAlarm, { fired: () => seen.push(engine.cpu.retired) })]);
    await runUntil(vm, () => seen.length === 1);
    expect(seen).toEqual([1_007]);
  });

  it('jumps to the next timer while the processor waits, and wakes it', async () => {
    const woken: [retired: number, now: number][] = [];
    const engine = new ScriptedEngine((cpu) => {
      if (cpu.retired !== 500) return cpu.work();
      if (!cpu.surroundings.interrupts.isPending()) return EXIT_HALT;
      woken.push([cpu.retired, cpu.surroundings.now()]);
      cpu.surroundings.interrupts.acknowledge();
      return cpu.work();
    });
    const vm = await machineOf(engine, [device('timer', alarm, { times: [3_600e9], fired: () => fabric.raise() })]);
    const fabric = engine.fabric;
    await runUntil(vm, () => woken.length === 1);
    expect(woken).toEqual([[500, 3_600e9]]);
  });

  it('gives the same times to the same program whatever the host does', async () => {
    const runs: string[] = [];
    for (const hostStep of [1e3, 7e5]) {
      const seen: number[] = [];
      const engine = new ScriptedEngine((cpu) => (cpu.retired % 3_000 === 2_999 && !cpu.justHalted ? cpu.halt() : cpu.work()));
      const vm = await machineOf(engine, [device('timer', metronome, { period: 1e9 / 1_193_182, fired: () => seen.push(engine.cpu.retired, vm.clock.now()) })], { hostStep });
      await runUntil(vm, () => seen.length > 2_000);
      runs.push(JSON.stringify(seen.slice(0, 2_000)));
    }
    expect(runs[0]).toBe(runs[1]);
  });

  it('sleeps without timers until a device has input from the host', async () => {
    let deliver = (): void => undefined;
    const engine = new ScriptedEngine((cpu) => (cpu.retired < 10 || cpu.surroundings.interrupts.isPending() ? cpu.work() : EXIT_HALT));
    const vm = await machineOf(engine, [device('keys', input, { ready: (press) => (deliver = press) })]);
    await vm.powerUp();
    await turns(20);
    const before = vm.counters.read()['loop.slices'];
    await turns(20);
    expect(vm.counters.read()['loop.slices']).toBe(before);
    expect(engine.cpu.retired).toBe(10);
    deliver();
    await turns(5);
    expect(engine.cpu.retired).toBeGreaterThan(10);
    await vm[Symbol.asyncDispose]();
  });
});

describe('a machine that waits in real time', () => {
  it.each([
    [400_000, { rests: 1, sleeps: 0 }], // shorter than the host's timers can be
    [4_000_000, { rests: 0, sleeps: 1 }],
  ])('%i ns: blocks its thread for a short time, sets a timer for a long one, and polls for none', async (nanos, expected) => {
    let [now, rests, sleeps, fired] = [0, 0, 0, 0];
    const engine = new ScriptedEngine(() => EXIT_HALT);
    const vm = await machineOf(engine, [device('timer', alarm, { times: [nanos], fired: () => fired++ })], {
      clock: { kind: 'host' },
      host: {
        now: () => now,
        soon: setImmediate,
        later: (delay, callback) => {
          if (delay > 1e9) return null; // the watch over slow hooks
          sleeps++;
          now += delay;
          return setImmediate(callback);
        },
        cancel: () => undefined,
        rest: (delay) => {
          rests++;
          now += delay;
        },
      },
    });
    await vm.powerUp();
    for (let i = 0; i < 50 && fired === 0; i++) await turns(1);
    expect({ fired, rests, sleeps, slices: vm.counters.read()['loop.slices'] }).toMatchObject({ fired: 1, ...expected, slices: 2 });
    await vm[Symbol.asyncDispose]();
  });
});

describe('stopping a machine', () => {
  it('says why the processor gave up', async () => {
    const shutdown = await machineOf(new ScriptedEngine((cpu) => (cpu.retired < 100 ? cpu.work() : EXIT_SHUTDOWN)), []);
    await shutdown.powerUp();
    expect(await shutdown.stopped()).toBe('shutdown');
    const failed = await machineOf(new ScriptedEngine(() => EXIT_FAIL), []);
    await failed.powerUp();
    expect(await failed.stopped()).toBe('failed');
  });

  it('leaves right after the instruction in which a device asked for it', async () => {
    const engine = new ScriptedEngine((cpu) => {
      if (cpu.retired === 77) cpu.surroundings.pio.write(0x20, 1, 1);
      return cpu.work();
    });
    const vm: Machine = await machineOf(engine, [device('power', powerSwitch, { off: () => vm.requestStop('power-off') })]);
    await vm.powerUp();
    expect(await vm.stopped()).toBe('power-off');
    expect(engine.cpu.retired).toBe(78);
    await vm[Symbol.asyncDispose]();
    expect(vm.phase).toBe('off');
  });

  it('lets the host act at the very instruction where it yields, and goes on by itself', async () => {
    const acted: number[] = [];
    const engine = new ScriptedEngine((cpu) => {
      if (cpu.retired % 1000 === 77) cpu.surroundings.pio.write(0x20, 1, 1);
      return cpu.work();
    });
    const vm: Machine = await machineOf(engine, [device('power', powerSwitch, { off: () => {
      vm.yield();
      queueMicrotask(() => acted.push(engine.cpu.retired));
    } })]);
    await runUntil(vm, () => acted.length === 3);
    expect(acted.slice(0, 3)).toEqual([78, 1078, 2078]);
  });

  it('leaves its signal alone when it is gone', async () => {
    const { signal } = new AbortController();
    const vm = await machineOf(new ScriptedEngine((cpu) => cpu.work()), [], { signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    await vm.powerUp();
    await vm.reset();
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await vm[Symbol.asyncDispose]();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('stops when its signal is aborted', async () => {
    const abort = new AbortController();
    const vm = await machineOf(new ScriptedEngine((cpu) => cpu.work()), [], { signal: abort.signal });
    await vm.powerUp();
    setImmediate(() => abort.abort());
    expect(await vm.stopped()).toBe('aborted');
  });

  it('stops time with the processor and goes on where it was', async () => {
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const vm = await machineOf(engine, [], { clock: { kind: 'host' } });
    await vm.powerUp();
    await turns(3);
    await vm.pause();
    const at = vm.clock.now();
    const retired = engine.cpu.retired;
    await turns(5);
    expect([vm.clock.now(), engine.cpu.retired, vm.phase]).toEqual([at, retired, 'running']);
    await vm.resume();
    await turns(3);
    expect(engine.cpu.retired).toBeGreaterThan(retired);
    expect(vm.clock.now()).toBeGreaterThan(at);
    await vm[Symbol.asyncDispose]();
  });

  it('cuts a device off that throws, and stops with that reason', async () => {
    const engine = new ScriptedEngine((cpu) => {
      if (cpu.retired === 5) cpu.answer = cpu.surroundings.pio.read(0x30, 2);
      return cpu.work();
    });
    const vm = await machineOf(engine, [device('broken', broken)]);
    await vm.powerUp();
    expect(await vm.stopped()).toBe('faulted');
    expect(engine.cpu.answer).toBe(0xffff);
    expect(broken.asked).toBe(1);
    await vm.resume();
    engine.cpu.surroundings.pio.read(0x30, 1);
    expect(broken.asked).toBe(1);
    await vm[Symbol.asyncDispose]();
  });

  it('goes on without a device whose timer throws, if it is told to: registers, timers and lines of that device are gone', async () => {
    const logged: string[] = [];
    const levels: boolean[] = [];
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const controller: DeviceModule<void, 'controller'> = {
      manifest: { abi: 1, id: 'test.controller', version: '0.0.0', state: 0, needs: ['controller'] },
      create: (ctx) => (ctx.controller.attach(0, 8, { setLine: (_pin, high) => void levels.push(high) }), {}),
    };
    const bomb: DeviceModule<void, 'pio' | 'lines' | 'clock'> = {
      manifest: { abi: 1, id: 'test.bomb', version: '0.0.0', state: 0, needs: ['pio', 'lines', 'clock'] },
      create: (ctx) => {
        const line = ctx.lines.connect(3);
        const later = ctx.clock.timer(() => line.set(true));
        const timer = ctx.clock.timer(() => {
          line.set(true);
          throw new Error('bang');
        });
        ctx.pio.claim('register', 1, { read: () => 7, write: () => {} }).map(0x40);
        return { start: () => (timer.arm(100), later.arm(200)) };
      },
    };
    const vm = await machineOf(engine, [device('controller', controller), device('bomb', bomb)], { onFault: 'go-on', log: (source, level, text) => void logged.push(`${source} ${level} ${text.split('\n')[0]}`) });
    await runUntil(vm, () => engine.cpu.retired > 1_000);
    expect(logged).toEqual(['bomb warn bomb.timer threw and is cut off: Error: bang']);
    expect(levels).toEqual([true, false]);
    expect(engine.cpu.surroundings.pio.read(0x40, 1)).toBe(0xff);
    expect(vm.counters.read()).toMatchObject({ 'device.bomb.faults': 1 });
    expect(vm.counters.read()).not.toHaveProperty(['device.controller.faults']);
  });
});

describe('an interrupt controller that throws', () => {
  it('is cut off itself, and not the device that raised the line', async () => {
    const logged: string[] = [];
    const engine = new ScriptedEngine((cpu) => (cpu.retired === 5 ? (cpu.surroundings.pio.write(0x50, 1, 1), cpu.work()) : cpu.work()));
    const controller: DeviceModule<void, 'controller'> = {
      manifest: { abi: 1, id: 'test.controller', version: '0.0.0', state: 0, needs: ['controller'] },
      create: (ctx) => {
        const setLine = (): void => {
          ctx.controller.intr.set(true);
          throw new Error('bang');
        };
        return (ctx.controller.attach(0, 8, { setLine, acknowledge: () => 7 }), {});
      },
    };
    const bell: DeviceModule<void, 'pio' | 'lines'> = {
      manifest: { abi: 1, id: 'test.bell', version: '0.0.0', state: 0, needs: ['pio', 'lines'] },
      create: (ctx) => {
        const line = ctx.lines.connect(3);
        return (ctx.pio.claim('rope', 1, { read: () => 9, write: (_offset, _size, value) => line.set(value === 1) }).map(0x50), {});
      },
    };
    const vm = await machineOf(engine, [device('controller', controller), device('bell', bell)], { onFault: 'go-on', log: (source, level, text) => void logged.push(`${source} ${level} ${text.split('\n')[0]}`) });
    await runUntil(vm, () => engine.cpu.retired > 1_000);
    expect(logged).toEqual(['controller warn controller.input threw and is cut off: Error: bang']);
    expect(vm.counters.read()).toMatchObject({ 'device.controller.faults': 1 });
    expect(vm.counters.read()).not.toHaveProperty(['device.bell.faults']);
  });
});

describe('composition', () => {
  it('resets devices and processor, and delivers held lines to the controllers again', async () => {
    const heard: string[] = [];
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const vm = await machineOf(engine, [device('pic', recorder, { heard }), device('high', holder)]);
    await vm.powerUp();
    await vm.reset();
    expect(heard).toEqual(['up', '3 high', 'up', '3 high']);
    expect(engine.cpu.resets).toBe(2);
    await vm[Symbol.asyncDispose]();
  });

  it('is reset in two phases, not as if its power were switched, and only while it runs (DEV-12)', async () => {
    const told: string[] = [];
    const line = (name: string, level: boolean): DeviceModule<void, 'lines' | 'msi'> => ({
      manifest: manifest(name, ['lines', 'msi']),
      create: (ctx) => {
        const wire = ctx.lines.connect(3);
        return {
          powerUp: (why) => {
            told.push(`${name} ${why}`);
            wire.set(true);
            wire.set(false);
            wire.set(level);
            ctx.msi.send(0xfee0_0000, 0x31);
          },
          start: () => void told.push(`${name} starts`),
        };
      },
    });
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const vm = await machineOf(engine, [device('a', line('a', false)), device('pic', recorder, { heard: told }), device('b', line('b', true))], { load: () => void told.push('load') });
    await expect(vm.reset()).rejects.toMatchObject({ code: 'E_PHASE' });
    await vm.powerUp();
    const second = ['load', '3 high', 'a starts', 'b starts'];
    expect(told.splice(0)).toEqual(['a cold', 'up', 'b cold', ...second]);
    const pending = engine.fabric.port().isPending;
    for (const begin of [() => Promise.resolve(), () => vm.pause()]) {
      await begin();
      await vm.reset();
      expect(told.splice(0)).toEqual(['a reset', 'up', 'b reset', ...second]);
      expect(pending()).toBe(false); // a message from the first phase is gone with the state of the controllers
    }
    await vm.powerDown();
    await expect(vm.reset()).rejects.toMatchObject({ code: 'E_PHASE' });
    await vm.powerUp();
    expect(told.splice(0)).toEqual(['a cold', 'up', 'b cold', ...second]);
    await vm[Symbol.asyncDispose]();
  });

  it('gives a device exactly the capabilities that its manifest names', async () => {
    const members: string[] = [];
    const nosy: DeviceModule<void, 'pio' | 'clock'> = {
      manifest: { abi: 1, id: 'test.nosy', version: '0.0.0', state: 0, needs: ['pio', 'clock'] },
      create: (ctx) => {
        members.push(...Object.keys(ctx));
        return {};
      },
    };
    await machineOf(new ScriptedEngine((cpu) => cpu.work()), [device('nosy', nosy)]);
    expect(members.sort()).toEqual(['clock', 'log', 'name', 'pio', 'signal']);
  });

  it('refuses an engine of another ABI', async () => {
    const engine = Object.assign(new ScriptedEngine((cpu) => cpu.work()), { abi: 1 as 0 });
    await expect(machineOf(engine, [])).rejects.toMatchObject({ code: 'E_ABI' });
  });

  it('leaves nothing of the engine behind when a second processor cannot be made', async () => {
    let torn = 0;
    const engine: Engine = {
      abi: 0, id: 'test.one', features: [], reserveBytes: () => 0,
      createVcpu: (index, surroundings) => {
        if (index > 0) throw new Error('there is but one');
        return new ScriptedCpu(surroundings, (cpu) => cpu.work());
      },
      tearDown: () => void torn++,
    };
    await expect(createMachine({ engine, processors: 2, ramBytes: 1 << 16, interrupts: () => new TestFabric(), devices: [] })).rejects.toThrow('there is but one');
    expect(torn).toBe(1);
  });
});

describe('a device that comes while the machine runs', () => {
  const steps = (told: string[], device: string, failing = ''): Device => Object.fromEntries(['powerUp', 'start', 'stop', 'powerDown', 'tearDown'].map((hook) => [hook, () => {
    told.push(`${device}.${hook}`);
    if (hook === failing) throw new Error(`no ${hook}`);
  }]));
  const guest = (told: string[], failing = ''): DeviceModule<void, 'pio' | 'lines' | 'clock'> => ({
    manifest: { ...manifest('guest', ['pio', 'lines', 'clock']), wants: ['hot-remove'] },
    create: (ctx) => {
      if (failing === 'create') throw new Error('no create');
      ctx.pio.claim('regs', 4, { read: () => 0x55, write: () => {} }).map(0x40);
      ctx.lines.connect(5).set(true);
      ctx.clock.timer(() => void told.push('guest.fires')).arm(ctx.clock.now());
      return steps(told, 'guest', failing);
    },
  });
  const old = (told: string[]): DeviceModule => ({ manifest: manifest('old', []), create: () => steps(told, 'old') });
  const watched = async (told: string[]): Promise<readonly [Machine, ScriptedEngine, string[]]> => {
    const heard: string[] = [];
    const engine = new ScriptedEngine((cpu) => cpu.work());
    const vm = await machineOf(engine, [device('pic', recorder, { heard }), device('old', old(told))]);
    await vm.powerUp();
    told.length = 0;
    return [vm, engine, heard];
  };

  it('goes all its way alone, is there at the next instruction, and leaves nothing when it goes (DEV-05)', async () => {
    const told: string[] = [];
    const [vm, engine, heard] = await watched(told);
    const { pio } = engine.cpu.surroundings;
    for (let round = 0; round < 100; round++) {
      const before = engine.cpu.retired;
      const coming = vm.add(device('guest', guest(told)));
      expect(vm.phase).toBe('running');
      await coming;
      expect([engine.cpu.retired, pio.read(0x40, 1)]).toEqual([before, 0x55]);
      await turns(2);
      expect(engine.cpu.retired).toBeGreaterThan(before);
      expect(vm.counters.read()['device.guest.regs.reads']).toBe(1);
      await vm.remove('guest');
      expect(pio.read(0x40, 1)).toBe(0xff);
      expect(told.splice(0)).toEqual(['guest.powerUp', 'guest.start', 'guest.fires', 'guest.stop', 'guest.powerDown', 'guest.tearDown']);
      expect(heard.splice(0).slice(-2)).toEqual(['5 high', '5 low']);
    }
    expect(vm.counters.read()).not.toHaveProperty(['device.guest.regs.reads']);
    await vm[Symbol.asyncDispose]();
    expect(told).toEqual(['old.stop', 'old.powerDown', 'old.tearDown']);
  });

  it.each([
    ['create', []],
    ['powerUp', ['guest.powerUp', 'guest.tearDown']],
    ['start', ['guest.powerUp', 'guest.start', 'guest.stop', 'guest.powerDown', 'guest.tearDown']],
  ])('and fails in %s is rolled back, and the machine runs on as it was (DEV-05, DEV-10)', async (failing, expected) => {
    const told: string[] = [];
    const [vm, engine] = await watched(told);
    await expect(vm.add(device('guest', guest(told, failing)))).rejects.toMatchObject({ errors: [{ code: 'E_DEVICE', device: 'guest' }] });
    expect(told.splice(0)).toEqual(expected);
    const before = engine.cpu.retired;
    await turns(2);
    expect([engine.cpu.retired > before, engine.cpu.surroundings.pio.read(0x40, 1)]).toEqual([true, 0xff]);
    await vm.add(device('guest', guest(told)));
    await vm[Symbol.asyncDispose]();
  });

  it('is refused with a code where it cannot come or go (DEV-05)', async () => {
    const told: string[] = [];
    const [vm] = await watched(told);
    await expect(vm.add(device('old', guest(told)))).rejects.toMatchObject({ code: 'E_NAME', device: 'old' });
    await expect(vm.add(device('second', recorder, { heard: [] }))).rejects.toMatchObject({ code: 'E_FIXED', device: 'second' });
    await vm.add(device('guest', guest(told)));
    await expect(vm.add(device('other', guest(told)))).rejects.toMatchObject({ errors: [{ code: 'E_OVERLAP', device: 'other' }] });
    await expect(vm.remove('old')).rejects.toMatchObject({ code: 'E_FIXED', device: 'old' });
    await expect(vm.remove('nobody')).rejects.toMatchObject({ code: 'E_NAME', device: 'nobody' });
    await vm.powerDown();
    await expect(vm.add(device('late', guest(told)))).rejects.toMatchObject({ code: 'E_PHASE' });
    await vm[Symbol.asyncDispose]();
  });

  it('waits for its start with a machine that is paused, and two at once come one after the other', async () => {
    const told: string[] = [];
    const [vm, engine] = await watched(told);
    await vm.pause();
    told.length = 0;
    await vm.add(device('guest', guest(told)));
    expect(told.splice(0)).toEqual(['guest.powerUp']);
    await vm.resume();
    expect(told.splice(0)).toEqual(['old.start', 'guest.start']);
    const slow = (name: string): DeviceModule => ({ manifest: manifest(name, []), create: () => ({ powerUp: async () => (told.push(`${name} begins`), await turns(3), void told.push(`${name} is up`)) }) });
    const coming = [vm.add(device('one', slow('one'))), vm.add(device('two', slow('two')))];
    const before = engine.cpu.retired;
    await vm.pause();
    expect([engine.cpu.retired, told.splice(0).filter((step) => step.includes(' '))]).toEqual([before, ['one begins', 'one is up', 'two begins', 'two is up']]);
    await Promise.all(coming);
    await vm[Symbol.asyncDispose]();
  });

  it('brings a back end of its own, which starts and stops with it and whose name is free again', async () => {
    const told: string[] = [];
    const [vm] = await watched(told);
    const disk = { bytes: 512, writable: true, read: turns.bind(null, 0), write: turns.bind(null, 0), flush: turns.bind(null, 0), discard: turns.bind(null, 0), writeZeroes: turns.bind(null, 0), start: () => void told.push('disk.start'), stop: () => void told.push('disk.stop') };
    const reader: DeviceModule<void, 'host'> = { manifest: { ...manifest('reader', ['host']), wants: ['hot-remove'] }, create: (ctx) => (told.push(`${ctx.host.block('mine').bytes}`), {}) };
    for (let round = 0; round < 2; round++) {
      await vm.add(device('reader', reader), { mine: disk });
      await expect(vm.add(device('other', reader), { mine: disk })).rejects.toMatchObject({ code: 'E_NAME' });
      await vm.remove('reader');
      expect(told.splice(0)).toEqual(['512', 'disk.start', 'disk.stop']);
    }
    await vm[Symbol.asyncDispose]();
  });
});

// What the tests above are made of.

type Step = (cpu: ScriptedCpu) => ExitCode | undefined;

/** Retires one instruction after another; the script looks at each boundary. */
class ScriptedCpu implements Vcpu {
  retired = 0;
  resets = 0;
  answer = 0;
  justHalted = false;
  #left = 0;
  #asked = false;
  readonly surroundings: Surroundings;
  readonly #step: Step;

  constructor(surroundings: Surroundings, step: Step) {
    this.surroundings = surroundings;
    this.#step = step;
  }

  run(instructions: number): ExitCode {
    this.#left = instructions;
    this.#asked = false;
    while (this.#left > 0) {
      const exit = this.#step(this);
      if (exit !== undefined) return exit;
    }
    return this.#asked ? EXIT_REQUEST : EXIT_BUDGET;
  }

  work(): undefined {
    this.retired++;
    this.#left--;
    this.justHalted = false;
  }

  /** Waits once, whether or not something is pending afterwards. */
  halt(): ExitCode {
    this.justHalted = true;
    return EXIT_HALT;
  }

  signal(): void {
    this.#asked = true;
  }

  stopAfter(instructions: number): void {
    // The instruction that is asking has not retired yet.
    this.#left = Math.min(this.#left, Math.max(1, instructions));
  }

  reset(): void {
    this.resets++;
  }
}

class ScriptedEngine implements Engine<ScriptedCpu> {
  readonly abi = 0;
  readonly id = 'test.scripted';
  readonly features: readonly string[] = [];
  readonly fabric: TestFabric = new TestFabric();
  cpu!: ScriptedCpu; // set by createVcpu
  readonly #step: Step;

  constructor(step: Step) {
    this.#step = step;
  }

  reserveBytes(): number {
    return 100;
  }

  createVcpu(_index: number, surroundings: Surroundings): ScriptedCpu {
    return (this.cpu = new ScriptedCpu(surroundings, this.#step));
  }

  tearDown(): void {
    this.cpu.signal();
  }
}

class TestFabric implements InterruptFabric {
  #pending = false;
  signal = (): void => undefined;

  raise(): void {
    this.#pending = true;
    this.signal();
  }

  port(): ReturnType<InterruptFabric['port']> {
    return {
      isPending: () => this.#pending,
      acknowledge: () => {
        this.#pending = false;
        return 32;
      },
      window: () => -1,
      readRegister: () => 0,
      writeRegister: () => undefined,
      readModelRegister: () => false,
      low: 0,
      high: 0,
      writeModelRegister: () => false,
      priority: 0,
    };
  }

  message(): void {
    this.raise();
  }

  external(high: boolean): void {
    if (high) this.raise();
  }

  reset(): void {
    this.#pending = false;
  }
}

async function machineOf(
  engine: ScriptedEngine,
  devices: MachineOptions['devices'],
  { hostStep = 1e4, ...more }: Partial<MachineOptions> & { readonly hostStep?: number } = {},
): Promise<Machine> {
  let now = 0;
  return createMachine<Vcpu>({
    engine,
    devices,
    ramBytes: 0x1_0000,
    clock: { kind: 'virtual', nanosPerInstruction: 10 },
    interrupts: (services) => {
      engine.fabric.signal = () => services.signal(0);
      return engine.fabric;
    },
    host: { now: () => (now += hostStep) + (engine.cpu?.retired ?? 0) * 50, soon: setImmediate, later: (nanos, callback) => setTimeout(callback, nanos / 1e6), cancel: (handle) => clearTimeout(handle as NodeJS.Timeout) },
    ...more,
  });
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

async function runUntil(vm: Machine, done: () => boolean): Promise<void> {
  await vm.powerUp();
  for (let i = 0; i < 10_000 && !done(); i++) await turns(1);
  await vm[Symbol.asyncDispose]();
}

function manifest<const C extends readonly (Capability)[]>(id: string, needs: C): DeviceModule<void, C[number]>['manifest'] {
  return { abi: 1, id: `test.${id}`, version: '0.0.0', state: 0, needs };
}

const alarm: DeviceModule<{ readonly times: readonly number[]; readonly fired: () => void }, 'clock'> = {
  manifest: manifest('alarm', ['clock']),
  create: (ctx, { times, fired }) => {
    const timers = times.map(() => ctx.clock.timer(fired));
    return { powerUp: () => timers.forEach((timer, i) => timer.arm(times[i]!)) };
  },
};

const metronome: DeviceModule<{ readonly period: number; readonly fired: () => void }, 'clock'> = {
  manifest: manifest('metronome', ['clock']),
  create: (ctx, { period, fired }) => {
    const timer: Timer = ctx.clock.timer((due) => {
      fired();
      timer.arm(due + period);
    });
    return { powerUp: () => timer.arm(period) };
  },
};

const portAlarm: DeviceModule<{ readonly fired: () => void }, 'pio' | 'clock'> = {
  manifest: manifest('port-alarm', ['pio', 'clock']),
  create: (ctx, { fired }) => {
    const timer = ctx.clock.timer(fired);
    ctx.pio.claim('regs', 4, { read: () => 0, write: (_offset, _size, value) => timer.arm(ctx.clock.now() + value) }).map(0x10);
    return {};
  },
};

const powerSwitch: DeviceModule<{ readonly off: () => void }, 'pio'> = {
  manifest: manifest('power', ['pio']),
  create: (ctx, { off }) => {
    ctx.pio.claim('switch', 1, { read: () => 0, write: off }).map(0x20);
    return {};
  },
};

const input: DeviceModule<{ readonly ready: (press: () => void) => void }, 'msi'> = {
  manifest: manifest('input', ['msi']),
  create: (ctx, { ready }) => {
    ready(() => ctx.msi.send(0xfee0_0000, 0x31));
    return {};
  },
};

const broken: DeviceModule<void, 'pio'> & { asked: number } = {
  asked: 0,
  manifest: manifest('broken', ['pio']),
  create: (ctx) => {
    const fail = (): number => {
      broken.asked++;
      throw new Error('not today');
    };
    ctx.pio.claim('regs', 2, { read: fail, write: () => undefined }).map(0x30);
    return {};
  },
};

const recorder: DeviceModule<{ readonly heard: string[] }, 'controller'> = {
  manifest: manifest('recorder', ['controller']),
  create: (ctx, { heard }) => {
    ctx.controller.attach(0, 16, { setLine: (pin, high) => heard.push(`${pin} ${high ? 'high' : 'low'}`) });
    return { powerUp: () => void heard.push('up') };
  },
};

class Holder implements Device {
  readonly #line: Line;

  constructor(ctx: DeviceContext<'lines'>) {
    this.#line = ctx.lines.connect(3);
  }

  powerUp(): void {
    this.#line.set(true);
  }
}

const holder: DeviceModule<void, 'lines'> = { manifest: manifest('holder', ['lines']), create: (ctx) => new Holder(ctx) };

