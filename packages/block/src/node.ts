import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import type { NbdExport } from './nbd-export.ts';
import { serveNbd } from './nbd-server.ts';
import { acceptedChannel } from './node/socket-channel.ts';

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
  const server = createServer({ pauseOnConnect: true }, (accepted) => {
    if (sockets.size >= mostConnections) {
      accepted.destroy();
      return;
    }
    const channel = acceptedChannel(accepted);
    const { socket } = channel;
    socket.setNoDelay(true);
    const served = serveNbd(channel, exports).catch(() => undefined).then(() => {
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
