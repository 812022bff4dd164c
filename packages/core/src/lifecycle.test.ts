import { describe, expect, it } from 'vitest';
import type { Capability, Device, DeviceContext, DeviceManifest, HostPart } from './abi.ts';
import type { DeviceSpec } from './device-spec.ts';
import { VmError } from './errors.ts';
import { createHostPort } from './host-port.ts';
import { Lifecycle, type LifecycleTrace } from './lifecycle.ts';

const MANIFEST: DeviceManifest = { abi: 1, id: 'test.device', version: '0.0.0', state: 0, needs: ['clock'] };

interface Trial {
  readonly life: Lifecycle;
  readonly log: string[];
  readonly prepare: () => void;
}

/** Devices that note every hook, and fail in the hooks named for them. */
function trial(names: readonly string[], failing: readonly string[] = [], parts: readonly HostPart[] = [], trace: LifecycleTrace = () => {}): Trial & { readonly specs: DeviceSpec[] } {
  const log: string[] = [];
  const note = (what: string): void => {
    log.push(what);
    if (failing.includes(what)) throw new Error(`${what} is broken`);
  };
  const specs = names.map((name): DeviceSpec => ({ name, manifest: MANIFEST, create: () => createDevice(name, note) }));
  const life = new Lifecycle({
    host: createHostPort(),
    offered: new Set(['clock', 'pio']),
    parts: () => parts,
    context: (spec, signal) => {
      signal.addEventListener('abort', () => log.push(`${spec.name}.abort`));
      return {} as DeviceContext<Capability>;
    },
    release: (name) => log.push(`${name}.release`),
    fail: () => undefined,
    log: () => undefined,
    trace,
  });
  return { life, log, specs, prepare: () => note('prepare') };
}

function createDevice(name: string, note: (what: string) => void): Device {
  note(`${name}.create`);
  return {
    // A turn of the event loop inside every hook: a device that did not wait for the others would show.
    powerUp: async () => {
      await Promise.resolve();
      note(`${name}.powerUp`);
    },
    start: () => note(`${name}.start`),
    stop: async () => {
      await Promise.resolve();
      note(`${name}.stop`);
    },
    powerDown: () => note(`${name}.powerDown`),
    tearDown: () => note(`${name}.tearDown`),
  };
}

