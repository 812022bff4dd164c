import { describe, expect, it } from 'vitest';
import type { Plain } from '../abi.ts';
import type { Engine, ExitCode, InterruptFabric, Surroundings, Vcpu } from '../engine.ts';
import { EXIT_BUDGET } from '../exit.ts';
import { createMachine, type Machine } from '../machine.ts';
import { type PageCodec, readSnapshot } from './saved-machine.ts';

const PAGE = 4096;
const PAGES = 600; // three groups, the last of them short
const BASE = 7; // of patterns

describe('pages packed ahead', () => {
  it('are those of a machine saved standing still, whatever is stored meanwhile and by whom', async () => {
    const { vm, store, between } = await machineOf();
    for (let page = 0; page < PAGES; page++) if (page % 50 !== 3) vm.memory.write(page * PAGE + 8, 4, page + BASE);
    between.push(() => {
      store(1, 500); // packed already
      vm.memory.write(2 * PAGE, 4, 501);
    }, () => {
      store(2, 502);
      store(599, 503); // not packed yet
    });
    const ahead = (await vm.packAhead())!;
    store(0, 504);
    store(300, 505);
    vm.memory.copyIn(301 * PAGE + 8, new Uint8Array(4)); // zeros where none were, two pages as one
    vm.memory.write(3 * PAGE, 1, 1); // what was all zeros is not
    const early = await saved(vm, { ahead });
    expect(ahead.standing).toBe(7); // 0 to 3, 300, 301, and 599, which the engine noted before it was packed
    ahead.close();
    const late = await saved(vm);
    expect(ramOf(early)).toEqual(ramOf(late));
    expect(ramOf(late)[300 * PAGE]).toBe(505 & 0xff);
    const [a, b] = [readSnapshot(early), readSnapshot(late)];
    expect({ ...a, pages: null }).toEqual({ ...b, pages: null });
    const again = await machineOf(early);
    expect(await saved(again.vm)).toEqual(late);
    for (const one of [vm, again.vm]) await one[Symbol.asyncDispose]();
  });

  it('are packed again where many are stored to, until rounds leave no fewer', async () => {
    const { vm, store, between, taken } = await machineOf();
    for (let page = 0; page < PAGES; page++) vm.memory.write(page * PAGE, 4, page + BASE);
    const many = (count: number) => () => { for (let page = 0; page < count; page++) store(page, 900 + count); };
    between.push(() => undefined, () => undefined, many(290), many(280));
    const ahead = (await vm.packAhead())!;
    expect(taken()).toBe(3); // everything, 290 pages, and the 280 that were not worth a third round
    const early = await saved(vm, { ahead });
    expect(ahead.standing).toBe(280);
    ahead.close();
    expect(ramOf(early)).toEqual(ramOf(await saved(vm)));
    await vm[Symbol.asyncDispose]();
  });

  it('go through the codec that they were packed with', async () => {
    const { vm, store } = await machineOf();
    vm.memory.write(5 * PAGE, 4, 0x1234_5678);
    const swap: PageCodec = { name: 'swap', pack: (bytes) => bytes.slice().reverse(), unpack: (bytes) => bytes.slice().reverse() };
    const ahead = (await vm.packAhead(swap))!;
    store(5, 0x55);
    store(6, 0x66);
    const early = await saved(vm, { ahead });
    ahead.close();
    expect(readSnapshot(early, swap).head.codec).toBe('swap');
    const again = await machineOf(early, swap);
    expect([again.vm.memory.read(5 * PAGE, 4), again.vm.memory.read(6 * PAGE, 4)]).toEqual([0x55, 0x66]);
    for (const one of [vm, again.vm]) await one[Symbol.asyncDispose]();
  });

  it('are for one at a time, one machine and until they are closed', async () => {
    const { vm, store, logs } = await machineOf();
    const other = await machineOf();
    const ahead = (await vm.packAhead())!;
    await expect(vm.packAhead()).rejects.toMatchObject({ code: 'E_PHASE' });
    await expect(saved(other.vm, { ahead })).rejects.toThrow(RangeError);
    expect(logs()).toBe(true);
    ahead.close();
    ahead.close();
    expect(logs()).toBe(false);
    await expect(saved(vm, { ahead })).rejects.toThrow('not closed');
    vm.memory.write(0, 4, 1); // nobody notes it
    store(1, 2);
    const next = (await vm.packAhead())!;
    await saved(vm, { ahead: next });
    expect(next.standing).toBe(0);
    next.close();
    const none = await machineOf(undefined, undefined, false);
    expect(await none.vm.packAhead()).toBeNull();
    for (const one of [vm, other.vm, none.vm]) await one[Symbol.asyncDispose]();
  });

  it('end the noting of stores when a codec fails', async () => {
    const { vm, logs } = await machineOf();
    vm.memory.write(0, 4, 1);
    await expect(vm.packAhead({ name: 'bad', pack: () => { throw new Error('no room'); }, unpack: (bytes) => bytes })).rejects.toThrow('no room');
    expect(logs()).toBe(false);
    (await vm.packAhead())!.close();
    await vm[Symbol.asyncDispose]();
  });

  it('come behind all others in what is read, each of them once', async () => {
    const { vm, store } = await machineOf();
    vm.memory.write(0, 4, 1);
    const ahead = (await vm.packAhead())!;
    store(0, 2);
    store(9, 2);
    const bytes = await saved(vm, { ahead });
    ahead.close();
    const frames = framesOf(bytes);
    const kinds = frames.slice(1).map((frame) => frame[0]);
    expect(kinds.slice(-4)).toEqual([5, 7, 7, 6]);
    const at = frames.length - 3;
    const swapped = (first: number, second: number): Uint8Array => {
      const copy = frames.slice();
      [copy[first], copy[second]] = [copy[second]!, copy[first]!];
      return Uint8Array.from(Buffer.concat(copy));
    };
    expect(() => readSnapshot(swapped(at, at + 1))).toThrow('its pages are there already');
    expect(() => readSnapshot(swapped(at - 1, at))).toThrow('of kind 5, which is out of place');
    expect(readSnapshot(bytes).pages.map(({ first }) => first)).toEqual([0, 0, 9]);
    await vm[Symbol.asyncDispose]();
  });
});

