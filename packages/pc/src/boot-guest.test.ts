import { type Engine, type Vcpu, VmError } from '@vm/core';
import type { IoBus } from '@vm/core/engine';
import { EXIT_BUDGET } from '@vm/core/exit';
import { afterEach, describe, expect, it } from 'vitest';
import { bootGuest, type GuestOptions } from './boot-guest.ts';
import type { BootState } from './boot-state.ts';
import type { Guest } from './guest.ts';

type EchoVcpu = Vcpu & { loadBootState(state: BootState): void };

/**
 * A processor whose program opens the serial port after `delay` runs, sends `> ` and answers each byte with its upper case;
 * `q` turns the machine off, `r` resets it.
 */
function echoing(delay: number): Engine<EchoVcpu> {
  return {
    abi: 0,
    id: 'test.echoing',
    features: [],
    reserveBytes: () => 4096,
    createVcpu: (_index, { pio }) => {
      let runs = 0;
      let retired = 0;
      return {
        get retired() {
          return retired;
        },
        run: (instructions) => {
          retired += instructions;
          runs++;
          if (runs === delay) openPort(pio);
          if (runs >= delay && (pio.read(0x3fd, 1) & 1) !== 0) answer(pio, pio.read(0x3f8, 1));
          return EXIT_BUDGET;
        },
        signal: () => {},
        stopAfter: () => {},
        reset: () => {
          runs = 0;
        },
        loadBootState: () => {},
      };
    },
    tearDown: () => {},
  };
}

function openPort(pio: IoBus): void {
  for (const [port, value] of [[0x3fa, 0x07], [0x3f9, 0x05], [0x3fc, 0x0b], [0x3f8, 0x3e], [0x3f8, 0x20]] as const) pio.write(port, 1, value);
}

function answer(pio: IoBus, byte: number): void {
  pio.write(0x3f8, 1, byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte);
  if (byte === 0x71) pio.write(0x604, 2, 0x3400);
  if (byte === 0x72) pio.write(0xcf9, 1, 0x06);
}

function kernelImage(): Uint8Array {
  const image = new Uint8Array(4096);
  const view = new DataView(image.buffer);
  view.setUint8(0x1f1, 1);
  view.setUint32(0x1f4, (4096 - 1024) / 16, true);
  view.setUint16(0x1fe, 0xaa55, true);
  view.setUint8(0x201, 0x6a);
  view.setUint32(0x202, 0x5372_6448, true);
  view.setUint16(0x206, 0x20f, true);
  view.setUint8(0x211, 1);
  view.setUint16(0x236, 1, true);
  return image;
}

const guests: Guest<EchoVcpu>[] = [];

async function boot(delay = 3, more: Partial<GuestOptions<EchoVcpu>> = {}): Promise<Guest<EchoVcpu>> {
  const guest = await bootGuest({ engine: echoing(delay), ramBytes: 16 * 2 ** 20, kernel: kernelImage(), clock: { kind: 'virtual', nanosPerInstruction: 1 }, ...more });
  guests.push(guest);
  return guest;
}

afterEach(async () => {
  for (const guest of guests.splice(0)) await guest[Symbol.asyncDispose]();
});

it('holds what is typed until the guest has opened its port, and then loses none of it', async () => {
  const guest = await boot(20);
  const line = 'abcdefghijklmnop'.repeat(40);
  guest.type(line);
  expect(guest.untaken).toBe(640);
  expect(await guest.waitFor(line.toUpperCase())).toBe(`> ${line.toUpperCase()}`);
  await guest.taken();
  guest.type('q');
  await guest.poweredOff({ timeoutMs: 60_000 });
  expect(guest.output).toBe(`> ${line.toUpperCase()}Q`);
});

it('hands every byte on once and in order', async () => {
  const seen: number[] = [];
  const guest = await boot(1, { onOutput: (bytes) => seen.push(...bytes) });
  guest.type(Uint8Array.from([0, 255, 128, 10, 13, 0x71]));
  expect(await guest.ended()).toBe('power-off');
  expect(seen).toEqual([0x3e, 0x20, 0, 255, 128, 10, 13, 0x51]);
});

