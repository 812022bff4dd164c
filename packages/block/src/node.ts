import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import type { NbdChannel } from './nbd-channel.ts';
import type { NbdExport } from './nbd-export.ts';
import { serveNbd } from './nbd-server.ts';

/** A socket in the file system, which only this user may open, or a port of this host; 0 takes a free one. */
export type NbdAddress = { readonly path: string } | { readonly port: number; readonly host?: string };

export interface NbdListener {
  /** As NBD clients take it. */
  readonly uri: string;
  readonly port: number | null;
  readonly connections: number;
  /** Ends all connections, once what they asked for is done. */
  close(): Promise<void>;
}

export interface ListenOptions {
  readonly exports: readonly NbdExport[];
  /** Default: 16. */
  readonly mostConnections?: number;
  /** Somebody came or left. */
  onConnections?(count: number): void;
}

/** An NBD server. There is no TLS and no password: who reaches the address has the disk. */
export async function listenNbd(address: NbdAddress, { exports, mostConnections = 16, onConnections }: ListenOptions): Promise<NbdListener> {
  const sockets = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    if (sockets.size >= mostConnections) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const served = serveNbd(socketChannel(socket), exports).catch(() => undefined).then(() => {
      sockets.delete(socket);
      onConnections?.(sockets.size);
    });
    sockets.set(socket, served);
    onConnections?.(sockets.size);
  });
  await listen(server, address);
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : null;
  return {
    uri: 'path' in address ? `nbd+unix:///?socket=${encodeURI(address.path)}` : `nbd://${address.host ?? '127.0.0.1'}:${port}`,
    port,
    get connections() {
      return sockets.size;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets.keys()) socket.end();
      const grace = setTimeout(() => sockets.forEach((_served, socket) => socket.destroy()), 1000);
      await Promise.all(sockets.values());
      clearTimeout(grace);
      await closed;
    },
  };
}

function listen(server: Server, address: NbdAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    if (!('path' in address)) {
      server.listen({ port: address.port, host: address.host ?? '127.0.0.1' }, resolve);
      return;
    }
    // In a worker the mask cannot be set; there the folder has to keep others out until the next line is through.
    const mask = isMainThread ? process.umask(0o077) : null;
    server.listen({ path: address.path }, () => {
      if (mask === null) chmodSync(address.path, 0o600);
      resolve();
    });
    if (mask !== null) process.umask(mask);
  });
}

const HIGH_WATER = 1 << 20;

/** A socket as the server wants it: reads of exact lengths, and back pressure both ways. */
export function socketChannel(socket: Socket): NbdChannel {
  const chunks: Buffer[] = [];
  let buffered = 0;
  let ended = false;
  let wanted: { readonly bytes: number; readonly into: Uint8Array | undefined; readonly resolve: (bytes: Uint8Array | null) => void } | null = null;
  const serve = (): void => {
    if (wanted === null) return;
    const { bytes, into, resolve } = wanted;
    if (buffered >= bytes) {
      wanted = null;
      resolve(take(bytes, into));
    } else if (ended) {
      wanted = null;
      resolve(null);
    } else if (socket.isPaused()) socket.resume();
  };
  const take = (bytes: number, into: Uint8Array | undefined): Uint8Array => {
    buffered -= bytes;
    const first = chunks[0];
    if (into === undefined && first !== undefined && first.length >= bytes) {
      if (first.length === bytes) chunks.shift();
      else chunks[0] = first.subarray(bytes);
      return first.subarray(0, bytes);
    }
    const whole = into ?? new Uint8Array(bytes);
    for (let done = 0; done < bytes; ) {
      const next = chunks[0]!;
      const count = Math.min(next.length, bytes - done);
      whole.set(next.subarray(0, count), done);
      done += count;
      if (count === next.length) chunks.shift();
      else chunks[0] = next.subarray(count);
    }
    return whole;
  };
  const end = (): void => {
    ended = true;
    serve();
  };
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    buffered += chunk.length;
    if (buffered > HIGH_WATER && buffered >= (wanted?.bytes ?? 0)) socket.pause();
    serve();
  });
  for (const event of ['end', 'close', 'error']) socket.on(event, end);
  return {
    read(bytes, into) {
      return new Promise((resolve) => {
        wanted = { bytes, into, resolve };
        serve();
      });
    },
    write(parts) {
      return new Promise((resolve, reject) => {
        const sent = (error?: Error | null): void => (error === undefined || error === null ? resolve() : reject(error));
        const last = parts.findLastIndex((part) => part.length > 0);
        socket.cork();
        parts.forEach((part, i) => {
          if (part.length > 0) socket.write(part, i === last ? sent : undefined);
        });
        process.nextTick(() => socket.uncork());
        if (last < 0) resolve();
      });
    },
    close: () => void socket.end(),
  };
}
