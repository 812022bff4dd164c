import { connect, type Socket } from 'node:net';

/** As much of an NBD client as a measurement needs: fixed newstyle, simple replies, many requests at once, little work for each. */
export interface NbdClient {
  readonly bytes: number;
  read(at: number, into: Uint8Array): Promise<void>;
  write(at: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  close(): void;
}

const [OPT_GO, REP_ACK, REP_INFO] = [7, 1, 3];
const [READ, WRITE, DISCONNECT, FLUSH] = [0, 1, 2, 3];

interface Pending {
  readonly into: Uint8Array | null;
  resolve(): void;
  reject(error: Error): void;
}

export async function connectNbd(path: string): Promise<NbdClient> {
  const input = new Input();
  const socket = connect({ path, onread: { buffer: () => input.place(), callback: (bytes) => input.arrived(bytes) } });
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  for (const event of ['end', 'error', 'close']) socket.on(event, () => input.end());
  const bytes = await negotiate(socket, input);
  const pending = new Map<number, Pending>();
  let next = 1;
  let corked = false;
  receive(input, pending);
  const ask = (type: number, at: number, length: number, from: Uint8Array | null, into: Uint8Array | null): Promise<void> => new Promise((resolve, reject) => {
    const header = Buffer.allocUnsafe(28);
    header.writeUInt32BE(0x2560_9513, 0);
    header.writeUInt32BE(type, 4); // and no flags
    header.writeUInt32BE(0, 8);
    header.writeUInt32BE(next, 12);
    header.writeUInt32BE(Math.floor(at / 2 ** 32), 16);
    header.writeUInt32BE(at >>> 0, 20);
    header.writeUInt32BE(length, 24);
    pending.set(next++, { into, resolve, reject });
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(() => {
        corked = false;
        socket.uncork();
      });
    }
    socket.write(header);
    if (from !== null) socket.write(from);
  });
  return {
    bytes,
    read: (at, into) => ask(READ, at, into.length, null, into),
    write: (at, from) => ask(WRITE, at, from.length, from, null),
    flush: () => ask(FLUSH, 0, 0, null, null),
    close() {
      void ask(DISCONNECT, 0, 0, null, null).catch(() => undefined);
      socket.end();
    },
  };
}

/** Size of the first disk that the server has. */
async function negotiate(socket: Socket, input: Input): Promise<number> {
  await input.take(18);
  const go = Buffer.alloc(4 + 16 + 6);
  go.writeUInt32BE(3, 0);
  go.write('IHAVEOPT', 4);
  go.writeUInt32BE(OPT_GO, 12);
  go.writeUInt32BE(6, 16);
  socket.write(go);
  let bytes = 0;
  for (let type = REP_INFO; type !== REP_ACK; ) {
    const header = await input.take(20);
    type = header.readUInt32BE(12);
    const payload = await input.take(header.readUInt32BE(16));
    if (type !== REP_INFO && type !== REP_ACK) throw new Error(`the NBD server refuses: ${payload.toString()}`);
    if (type === REP_INFO && payload.readUInt16BE(0) === 0) bytes = Number(payload.readBigUInt64BE(2));
  }
  return bytes;
}

function receive(input: Input, pending: Map<number, Pending>): void {
  const header = Buffer.alloc(16);
  const gone = (): void => {
    for (const { reject } of pending.values()) reject(new Error('the NBD server is gone'));
    pending.clear();
  };
  const nextReply = (): void => input.want(header, () => {
    const cookie = header.readUInt32BE(12);
    const request = pending.get(cookie)!;
    pending.delete(cookie);
    const error = header.readUInt32BE(4);
    const finish = (): void => {
      if (error === 0) request.resolve();
      else request.reject(new Error(`NBD error ${error}`));
      nextReply();
    };
    if (error === 0 && request.into !== null) input.want(request.into, finish);
    else finish();
  }, gone);
  nextReply();
}

const DIRECT = 16_384;

/** Bytes as they come, given to who waits for them without a detour where they are many. */
class Input {
  readonly #room = Buffer.alloc(65_536);
  #begin = 0;
  #end = 0;
  #into: Uint8Array | null = null;
  #done = 0;
  #isDirect = false;
  #ended = false;
  #filled: () => void = () => {};
  #failed: () => void = () => {};

  place(): Uint8Array {
    this.#isDirect = this.#into !== null && this.#into.length - this.#done >= DIRECT;
    if (this.#isDirect) return this.#into!.subarray(this.#done);
    if (this.#begin === this.#end) this.#begin = this.#end = 0;
    return this.#room.subarray(this.#end);
  }

  arrived(bytes: number): boolean {
    if (this.#isDirect) this.#done += bytes;
    else this.#end += bytes;
    this.#serve();
    return true;
  }

  end(): void {
    this.#ended = true;
    this.#serve();
  }

  want(into: Uint8Array, filled: () => void, failed = this.#failed): void {
    [this.#into, this.#done, this.#filled, this.#failed] = [into, 0, filled, failed];
    this.#serve();
  }

  take(bytes: number): Promise<Buffer> {
    const into = Buffer.alloc(bytes);
    return new Promise((resolve, reject) => this.want(into, () => resolve(into), () => reject(new Error('the NBD server is gone'))));
  }

  #serve(): void {
    const into = this.#into;
    if (into === null) return;
    const count = Math.min(this.#end - this.#begin, into.length - this.#done);
    if (count > 0) into.set(this.#room.subarray(this.#begin, this.#begin + count), this.#done);
    this.#begin += count;
    this.#done += count;
    if (this.#done < into.length && !this.#ended) return;
    this.#into = null;
    if (this.#done < into.length) this.#failed();
    else this.#filled();
  }
}
