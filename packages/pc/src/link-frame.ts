/** What goes over a link: numbers and lists of numbers, which every channel can carry. */
export type LinkFrame =
  | { readonly kind: 'message'; readonly connection: number; readonly type: number; readonly payload: readonly number[] }
  | { readonly kind: 'event'; readonly connection: number; readonly flag: number }
  /** As many messages of a connection have arrived at their source. */
  | { readonly kind: 'taken'; readonly connection: number; readonly count: number };

/** Two ways, in order, nothing lost: a port of a worker, the pipe to another process, a socket. */
export interface LinkChannel {
  send(frame: LinkFrame): void;
  /** `take` gets whatever the other side has sent; null: nobody listens any more. */
  listen(take: ((frame: unknown) => void) | null): void;
}

const MOST_PAYLOAD = 240;
const MOST_FLAG = 2048;
const MOST_WORD = 2 ** 32;

/** The frame in what came, which is of another program and may be anything; null: it is none. */
export function findFrame(value: unknown): LinkFrame | null {
  const { kind, connection, type, payload, flag, count } = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  if (!isBelow(connection, MOST_WORD)) return null;
  switch (kind) {
    case 'message': {
      if (!isBelow(type, MOST_WORD / 2) || type === 0 || !Array.isArray(payload) || payload.length > MOST_PAYLOAD || !payload.every((byte) => isBelow(byte, 256))) return null;
      return { kind, connection, type, payload: payload as readonly number[] };
    }
    case 'event': return isBelow(flag, MOST_FLAG) ? { kind, connection, flag } : null;
    case 'taken': return isBelow(count, MOST_WORD) ? { kind, connection, count } : null;
    default: return null;
  }
}

function isBelow(value: unknown, limit: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < limit;
}

/** A MessagePort, a Worker or a parentPort of node:worker_threads. */
interface PortLike {
  postMessage(value: unknown): void;
  on(event: 'message', take: (value: unknown) => void): unknown;
  off(event: 'message', take: (value: unknown) => void): unknown;
}
/** A ChildProcess with a channel, or `process` in it. */
interface ProcessLike {
  send?(value: unknown): boolean;
  on(event: 'message', take: (value: unknown) => void): unknown;
  off(event: 'message', take: (value: unknown) => void): unknown;
}

export function portChannel(port: PortLike): LinkChannel {
  return { send: (frame) => port.postMessage(frame), listen: listenTo(port) };
}

export function processChannel(end: ProcessLike): LinkChannel {
  return { send: (frame) => void end.send?.(frame), listen: listenTo(end) };
}

function listenTo(end: Pick<PortLike, 'on' | 'off'>): LinkChannel['listen'] {
  let present: ((frame: unknown) => void) | null = null;
  return (take) => {
    if (present !== null) end.off('message', present);
    present = take;
    if (take !== null) end.on('message', take);
  };
}
