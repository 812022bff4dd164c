import { PassThrough, Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { Terminal } from './terminal.ts';

function setup(options: { tty?: boolean; highWaterMark?: number } = {}) {
  const modes: boolean[] = [];
  const shown: string[] = [];
  const errors: string[] = [];
  const waiting: (() => void)[] = [];
  const input = Object.assign(new PassThrough(), options.tty === true ? { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) } : {});
  const output = Object.assign(
    new Writable({
      highWaterMark: options.highWaterMark ?? 1024,
      write: (chunk: Buffer, _encoding, done) => {
        shown.push(chunk.toString());
        if (options.highWaterMark === undefined) done();
        else waiting.push(done);
      },
    }),
    { isTTY: options.tty === true },
  );
  const messages = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      errors.push(chunk.toString());
      done();
    },
  });
  return { terminal: new Terminal({ input, output, errors: messages }), input, output, modes, shown, errors, waiting };
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('takes raw mode at the beginning and gives it back at the end, once', async () => {
  const { terminal, modes } = setup({ tty: true });
  terminal.open(() => {}, () => {});
  expect([terminal.interactive, modes]).toEqual([true, [true]]);
  await terminal.close();
  await terminal.close();
  expect(modes).toEqual([true, false]);
});

it('gives raw mode back when the process ends without closing it', () => {
  const { terminal, modes } = setup({ tty: true });
  const before = process.listeners('exit');
  terminal.open(() => {}, () => {});
  const added = process.listeners('exit').filter((listener) => !before.includes(listener));
  for (const listener of added) {
    (listener as () => void)();
    process.off('exit', listener);
  }
  expect(modes).toEqual([true, false]);
});

it('leaves the mode alone where there is no terminal', async () => {
  const { terminal, modes } = setup();
  terminal.open(() => {}, () => {});
  await terminal.close();
  expect([terminal.interactive, modes]).toEqual([false, []]);
});

it('passes on what is typed until it is closed', async () => {
  const { terminal, input } = setup();
  const typed: string[] = [];
  terminal.open((chunk) => typed.push(new TextDecoder().decode(chunk)), () => {});
  input.write('one');
  await settled();
  await terminal.close();
  input.write('two');
  await settled();
  expect(typed).toEqual(['one']);
});

it('keeps the typist waiting', async () => {
  const { terminal, input } = setup();
  const typed: string[] = [];
  terminal.open((chunk) => typed.push(new TextDecoder().decode(chunk)), () => {});
  let goOn = (): void => {};
  const held = terminal.holdInput(new Promise<void>((resolve) => (goOn = resolve)));
  input.write('later');
  await settled();
  expect(typed).toEqual([]);
  goOn();
  await held;
  await settled();
  expect(typed).toEqual(['later']);
});

it('says when output comes too fast, and when there is room again', async () => {
  const { terminal, waiting } = setup({ highWaterMark: 4 });
  terminal.open(() => {}, () => {});
  expect(terminal.write(bytes('abcdef'))).toBe(false);
  let drained = false;
  const wait = terminal.drained().then(() => (drained = true));
  await settled();
  expect(drained).toBe(false);
  waiting.shift()!();
  await wait;
});

it('closes only when the last byte is out', async () => {
  const { terminal, waiting, shown } = setup({ highWaterMark: 4 });
  terminal.open(() => {}, () => {});
  terminal.write(bytes('first'));
  terminal.write(bytes('second'));
  let closed = false;
  const close = terminal.close().then(() => (closed = true));
  await settled();
  expect(closed).toBe(false);
  while (!closed) {
    waiting.shift()?.();
    await settled();
  }
  await close;
  expect(shown.join('')).toBe('firstsecond');
});

it('hears that nobody reads any more, and then says nothing', async () => {
  const { terminal, output } = setup();
  let broken = 0;
  terminal.open(() => {}, () => broken++);
  output.destroy(new Error('EPIPE'));
  await settled();
  expect(broken).toBe(1);
  expect(terminal.write(bytes('x'))).toBe(true);
  await terminal.drained();
  await terminal.close();
});

it('puts its own lines at the beginning of a line', () => {
  const { terminal, errors } = setup({ tty: true });
  terminal.open(() => {}, () => {});
  terminal.write(bytes('# '));
  terminal.tell('one\ntwo');
  terminal.write(bytes('x\n'));
  terminal.tell('three');
  expect(errors).toEqual(['\none\ntwo\n', 'three\n']);
});
