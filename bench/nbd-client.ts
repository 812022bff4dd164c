import { connect, type Socket } from 'node:net';

/** As much of an NBD client as a measurement needs: fixed newstyle, simple replies, many requests at once. */
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
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  const input = new Input(socket);
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
  const pending = new Map<number, Pending>();
  let next = 1;
  void receive(input, pending);
  const ask = (type: number, at: number, length: number, from: Uint8Array | null, into: Uint8Array | null): Promise<void> => new Promise((resolve, reject) => {
    const header = Buffer.alloc(28);
    header.writeUInt32BE(0x2560_9513, 0);
    header.writeUInt16BE(type, 6);
    header.writeUInt32BE(next, 12);
    header.writeBigUInt64BE(BigInt(at), 16);
    header.writeUInt32BE(length, 24);
    pending.set(next++, { into, resolve, reject });
    socket.cork();
    socket.write(header);
    if (from !== null) socket.write(from);
    process.nextTick(() => socket.uncork());
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

async function receive(input: Input, pending: Map<number, Pending>): Promise<void> {
  try {
    for (;;) {
      const header = await input.take(16);
      const cookie = header.readUInt32BE(12);
      const request = pending.get(cookie)!;
      pending.delete(cookie);
      const error = header.readUInt32BE(4);
      if (error === 0 && request.into !== null) await input.fill(request.into);
      if (error === 0) request.resolve();
      else request.reject(new Error(`NBD error ${error}`));
    }
  } catch (error) {
    for (const { reject } of pending.values()) reject(error as Error);
  }
}

class Input {
  readonly #chunks: Buffer[] = [];
  #first = 0; // of the first chunk
  #ended = false;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    for (const event of ['end', 'error', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  async take(bytes: number): Promise<Buffer> {
    const into = Buffer.alloc(bytes);
    await this.fill(into);
    return into;
  }

  async fill(into: Uint8Array): Promise<void> {
    for (let done = 0; done < into.length; ) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) {
        if (this.#ended) throw new Error('the NBD server is gone');
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const count = Math.min(chunk.length - this.#first, into.length - done);
      into.set(chunk.subarray(this.#first, this.#first + count), done);
      done += count;
      this.#first += count;
      if (this.#first === chunk.length) {
        this.#chunks.shift();
        this.#first = 0;
      }
    }
  }
}
