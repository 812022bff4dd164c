/** Interrupts on their way from the machine into a guest: KVM_INTERRUPT, and the window in which the guest takes one (KVM API documentation, section 4.16). */
import type { InterruptPort } from '@vm/core/engine';
import type { KvmVcpuFd } from './kvm-calls.ts';
import { RUN, VCPU_EVENTS } from './kvm-layout-table.ts';

const { request_interrupt_window: [REQUEST_WINDOW], immediate_exit: [IMMEDIATE], ready_for_interrupt_injection: [READY] } = RUN.fields;
const UNDER_WAY = ['exception.injected', 'exception.pending', 'interrupt.injected', 'nmi.injected'] as const;

const NOT_GIVEN = 0, GIVEN = 1, ENTERED = 2; // the last: and the guest has run since

export class InterruptEntry {
  /** Taken by the guest. */
  count = 0;
  readonly #fd: KvmVcpuFd;
  readonly #u8: Uint8Array;
  readonly #port: InterruptPort;
  readonly #isWire: boolean;
  #given = NOT_GIVEN; // over the wire: KVM keeps it apart, and shows it nowhere before it is on its way

  /** `isWire`: KVM has the local APIC, and what comes here is the 8259's. */
  constructor(fd: KvmVcpuFd, port: InterruptPort, isWire: boolean) {
    this.#fd = fd;
    this.#u8 = new Uint8Array(fd.page);
    this.#port = port;
    this.#isWire = isWire;
  }

  /** Gives KVM an interrupt that is pending, or asks for an exit when the guest can take it. */
  give(): void {
    const u8 = this.#u8;
    if (u8[READY] !== 0 && !(this.#given === GIVEN && u8[IMMEDIATE] !== 0)) {
      u8[READY] = 0; // until KVM says so again
      const vector = this.#port.acknowledge();
      if (vector >= 0) {
        this.count++;
        if (!this.#fd.interrupt(vector)) throw new Error(`KVM_INTERRUPT refused vector ${vector}`);
        if (this.#isWire) this.#given = GIVEN;
      }
    }
    u8[REQUEST_WINDOW] = this.#port.isPending() ? 1 : 0;
  }

  /** After a run that a signal has ended: an interrupt or an exception is on its way into the guest. */
  isUnderWay(): boolean {
    const events = this.#fd.read('KVM_GET_VCPU_EVENTS', VCPU_EVENTS.bytes);
    const at = (name: keyof typeof VCPU_EVENTS.fields): number => events.getUint8(VCPU_EVENTS.fields[name][0]);
    if (UNDER_WAY.some((name) => at(name) !== 0)) return true;
    if (this.#given === NOT_GIVEN) return false;
    // A processor that halted may be no further than awake. And nothing but a non-maskable interrupt goes before the wire.
    const wasEntered = this.#given === ENTERED;
    this.entered();
    if (wasEntered && at('nmi.masked') === 0) this.#given = NOT_GIVEN;
    return this.#given !== NOT_GIVEN;
  }
  /** After a run. */
  entered(): void { if (this.#given === GIVEN && this.#u8[IMMEDIATE] === 0) this.#given = ENTERED; }
}
