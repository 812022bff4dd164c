import type { BlockBackend, Device, DeviceSpec, Plain, Size } from '@vm/core';
import { decodePlain, encodePlain, readSnapshot } from '@vm/core/snapshot';
import type { ConformanceCase } from './cipher-conformance.ts';
import { createDeviceMachine, DEVICE_MACHINE_BYTES, type DeviceMachine } from './device-machine.ts';

/** Devices to be tested together; each machine of the suite has new ones. */
export interface DeviceUnderTest {
  readonly name: string;
  /** With all that they are connected to: new ones at each call. */
  devices(): readonly DeviceSpec[];
  /** New back ends, by the names that the devices ask for. */
  blocks?(): Readonly<Record<string, BlockBackend>>;
}
export interface DeviceConformanceOptions {
  /** Where the random accesses begin; default 1. */
  readonly seed?: number;
  /** Of one run; default 300. */
  readonly accesses?: number;
  /** Machines made and torn down one after the other; default 1000. */
  readonly lives?: number;
  /** Hostile ones made of each good state; default 60. */
  readonly states?: number;
}

interface Suite {
  readonly under: DeviceUnderTest;
  readonly seed: number;
  readonly accesses: number;
  readonly lives: number;
  readonly states: number;
}

const SIZES: readonly Size[] = [1, 2, 4];
const INSTANTS = 6; // at which a machine is saved
const HOOKS: readonly (keyof Device)[] = ['powerUp', 'load', 'start', 'stop', 'save', 'powerDown', 'tearDown'];
const MOST_GROWTH = 16 << 20; // bytes of heap that all lives together may leave behind

/** Tests of devices for any test runner: `for (const { name, run } of deviceConformance(device)) it(name, run);` */
export function deviceConformance(under: DeviceUnderTest, { seed = 1, accesses = 300, lives = 1000, states = 60 }: DeviceConformanceOptions = {}): readonly ConformanceCase[] {
  const suite: Suite = { under, seed, accesses, lives, states };
  return Object.entries(CASES).map(([what, test]) => ({ name: `${under.name}: ${what}`, run: () => test(suite) }));
}

