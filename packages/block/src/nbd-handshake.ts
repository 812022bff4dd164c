import { asciiBytes, Message, type NbdChannel, viewOf } from './nbd-channel.ts';
import * as nbd from './nbd-protocol.ts';
import type { NbdExport } from './nbd-export.ts';

/** What was agreed on. */
export interface NbdSession {
  readonly disk: NbdExport;
  readonly structured: boolean;
  /** The client asked for `base:allocation`. */
  readonly allocation: boolean;
}

export const ALLOCATION_ID = 1;
const ALLOCATION = 'base:allocation';
const MOST_OPTION_BYTES = 65536;
const MOST_OPTIONS = 100;
export const MOST_REQUEST_BYTES: number = 32 << 20;

/** Fixed newstyle negotiation; null when the client goes away or breaks the rules. */
export async function negotiate(channel: NbdChannel, exports: readonly NbdExport[]): Promise<NbdSession | null> {
  await channel.write([asciiBytes(nbd.GREETING + nbd.OPTION_MAGIC), new Message(2).u16(nbd.HANDSHAKE_FIXED_NEWSTYLE | nbd.HANDSHAKE_NO_ZEROES).bytes]);
  const flags = await channel.read(4);
  if (flags === null) return null;
  const noZeroes = (viewOf(flags).getUint32(0) & nbd.HANDSHAKE_NO_ZEROES) !== 0;
  let structured = false;
  let allocationOf: NbdExport | null = null;
  for (let i = 0; i < MOST_OPTIONS; i++) {
    const header = await channel.read(16);
    if (header === null) return null;
    const view = viewOf(header);
    const [option, length] = [view.getUint32(8), view.getUint32(12)];
    if (nbd.OPTION_MAGIC !== String.fromCharCode(...header.subarray(0, 8)) || length > MOST_OPTION_BYTES) return null;
    const data = await channel.read(length);
    if (data === null) return null;
    const reply = (type: number, payload: Uint8Array = new Uint8Array()): Promise<void> => channel.write([new Message(20).u64(nbd.OPTION_REPLY_MAGIC).u32(option).u32(type).u32(payload.length).bytes, payload]);
    switch (option) {
      case nbd.OPT_EXPORT_NAME: {
        const disk = find(exports, data);
        if (disk === null) return null; // this option has no way to say so
        await channel.write([new Message(10).u64(disk.disk.bytes).u16(transmissionFlags(disk)).bytes, new Uint8Array(noZeroes ? 0 : 124)]);
        return { disk, structured, allocation: allocationOf === disk && structured };
      }
      case nbd.OPT_ABORT:
        await reply(nbd.REP_ACK);
        return null;
      case nbd.OPT_LIST:
        if (length > 0) await reply(nbd.REP_ERR_INVALID);
        else {
          for (const { name } of exports) await reply(nbd.REP_SERVER, new Message(4 + name.length).u32(name.length).put(asciiBytes(name)).bytes);
          await reply(nbd.REP_ACK);
        }
        break;
      case nbd.OPT_INFO:
      case nbd.OPT_GO: {
        const name = readName(data);
        const disk = name === null ? null : find(exports, name.bytes);
        if (name === null || name.rest.length < 2 || name.rest.length !== 2 + 2 * viewOf(name.rest).getUint16(0)) await reply(nbd.REP_ERR_INVALID);
        else if (disk === null) await reply(nbd.REP_ERR_UNKNOWN);
        else {
          await reply(nbd.REP_INFO, new Message(12).u16(nbd.INFO_EXPORT).u64(disk.disk.bytes).u16(transmissionFlags(disk)).bytes);
          await reply(nbd.REP_INFO, new Message(14).u16(nbd.INFO_BLOCK_SIZE).u32(1).u32(4096).u32(MOST_REQUEST_BYTES).bytes);
          await reply(nbd.REP_ACK);
          if (option === nbd.OPT_GO) return { disk, structured, allocation: allocationOf === disk && structured };
        }
        break;
      }
      case nbd.OPT_STRUCTURED_REPLY:
        structured = length === 0;
        await reply(structured ? nbd.REP_ACK : nbd.REP_ERR_INVALID);
        break;
      case nbd.OPT_LIST_META_CONTEXT:
      case nbd.OPT_SET_META_CONTEXT: {
        const queries = readQueries(data);
        const disk = queries === null ? null : find(exports, queries.name);
        if (queries === null || !structured) await reply(nbd.REP_ERR_INVALID);
        else if (disk === null) await reply(nbd.REP_ERR_UNKNOWN);
        else {
          const listing = option === nbd.OPT_LIST_META_CONTEXT;
          const asked = queries.texts.includes(ALLOCATION) || (listing && (queries.texts.length === 0 || queries.texts.includes('base:')));
          if (!listing) allocationOf = asked ? disk : null;
          if (asked) await reply(nbd.REP_META_CONTEXT, new Message(4 + ALLOCATION.length).u32(listing ? 0 : ALLOCATION_ID).put(asciiBytes(ALLOCATION)).bytes);
          await reply(nbd.REP_ACK);
        }
        break;
      }
      default:
        await reply(nbd.REP_ERR_UNSUP); // TLS too
    }
  }
  return null;
}

function transmissionFlags({ disk }: NbdExport): number {
  const stores = nbd.FLAG_SEND_FLUSH | nbd.FLAG_SEND_FUA | nbd.FLAG_SEND_TRIM | nbd.FLAG_SEND_WRITE_ZEROES;
  // All connections share one disk, so a flush is for all of them.
  return nbd.FLAG_HAS_FLAGS | nbd.FLAG_SEND_DF | nbd.FLAG_CAN_MULTI_CONN | (disk.writable ? stores : nbd.FLAG_READ_ONLY);
}

/** The empty name is the first export. */
function find(exports: readonly NbdExport[], name: Uint8Array): NbdExport | null {
  if (name.length === 0) return exports[0] ?? null;
  if (name.length > 256) return null;
  const text = String.fromCharCode(...name);
  return exports.find((one) => one.name === text) ?? null;
}

function readName(data: Uint8Array): { readonly bytes: Uint8Array; readonly rest: Uint8Array } | null {
  if (data.length < 4) return null;
  const length = viewOf(data).getUint32(0);
  return length > data.length - 4 ? null : { bytes: data.subarray(4, 4 + length), rest: data.subarray(4 + length) };
}

function readQueries(data: Uint8Array): { readonly name: Uint8Array; readonly texts: readonly string[] } | null {
  const name = readName(data);
  if (name === null || name.rest.length < 4) return null;
  const texts: string[] = [];
  let rest = name.rest.subarray(4);
  for (let left = viewOf(name.rest).getUint32(0); left > 0; left--) {
    const query = readName(rest);
    if (query === null) return null;
    texts.push(query.bytes.length > 64 ? '' : String.fromCharCode(...query.bytes));
    rest = query.rest;
  }
  return rest.length === 0 ? { name: name.bytes, texts } : null;
}
