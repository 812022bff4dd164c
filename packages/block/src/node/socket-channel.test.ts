import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { acceptedChannel, type SocketChannel, socketChannel } from './socket-channel.ts';

const folder = mkdtempSync(join(tmpdir(), 'vm-channel-'));
afterAll(() => rmSync(folder, { recursive: true }));
let count = 0;

async function pair(wrap: (accepted: Socket) => SocketChannel): Promise<{ readonly channel: SocketChannel; readonly client: Socket; done(): Promise<void> }> {
  const path = join(folder, `${count++}.sock`);
  let accept: (channel: SocketChannel) => void = () => {};
  const accepted = new Promise<SocketChannel>((resolve) => (accept = resolve));
  const server = createServer({ pauseOnConnect: true }, (socket) => accept(wrap(socket)));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = connect(path);
  const channel = await accepted;
  return {
    channel,
    client,
    async done() {
      channel.close();
      client.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const byteAt = (at: number): number => (at ^ (at >> 8) ^ (at >> 16) ^ (at >> 20)) & 0xff;
const pattern = (at: number, bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => byteAt(at + i));
const TOTAL = 6_000_000;
const SIZES = [28, 4096, 1, 65_536, 28, 1_048_576, 9000, 262_144, 28, 700_001, 28, 28];

describe.each([['with a buffer of its own', acceptedChannel], ['of any socket', socketChannel]] as const)('a connection %s', (_name, wrap) => {
  it('gives the bytes in the lengths that are asked for, however they come, and stops a client that is too quick', async () => {
    const { channel, client, done } = await pair(wrap);
    let sent = 0;
    const send = (): void => {
      while (sent < TOTAL) {
        const bytes = Math.min(SIZES[(sent * 7) % SIZES.length]! + 13, TOTAL - sent);
        const room = client.write(pattern(sent, bytes));
        sent += bytes;
        if (!room) return void client.once('drain', send);
      }
      client.end();
    };
    send();
    // Long enough for all to come that is let in.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(client.bytesWritten - client.writableLength).toBeLessThan(TOTAL / 2);
    let at = 0;
    for (let i = 0; at < TOTAL; i++) {
      const bytes = Math.min(SIZES[i % SIZES.length]!, TOTAL - at);
      const got = await channel.read(bytes, ...(i % 3 === 0 ? [] : [new Uint8Array(bytes)]));
      expect(Buffer.from(got!).equals(pattern(at, bytes)), `${bytes} bytes at ${at}`).toBe(true);
      at += bytes;
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await channel.read(1)).toBeNull();
    await done();
  });

  it('sends small and large parts in their order, small ones before they can change', async () => {
    const { channel, client, done } = await pair(wrap);
    const chunks: Buffer[] = [];
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    const ended = new Promise((resolve) => client.once('end', resolve));
    const scratch = new Uint8Array(28);
    let at = 0;
    const waits: Promise<void>[] = [];
    for (let i = 0; i < 300; i++) {
      scratch.set(pattern(at, 28));
      const bytes = i % 7 === 0 ? 100_000 : i % 50;
      const parts = bytes > 8000 ? [pattern(at, 28), pattern(at + 28, bytes)] : [scratch, pattern(at + 28, bytes)];
      waits.push(channel.write(parts));
      at += 28 + bytes;
      if (i % 11 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all([...waits, channel.write([]), channel.write([new Uint8Array()])]);
    channel.close();
    await ended;
    await done();
    expect(Buffer.concat(chunks).equals(pattern(0, at))).toBe(true);
  });

  it('says that the other side has ended in the middle of what is waited for', async () => {
    const { channel, client, done } = await pair(wrap);
    client.end(pattern(0, 100));
    expect((await channel.read(40))?.length).toBe(40);
    expect(await channel.read(100_000)).toBeNull();
    expect(await channel.read(1)).toBeNull();
    await done();
  });
});
