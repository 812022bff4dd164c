import { describe, expect, it } from 'vitest';
import { memoryDisk } from './memory-disk.ts';
import { asciiBytes, Message, type NbdChannel, viewOf } from './nbd-channel.ts';
import type { ExportedDisk } from './nbd-export.ts';
import * as nbd from './nbd-protocol.ts';
import { serveNbd } from './nbd-server.ts';
import { readOnly } from './read-only.ts';

/** Both ends of a connection: what the server writes is gathered, what it reads comes from a queue. */
class Wire implements NbdChannel {
  sent = new Uint8Array();
  closed = false;
  #input = new Uint8Array();
  #ended = false;
  #wake: (() => void) | null = null;

  push(...parts: readonly Uint8Array[]): void {
    this.#input = Uint8Array.from([...this.#input, ...parts.flatMap((part) => [...part])]);
    this.#wake?.();
  }
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }
  async read(bytes: number, into?: Uint8Array): Promise<Uint8Array | null> {
    while (this.#input.length < bytes) {
      if (this.#ended) return null;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const taken = this.#input.slice(0, bytes);
    this.#input = this.#input.slice(bytes);
    into?.set(taken);
    return into ?? taken;
  }
  async write(parts: readonly Uint8Array[]): Promise<void> {
    this.sent = Uint8Array.from([...this.sent, ...parts.flatMap((part) => [...part])]);
  }
  close(): void {
    this.closed = true;
  }
}

const option = (kind: number, data: Uint8Array = new Uint8Array()): Uint8Array => new Message(16 + data.length).put(asciiBytes(nbd.OPTION_MAGIC)).u32(kind).u32(data.length).put(data).bytes;
const go = (name: string): Uint8Array => option(nbd.OPT_GO, new Message(6 + name.length).u32(name.length).put(asciiBytes(name)).u16(0).bytes);
const request = (type: number, at: number, bytes: number, flags = 0, cookie = 7): Uint8Array => new Message(28).u32(nbd.REQUEST_MAGIC).u16(flags).u16(type).u64(cookie).u64(at).u32(bytes).bytes;
const flags = (value: number): Uint8Array => new Message(4).u32(value).bytes;

async function talk(disk: ExportedDisk, ...parts: readonly Uint8Array[]): Promise<{ readonly bytes: Uint8Array; readonly wire: Wire }> {
  const wire = new Wire();
  wire.push(flags(3), ...parts);
  wire.end();
  await serveNbd(wire, [{ name: 'disk', disk }, { name: 'other', disk: memoryDisk(512) }]);
  expect(wire.closed).toBe(true);
  return { bytes: wire.sent.subarray(18), wire };
}

const GO_REPLY = 20 + 12 + 20 + 14 + 20;

describe('the NBD server', () => {
  it('tells the size and what it can do, and ends the haggling as it was asked to', async () => {
    const { bytes, wire } = await talk(memoryDisk(1 << 20), option(nbd.OPT_LIST), go('nothing'), option(5), go('disk'));
    expect(String.fromCharCode(...wire.sent.subarray(0, 16))).toBe('NBDMAGICIHAVEOPT');
    const replies: [number, number][] = [];
    for (let at = 0; at < bytes.length; at += 20 + viewOf(bytes).getUint32(at + 16)) replies.push([viewOf(bytes).getUint32(at + 8), viewOf(bytes).getUint32(at + 12)]);
    expect(replies).toEqual([[3, nbd.REP_SERVER], [3, nbd.REP_SERVER], [3, nbd.REP_ACK], [7, nbd.REP_ERR_UNKNOWN], [5, nbd.REP_ERR_UNSUP], [7, nbd.REP_INFO], [7, nbd.REP_INFO], [7, nbd.REP_ACK]]);
    const { bytes: old } = await talk(memoryDisk(1 << 20), option(nbd.OPT_EXPORT_NAME));
    expect([Number(viewOf(old).getBigUint64(0)), old.length]).toEqual([1 << 20, 10]);
  });

  it('stores and reads, in simple and structured replies', async () => {
    const disk = memoryDisk(4096);
    const { bytes } = await talk(disk, go(''), request(nbd.CMD_WRITE, 100, 3, nbd.CMD_FLAG_FUA), Uint8Array.of(1, 2, 3), request(nbd.CMD_WRITE_ZEROES, 101, 1), request(nbd.CMD_TRIM, 0, 512), request(nbd.CMD_FLUSH, 0, 0), request(nbd.CMD_DISC, 0, 0));
    expect(bytes.length).toBe(GO_REPLY + 4 * 16);
    const again = await talk(disk, go(''), request(nbd.CMD_READ, 99, 5));
    expect([...again.bytes.subarray(GO_REPLY + 16)]).toEqual([0, 1, 0, 3, 0]);
    const structured = await talk(disk, option(nbd.OPT_STRUCTURED_REPLY), go(''), request(nbd.CMD_READ, 99, 5));
    const reply = structured.bytes.subarray(20 + GO_REPLY);
    expect([viewOf(reply).getUint32(0), viewOf(reply).getUint32(16), Number(viewOf(reply).getBigUint64(20)), ...reply.subarray(28)]).toEqual([nbd.STRUCTURED_REPLY_MAGIC, 13, 99, 0, 1, 0, 3, 0]);
  });

  it('tells where nothing is stored', async () => {
    const disk: ExportedDisk = { ...memoryDisk(4096), extents: () => Promise.resolve([{ bytes: 512, depth: null }, { bytes: 1024, depth: 0 }]) };
    const query = new Message(4 + 4 + 4 + 15 + 4).u32(4).put(asciiBytes('disk')).u32(1).u32(15).put(asciiBytes('base:allocation')).bytes;
    const { bytes } = await talk(disk, option(nbd.OPT_STRUCTURED_REPLY), option(nbd.OPT_SET_META_CONTEXT, query), go('disk'), request(nbd.CMD_BLOCK_STATUS, 0, 1536));
    const reply = viewOf(bytes.subarray(20 + (20 + 19) + 20 + GO_REPLY));
    expect([6, 24, 28, 32, 36].map((at) => (at === 6 ? reply.getUint16(at) : reply.getUint32(at)))).toEqual([nbd.REPLY_BLOCK_STATUS, 512, 3, 1024, 0]);
  });

  it('refuses what is not on the disk, stores to one that is only read, and unknown commands', async () => {
    const errors = async (disk: ExportedDisk, ...requests: readonly Uint8Array[]): Promise<number[]> => {
      const { bytes } = await talk(disk, go(''), ...requests);
      return Array.from({ length: (bytes.length - GO_REPLY) / 16 }, (_, i) => viewOf(bytes).getUint32(GO_REPLY + 16 * i + 4));
    };
    expect(await errors(memoryDisk(512), request(nbd.CMD_READ, 511, 2), request(nbd.CMD_READ, 2 ** 52, 2 ** 31), request(nbd.CMD_WRITE_ZEROES, 512, 1), request(99, 0, 0), request(nbd.CMD_BLOCK_STATUS, 0, 1))).toEqual([22, 22, 28, 95, 22]);
    expect(await errors(readOnly(memoryDisk(512)), request(nbd.CMD_WRITE, 0, 1), Uint8Array.of(1), request(nbd.CMD_TRIM, 0, 1))).toEqual([1, 1]);
    const broken = { ...memoryDisk(512), read: () => Promise.reject(new Error('broken')) };
    expect(await errors(broken, request(nbd.CMD_READ, 0, 1))).toEqual([5]);
  });

  it('ends with clients that break the rules, and takes only bounded memory for them', async () => {
    const huge = new Message(16).put(asciiBytes(nbd.OPTION_MAGIC)).u32(3).u32(0xffff_ffff).bytes;
    for (const parts of [[huge], [new Uint8Array(16)], [go('disk'), request(nbd.CMD_WRITE, 0, 0xffff_ffff)], [go('disk'), new Uint8Array(28)], [option(nbd.OPT_GO, Uint8Array.of(255, 255, 255, 255))], [option(nbd.OPT_SET_META_CONTEXT, Uint8Array.of(0, 0, 0, 0, 255, 255, 255, 255))]]) await talk(memoryDisk(512), ...parts);
    let state = 1;
    for (let i = 0; i < 300; i++) {
      const noise = Uint8Array.from({ length: 200 }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
      await talk(memoryDisk(512), ...(i % 2 === 0 ? [go('disk'), new Message(4).u32(nbd.REQUEST_MAGIC).bytes] : [option(noise[0]! % 12, noise.subarray(0, noise[1]! % 64))]), noise);
    }
  });
});