const CASES: Readonly<Record<string, (suite: Suite) => Promise<void>>> = {
  'answers accesses of every size at every place of its regions': async (suite) => {
    await using machine = await poweredUp(suite);
    sweep(machine);
    expectNoFault(machine);
  },
  'takes random accesses while time passes, without an exception': async (suite) => {
    await using machine = await poweredUp(suite);
    await exercise(machine, randomOf(suite.seed), suite.accesses * 4);
    expectNoFault(machine);
  },
  'two of it in two machines do the same with the same accesses': async (suite) => {
    const runs: string[] = [];
    for (let i = 0; i < 2; i++) {
      await using machine = await poweredUp(suite);
      runs.push(`${await exercise(machine, randomOf(suite.seed + 1), suite.accesses)} ${hex(await machine.save())}`);
    }
    expectEqual(runs[1], runs[0], 'the second run');
  },
  'is saved without being changed, and goes on in a new machine as in the old one, with the levels of its lines': async (suite) => {
    for (let instant = 0; instant < INSTANTS; instant++) {
      const random = randomOf(suite.seed + 100 + instant);
      await using machine = await poweredUp(suite);
      await exercise(machine, random, random(suite.accesses) + 1);
      const bytes = await machine.save();
      expectEqual(hex(await machine.save()), hex(bytes), 'what is saved again');
      await using other = await createDeviceMachine({ ...madeOf(suite), restore: { bytes } });
      await other.powerUp();
      expectEqual(other.levels.join(), machine.levels.join(), 'the levels of the lines after the restore');
      expectEqual(hex(await other.save()), hex(bytes), 'what is saved after the restore');
      // Disks are shared by name only, so what follows leaves them out by beginning with equal ones.
      if (suite.under.blocks !== undefined) continue;
      machine.trace.length = 0;
      other.trace.length = 0;
      expectEqual(sweep(other), sweep(machine), 'what the registers of the restored machine hold');
      const seed = random(1e6);
      const [before, after] = [await exercise(machine, randomOf(seed), suite.accesses), await exercise(other, randomOf(seed), suite.accesses)];
      expectEqual(after, before, 'what the restored machine answers');
      expectEqual(other.trace.join(), machine.trace.join(), 'what the restored machine tells interrupt controllers');
      expectEqual(hex(await other.save()), hex(await machine.save()), 'what is saved at the end');
    }
  },
  'is reset by itself first, and heard of by others only when all are, with the lines that its registers say': async (suite) => {
    const early: string[] = [];
    let resetting = false;
    const late: { machine: DeviceMachine | null } = { machine: null };
    await using machine = await createDeviceMachine({
      ...madeOf(suite),
      after: (name, hook) => {
        if (resetting && hook === 'powerUp' && late.machine!.trace.length > 0) early.push(`${name}: ${late.machine!.trace.join()}`);
      },
    });
    late.machine = machine;
    await machine.powerUp();
    for (let round = 0; round < INSTANTS; round++) {
      await exercise(machine, randomOf(suite.seed + 300 + round), suite.accesses);
      machine.trace.length = 0;
      resetting = true;
      await machine.vm.reset();
      await machine.vm.pause();
      resetting = false;
      expectEqual(early.join('; '), '', 'what others heard of devices that were being reset');
      await using other = await createDeviceMachine({ ...madeOf(suite), restore: { bytes: await machine.save() } });
      await other.powerUp();
      expectEqual(machine.levels.join(), other.levels.join(), 'the levels of the lines after the reset');
    }
  },
  'refuses hostile states with TypeError or RangeError, and works with those that it takes': async (suite) => {
    await using machine = await poweredUp(suite);
    const random = randomOf(suite.seed + 200);
    await exercise(machine, random, suite.accesses);
    const bytes = await machine.save();
    const { devices } = readSnapshot(bytes);
    for (const { name, state, version } of devices) {
      if (version === 0) continue;
      const good = decodePlain(encodePlain(state));
      for (let i = 0; i < suite.states; i++) {
        const hostile = mutated(good, random);
        await using other = await createDeviceMachine({ ...madeOf(suite), restore: { bytes: withState(bytes, name, hostile) } });
        try {
          await other.powerUp();
        } catch (error) {
          for (const one of (error as AggregateError).errors as readonly Error[]) {
            const cause = one.cause;
            if (!(cause instanceof TypeError || cause instanceof RangeError) && one.name !== 'VmError') throw new Error(`${name}: a hostile state was refused with ${String(cause ?? one)}`, { cause: one });
          }
          continue;
        }
        sweep(other);
        await exercise(other, random, 30);
        expectNoFault(other);
      }
    }
  },
  'leaves no machine half up or half down when one of its hooks fails': async (suite) => {
    const names = suite.under.devices().map((one) => one.name);
    for (const failing of names) {
      for (const hook of HOOKS) {
        let armed = false;
        await using machine = await createDeviceMachine({
          ...madeOf(suite),
          after: (name, done) => {
            if (armed && name === failing && done === hook) {
              armed = false;
              throw new Error('injected');
            }
          },
        });
        armed = hook === 'powerUp' || hook === 'start';
        const up = await machine.powerUp().then(() => null, (error: unknown) => error);
        armed = hook === 'stop' || hook === 'save' || hook === 'powerDown' || hook === 'tearDown';
        if (machine.vm.phase === 'running') await machine.advance(1e5).catch(() => {});
        if (machine.vm.phase === 'running') await machine.save().catch(() => {});
        const down = await machine.vm[Symbol.asyncDispose]().then(() => null, (error: unknown) => error);
        const told = [up, down].filter((error) => error !== null).map((error) => (error as Error).message).join();
        if ((hook === 'powerUp' || hook === 'start') && !told.includes(failing)) throw new Error(`${failing}: ${hook} failed and nobody was told: ${told}`);
        // What could not go down the first time does the second.
        if (machine.vm.phase !== 'off') await machine.vm[Symbol.asyncDispose]().catch(() => {});
        expectEqual(machine.vm.phase, 'off', `the phase after ${failing} has failed in ${hook}`);
      }
    }
  },
  'is made and torn down many times, and leaves nothing': async (suite) => {
    const memory = new ArrayBuffer(DEVICE_MACHINE_BYTES);
    const host = globalThis as { readonly gc?: () => void; readonly process?: { memoryUsage(): { readonly heapUsed: number } } };
    const live = async (): Promise<void> => {
      const machine = await createDeviceMachine({ ...madeOf(suite), memory });
      await machine.powerUp();
      await machine.vm[Symbol.asyncDispose]();
      for (const region of machine.regions) if (region.base() >= 0) throw new Error(`${region.name} is still there after the device is torn down`);
    };
    for (let i = 0; i < Math.min(50, suite.lives); i++) await live();
    host.gc?.();
    const before = host.process?.memoryUsage().heapUsed ?? 0;
    for (let i = 0; i < suite.lives; i++) await live();
    host.gc?.();
    const grown = (host.process?.memoryUsage().heapUsed ?? 0) - before;
    if (host.gc !== undefined && grown > MOST_GROWTH) throw new Error(`${suite.lives} lives left ${grown} bytes behind`);
  },
};

function madeOf({ under }: Suite): { devices: readonly DeviceSpec[]; blocks?: Readonly<Record<string, BlockBackend>> } {
  const blocks = under.blocks?.();
  return { devices: under.devices(), ...(blocks === undefined ? {} : { blocks }) };
}

async function poweredUp(suite: Suite): Promise<DeviceMachine> {
  const machine = await createDeviceMachine(madeOf(suite));
  await machine.powerUp();
  return machine;
}