describe('the phases of a machine', () => {
  it('tells whoever traces it of every phase, and of every hook of every device with the time it took', async () => {
    const seen: string[] = [];
    const { life, specs, prepare } = trial(['a', 'b'], [], [], (step, device, nanos) => {
      expect(nanos).toBeGreaterThanOrEqual(0);
      seen.push(device === null ? `- ${step}` : `${device}.${step}`);
    });
    await life.create(specs);
    await life.powerUp('cold', prepare);
    await life.start();
    await life.stop();
    await life.powerDown();
    await life.tearDown();
    expect(seen).toEqual([
      '- initializing', 'a.create', 'b.create', '- powering-up', 'a.powerUp', 'b.powerUp', '- running', 'a.start', 'b.start', 'b.stop', 'a.stop',
      '- powering-down', 'b.powerDown', 'a.powerDown', '- tearing-down', 'b.tearDown', 'a.tearDown', '- off',
    ]);
  });

  it('go up in the order of the list and down in reverse, with a barrier after each', async () => {
    const { life, log, specs, prepare } = trial(['a', 'b']);
    await life.create(specs);
    expect(life.phase).toBe('initializing');
    await life.powerUp('cold', prepare);
    await life.start();
    expect(life.phase).toBe('running');
    await life.stop();
    await life.powerDown();
    expect(life.phase).toBe('powering-down');
    await life.tearDown();
    expect(life.phase).toBe('off');
    expect(log).toEqual([
      'a.create', 'b.create',
      'a.powerUp', 'b.powerUp', 'prepare', 'a.start', 'b.start',
      'b.stop', 'a.stop', 'b.powerDown', 'a.powerDown',
      'b.abort', 'b.tearDown', 'a.abort', 'a.tearDown', 'a.release', 'b.release',
    ]);
  });

  it('may have no hooks at all', async () => {
    const { life, prepare } = trial([]);
    await life.create([{ name: 'bare', manifest: MANIFEST, create: () => ({}) }]);
    await life.powerUp('cold', prepare);
    await life.start();
    await life.stop();
    await life.powerDown();
    await life.tearDown();
    expect(life.phase).toBe('off');
  });

  it('that are never done fail by name after two minutes, and the machine goes on without them', async () => {
    const alarms: (() => void)[] = [];
    const host = { ...createHostPort(), later: (_delay: number, callback: () => void) => alarms.push(callback), cancel: () => {} };
    const life = new Lifecycle({ host, offered: new Set(), parts: () => [], context: () => ({}) as DeviceContext<Capability>, release: () => {}, fail: () => {}, log: () => {} });
    const never = (): Promise<void> => new Promise(() => {});
    await life.create([{ name: 'stuck', manifest: { ...MANIFEST, needs: [] }, create: (): Device => ({ stop: never, powerDown: never, tearDown: never }) }]);
    await life.powerUp('cold', () => {});
    await life.start();
    for (const [step, work] of [['stop', () => life.stop()], ['powerDown', () => life.powerDown()], ['tearDown', () => life.tearDown()]] as const) {
      alarms.length = 0;
      const failed = caught(work());
      alarms[0]!();
      alarms[1]!();
      expect((await failed).errors).toMatchObject([{ device: 'stuck', message: `stuck: ${step} failed: it was not done within 120 s` }]);
    }
    expect(life.phase).toBe('off');
  });

  it('that take too long are told by name', async () => {
    const told: string[] = [];
    let watch = (): void => {};
    const host = { ...createHostPort(), later: (delay: number, callback: () => void) => ((watch = callback), delay), cancel: () => (watch = () => {}) };
    const life = new Lifecycle({ host, offered: new Set(), parts: () => [], context: () => ({}) as DeviceContext<Capability>, release: () => {}, fail: () => {}, log: (device, level, text) => void told.push(`${device} ${level} ${text}`) });
    const slow: Device = { powerUp: async () => (await Promise.resolve(), watch()), start: () => {} };
    await life.create([{ name: 'slow', manifest: { ...MANIFEST, needs: [] }, create: () => slow }]);
    await life.powerUp('cold', () => {});
    await life.start();
    expect(told).toEqual(['slow warn powerUp takes more than 5 s']);
    expect(life.phase).toBe('running');
  });

  it('may not be skipped', async () => {
    const { life, specs, prepare } = trial(['a']);
    await expect(life.powerUp('cold', prepare)).rejects.toMatchObject({ code: 'E_PHASE' });
    await life.create(specs);
    await expect(life.powerDown()).rejects.toMatchObject({ code: 'E_PHASE' });
    await life.powerUp('cold', prepare);
    await expect(life.tearDown()).rejects.toMatchObject({ code: 'E_PHASE' });
    await expect(life.powerUp('reset', prepare)).rejects.toMatchObject({ code: 'E_PHASE' });
  });

  it('start the host sides before the devices and stop them after', async () => {
    const order: string[] = [];
    const part: HostPart = { start: () => void order.push('disk start'), stop: () => void order.push('disk stop') };
    const { life, log, specs, prepare } = trial(['a'], [], [part]);
    await life.create(specs);
    await life.powerUp('cold', prepare);
    order.push(...log.splice(0));
    await life.start();
    order.push(...log.splice(0));
    await life.stop();
    expect(order).toEqual(['a.create', 'a.powerUp', 'prepare', 'disk start', 'a.start', 'disk stop']);
    expect(log).toEqual(['a.stop']);
  });
});