it('waits from match to match, by text and by expression', async () => {
  const guest = await boot();
  guest.type('one two one 42.');
  expect(await guest.waitFor('ONE')).toBe('> ONE');
  expect(await guest.waitFor(/[0-9]+/)).toBe(' TWO ONE 42');
});

it('boots anew when the guest resets itself, and ends there when told to', async () => {
  const guest = await boot();
  guest.type('r');
  await guest.waitFor('R> ');
  guest.type('q');
  expect(await guest.ended()).toBe('power-off');
  const other = await boot(3, { onReset: 'end' });
  other.type('r');
  expect(await other.ended()).toBe('reset');
});

it('says what was last seen when a wait ends in nothing', async () => {
  const guest = await boot();
  await guest.waitFor('> ');
  guest.type('hello');
  await guest.waitFor('HEL');
  const error = await guest.waitFor('login:', { timeoutMs: 20 }).catch((reason: unknown) => reason);
  expect(VmError.is(error) && error.code).toBe('E_GUEST');
  expect(String(error)).toBe('VmError: login:: not seen within 20 ms; the guest\'s last words: "LO"');
});

it('rejects waits when the guest ends, and poweredOff when it ends otherwise', async () => {
  const guest = await boot(3, { onReset: 'end' });
  const waiting = guest.waitFor('never');
  guest.type('r');
  await expect(waiting).rejects.toThrow('the guest has ended: reset');
  await expect(guest.waitFor('later')).rejects.toThrow('the guest has ended: reset');
  await expect(guest.poweredOff()).rejects.toThrow('the guest did not turn itself off: reset');
});

it('ends with its abort signal', async () => {
  const abort = new AbortController();
  const guest = await boot(3, { signal: abort.signal });
  await guest.waitFor('> ');
  abort.abort();
  expect(await guest.ended()).toBe('aborted');
});

it('sends at once when told to, and the guest clears it away at its start', async () => {
  const guest = await boot(20, { typing: 'at-once' });
  guest.type('lost');
  await guest.waitFor('> ');
  guest.type('q');
  expect(await guest.ended()).toBe('power-off');
  expect(guest.output).not.toContain('LOST');
});

