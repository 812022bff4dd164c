import { device, type Nanos, type Vcpu } from '@vm/core';
import { debugcon } from '@vm/device-debugcon';
import type { BootableVcpu } from './boot-state.ts';
import { ConsoleInput, type TypingMode } from './console-input.ts';
import { ConsoleOutput, type TextWatcher } from './console-output.ts';
import { Guest } from './guest.ts';
import { InputGate, type StampedInput } from './input-gate.ts';
import type { MachineHold } from './machine-hold.ts';
import { createPc, type Pc, type PcOptions } from './pc.ts';
import { pendingInputs } from './pending-inputs.ts';

/** `output`: the first byte since power-up or reset. `listening`: the port is opened for the first time since then. */
export type GuestMoment = 'output' | 'listening' | 'reset';

export interface GuestOptions<V extends Vcpu & BootableVcpu> extends Omit<PcOptions<V>, 'serial'> {
  /** Every byte the guest sends, in chunks. */
  readonly onOutput?: (bytes: Uint8Array) => void;
  readonly typing?: TypingMode; // default: when-listening
  /** A port whose bytes are output like those of the serial port; default none. */
  readonly consolePort?: number;
  /** What a reset by the guest does; default: boot. */
  readonly onReset?: 'boot' | 'end';
  /** Texts to act at when the guest has sent their last byte. */
  readonly watch?: readonly TextWatcher[];
  /** Called in the middle of the instruction. */
  readonly onMoment?: (moment: GuestMoment) => void;
  /** Every input with the moment at which it reaches the guest. */
  readonly onInput?: (stamped: StampedInput) => void;
  /** Inputs as `onInput` told them in an earlier run with the same images under the virtual clock; others are ignored. */
  readonly replay?: readonly StampedInput[];
}

const QUIET_NANOS: Nanos = 1e6; // of machine time without output: the guest has paused

/** Composes a PC, turns it on and follows it through its resets. Throws what `createPc` and `Machine.powerUp` throw. */
export async function bootGuest<V extends Vcpu & BootableVcpu>(options: GuestOptions<V>): Promise<Guest<V>> {
  const { onOutput, typing = 'when-listening', consolePort, onReset = 'boot', watch = [], onMoment, onInput, replay = null, ...board } = options;
  const late: { pc: Pc<V> | null; quiet: () => void; gate: InputGate | null } = { pc: null, quiet: () => {}, gate: null };
  const moments = new Moments(onMoment ?? (() => {}));
  const output = new ConsoleOutput({ found: () => late.pc?.machine.yield(), expectQuiet: () => late.quiet() }, watch);
  if (onOutput !== undefined) output.listen(onOutput);
  const input = new ConsoleInput({ receive: (bytes) => late.pc?.receive(bytes) ?? 0, isListening: () => late.pc?.isListening() ?? false }, typing);
  const put = (byte: number): void => {
    moments.note('output');
    output.put(byte);
  };
  const pc = await createPc<V>({
    ...board,
    devices: [...(board.devices ?? []), ...(consolePort === undefined ? [] : [device('console-port', debugcon, { port: consolePort, output: put })]), device('inputs', pendingInputs, { input, live: () => late.gate?.live ?? [], send: (one) => late.gate?.send(one) })],
    serial: {
      output: put,
      ready: () => {
        if (late.pc?.isListening() === true) moments.note('listening');
        input.pump();
      },
    },
  });
  const { machine } = pc;
  const quiet = machine.clock.timer(() => output.quiet());
  late.pc = pc;
  late.quiet = () => quiet.arm(machine.clock.now() + QUIET_NANOS);
  const gate = new InputGate(
    {
      clock: machine.clock,
      retired: () => machine.retired,
      deliver: (one) => {
        switch (one.kind) {
          case 'type': return input.send(one.bytes);
          case 'power-button': return pc.pressPowerButton();
          case 'reset-button': return machine.requestStop('reset');
        }
      },
      ...(onInput === undefined ? {} : { delivered: onInput }),
      strayed: (stamped, retired) => {
        options.log?.('replay', 'warn', `this is another run: the input of instruction ${stamped.instructions} would come at instruction ${retired}`);
        machine.requestStop('failed');
      },
    },
    replay,
  );
  late.gate = gate;
  for (const { input: one } of replay ?? []) if (one.kind === 'type') input.announce(one.bytes.length);
  try {
    await machine.powerUp();
  } catch (error) {
    await machine[Symbol.asyncDispose]();
    throw error;
  }
  const { hold } = pc;
  const guest = new Guest({ machine, partition: pc.partition, hot: pc.hot, hotDisk: (disk) => pc.hotDisk(disk), hotRandom: (source) => pc.hotRandom(source), hotDevice: (spec, blocks) => pc.hotDevice(spec, blocks), hold, gate, input, output });
  void follow(guest, hold, moments, onReset, options.log ?? (() => {}));
  return guest;
}

/** Tells of each moment once, until the next reset. */
class Moments {
  readonly #told = new Set<GuestMoment>();
  readonly #tell: (moment: GuestMoment) => void;

  constructor(tell: (moment: GuestMoment) => void) {
    this.#tell = tell;
  }

  note(moment: GuestMoment): void {
    if (this.#told.has(moment)) return;
    this.#told.add(moment);
    this.#tell(moment);
  }

  reset(): void {
    this.#told.clear();
    this.#tell('reset');
  }
}

async function follow<V extends Vcpu & BootableVcpu>(guest: Guest<V>, hold: MachineHold, moments: Moments, onReset: 'boot' | 'end', log: NonNullable<PcOptions<V>['log']>): Promise<void> {
  for (;;) {
    const stopped = await guest.machine.stopped();
    // The chipset of a PC resets the processor at every shutdown; here one that nobody wanted is a crash, to be looked at.
    const reason = stopped === 'shutdown' && guest.machine.vcpus.some((vcpu) => vcpu.shutDownOnPurpose === true) ? 'reset' : stopped;
    if (reason !== 'reset' || onReset === 'end') return guest.end(reason);
    moments.reset();
    try {
      await hold.reset();
    } catch (error) {
      log('machine', 'warn', `the reset failed: ${error instanceof Error ? error.message : String(error)}`);
      return guest.end('failed');
    }
  }
}
