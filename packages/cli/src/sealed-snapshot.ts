// A saved machine that is encrypted: LUKS2 as of a raw disk image, so every source of secrets serves for it. In it lies first
//
//   | "vm-saved" | version, 4 | 0, 4 | length, 8 | key of the sum, 32 | HMAC-SHA-256 of the saved machine, 32 | zeros to 4096 |
//
// and then the saved machine. Encryption alone does not prove; nothing is looked at before the sum is right.
import { createHmac, type Hmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { SnapshotSink } from '@vm/core/snapshot';
import { type ContainerOptions, containerBytes, encryptedFile, formatLuks2, type ImageFile, type KeySource, luks2 } from '@vm/vhd-crypt';
import { nodeKeyMath, standardCiphers } from '@vm/vhd-crypt/node';
import { askedOnce } from './disk-opener.ts';
import { UsageError } from './usage-error.ts';

const MAGIC = 'vm-saved';
const VERSION = 1;
const HEAD = 4096;
const DATA_AT = 1 << 20; // room for three secrets
const PIECE = 1 << 20;
const MOST_BYTES = 2 ** 40;
const [VERSION_AT, LENGTH_AT, KEY_AT, SUM_AT, SUM_BYTES] = [8, 16, 24, 56, 32];
const settings = { math: nodeKeyMath() };

/** Whether a file begins as an encrypted one does. */
export function isSealed(first: Uint8Array): boolean {
  return Buffer.from(first.subarray(0, 6)).toString('latin1') === 'LUKS\xba\xbe';
}

/** Encrypts what `save` gives into an empty file. */
export async function sealSnapshot(file: ImageFile, source: KeySource, save: (sink: SnapshotSink) => Promise<void>): Promise<void> {
  const keys = askedOnce(source);
  const ciphers = standardCiphers();
  try {
    await file.resize(DATA_AT);
    await formatLuks2({ ...(await containerBytes(file)), bytes: Number.MAX_SAFE_INTEGER }, settings, { ciphers, keys, dataAt: DATA_AT, label: 'vm saved machine' });
    const inner = await openInner(file, { ciphers, keys });
    try {
      await writeInner(inner, save);
    } finally {
      await inner.close();
    }
  } finally {
    keys.close();
  }
}

async function writeInner(inner: ImageFile, save: (sink: SnapshotSink) => Promise<void>): Promise<void> {
  const key = randomBytes(SUM_BYTES);
  const sum: Hmac = createHmac('sha256', key);
  const piece = new Uint8Array(PIECE);
  let [at, filled] = [HEAD, 0];
  const store = async (bytes: number): Promise<void> => {
    await inner.write(at, piece.subarray(0, bytes));
    at += bytes;
    filled = 0;
  };
  let length = 0;
  await save(async (bytes) => {
    sum.update(bytes);
    length += bytes.length;
    for (let done = 0; done < bytes.length; ) {
      const part = bytes.subarray(done, done + PIECE - filled);
      piece.set(part, filled);
      done += part.length;
      filled += part.length;
      if (filled === PIECE) await store(PIECE);
    }
  });
  if (filled > 0) {
    const end = Math.ceil(filled / HEAD) * HEAD;
    piece.fill(0, filled, end);
    await store(end);
  }
  const head = Buffer.alloc(HEAD);
  head.write(MAGIC, 'latin1');
  head.writeUInt32BE(VERSION, VERSION_AT);
  head.writeBigUInt64BE(BigInt(length), LENGTH_AT);
  head.set(key, KEY_AT);
  head.set(sum.digest(), SUM_AT);
  await inner.write(0, head);
  await inner.flush();
  for (const wiped of [head, key, piece]) wiped.fill(0);
}

/** The saved machine in an encrypted file. Throws CryptError, and UsageError when it is not as it was written. */
export async function openSealed(file: ImageFile, keys: KeySource): Promise<Uint8Array> {
  const inner = await openInner(file, { ciphers: standardCiphers(), keys });
  try {
    const refuse = (): UsageError => new UsageError(`${file.name}: it was changed, or cut off, since it was saved`);
    const head = Buffer.alloc(HEAD);
    if ((await inner.bytes()) < HEAD) throw refuse();
    await inner.read(0, head);
    const length = Number(head.readBigUInt64BE(LENGTH_AT));
    if (head.toString('latin1', 0, MAGIC.length) !== MAGIC || head.readUInt32BE(VERSION_AT) !== VERSION || length > MOST_BYTES || HEAD + length > (await inner.bytes())) throw refuse();
    const sum = createHmac('sha256', head.subarray(KEY_AT, KEY_AT + SUM_BYTES));
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      await inner.read(HEAD + at, piece);
      sum.update(piece);
    }
    if (!timingSafeEqual(sum.digest(), head.subarray(SUM_AT, SUM_AT + SUM_BYTES))) throw refuse();
    head.fill(0);
    return bytes;
  } finally {
    await inner.close();
  }
}

async function openInner(file: ImageFile, options: ContainerOptions): Promise<ImageFile> {
  return encryptedFile({ ...file, close: () => Promise.resolve() }, await luks2(settings).open(await containerBytes(file), options));
}