/** Reads all registers, with every size. */
function sweep(machine: DeviceMachine): string {
  const read: number[] = [];
  for (const { space, bytes, base } of machine.regions) {
    const step = Math.max(1, Math.floor(bytes / 512)); // large windows in samples, and their ends
    for (const size of SIZES) for (let at = 0; at < bytes && base() >= 0; at += at + 16 < bytes ? step : 1) read.push(access(machine, space, base() + at, size, false, 0));
  }
  return read.join();
}

/** Random accesses to what is claimed, and now and then some time. Answers with all that was read. */
async function exercise(machine: DeviceMachine, random: (below: number) => number, accesses: number): Promise<string> {
  const read: number[] = [];
  for (let i = 0; i < accesses; i++) {
    const mapped = machine.regions.filter((region) => region.base() >= 0);
    const region = mapped[random(mapped.length)];
    if (region !== undefined) {
      const at = region.base() + random(Math.min(region.bytes, random(4) === 0 ? region.bytes : 64));
      const value = random(3) === 0 ? random(256) : random(2 ** 32);
      read.push(access(machine, region.space, at, SIZES[random(3)]!, random(2) === 0, value));
    }
    if (random(20) === 0) await machine.advance(10 ** (3 + random(5)));
  }
  return read.join();
}

function access({ pio, mmio }: DeviceMachine, space: 'pio' | 'mmio', address: number, size: Size, write: boolean, value: number): number {
  const bus = space === 'pio' ? pio : mmio;
  if (write) {
    bus.write(address, size, size === 4 ? value >>> 0 : value % 2 ** (8 * size));
    return -1;
  }
  const answer = bus.read(address, size);
  if (!Number.isInteger(answer) || answer < 0 || answer >= 2 ** (8 * size)) throw new Error(`${space} ${address.toString(16)}: an answer of ${size} bytes expected, got ${answer}`);
  if (bus.isSteady?.(address, size) === true) {
    const steady = bus.read(address, size);
    expectEqual(bus.read(address, size), steady, `what ${space} ${address.toString(16)}, which is said to be steady, gives again`);
  }
  return answer;
}

/** The same with one of its leaves gone, of another kind, or of another size. */
function mutated(state: Plain, random: (below: number) => number): Plain {
  if (Array.isArray(state) && state.length > 0 && random(6) > 0) {
    const list = [...(state as readonly Plain[])];
    const at = random(list.length);
    if (random(8) === 0) list.splice(at, 1);
    else list[at] = mutated(list[at]!, random);
    return list;
  }
  if (typeof state === 'object' && state !== null && !Array.isArray(state) && !(state instanceof Uint8Array) && random(12) > 0) {
    const members = Object.entries(state as Readonly<Record<string, Plain>>);
    const at = random(Math.max(1, members.length));
    return Object.fromEntries(members.flatMap(([name, value], i) => (i !== at ? [[name, value]] : random(8) === 0 ? [] : [[name, mutated(value, random)]])) as [string, Plain][]);
  }
  if (typeof state === 'number' && random(2) === 0) return [0, -1, 1, 0xff, 0xffff, 0xffff_ffff, 2 ** 40, 2 ** 53, -(2 ** 31), 0.5, NaN, Infinity, random(2 ** 32)][random(13)]!;
  if (state instanceof Uint8Array && random(2) === 0) return Uint8Array.from(state, (byte) => (random(4) === 0 ? random(256) : byte));
  return [null, true, 7, -7, 2 ** 33, 1n, 'text', new Uint8Array(3), [], [1, 'two'], {}, { unknown: 1 }][random(12)]!;
}

/** A saved machine with another state of one device, and a checksum that fits. */
function withState(bytes: Uint8Array, device: string, state: Plain): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: Uint8Array[] = [bytes.subarray(0, 8)];
  for (let at = 8; at < bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    const frame = bytes.subarray(at, at + 12 + length);
    at += 12 + length;
    const content = view.getUint32(at - 12 - length, true) === DEVICE_FRAME ? (decodePlain(frame.subarray(12)) as Readonly<Record<string, Plain>>) : null;
    parts.push(content === null || content['name'] !== device ? frame : frameOf(DEVICE_FRAME, encodePlain({ ...content, state })));
  }
  const all = new Uint8Array(parts.reduce((sum, one) => sum + one.length, 0));
  parts.reduce((at, one) => (all.set(one, at), at + one.length), 0);
  return all;
}

const DEVICE_FRAME = 2;

function frameOf(kind: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(12 + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, payload.length, true);
  frame.set(payload, 12);
  let crc = ~0;
  for (const part of [frame.subarray(0, 8), payload]) {
    for (const byte of part) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
    }
  }
  view.setUint32(8, ~crc >>> 0, true);
  return frame;
}

function expectNoFault({ faults }: DeviceMachine): void {
  if (faults.length > 0) throw new Error(faults.join('\n'));
}

function expectEqual(found: unknown, expected: unknown, what: string): void {
  if (found !== expected) throw new Error(`${what}: expected ${shorten(expected)}, got ${shorten(found)}`);
}

function shorten(value: unknown): string {
  const text = String(value);
  return text.length > 400 ? `${text.slice(0, 400)}... (${text.length} characters)` : text;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
