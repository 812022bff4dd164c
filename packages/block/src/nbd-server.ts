import { BytesPool } from './bytes-pool.ts';
import { asciiBytes, Message, type NbdChannel, viewOf } from './nbd-channel.ts';
import type { ExportedDisk, NbdExport } from './nbd-export.ts';
import { ALLOCATION_ID, MOST_REQUEST_BYTES, negotiate, type NbdSession } from './nbd-handshake.ts';
import * as nbd from './nbd-protocol.ts';

interface Request {
  readonly type: number;
  readonly flags: number;
  readonly cookie: bigint;
  readonly at: number;
  readonly bytes: number;
  readonly data: Uint8Array;
}

const MOST_IN_FLIGHT_BYTES = 64 << 20;
const MOST_IN_FLIGHT = 128;
const MOST_EXTENTS = 1024;
const NOTHING = new Uint8Array();

/** Serves one client until it leaves. Requests run together and are answered as they are done. */
export async function serveNbd(channel: NbdChannel, exports: readonly NbdExport[]): Promise<void> {
  try {
    const session = await negotiate(channel, exports);
    if (session !== null) await transmit(channel, session);
  } finally {
    channel.close();
  }
}

async function transmit(channel: NbdChannel, session: NbdSession): Promise<void> {
  const pool = new BytesPool();
  const header = new Uint8Array(28);
  const running = new Set<Promise<void>>();
  let bytesInFlight = 0;
  for (;;) {
    while (running.size >= MOST_IN_FLIGHT || (running.size > 0 && bytesInFlight > MOST_IN_FLIGHT_BYTES)) await Promise.race(running);
    const request = await readRequest(channel, header, pool);
    if (request === null) break;
    const holds = request.type === nbd.CMD_READ || request.type === nbd.CMD_WRITE ? Math.min(request.bytes, MOST_REQUEST_BYTES) : 0;
    bytesInFlight += holds;
    const done: Promise<void> = answer(channel, session, request, pool).catch(() => channel.close()).then(() => {
      bytesInFlight -= holds;
      pool.give(request.data);
      running.delete(done);
    });
    running.add(done);
  }
  await Promise.all(running);
}

/** Null: the client left, or what came is no request. */
async function readRequest(channel: NbdChannel, header: Uint8Array, pool: BytesPool): Promise<Request | null> {
  if ((await channel.read(header.length, header)) === null) return null;
  const view = viewOf(header);
  const [type, bytes] = [view.getUint16(6), view.getUint32(24)];
  if (view.getUint32(0) !== nbd.REQUEST_MAGIC || type === nbd.CMD_DISC) return null;
  // Where the next request begins would not be known without taking all of it.
  if (type === nbd.CMD_WRITE && bytes > MOST_REQUEST_BYTES) return null;
  const data = type === nbd.CMD_WRITE ? await channel.read(bytes, pool.take(bytes)) : NOTHING;
  if (data === null) return null;
  return { type, flags: view.getUint16(4), cookie: view.getBigUint64(8), at: Number(view.getBigUint64(16)), bytes, data };
}

async function answer(channel: NbdChannel, session: NbdSession, request: Request, pool: BytesPool): Promise<void> {
  const problem = check(session, request);
  if (problem !== 0) return refuse(channel, session, request, problem);
  try {
    switch (request.type) {
      case nbd.CMD_READ:
        return await read(channel, session, request, pool);
      case nbd.CMD_BLOCK_STATUS:
        return await tellExtents(channel, session, request);
      default:
        await store(session.disk.disk, request);
    }
  } catch (error) {
    return refuse(channel, session, request, (error as { code?: unknown }).code === 'ENOSPC' ? nbd.ENOSPC : nbd.EIO);
  }
  await channel.write([new Message(16).u32(nbd.SIMPLE_REPLY_MAGIC).u32(0).u64(request.cookie).bytes]);
}

