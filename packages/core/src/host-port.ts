import type { Nanos } from './abi.ts';

/** The machine's only access to the host's time and event loop. */
export interface HostPort {
  /** Monotonic. */
  now(): Nanos;
  /** Calls back when the events that wait now have been served. */
  soon(callback: () => void): void;
  later(delay: Nanos, callback: () => void): unknown;
  cancel(handle: unknown): void;
  /** Blocks this thread for less than a millisecond. Absent: this thread may not block, and polls instead. */
  rest?(delay: Nanos): void;
}

interface Globals {
  readonly performance: { now(): number };
  readonly setImmediate?: (callback: () => void) => unknown;
  readonly MessageChannel: new () => { readonly port1: { onmessage: (() => void) | null }; readonly port2: { postMessage(message: null): void } };
  setTimeout(callback: () => void, milliseconds: number): unknown;
  clearTimeout(handle: unknown): void;
}

/** The event loop of this very thread: Node.js, or a page or worker of a browser. */
export function createHostPort(): HostPort {
  const host = globalThis as unknown as Globals;
  const rest = createRest();
  return {
    now: () => host.performance.now() * 1e6,
    soon: host.setImmediate ?? createSoon(host),
    later: (delay, callback) => host.setTimeout(callback, Math.ceil(delay / 1e6)), // a little late, and not early to ask again
    cancel: (handle) => host.clearTimeout(handle),
    ...(rest === null ? {} : { rest }),
  };
}

/** Pages may not block, and those that are not isolated have no shared memory to wait at. */
function createRest(): ((delay: Nanos) => void) | null {
  try {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    const rest = (delay: Nanos): void => void Atomics.wait(cell, 0, 0, delay / 1e6);
    rest(0);
    return rest;
  } catch {
    return null;
  }
}

/** Browsers delay nested timeouts by 4 ms, but not messages. */
function createSoon(host: Globals): (callback: () => void) => void {
  const channel = new host.MessageChannel();
  const waiting: (() => void)[] = [];
  channel.port1.onmessage = () => waiting.shift()?.();
  return (callback) => {
    waiting.push(callback);
    channel.port2.postMessage(null);
  };
}