describe('a failure', () => {
  it('in create tears down what was made, and names the device', async () => {
    const { life, log, specs } = trial(['a', 'b', 'c'], ['c.create']);
    const error = await caught(life.create(specs));
    expect(error.errors).toMatchObject([{ code: 'E_DEVICE', device: 'c' }]);
    expect(log.slice(3)).toEqual(['b.abort', 'b.tearDown', 'a.abort', 'a.tearDown', 'a.release', 'b.release']);
    expect(life.phase).toBe('off');
  });

  it('in power-up rolls back those that are up, in reverse, and names every device that failed on either way', async () => {
    const { life, log, specs, prepare } = trial(['a', 'b', 'c', 'd'], ['c.powerUp', 'b.powerDown']);
    await life.create(specs);
    log.length = 0;
    const error = await caught(life.powerUp('cold', prepare));
    expect(log).toEqual(['a.powerUp', 'b.powerUp', 'c.powerUp', 'b.powerDown', 'a.powerDown']);
    expect(error.errors.map((each) => (each as VmError).device)).toEqual(['c', 'b']);
    expect(error.message).toContain('c.powerUp is broken');
    expect(life.phase).toBe('powering-down');
  });

  it('while the kernel is loaded rolls all devices back and keeps its own error', async () => {
    const { life, log, specs, prepare } = trial(['a', 'b'], ['prepare']);
    await life.create(specs);
    log.length = 0;
    expect((await caught(life.powerUp('cold', prepare))).message).toContain('prepare is broken');
    expect(log).toEqual(['a.powerUp', 'b.powerUp', 'prepare', 'b.powerDown', 'a.powerDown']);
  });

  it('in start stops those that have started', async () => {
    const { life, log, specs, prepare } = trial(['a', 'b', 'c'], ['b.start']);
    await life.create(specs);
    await life.powerUp('cold', prepare);
    log.length = 0;
    await caught(life.start());
    expect(log).toEqual(['a.start', 'b.start', 'b.stop', 'a.stop']);
    expect(life.started).toBe(false);
  });

  it('on the way down does not keep the others from going down', async () => {
    const { life, log, specs, prepare } = trial(['a', 'b', 'c'], ['c.stop', 'a.stop']);
    await life.create(specs);
    await life.powerUp('cold', prepare);
    await life.start();
    log.length = 0;
    const error = await caught(life.stop());
    expect(log).toEqual(['c.stop', 'b.stop', 'a.stop']);
    expect(error.errors.map((each) => (each as VmError).device)).toEqual(['c', 'a']);
  });
});

describe('a device is refused before its code runs', () => {
  const cases: [why: string, spec: Partial<DeviceSpec>, code: string][] = [
    ['of another ABI', { manifest: { ...MANIFEST, abi: 7 as 1 } }, 'E_ABI'],
    ['that needs what the machine has not', { manifest: { ...MANIFEST, needs: ['dma', 'clock'] } }, 'E_CAPABILITY'],
    ['with a name that is taken', { name: 'a' }, 'E_NAME'],
    ['with a name that is no name', { name: 'Com 1' }, 'E_NAME'],
  ];
  it.each(cases)('%s', async (_why, change, code) => {
    const { life, log, specs } = trial(['a', 'b']);
    const error = await caught(life.create([specs[0]!, { ...specs[1]!, ...change }]));
    expect(error.errors).toMatchObject([{ code }]);
    expect(log).not.toContain('b.create');
  });

  it('when it could save its state but not load it', async () => {
    const { life, specs } = trial(['a']);
    const half: DeviceSpec = { ...specs[0]!, manifest: { ...MANIFEST, state: 1 }, create: () => ({ save: () => null }) };
    expect((await caught(life.create([half]))).errors).toMatchObject([{ code: 'E_MANIFEST', device: 'a' }]);
  });
});

describe('VmError', () => {
  it('is recognised across copies of the package by its mark', () => {
    const foreign = Object.assign(new Error('from another copy'), { code: 'E_HOST', [Symbol.for('vm.error')]: true });
    expect([VmError.is(foreign), VmError.is(new VmError('E_HOST', 'own')), VmError.is(new Error('plain')), VmError.is({ code: 'E_HOST' })]).toEqual([true, true, false, false]);
  });
});

async function caught(work: Promise<unknown>): Promise<AggregateError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AggregateError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
