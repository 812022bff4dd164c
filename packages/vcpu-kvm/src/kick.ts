/**
 * How a thread comes back out of KVM_RUN: by a signal that is blocked everywhere else. One that comes before KVM_RUN waits there and ends
 * it at once, so none is ever lost (KVM API documentation, section 4.22). Nobody handles it: it is taken when KVM_RUN has come back.
 */
import { SIGNAL_MASK } from './kvm-layout-table.ts';
import type { KvmVcpuFd } from './kvm-calls.ts';
import type { Libc } from './libc.ts';

/** A real-time signal that Node.js and the C library do not use. */
export const KICK_SIGNAL = 50;

/** Of the thread that runs processors. */
export class Kick {
  readonly thread: number;
  readonly #libc: Libc;
  readonly #timer: number;
  readonly #mask: Uint8Array;
  #closed = false;

  /** In the thread that it is for. */
  constructor(c: Libc) {
    this.#libc = c;
    this.thread = c.threadId();
    const before = c.blockSignal(KICK_SIGNAL);
    this.#timer = c.createTimer(this.thread, KICK_SIGNAL);
    const mask = new DataView(new ArrayBuffer(SIGNAL_MASK.bytes + 8));
    mask.setUint32(0, 8, true);
    mask.setBigUint64(SIGNAL_MASK.fields.sigset[0], before & ~(1n << BigInt(KICK_SIGNAL - 1)), true);
    this.#mask = new Uint8Array(mask.buffer);
  }

  /** KVM_RUN of this processor ends when the signal comes. */
  attach(vcpu: KvmVcpuFd): void { vcpu.call('KVM_SET_SIGNAL_MASK', this.#mask); }
  /** Once, so much later. */
  after(nanos: number): void { this.#libc.setTimer(this.#timer, Math.max(1, nanos)); }
  /** Takes all that came. True: there was one. */
  take(): boolean {
    let came = false;
    while (this.#libc.takeSignal(KICK_SIGNAL)) came = true;
    return came;
  }
  /** From any thread of the process. */
  send(): void { this.#libc.sendSignal(this.thread, KICK_SIGNAL); }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.deleteTimer(this.#timer);
    this.take();
  }
}
