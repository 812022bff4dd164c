import { type Machine, type StopReason, VmError, type Vcpu } from '@vm/core';
import type { BootableVcpu } from './boot-state.ts';
import { ConsoleInput, type TypingMode } from './console-input.ts';
import { ConsoleOutput, type WaitOptions } from './console-output.ts';
import { checkKernel } from './kernel-boot.ts';
import { createPc, type Pc, type PcOptions } from './pc.ts';

export interface GuestOptions<V extends Vcpu & BootableVcpu> extends Omit<PcOptions<V>, 'serial'> {
  /** Every byte the guest sends, in chunks. */
  readonly onOutput?: (bytes: Uint8Array) => void;
  readonly typing?: TypingMode; // default: when-listening
  /** What a reset by the guest does; default: boot. */
  readonly onReset?: 'boot' | 'end';
}

/** A PC that runs, with somebody at its serial console. */
export class Guest<V extends Vcpu & BootableVcpu = Vcpu & BootableVcpu> {
  readonly #pc: Pc<V>;
  readonly #input: ConsoleInput;
  readonly #output: ConsoleOutput;
  readonly #ended: Promise<StopReason>;
  #resolveEnded: (reason: StopReason) => void = () => {};
  #reason: StopReason | null = null;
  #resetting: Promise<void> = Promise.resolve();

  /** Use `bootGuest`. */
  constructor(pc: Pc<V>, input: ConsoleInput, output: ConsoleOutput) {
    this.#pc = pc;
    this.#input = input;
    this.#output = output;
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve));
  }

  get machine(): Machine<V> {
    return this.#pc.machine;
  }

  /** What the guest has sent, as text: the last million characters. */
  get output(): string {
    return this.#output.text;
  }

  /** Typed bytes that the guest has not taken yet. */
  get untaken(): number {
    return this.#input.waiting;
  }

  /** Resolves when the guest has taken all that was typed. */
  taken(): Promise<void> {
    return this.#input.drained();
  }

  type(keys: string | Uint8Array): void {
    this.#input.send(typeof keys === 'string' ? new TextEncoder().encode(keys) : keys);
  }

  /**
   * Waits until the guest has sent `pattern`, and returns what came since the last wait up to there. Rejects with VmError
   * E_GUEST at the time-out and when the guest ends.
   */
  waitFor(pattern: string | RegExp, options?: WaitOptions): Promise<string> {
    return this.#output.waitFor(pattern, options);
  }

  /** Why the guest came to its end: `power-off` when it turned itself off. */
  ended(): Promise<StopReason> {
    return this.#ended;
  }

  /** Resolves when the guest has turned itself off, rejects with VmError E_GUEST when it ends in another way or too late. */
  async poweredOff(options: WaitOptions = {}): Promise<void> {
    const { timeoutMs } = options;
    let timer: ReturnType<typeof setTimeout> | null = null;
    const late = new Promise<never>((_resolve, reject) => {
      if (timeoutMs !== undefined) timer = setTimeout(() => reject(new VmError('E_GUEST', `the guest is still on after ${timeoutMs} ms`)), timeoutMs);
    });
    const reason = await Promise.race([this.#ended, late]).finally(() => timer !== null && clearTimeout(timer));
    if (reason !== 'power-off') throw new VmError('E_GUEST', `the guest did not turn itself off: ${reason}`);
  }

  /** Asks the guest to shut down. */
  pressPowerButton(): void {
    this.#pc.pressPowerButton();
  }

  /** Presses the reset button: the guest boots anew. */
  reset(): Promise<void> {
    this.#resetting = this.machine.reset();
    return this.#resetting;
  }

  /** Stops and takes everything down; without effect on a guest that has ended already, but for its resources. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end('aborted');
    await this.#resetting.catch(() => {}); // two moves at a time are one too many
    await this.machine[Symbol.asyncDispose]();
  }

  /** Not for composers: `bootGuest` reports the end here. */
  end(reason: StopReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    this.#output.end(`the guest has ended: ${reason}`);
    this.#resolveEnded(reason);
  }
}

/** Composes a PC, turns it on and follows it through its resets. Throws what `createPc` and `Machine.powerUp` throw. */
export async function bootGuest<V extends Vcpu & BootableVcpu>(options: GuestOptions<V>): Promise<Guest<V>> {
  const { onOutput, typing, onReset, ...board } = options;
  checkKernel(board.kernel, board.entry); // refuse it before anything is made
  const output = new ConsoleOutput(onOutput ?? (() => {}));
  const late: { pc: Pc<V> | null } = { pc: null };
  const input = new ConsoleInput({ receive: (bytes) => late.pc?.receive(bytes) ?? 0, isListening: () => late.pc?.isListening() ?? false }, typing ?? 'when-listening');
  const pc = await createPc<V>({ ...board, serial: { output: (byte) => output.put(byte), ready: () => input.pump() } });
  late.pc = pc;
  try {
    await pc.machine.powerUp();
  } catch (error) {
    await pc.machine[Symbol.asyncDispose]();
    throw error;
  }
  const guest = new Guest(pc, input, output);
  void follow(guest, onReset ?? 'boot', options.log ?? (() => {}));
  return guest;
}

async function follow<V extends Vcpu & BootableVcpu>(guest: Guest<V>, onReset: 'boot' | 'end', log: NonNullable<PcOptions<V>['log']>): Promise<void> {
  for (;;) {
    const reason = await guest.machine.stopped();
    if (reason !== 'reset' || onReset === 'end') return guest.end(reason);
    try {
      await guest.reset();
    } catch (error) {
      log('machine', 'warn', `the reset failed: ${error instanceof Error ? error.message : String(error)}`);
      return guest.end('failed');
    }
  }
}
