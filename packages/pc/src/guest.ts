import { type BlockBackend, type DeviceSpec, type Machine, type StopReason, VmError, type Vcpu } from '@vm/core';
import type { SaveOptions } from '@vm/core/snapshot';
import type { SnapshotSink } from '@vm/core/snapshot';
import type { BootableVcpu } from './boot-state.ts';
import type { HotDevice, HotDevices, HotDeviceState } from './hot-devices.ts';
import type { Pc } from './pc.ts';
import type { ConsoleInput } from './console-input.ts';
import type { ConsoleOutput, WaitOptions } from './console-output.ts';
import type { InputGate } from './input-gate.ts';
import type { MachineHold } from './machine-hold.ts';
import { readSerial, type SerialEnd, writeSerial } from './serial-streams.ts';

/** What a guest is made of; `bootGuest` puts it together. */
export interface GuestParts<V extends Vcpu & BootableVcpu> {
  readonly machine: Machine<V>;
  readonly partition: Pc<V>['partition'];
  readonly hot: HotDevices;
  readonly hotDisk: Pc<V>['hotDisk'];
  readonly hotRandom: Pc<V>['hotRandom'];
  readonly hotDevice: Pc<V>['hotDevice'];
  readonly hold: MachineHold;
  readonly gate: InputGate;
  readonly input: ConsoleInput;
  readonly output: ConsoleOutput;
}

/** A PC that runs, with somebody at its serial console. */
export class Guest<V extends Vcpu & BootableVcpu = Vcpu & BootableVcpu> {
  readonly machine: Machine<V>;
  readonly #parts: GuestParts<V>;
  readonly #serial: SerialEnd;
  readonly #ended: Promise<StopReason>;
  #resolveEnded: (reason: StopReason) => void = () => {};
  #reason: StopReason | null = null;

  /** Use `bootGuest`. */
  constructor(parts: GuestParts<V>) {
    this.machine = parts.machine;
    this.#parts = parts;
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve));
    this.#serial = {
      listen: (heard) => parts.output.listen(heard),
      hold: () => this.hold(),
      type: (bytes) => this.type(bytes),
      taken: () => this.taken(),
      ended: () => this.#ended,
    };
  }

  /** Connections of a guest that is enlightened as Hyper-V; null with other enlightenments. */
  get partition(): Pc<V>['partition'] {
    return this.#parts.partition;
  }

  /** What the guest has sent, as text: the last million characters. */
  get output(): string {
    return this.#parts.output.text;
  }

  /** What the guest sends from now on, to its end. While the reader is behind, machine time stands still. */
  readable(): ReadableStream<Uint8Array> {
    return readSerial(this.#serial);
  }

  /** What is written is typed; a chunk is written when the guest has taken it. */
  writable(): WritableStream<Uint8Array> {
    return writeSerial(this.#serial);
  }

  /** Typed bytes that the guest has not taken yet. */
  get untaken(): number {
    return this.#parts.input.waiting;
  }

  /** Resolves when the guest has taken all that was typed. */
  taken(): Promise<void> {
    return this.#parts.input.drained();
  }

  /** Without effect on a guest that replays its inputs. */
  type(keys: string | Uint8Array): void {
    const { gate, input } = this.#parts;
    const bytes = typeof keys === 'string' ? new TextEncoder().encode(keys) : keys;
    if (gate.replaying) return;
    input.announce(bytes.length);
    gate.send({ kind: 'type', bytes });
  }

  /**
   * Waits until the guest has sent `pattern`, and returns what came since the last wait up to there. The guest goes on when the
   * caller has had its turn: what it types at once comes at the same moment in every run under the virtual clock. Rejects with
   * VmError E_GUEST at the time-out and when the guest ends.
   */
  waitFor(pattern: string | RegExp, options?: WaitOptions): Promise<string> {
    return this.#parts.output.waitFor(pattern, options);
  }

  /** Devices that come and go while the guest runs. */
  get hot(): HotDevices {
    return this.#parts.hot;
  }

  /** Brings a disk on virtio, whose back end has a name that no other has. `gone` is called when it has left, or could not come. */
  addDisk(disk: Parameters<Pc<V>['hotDisk']>[0], gone: () => void | Promise<void> = () => {}): Promise<HotDeviceState> {
    return this.#parts.hot.add(leaving(this.#parts.hotDisk(disk), gone));
  }

  /** Brings any device. The guest is told of it if it needs the capability `pci`; others have to be found by whoever uses them. */
  addDevice(spec: DeviceSpec, blocks: Readonly<Record<string, BlockBackend>> = {}, gone: () => void | Promise<void> = () => {}): Promise<HotDeviceState> {
    return this.#parts.hot.add(leaving(this.#parts.hotDevice(spec, blocks), gone));
  }

  /** Brings a source of random bytes on virtio, if there is none. */
  addRandom(source: Parameters<Pc<V>['hotRandom']>[0]): Promise<HotDeviceState> {
    return this.#parts.hot.add(this.#parts.hotRandom(source));
  }

  /** Machine time stands still from the present instruction on, until the function that it returns is called. */
  hold(): () => void {
    return this.#parts.hold.take();
  }

  /**
   * Writes all of the machine, and what was typed and not taken; it goes on as if nothing had been. What is on its disks stays there:
   * who restores the guest gives it the disks as they are now.
   */
  async save(sink: SnapshotSink, options?: SaveOptions): Promise<void> {
    const release = this.hold();
    try {
      await this.#parts.hold.settled();
      await this.machine.save(sink, options);
    } finally {
      release();
    }
  }

  /** Resolves when a guest that is held stands still: nothing of it is under way any more. */
  standing(): Promise<void> {
    return this.#parts.hold.settled();
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
    this.#parts.gate.send({ kind: 'power-button' });
  }

  /** The guest boots anew, or ends with `onReset: 'end'`. */
  pressResetButton(): void {
    this.#parts.gate.send({ kind: 'reset-button' });
  }

  /** Stops and takes everything down; without effect on a guest that has ended already, but for its resources. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end('aborted');
    await this.#parts.hold.end(); // two moves at a time are one too many
    await this.machine[Symbol.asyncDispose]();
  }

  /** Not for composers: `bootGuest` reports the end here. */
  end(reason: StopReason): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    void this.#parts.hold.end();
    this.#parts.output.end(`the guest has ended: ${reason}`);
    this.#resolveEnded(reason);
  }
}

/** The same, with something more to do when it has gone. */
function leaving(device: HotDevice, gone: () => void | Promise<void>): HotDevice {
  return {
    ...device,
    gone: async () => {
      await device.gone?.();
      await gone();
    },
  };
}
