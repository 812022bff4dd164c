import type { Partition, SyntheticMessage } from '@vm/apic';
import type { Clock, Nanos, Timer } from '@vm/core';
import { findFrame, type LinkChannel } from './link-frame.ts';

/** Where what arrives by a connection comes out: a synthetic interrupt source of a processor. */
export interface SourceAddress {
  readonly processor: number;
  readonly source: number;
}

/** A machine with connections. A `Guest` of `bootGuest` that is enlightened as Hyper-V fits. */
export interface LinkedMachine {
  readonly partition: Partition | null;
  readonly machine: { readonly clock: Pick<Clock, 'now' | 'timer'> };
}

const STATUS_SUCCESS = 0;
const STATUS_INSUFFICIENT_BUFFERS = 0x13;
const STATUS_INVALID_SYNIC_STATE = 0x18;
const FLAGS = 2048;
const MOST_ON_THE_WAY = 16; // as many as wait for a source
const AGAIN_NANOS: Nanos = 1e6;

/**
 * Connects a guest's connection to a source of another guest in this process, or of its own. Messages and events of the one arrive at
 * the other within the call that sent them, and its status is that of their arrival. Returns what disconnects.
 */
export function connectPartitions(from: Pick<LinkedMachine, 'partition'>, connection: number, to: Pick<LinkedMachine, 'partition'>, { processor, source }: SourceAddress): () => void {
  const [sender, receiver] = [partitionOf(from), partitionOf(to)];
  sender.connectMessages(connection, (message) => receiver.post(processor, source, message));
  sender.connectEvents(connection, { flags: FLAGS, signal: (flag) => receiver.signal(processor, source, flag) });
  return () => sender.disconnect(connection);
}

function partitionOf({ partition }: Pick<LinkedMachine, 'partition'>): Partition {
  if (partition === null) throw new TypeError('a machine has connections when it is enlightened as hyperv-full');
  return partition;
}

/** What has come for a source and has not gone in. */
interface Arrivals {
  readonly at: SourceAddress;
  readonly messages: SyntheticMessage[];
  readonly flags: Set<number>;
}

/**
 * One end of a link between two machines that are not in one process; the other end is another of these over the other side of the
 * channel. A call of the guest is answered at once: while 16 messages of a connection have not arrived, further ones are refused as a
 * full port refuses them. What finds its source full, or not switched on yet, waits at this end and is tried again every millisecond
 * of the machine. Between processes nobody can say at which instruction something arrives: such a run is not the same twice.
 */
export class PartitionLink {
  readonly counts = { sent: 0, arrived: 0, refused: 0 };
  readonly #partition: Partition;
  readonly #channel: LinkChannel;
  readonly #clock: LinkedMachine['machine']['clock'];
  readonly #timer: Timer;
  readonly #onTheWay = new Map<number, number>(); // by outgoing connection
  readonly #arrivals = new Map<number, Arrivals>(); // by incoming one

  constructor(machine: LinkedMachine, channel: LinkChannel) {
    this.#partition = partitionOf(machine);
    this.#channel = channel;
    this.#clock = machine.machine.clock;
    this.#timer = this.#clock.timer(() => this.#deliver());
    channel.listen((frame) => this.#take(frame));
  }

  /** Opens a connection for the guest; what it sends goes to the incoming connection of that number at the other end. */
  outgoing(connection: number): void {
    this.#onTheWay.set(connection, 0);
    this.#partition.connectMessages(connection, ({ type, payload }) => {
      const waiting = this.#onTheWay.get(connection)!;
      if (waiting >= MOST_ON_THE_WAY) return STATUS_INSUFFICIENT_BUFFERS;
      this.#onTheWay.set(connection, waiting + 1);
      this.counts.sent++;
      this.#channel.send({ kind: 'message', connection, type, payload: [...payload] });
      return STATUS_SUCCESS;
    });
    this.#partition.connectEvents(connection, {
      flags: FLAGS,
      signal: (flag) => {
        this.#channel.send({ kind: 'event', connection, flag });
        return STATUS_SUCCESS;
      },
    });
  }

  /** What comes by that connection goes to a source of this guest. */
  incoming(connection: number, at: SourceAddress): void {
    this.#arrivals.set(connection, { at, messages: [], flags: new Set() });
  }

  /** Disconnects the guest; what is on the way is lost. */
  close(): void {
    this.#channel.listen(null);
    this.#timer.disarm();
    for (const connection of this.#onTheWay.keys()) this.#partition.disconnect(connection);
    this.#onTheWay.clear();
    this.#arrivals.clear();
  }

  #take(value: unknown): void {
    const frame = findFrame(value);
    if (frame === null) {
      this.counts.refused++;
      return;
    }
    const { connection } = frame;
    if (frame.kind === 'taken') {
      const waiting = this.#onTheWay.get(connection);
      if (waiting !== undefined) this.#onTheWay.set(connection, Math.max(0, waiting - frame.count));
      return;
    }
    const arrivals = this.#arrivals.get(connection);
    // An honest end has no more messages on the way than that.
    if (arrivals === undefined || (frame.kind === 'message' && arrivals.messages.length >= MOST_ON_THE_WAY)) {
      this.counts.refused++;
      return;
    }
    if (frame.kind === 'event') arrivals.flags.add(frame.flag);
    else arrivals.messages.push({ type: frame.type, payload: Uint8Array.from(frame.payload), sender: connection });
    this.#deliver();
  }

  #deliver(): void {
    let left = false;
    for (const [connection, { at: { processor, source }, messages, flags }] of this.#arrivals) {
      let taken = 0;
      while (messages.length > 0 && !isLater(this.#partition.post(processor, source, messages[0]!))) {
        messages.shift();
        taken++;
      }
      for (const flag of flags) if (!isLater(this.#partition.signal(processor, source, flag))) flags.delete(flag);
      this.counts.arrived += taken;
      if (taken > 0) this.#channel.send({ kind: 'taken', connection, count: taken });
      left ||= messages.length > 0 || flags.size > 0;
    }
    if (left) this.#timer.arm(this.#clock.now() + AGAIN_NANOS);
  }
}

/** The source is full, or the guest has not switched it on. */
function isLater(status: number): boolean {
  return status === STATUS_INSUFFICIENT_BUFFERS || status === STATUS_INVALID_SYNIC_STATE;
}