interface Made {
  readonly vm: Machine;
  /** As a processor does. */
  store(page: number, value: number): void;
  /** Run one by one, between groups of pages. */
  readonly between: (() => void)[];
  logs(): boolean;
  taken(): number;
}

async function machineOf(bytes?: Uint8Array, codec?: PageCodec, canLog = true): Promise<Made> {
  let surroundings: Surroundings | null = null;
  let log: Set<number> | null = null;
  let taken = 0;
  const between: (() => void)[] = [];
  const vcpu: Vcpu = { retired: 0, run: (): ExitCode => EXIT_BUDGET, signal: () => undefined, stopAfter: () => undefined, reset: () => undefined, save: () => 1, load: () => undefined };
  const fabric: InterruptFabric = {
    port: () => ({ isPending: () => false, acknowledge: () => -1, window: () => -1, readRegister: () => 0, writeRegister: () => undefined, readModelRegister: () => false, low: 0, high: 0, writeModelRegister: () => false, priority: 0 }),
    message: () => undefined, external: () => undefined, reset: () => undefined, save: (): Plain => null, load: () => undefined,
  };
  const engine: Engine = {
    abi: 0, id: 'test.log', features: [], processorState: { id: 'test', version: 1, model: '' }, reserveBytes: () => 0,
    createVcpu: (_index, given) => ((surroundings = given), vcpu), tearDown: () => undefined,
    logStores: () => canLog && ((log = new Set()), true),
    endLog: () => { log = null; },
    dirtyPages: (visit) => {
      taken++;
      for (const page of log ?? []) visit(page * PAGE, PAGE);
      log?.clear();
    },
  };
  const soon = (callback: () => void): void => {
    between.shift()?.();
    queueMicrotask(callback);
  };
  const host = { now: () => 0, soon: (callback: () => void) => { if (log !== null) soon(callback); }, later: () => null, cancel: () => undefined };
  const vm = await createMachine({
    engine, ramBytes: PAGES * PAGE, devices: [], interrupts: () => fabric, clock: { kind: 'virtual', nanosPerInstruction: 1 }, host,
    ...(bytes === undefined ? {} : { restore: { bytes, ...(codec === undefined ? {} : { codec }) } }),
  });
  await vm.powerUp();
  const store = (page: number, value: number): void => {
    const { ram } = surroundings!;
    new DataView(ram.memory.buffer).setUint32(ram.base + page * PAGE, value, true);
    log?.add(page);
  };
  return { vm, store, between, logs: () => log !== null, taken: () => taken };
}

async function saved(vm: Machine, options: Parameters<Machine['save']>[1] = {}): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await vm.save((piece) => void pieces.push(piece), options);
  return Uint8Array.from(Buffer.concat(pieces));
}

function ramOf(bytes: Uint8Array): Uint8Array {
  const { head, pages } = readSnapshot(bytes);
  const ram = new Uint8Array(head.ramBytes);
  for (const { first, packed } of pages) ram.set(packed, first * PAGE);
  return ram;
}

/** The first 8 bytes, and the frames after them. */
function framesOf(bytes: Uint8Array): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const frames = [bytes.slice(0, 8)];
  for (let at = 8; at < bytes.length; at += 12 + view.getUint32(at + 4, true)) frames.push(bytes.slice(at, at + 12 + view.getUint32(at + 4, true)));
  return frames;
}
