import type { Device, DeviceContext, DeviceModule, IoHandler, Line, Plain, Size } from '@vm/core';
import { Keyboard } from './keyboard.ts';
import { Mouse } from './mouse.ts';
import { readByte, readBytes, readFields } from './saved-state.ts';
import * as spec from './spec.ts';

export interface I8042Config {
  readonly keyboardPin?: number; // default 1
  readonly mousePin?: number; // default 12
  /** The guest pulled the processor's reset line. Called in the middle of a guest instruction. */
  readonly reset: () => void;
  /** The guest opened or closed the gate of address line 20. Called in the middle of a guest instruction. */
  readonly setA20?: (open: boolean) => void;
}

// Who put the byte into the output buffer.
const FROM_CONTROLLER = 0;
const FROM_KEYBOARD = 1;
const FROM_MOUSE = 2;

/** Scan code of set 2, as set 1 has it: of all that this keyboard sends only the second byte of its identifier changes. */
const TRANSLATED_FROM = 0x83;
const TRANSLATED_TO = 0x41;

/** The controller with both of its ports, and the port of the chipset that does the same faster. */
class I8042 implements Device, IoHandler {
  #full = false;
  #buffer = 0;
  #source: number = FROM_CONTROLLER;
  #command = 0; // that waits for its parameter; 0: the data port leads to the keyboard
  #lastToCommand = false;
  #outputPort = 0;
  #systemPort = 0;
  readonly #memory: Uint8Array = new Uint8Array(spec.MEMORY_BYTES); // byte 0 is the configuration
  readonly #keyboard: Keyboard = new Keyboard();
  readonly #mouse: Mouse = new Mouse();
  readonly #keyboardLine: Line;
  readonly #mouseLine: Line;
  readonly #reset: () => void;
  readonly #setA20: (open: boolean) => void;

