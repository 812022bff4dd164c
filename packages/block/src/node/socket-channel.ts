import { Socket } from 'node:net';
import type { NbdChannel } from '../nbd-channel.ts';
import { Incoming } from './incoming.ts';
import { Outgoing } from './outgoing.ts';

/** A connection as the server wants it. */
export interface SocketChannel extends NbdChannel {
  readonly socket: Socket;
}

/** Any socket: its pieces are copied together. */
export function socketChannel(socket: Socket): SocketChannel {
  const incoming = new Incoming();
  socket.on('data', (chunk: Buffer) => {
    for (let done = 0; done < chunk.length; ) {
      const place = incoming.place();
      const count = Math.min(place.length, chunk.length - done);
      place.set(chunk.subarray(done, done + count));
      done += count;
      if (incoming.arrived(count)) continue;
      socket.pause();
      if (done < chunk.length) socket.unshift(chunk.subarray(done));
      return;
    }
  });
  return channelOf(socket, incoming);
}

/**
 * A connection that a server has accepted and not begun to read. Its bytes are read into their places, which Node offers by
 * documented means to clients only; where the means behind that are gone, it is as any socket.
 */
export function acceptedChannel(accepted: Socket): SocketChannel {
  const owner = accepted as unknown as { _handle: { readonly useUserBuffer?: unknown } | null };
  const handle = owner._handle;
  if (typeof handle?.useUserBuffer !== 'function') return socketChannel(accepted);
  const incoming = new Incoming();
  const socket = new Socket({
    handle,
    allowHalfOpen: accepted.allowHalfOpen,
    onread: { buffer: () => incoming.place(), callback: (bytes: number) => incoming.arrived(bytes) },
  } as unknown as ConstructorParameters<typeof Socket>[0]);
  owner._handle = null; // it has moved
  accepted.destroy();
  return channelOf(socket, incoming);
}

function channelOf(socket: Socket, incoming: Incoming): SocketChannel {
  const outgoing = new Outgoing(socket);
  const end = (): void => incoming.end();
  for (const event of ['end', 'close', 'error']) socket.on(event, end);
  socket.resume();
  return {
    socket,
    read(bytes, into = new Uint8Array(bytes)) {
      const answer = incoming.read(into);
      if (incoming.shouldResume) socket.resume();
      return answer;
    },
    write: (parts) => outgoing.write(parts),
    close: () => void socket.end(),
  };
}
