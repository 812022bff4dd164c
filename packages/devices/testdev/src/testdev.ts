import type { Device, DeviceContext, DeviceModule, Line, Plain, Size } from '@vm/core';
import * as spec from './spec.ts';

export interface TestdevConfig {
  /** The guest wrote to the exit port. Called in the middle of a guest instruction. */
  readonly exit: (code: number) => void;
  /** The guest wrote "Shutdown" to port 0x8900. Called in the middle of a guest instruction. */
  readonly shutdown: () => void;
  /** Machine pin of each interrupt line; default: pin n is line n. */
  readonly pins?: readonly number[];
  /** False: nothing at ports 0xe8 to 0xeb, where others have a debug console. Default true. */
  readonly echoBytes?: boolean;
}

type Needs = 'pio' | 'mmio' | 'lines';

const LETTERS: readonly number[] = Array.from(spec.SHUTDOWN_WORD, (letter) => letter.charCodeAt(0));

class Testdev implements Device {
  #echo = 0;
  #letters = 0; // of the word, so far
  readonly #levels: boolean[];
  readonly #memory: DataView = new DataView(new ArrayBuffer(spec.MEMORY_BYTES));
  readonly #lines: readonly Line[];
  readonly #config: TestdevConfig;

  constructor(ctx: DeviceContext<Needs>, config: TestdevConfig) {
    this.#config = config;
    this.#lines = Array.from({ length: spec.LINE_COUNT }, (_, line) => ctx.lines.connect(config.pins?.[line] ?? line));
    this.#levels = this.#lines.map(() => false);
    const echo = { read: (offset: number, size: Size) => this.#readEcho(offset, size), write: (offset: number, size: Size, value: number) => this.#writeEcho(offset, size, value) };
    ctx.pio.claim('exit', spec.EXIT_BYTES, { read: () => 0, write: (_offset, _size, value) => config.exit(value) }).map(spec.EXIT_PORT);
    ctx.pio.claim('echo', spec.ECHO_BYTES, echo).map(spec.ECHO_PORT);
    if (config.echoBytes !== false) ctx.pio.claim('echo-bytes', spec.ECHO_BYTES, echo, [1]).map(spec.ECHO_BYTES_PORT);
    // Nothing here is kept that the machine could not tell from stores itself.
    ctx.pio.claim('forget', spec.FORGET_BYTES, { read: () => 0, write: () => {} }).map(spec.FORGET_PORT);
    ctx.pio.claim('lines', spec.LINE_PORTS, {
      read: () => 0,
      // Each port is a register of its own, however wide the access.
      write: (offset, _size, value) => {
        if (offset < spec.LINE_COUNT) this.#setLine(offset, (value & 1) !== 0);
      },
    }).map(spec.LINE_PORT);
    ctx.pio.claim('shutdown', 1, { read: () => 0, write: (_offset, _size, value) => this.#takeLetter(value) }, [1]).map(spec.SHUTDOWN_PORT);
    ctx.mmio.claim('memory', spec.MEMORY_BYTES, {
      read: (offset, size) => this.#readMemory(offset, size),
      write: (offset, size, value) => this.#writeMemory(offset, size, value),
    }).map(spec.MEMORY_BASE);
  }

  powerUp(): void {
    this.#echo = 0;
    this.#letters = 0;
    new Uint8Array(this.#memory.buffer).fill(0);
    for (let line = 0; line < spec.LINE_COUNT; line++) this.#setLine(line, false);
  }

  save(): Plain {
    return { echo: this.#echo, letters: this.#letters, levels: [...this.#levels], memory: new Uint8Array(this.#memory.buffer).slice() };
  }

  load(state: Plain): void {
    const { echo, letters, levels, memory } = (state ?? {}) as Readonly<Record<string, Plain>>;
    if (typeof echo !== 'number' || typeof letters !== 'number' || !Array.isArray(levels) || levels.length !== spec.LINE_COUNT
      || !(memory instanceof Uint8Array) || memory.length !== spec.MEMORY_BYTES) {
      throw new TypeError(`testdev: expected { echo, letters: number, levels: ${spec.LINE_COUNT} values, memory: ${spec.MEMORY_BYTES} bytes }`);
    }
    this.#echo = echo >>> 0;
    this.#letters = letters >= 0 && letters < LETTERS.length ? letters | 0 : 0;
    new Uint8Array(this.#memory.buffer).set(memory);
    for (let line = 0; line < spec.LINE_COUNT; line++) this.#setLine(line, levels[line] === true);
  }

  #readEcho(offset: number, size: Size): number {
    return ((this.#echo >>> (offset * 8)) & allOnes(size)) >>> 0;
  }

  #writeEcho(offset: number, size: Size, value: number): void {
    const mask = allOnes(size) << (offset * 8);
    this.#echo = ((this.#echo & ~mask) | ((value << (offset * 8)) & mask)) >>> 0;
  }

  #setLine(line: number, high: boolean): void {
    this.#levels[line] = high;
    this.#lines[line]!.set(high);
  }

  #takeLetter(value: number): void {
    this.#letters = value === LETTERS[this.#letters] ? this.#letters + 1 : value === LETTERS[0] ? 1 : 0;
    if (this.#letters < LETTERS.length) return;
    this.#letters = 0;
    this.#config.shutdown();
  }

  #readMemory(offset: number, size: Size): number {
    return size === 4 ? this.#memory.getUint32(offset, true) : size === 2 ? this.#memory.getUint16(offset, true) : this.#memory.getUint8(offset);
  }

  #writeMemory(offset: number, size: Size, value: number): void {
    if (size === 4) this.#memory.setUint32(offset, value, true);
    else if (size === 2) this.#memory.setUint16(offset, value, true);
    else this.#memory.setUint8(offset, value);
  }
}

function allOnes(size: Size): number {
  return size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff;
}

/** What bare-metal test programs look for. */
export const testdev: DeviceModule<TestdevConfig, Needs> = {
  manifest: { abi: 1, id: 'vm.testdev', version: '0.0.0', state: 1, needs: ['pio', 'mmio', 'lines'] },
  create: (ctx, config) => new Testdev(ctx, config),
};
