import { type MessagePort, workerData } from 'node:worker_threads';
import type { Capability, DeviceContext, DeviceManifest, DeviceModule, Plain } from '../abi.ts';

type Context = DeviceContext<Capability>;
export type TestDevice = DeviceModule<{ readonly base?: number; readonly seed?: number }, Capability>;

const manifest = (id: string, needs: readonly Capability[], state = 0): DeviceManifest => ({ abi: 1, id: `test.${id}`, version: '1.0.0', state, needs });

/** Does a little of everything that a device may do. */
export const worker: TestDevice = {
  manifest: manifest('worker', ['pio', 'lines', 'clock', 'dma', 'msi', 'host'], 1),
  create: (ctx, { base = 0x100 } = {}) => {
    let count = 0;
    const line = ctx.lines.connect(5);
    const disk = ctx.host.block('disk0');
    const timer = ctx.clock.timer((due) => {
      count += 1000;
      line.set(true);
      if (count < 5000) timer.arm(due + 1000);
    });
    ctx.pio.claim('registers', 32, {
      read: (offset, size) => {
        if (offset === 0) return count;
        if (offset === 4) return Math.floor(ctx.clock.now());
        if (offset === 8) return ctx.dma.read(0x1000, size);
        return 0xfeed_0000 + offset * 16 + size;
      },
      write: (offset, size, value) => {
        if (offset === 0) count = value;
        if (offset === 4) timer.arm(ctx.clock.now() + value);
        if (offset === 8) {
          ctx.dma.write(0x1000, size, value);
          ctx.dma.write(0x1004, size, ctx.dma.read(0x1000, size) + 1);
        }
        if (offset === 12) line.set(value !== 0);
        if (offset === 16) ctx.msi.send(0xfee0_0000, value);
        if (offset === 20) void transfer(value);
        if (offset === 24) for (let i = 0; i < value; i++) { line.set(true); line.set(false); }
        if (offset === 28) copy(value);
      },
      readWide: (offset, bytes, into) => { for (let i = 0; i < bytes; i++) into.setUint8(i, offset + i); },
      writeWide: (_offset, bytes, from) => { for (let i = 0; i < bytes; i++) count += from.getUint8(i); },
    }).map(base);

    async function transfer(bytes: number): Promise<void> {
      const data = new Uint8Array(bytes);
      await disk.read(512, data);
      ctx.dma.copyIn(0x2000, data);
      data.fill(7);
      await disk.write(0, data);
      await disk.write(1e9, data).catch((error: Error & { readonly code?: string }) => ctx.log('info', `${error.name} ${error.code ?? ''}`));
      line.set(true);
    }

    /** By a window, all of it through the mailbox in pieces. */
    function copy(bytes: number): void {
      const window = ctx.dma.writeWindow(0x4000, bytes);
      if (window === null) return ctx.log('warn', 'no window');
      for (let i = 0; i < bytes; i++) window[i] = i * 3;
      ctx.dma.commit(0x4000, bytes);
      return ctx.log('info', `${ctx.dma.copyOut(0x4000, new Uint8Array(bytes))} ${ctx.dma.copyOut(2 ** 30, new Uint8Array(1))}`);
    }

    return {
      powerUp: async (why) => {
        await Promise.resolve();
        ctx.log('info', `up ${why}`);
        count = 7;
      },
      start: () => ctx.log('debug', 'started'),
      stop: async () => {},
      save: () => ({ count, due: timer.due }),
      load: (state: Plain) => {
        const saved = state as { readonly count: unknown; readonly due: number };
        if (typeof saved.count !== 'number') throw new TypeError('count: expected a number');
        count = saved.count;
        if (saved.due !== Infinity) timer.arm(saved.due);
      },
      powerDown: () => {},
      tearDown: () => ctx.log('info', `down ${ctx.signal.aborted}`),
    };
  },
};

const forever = (): never => { for (;;); };
const never = (): Promise<void> => new Promise(() => {});

