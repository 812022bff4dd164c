import { connect } from 'node:net';

/** Whether somebody listens at a socket in the file system: a server that was killed leaves it behind. */
export function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
