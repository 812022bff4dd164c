import { rmSync, statSync } from 'node:fs';
import { listenNbd, type NbdListener } from '@vm/block/node';
import type { OpenedDisk } from '@vm/vhd-crypt';
import { explainFileError } from './host-file.ts';
import { isListening } from './live-socket.ts';
import type { StopSignal } from './stop-signal.ts';
import { UsageError } from './usage-error.ts';

export interface ExportAddress {
  readonly socket?: string;
  readonly port?: number;
}

/** Serves a disk until a signal comes; then what was asked for is finished, and the disk flushed and closed. */
export async function exportDisk(disk: OpenedDisk, name: string, address: ExportAddress, signal: Pick<StopSignal, 'stopped'>, onReady: (listener: NbdListener) => void): Promise<void> {
  let listener: NbdListener;
  try {
    listener = await listenNbd(await addressOf(address), { exports: [{ name, disk }] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${address.socket ?? `port ${address.port}`}: ${code === 'EADDRINUSE' ? 'somebody else listens there' : explainFileError(error)}`, { cause: error });
  }
  try {
    onReady(listener);
    await signal.stopped;
  } finally {
    await listener.close();
    if (address.socket !== undefined) rmSync(address.socket, { force: true });
  }
}

async function addressOf({ socket, port }: ExportAddress): Promise<Parameters<typeof listenNbd>[0]> {
  if (socket === undefined) return { port: port ?? 0 };
  // What a server that was killed left behind would be in the way.
  if (statSync(socket, { throwIfNoEntry: false })?.isSocket() === true && !(await isListening(socket))) rmSync(socket);
  return { path: socket };
}