/** Answers at one port until it is told otherwise. */
const hostile = (id: string, harm: (ctx: Context) => unknown): TestDevice => ({
  manifest: manifest(id, ['pio', 'lines', 'clock']),
  create: (ctx) => {
    const line = ctx.lines.connect(5);
    line.set(true);
    const timer = ctx.clock.timer(() => void harm(ctx));
    ctx.pio.claim('harm', 1, { read: () => harm(ctx) as number, write: (_offset, _size, value) => timer.arm(ctx.clock.now() + value) }, [1]).map(0x100);
    return {};
  },
});

export const hangs: TestDevice = hostile('hangs', forever);
export const throws: TestDevice = hostile('throws', () => { throw new Error('burnt out'); });
export const exits: TestDevice = hostile('exits', () => process.exit(3));
export const crashes: TestDevice = hostile('crashes', () => { setImmediate(() => { throw new Error('later'); }); return 1; });
export const eats: TestDevice = hostile('eats', () => { const all: object[][] = []; for (;;) all.push(Array.from({ length: 1000 }, (_, i) => ({ i }))); });
export const nonsense: TestDevice = hostile('nonsense', () => ({ not: 'a number' }));
/** Asks the machine for more and more in the middle of an access. */
export const talks: TestDevice = hostile('talks', (ctx) => { for (;;) ctx.clock.timer(() => {}); });

export const hangsInCreate: TestDevice = { manifest: manifest('hangs-in-create', []), create: forever };
export const throwsInCreate: TestDevice = { manifest: manifest('throws-in-create', ['pio']), create: (ctx) => { ctx.pio.claim('first', 4, { read: () => 0, write: () => {} }).map(0x100); throw new RangeError('not like this'); } };
export const grabs: TestDevice = { manifest: manifest('grabs', []), create: (ctx) => { ctx.pio.claim('x', 1, { read: () => 0, write: () => {} }); return {}; } };
export const overlaps: TestDevice = { manifest: manifest('overlaps', ['pio']), create: (ctx) => { for (const name of ['a', 'b']) ctx.pio.claim(name, 4, { read: () => 0, write: () => {} }).map(0x100); return {}; } };
export const hangsInLoad: TestDevice = { manifest: manifest('hangs-in-load', [], 1), create: () => ({ save: () => 1, load: forever }) };
export const neverUp: TestDevice = { manifest: manifest('never-up', []), create: () => ({ powerUp: never }) };
export const neverStops: TestDevice = { manifest: manifest('never-stops', []), create: () => ({ stop: never }) };
export const neverGone: TestDevice = { manifest: manifest('never-gone', []), create: () => ({ tearDown: never }) };
export const liar: TestDevice = { manifest: manifest('another', []), create: () => ({}) };

/** Knows where the mailbox is, and writes into it what the bits of a seed say; then it answers, or does not. */
export const scribbles: TestDevice = {
  manifest: manifest('scribbles', ['pio', 'lines', 'clock', 'dma']),
  create: (ctx, { seed = 0 }) => {
    const { mailbox, requests, calls } = workerData as { readonly mailbox: SharedArrayBuffer; readonly requests: MessagePort; readonly calls: MessagePort };
    const words = new Int32Array(mailbox, 0, 16);
    const numbers = new Float64Array(mailbox, 64, 700);
    const messages = [null, 7, 'text', {}, { log: 'loud', text: 5 }, { block: 9 }, { settled: { name: {} } }, { op: 'claim', args: ['pio', 'x', NaN, [9], 1, 1] }, { error: 3 }, { op: 'map', args: [-1, 0.5] }];
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    ctx.lines.connect(5);
    ctx.clock.timer(() => {});
    const read = (): number => {
      for (let i = random(6); i > 0; i--) numbers[random(700)] = [NaN, -1, 0.5, Infinity, 1e300, random(12), random(2 ** 32)][random(7)]!;
      for (let i = random(3); i > 0; i--) (random(2) === 0 ? requests : calls).postMessage(messages[random(messages.length)]);
      for (let i = random(3); i > 0; i--) Atomics.store(words, random(16), [0, 1, 2, -1, 1000, 0x7fff_ffff, random(12)][random(7)]!);
      for (let i = random(3); i > 0; i--) Atomics.notify(words, random(2));
      return random(2 ** 32);
    };
    ctx.pio.claim('noise', 4, { read, write: () => {} }).map(0x100);
    return {};
  },
};