  constructor(ctx: DeviceContext<'pio' | 'lines'>, config: I8042Config) {
    this.#reset = config.reset;
    this.#setA20 = config.setA20 ?? (() => {});
    this.#keyboardLine = ctx.lines.connect(config.keyboardPin ?? 1);
    this.#mouseLine = ctx.lines.connect(config.mousePin ?? 12);
    ctx.pio.claim('data', 1, this, [1]).map(spec.DATA_PORT);
    ctx.pio.claim('command', 1, { read: () => this.#status(), isSteady: () => true, write: (_offset, _size, value) => this.#obey(value) }, [1]).map(spec.COMMAND_PORT);
    ctx.pio.claim('system', 1, { read: () => this.#systemPort, write: (_offset, _size, value) => this.#writeSystemPort(value) }, [1]).map(spec.SYSTEM_PORT);
  }

  powerUp(): void {
    this.#full = false;
    this.#buffer = 0;
    this.#source = FROM_CONTROLLER;
    this.#command = 0;
    this.#lastToCommand = false;
    this.#memory.fill(0);
    // As firmware leaves it, for there is none here: tested, translating, both ports on.
    this.#memory[0] = spec.CONFIG_KEYBOARD_INTERRUPT | spec.CONFIG_MOUSE_INTERRUPT | spec.CONFIG_SYSTEM | spec.CONFIG_TRANSLATE;
    this.#outputPort = spec.OUTPUT_NOT_RESET | spec.OUTPUT_A20;
    this.#systemPort = 0;
    this.#keyboard.powerUp();
    this.#mouse.powerUp();
    this.#update();
  }

  /** The output buffer. Reading empties it, and the next byte follows at once. */
  read(_offset: number, _size: Size): number {
    const byte = this.#buffer;
    this.#full = false;
    this.#update(); // the line falls before it rises for the next byte
    this.#fill();
    return byte;
  }

  write(_offset: number, _size: Size, value: number): void {
    const command = this.#command;
    this.#command = 0;
    this.#lastToCommand = false;
    if (command !== 0) {
      this.#finish(command, value);
    } else {
      this.#memory[0]! &= ~spec.CONFIG_KEYBOARD_OFF; // sending opens the port
      this.#keyboard.receive(value);
    }
    this.#fill();
  }

  save(): Plain {
    return {
      full: this.#full ? 1 : 0, buffer: this.#buffer, source: this.#source, command: this.#command, lastToCommand: this.#lastToCommand ? 1 : 0,
      outputPort: this.#outputPort, systemPort: this.#systemPort, memory: this.#memory.slice(), keyboard: this.#keyboard.save(), mouse: this.#mouse.save(),
    };
  }

  load(state: Plain): void {
    const fields = readFields(state, 'state');
    const byte = (name: string): number => readByte(fields, name);
    const memory = readBytes(fields, 'memory');
    if (memory.length !== spec.MEMORY_BYTES) throw new TypeError(`i8042: memory expected ${spec.MEMORY_BYTES} bytes, got ${memory.length}`);
    const [full, buffer, source, command, lastToCommand, outputPort, systemPort] = [byte('full'), byte('buffer'), byte('source'), byte('command'), byte('lastToCommand'), byte('outputPort'), byte('systemPort')];
    this.#keyboard.load(readFields(fields['keyboard'], 'keyboard'));
    this.#mouse.load(readFields(fields['mouse'], 'mouse'));
    this.#full = full !== 0;
    this.#buffer = buffer;
    this.#source = source;
    this.#command = command;
    this.#lastToCommand = lastToCommand !== 0;
    this.#outputPort = (outputPort & spec.OUTPUT_A20) | spec.OUTPUT_NOT_RESET;
    this.#systemPort = systemPort & (spec.SYSTEM_A20 | spec.SYSTEM_RESET);
    this.#memory.set(memory);
    this.#memory[0]! &= spec.CONFIG_VALID;
    this.#setA20(this.#isA20Open());
    this.#update();
  }

  #status(): number {
    return (this.#full ? spec.STATUS_OUTPUT_FULL : 0)
      | (this.#full && this.#source === FROM_MOUSE ? spec.STATUS_MOUSE : 0)
      | (this.#memory[0]! & spec.CONFIG_SYSTEM)
      | (this.#lastToCommand ? spec.STATUS_COMMAND : 0)
      | spec.STATUS_UNLOCKED;
  }

  #obey(command: number): void {
    this.#lastToCommand = true;
    this.#command = 0;
    if (command >= spec.READ_MEMORY && command < spec.READ_MEMORY + spec.MEMORY_BYTES) this.#answer(this.#memory[command - spec.READ_MEMORY]!);
    else if (command >= spec.WRITE_MEMORY && command < spec.WRITE_MEMORY + spec.MEMORY_BYTES) this.#command = command;
    else if (command >= spec.PULSE_OUTPUT_PORT) {
      if ((command & spec.OUTPUT_NOT_RESET) === 0) this.#reset();
    } else {
      switch (command) {
        case spec.MOUSE_DISABLE: this.#memory[0]! |= spec.CONFIG_MOUSE_OFF; break;
        case spec.MOUSE_ENABLE: this.#memory[0]! &= ~spec.CONFIG_MOUSE_OFF; break;
        case spec.KEYBOARD_DISABLE: this.#memory[0]! |= spec.CONFIG_KEYBOARD_OFF; break;
        case spec.KEYBOARD_ENABLE: this.#memory[0]! &= ~spec.CONFIG_KEYBOARD_OFF; break;
        case spec.MOUSE_TEST: case spec.KEYBOARD_TEST: this.#answer(spec.PORT_TEST_PASSED); break;
        case spec.SELF_TEST:
          this.#memory[0]! |= spec.CONFIG_SYSTEM;
          this.#answer(spec.SELF_TEST_PASSED);
          break;
        case spec.READ_INPUT_PORT: this.#answer(spec.INPUT_PORT); break;
        case spec.READ_OUTPUT_PORT: this.#answer(this.#readOutputPort()); break;
        case spec.READ_TEST_INPUTS: this.#answer(0); break; // both clocks low: nothing is being sent
        case spec.WRITE_OUTPUT_PORT: case spec.WRITE_KEYBOARD_BUFFER: case spec.WRITE_MOUSE_BUFFER: case spec.WRITE_MOUSE: this.#command = command; break;
        default: break;
      }
    }
    this.#fill();
  }

  /** A command has got its parameter. */
  #finish(command: number, value: number): void {
    switch (command) {
      case spec.WRITE_OUTPUT_PORT:
        this.#outputPort = (value & spec.OUTPUT_A20) | spec.OUTPUT_NOT_RESET;
        this.#setA20(this.#isA20Open());
        if ((value & spec.OUTPUT_NOT_RESET) === 0) this.#reset();
        return;
      case spec.WRITE_KEYBOARD_BUFFER: return this.#put(value, FROM_KEYBOARD);
      case spec.WRITE_MOUSE_BUFFER: return this.#put(value, FROM_MOUSE);
      case spec.WRITE_MOUSE:
        this.#memory[0]! &= ~spec.CONFIG_MOUSE_OFF; // sending opens the port
        return this.#mouse.receive(value);
      default:
        this.#memory[command - spec.WRITE_MEMORY] = value;
        this.#memory[0]! &= spec.CONFIG_VALID;
        this.#update(); // an interrupt that is enabled now may have its byte already
    }
  }

  #readOutputPort(): number {
    return spec.OUTPUT_ONES | this.#outputPort
      | (this.#full && this.#source !== FROM_MOUSE ? spec.OUTPUT_KEYBOARD_FULL : 0)
      | (this.#full && this.#source === FROM_MOUSE ? spec.OUTPUT_MOUSE_FULL : 0);
  }

  #writeSystemPort(value: number): void {
    const rises = (value & ~this.#systemPort & spec.SYSTEM_RESET) !== 0;
    this.#systemPort = value & (spec.SYSTEM_A20 | spec.SYSTEM_RESET);
    this.#setA20(this.#isA20Open());
    if (rises) this.#reset();
  }

  /** Both ports open the gate, and it closes when neither does. */
  #isA20Open(): boolean {
    return ((this.#outputPort & spec.OUTPUT_A20) | (this.#systemPort & spec.SYSTEM_A20)) !== 0;
  }

  /** The controller answers itself; no interrupt tells of that. An unread byte is lost, as it is on the chip. */
  #answer(byte: number): void {
    this.#put(byte, FROM_CONTROLLER);
  }

  #put(byte: number, source: number): void {
    this.#full = false;
    this.#update();
    this.#full = true;
    this.#buffer = byte;
    this.#source = source;
    this.#update();
  }

  /** Takes the next byte from keyboard or mouse if there is room and the port is on. */
  #fill(): void {
    if (this.#full) return;
    const config = this.#memory[0]!;
    if (this.#keyboard.queue.count > 0 && (config & spec.CONFIG_KEYBOARD_OFF) === 0) {
      const byte = this.#keyboard.take();
      this.#put(byte === TRANSLATED_FROM && (config & spec.CONFIG_TRANSLATE) !== 0 ? TRANSLATED_TO : byte, FROM_KEYBOARD);
    } else if (this.#mouse.queue.count > 0 && (config & spec.CONFIG_MOUSE_OFF) === 0) {
      this.#put(this.#mouse.take(), FROM_MOUSE);
    }
  }

  #update(): void {
    const config = this.#memory[0]!;
    this.#keyboardLine.set(this.#full && this.#source === FROM_KEYBOARD && (config & spec.CONFIG_KEYBOARD_INTERRUPT) !== 0);
    this.#mouseLine.set(this.#full && this.#source === FROM_MOUSE && (config & spec.CONFIG_MOUSE_INTERRUPT) !== 0);
  }
}

/** The keyboard controller 8042 with a keyboard and a mouse, and port 0x92. */
export const i8042: DeviceModule<I8042Config, 'pio' | 'lines'> = {
  manifest: { abi: 1, id: 'vm.i8042', version: '0.0.0', state: 1, needs: ['pio', 'lines'] },
  create: (ctx, config) => new I8042(ctx, config),
};
