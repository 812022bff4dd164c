/** The guest's time-stamp counter, which goes on in the processor while machine time is held: it is put back then. */
import { MSR_TSC } from '@vm/x86';
import type { KvmVcpuFd } from './kvm-calls.ts';

const STANDS_STILL = 2e6; // nanoseconds that machine time may be behind the host's before it has been held
const MILLION = 1e6;

export class GuestCounter {
  readonly hz: number;
  readonly #fd: KvmVcpuFd;
  readonly #now: () => number;
  #lastHost = 0; // when the last run ended, in milliseconds of the host and in machine time; 0: it has none
  #lastMachine = 0;

  constructor(fd: KvmVcpuFd, hz: number, now: () => number) {
    this.#fd = fd;
    this.hz = hz;
    this.#now = now;
  }

  read(): number { return Number(this.#fd.readMsrs([MSR_TSC]).get(MSR_TSC) ?? 0n); }
  /** It goes on from there. */
  write(value: bigint): void {
    this.#fd.writeMsrs([[MSR_TSC, value]]);
    this.#lastHost = 0;
  }
  /** As the guest will find it: without what it counted while machine time was held. */
  readHeld(): number { return this.read() - this.#heldTicks(performance.now()); }
  /** The guest runs from now on, which is `begin` in milliseconds of the host. */
  enter(begin: number): void {
    const ticks = this.#heldTicks(begin);
    this.#lastHost = 0;
    if (ticks > 0) this.write(BigInt(Math.max(0, this.read() - ticks)));
  }
  /** The guest does not run any more. */
  leave(): void {
    this.#lastHost = performance.now();
    this.#lastMachine = this.#now();
  }

  /** Since the last run until `when`. */
  #heldTicks(when: number): number {
    const held = this.#lastHost === 0 ? 0 : (when - this.#lastHost) * MILLION - (this.#now() - this.#lastMachine);
    return held > STANDS_STILL ? Math.round((held * this.hz) / 1e9) : 0;
  }
}
