import { readFileSync } from 'node:fs';
import { itWithOracle } from '@vm/testkit/oracle';
import { describe, expect, it } from 'vitest';
import type { MakeAes } from './aes-xts.ts';
import { NIST_XTS_VECTORS } from './nist-xts-table.ts';
import { makeAes as makeNobleAes } from './noble-aes.ts';
import { makeAes as makeNodeAes } from './node/node-aes.ts';
import { loadOpensslAes } from './node/openssl-aes.ts';
import { Xts } from './xts.ts';

type Vector = readonly [key: string, iv: string, plaintext: string, ciphertext: string];

const FOLDER = '/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/XTS';
const ENGINES: readonly (readonly [string, () => Promise<MakeAes | null>])[] = [
  ['noble', () => Promise.resolve(makeNobleAes)],
  ['node', () => Promise.resolve(makeNodeAes)],
  ['openssl', loadOpensslAes],
];

/** Both directions, and twice over in one range: units do not touch each other. */
function check(makeAes: MakeAes, [key, iv, plaintext, ciphertext]: Vector): void {
  const [keyBytes, ivBytes, plain, encrypted] = [Buffer.from(key, 'hex'), Buffer.from(iv, 'hex'), Buffer.from(plaintext, 'hex'), Buffer.from(ciphertext, 'hex')];
  const half = keyBytes.length / 2;
  const xts = new Xts(plain.length, (arena) => ({ data: makeAes(keyBytes.subarray(0, half), arena), tweak: makeAes(keyBytes.subarray(half), arena) }));
  const putIvs = (ivs: DataView, units: number): void => {
    for (let at = 0; at < 16 * units; at++) ivs.setUint8(at, ivBytes[at % 16] ?? 0);
  };
  const into = new Uint8Array(2 * plain.length);
  xts.run('encrypt', Buffer.concat([plain, plain]), into, putIvs);
  expect(Buffer.from(into).toString('hex')).toBe(ciphertext.repeat(2));
  xts.run('decrypt', Buffer.concat([encrypted, encrypted]), into, putIvs);
  expect(Buffer.from(into).toString('hex')).toBe(plaintext.repeat(2));
  xts.close();
}

/** All vectors of a file; units that are no whole blocks, which sectors never are, are counted apart. */
function parseVectors(text: string): { readonly whole: Vector[]; readonly parts: number } {
  const whole: Vector[] = [];
  let parts = 0;
  for (const paragraph of text.replaceAll('\r', '').split('\n\n')) {
    const fields = new Map(paragraph.split('\n').map((line): [string, string] => line.split(' = ') as [string, string]));
    const bits = Number(fields.get('DataUnitLen') ?? NaN);
    if (Number.isNaN(bits)) continue;
    if (bits % 128 !== 0) {
      parts++;
      continue;
    }
    const iv = Buffer.alloc(16);
    if (fields.has('DataUnitSeqNumber')) iv.writeUInt32LE(Number(fields.get('DataUnitSeqNumber')));
    else iv.write(fields.get('i')!, 'hex');
    whole.push([fields.get('Key')!, iv.toString('hex'), fields.get('PT')!, fields.get('CT')!]);
  }
  return { whole, parts };
}

describe.each(ENGINES)('XTS over %s (VHD-11)', (engine, load) => {
  it('gives what NIST published', async ({ skip }) => {
    const makeAes = await load();
    if (makeAes === null) return skip('koffi is not installed');
    expect(NIST_XTS_VECTORS.length).toBe(16);
    for (const vector of NIST_XTS_VECTORS) check(makeAes, vector);
  });

  for (const kind of ['tweak-128hexstr', 'tweak-dataunitseqno']) {
    for (const size of [128, 256]) {
      itWithOracle(it, `${FOLDER}/${kind}/XTSGenAES${size}.rsp`, `gives all that NIST has for AES-${size}, ${kind}`, async (path) => {
        const makeAes = await load();
        if (makeAes === null) return;
        const { whole, parts } = parseVectors(readFileSync(path, 'utf8'));
        for (const vector of whole) check(makeAes, vector);
        expect([whole.length, parts, engine]).toEqual([600, 400, engine]);
      });
    }
  }
});