const LONG = Array.from({ length: 300_000 }, (_, i) => String.fromCharCode(0x41 + ((i * 7) % 16))).join('');
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Waits until the guest does nothing any more. */
async function standstill(guest: Guest<EchoVcpu>): Promise<void> {
  for (let before = -1; guest.machine.vcpu.retired !== before; ) {
    before = guest.machine.vcpu.retired;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('readable', () => {
  it('gives everything that the guest sends, to its end', async () => {
    const guest = await boot();
    const all = new Response(guest.readable()).text();
    guest.type('some text, q');
    expect(await all).toBe('> SOME TEXT, Q');
  });

  it('lets machine time stand still while the reader is behind, and loses nothing', async () => {
    const guest = await boot();
    const reader = guest.readable().getReader();
    guest.type(`${LONG}q`);
    await standstill(guest);
    const { retired } = guest.machine.vcpu;
    const now = guest.machine.clock.now();
    expect(guest.untaken).toBeGreaterThan(100_000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([guest.machine.vcpu.retired, guest.machine.clock.now()]).toEqual([retired, now]);
    let text = '';
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) text += new TextDecoder().decode(value);
    expect(text === `> ${LONG}Q`).toBe(true);
    expect(await guest.ended()).toBe('power-off');
  });

  it('does not hold the guest any more when it is cancelled', async () => {
    const guest = await boot();
    const stream = guest.readable();
    guest.type(`${LONG}q`);
    await standstill(guest);
    expect(guest.untaken).toBeGreaterThan(0);
    await stream.cancel();
    expect(await guest.ended()).toBe('power-off');
  });

  it('may be had several times, each from now on', async () => {
    const guest = await boot();
    const first = new Response(guest.readable()).text();
    guest.type('a');
    await guest.waitFor('A');
    const second = new Response(guest.readable()).text();
    guest.type('bq');
    expect([await first, await second]).toEqual(['> ABQ', 'BQ']);
  });
});

describe('writable', () => {
  it('has written a chunk when the guest has taken it', async () => {
    const guest = await boot(20);
    const writer = guest.writable().getWriter();
    await writer.write(bytes('one '));
    expect([guest.untaken, guest.machine.vcpu.retired > 0]).toEqual([0, true]);
    await writer.write(bytes('two'));
    expect(await guest.waitFor('TWO')).toBe('> ONE TWO');
  });

  it('takes a pipe, whatever comes through it', async () => {
    const guest = await boot();
    const all = new Response(guest.readable()).text();
    await new Blob([LONG, 'q']).stream().pipeTo(guest.writable());
    expect((await all) === `> ${LONG}Q`).toBe(true);
  });

  it('does not keep a writer waiting for a guest that has ended', async () => {
    const guest = await boot();
    const writer = guest.writable().getWriter();
    await writer.write(bytes('q'));
    await guest.ended();
    await writer.write(bytes('nobody takes this'));
    await writer.close();
  });
});

describe('hold', () => {
  it('stops machine time at the present instruction until it is released', async () => {
    const guest = await boot();
    await guest.waitFor('> ');
    const release = guest.hold();
    const { retired } = guest.machine.vcpu;
    guest.type('a');
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([guest.machine.vcpu.retired, guest.untaken, guest.output]).toEqual([retired, 1, '> ']);
    release();
    expect(await guest.waitFor('A')).toBe('A');
  });

  it('counts those who hold, each once', async () => {
    const guest = await boot();
    await guest.waitFor('> ');
    const [first, second] = [guest.hold(), guest.hold()];
    first();
    first();
    const { retired } = guest.machine.vcpu;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(guest.machine.vcpu.retired).toBe(retired);
    second();
    guest.type('q');
    expect(await guest.ended()).toBe('power-off');
  });

  it('outlasts a reset', async () => {
    const guest = await boot();
    guest.type('r');
    await guest.waitFor('R');
    const release = guest.hold();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const { retired } = guest.machine.vcpu;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([guest.machine.vcpu.retired, guest.output]).toEqual([retired, '> R']);
    release();
    expect(await guest.waitFor('> ')).toBe('> ');
  });
});

describe('several guests in one process', () => {
  it('run side by side, each with its own console, clock and end', async () => {
    const guests = await Promise.all(['one', 'two', 'six'].map(async (name) => ({ name, guest: await boot() })));
    const texts = guests.map(({ guest }) => new Response(guest.readable()).text());
    const release = guests[1]!.guest.hold();
    for (const { name, guest } of guests) guest.type(`${name}q`);
    expect([await texts[0], await texts[2]]).toEqual(['> ONEQ', '> SIXQ']);
    expect(guests[1]!.guest.untaken).toBe(4);
    release();
    expect(await texts[1]).toBe('> TWOQ');
    expect(await Promise.all(guests.map(({ guest }) => guest.ended()))).toEqual(['power-off', 'power-off', 'power-off']);
  });

  it('are ended one by one, each by its signal', async () => {
    const [abort, other] = [new AbortController(), new AbortController()];
    const [guest, survivor] = [await boot(3, { signal: abort.signal }), await boot(3, { signal: other.signal })];
    await guest.waitFor('> ');
    abort.abort();
    expect(await guest.ended()).toBe('aborted');
    survivor.type('still on');
    expect(await survivor.waitFor('STILL ON')).toContain('STILL ON');
  });
});

describe('the end', () => {
  it('comes before the first instruction when the signal has come before', async () => {
    const guest = await boot(3, { signal: AbortSignal.abort() });
    expect(await guest.ended()).toBe('aborted');
    expect(guest.machine.vcpu.retired).toBe(0);
  });

  it('ends streams and waits, and leaves a machine that is off, when a block is left', async () => {
    let all: Promise<string> | null = null;
    let wait: Promise<string> | null = null;
    let machine: Guest<EchoVcpu>['machine'] | null = null;
    const block = async (): Promise<void> => {
      await using guest = await boot();
      ({ machine } = guest);
      all = new Response(guest.readable()).text();
      wait = guest.waitFor('never').catch(String);
      await guest.waitFor('> ');
      throw new Error('an assertion failed');
    };
    await expect(block()).rejects.toThrow('an assertion failed');
    expect(machine!.phase).toBe('off');
    expect(await all).toBe('> ');
    expect(await wait).toContain('the guest has ended: aborted');
  });
});