function check({ disk: { disk }, structured, allocation }: NbdSession, { type, flags, at, bytes }: Request): number {
  if (type === nbd.CMD_FLUSH) return 0;
  const known = [nbd.CMD_READ, nbd.CMD_WRITE, nbd.CMD_TRIM, nbd.CMD_WRITE_ZEROES].includes(type) || (type === nbd.CMD_BLOCK_STATUS && allocation);
  if (!known) return type === nbd.CMD_BLOCK_STATUS ? nbd.EINVAL : nbd.ENOTSUP;
  if (!Number.isSafeInteger(at) || at + bytes > disk.bytes) return type === nbd.CMD_WRITE || type === nbd.CMD_WRITE_ZEROES ? nbd.ENOSPC : nbd.EINVAL;
  if (type === nbd.CMD_READ && (bytes > MOST_REQUEST_BYTES || ((flags & nbd.CMD_FLAG_DF) !== 0 && !structured))) return nbd.EINVAL;
  if (type === nbd.CMD_BLOCK_STATUS && bytes === 0) return nbd.EINVAL;
  if (type !== nbd.CMD_READ && type !== nbd.CMD_BLOCK_STATUS && !disk.writable) return nbd.EPERM;
  return 0;
}

async function read(channel: NbdChannel, { disk: { disk }, structured }: NbdSession, { cookie, at, bytes }: Request, pool: BytesPool): Promise<void> {
  const data = pool.take(bytes);
  await disk.read(at, data);
  if (!structured) await channel.write([new Message(16).u32(nbd.SIMPLE_REPLY_MAGIC).u32(0).u64(cookie).bytes, data]);
  else if (bytes === 0) await channel.write([chunk(0, cookie, 0).bytes]);
  else await channel.write([chunk(nbd.REPLY_OFFSET_DATA, cookie, 8 + bytes, 8).u64(at).bytes, data]);
  pool.give(data);
}

async function tellExtents(channel: NbdChannel, { disk: { disk } }: NbdSession, { cookie, flags, at, bytes }: Request): Promise<void> {
  const all = disk.extents === undefined ? [{ bytes, depth: 0 }] : await disk.extents(at, bytes);
  const list = all.slice(0, (flags & nbd.CMD_FLAG_REQ_ONE) !== 0 ? 1 : MOST_EXTENTS);
  const message = chunk(nbd.REPLY_BLOCK_STATUS, cookie, 4 + 8 * list.length, 4 + 8 * list.length).u32(ALLOCATION_ID);
  for (const extent of list) message.u32(extent.bytes).u32(extent.depth === null ? nbd.STATE_HOLE | nbd.STATE_ZERO : 0);
  return channel.write([message.bytes]);
}

async function store(disk: ExportedDisk, { type, flags, at, bytes, data }: Request): Promise<void> {
  if (type === nbd.CMD_WRITE) await disk.write(at, data);
  else if (type === nbd.CMD_TRIM) await disk.discard(at, bytes);
  else if (type === nbd.CMD_WRITE_ZEROES) await disk.writeZeroes(at, bytes);
  if (type === nbd.CMD_FLUSH || (flags & nbd.CMD_FLAG_FUA) !== 0) await disk.flush();
}

function refuse(channel: NbdChannel, { structured }: NbdSession, { type, cookie }: Request, problem: number): Promise<void> {
  if (!structured || (type !== nbd.CMD_READ && type !== nbd.CMD_BLOCK_STATUS)) return channel.write([new Message(16).u32(nbd.SIMPLE_REPLY_MAGIC).u32(problem).u64(cookie).bytes]);
  const text = asciiBytes('refused');
  return channel.write([chunk(nbd.REPLY_ERROR, cookie, 6 + text.length, 6 + text.length).u32(problem).u16(text.length).put(text).bytes]);
}

/** The last chunk of a structured reply; `room` is what of its payload follows in the same message. */
function chunk(type: number, cookie: bigint, payloadBytes: number, room = 0): Message {
  return new Message(20 + room).u32(nbd.STRUCTURED_REPLY_MAGIC).u16(nbd.REPLY_DONE).u16(type).u64(cookie).u32(payloadBytes);
}
