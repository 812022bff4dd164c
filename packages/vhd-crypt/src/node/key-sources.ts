import { closeSync, openSync, readSync } from 'node:fs';
import { adiantumCiphers } from '../adiantum.ts';
import { CryptError } from '../crypt-error.ts';
import { createCipherRegistry, type CipherRegistry } from '../cipher-registry.ts';
import { nobleCiphers } from '../noble-aes.ts';
import { copySecret } from '../key-math.ts';
import type { KeyRequest, KeySource } from '../sector-cipher.ts';
import { makeAes, nodeCiphers } from './node-aes.ts';
import { opensslCiphers } from './openssl-aes.ts';

const MOST_BYTES = 1 << 20;

/** All bytes of a file, as `cryptsetup --key-file` and QEMU take them: a line feed at its end belongs to the secret. */
export function keyFile(path: string): KeySource {
  return {
    id: 'file',
    async getSecret({ attempt, disk }) {
      if (attempt > 0) return null;
      const descriptor = openSync(path, 'r');
      try {
        return readWhole(descriptor, disk);
      } finally {
        closeSync(descriptor);
      }
    },
  };
}

/** What an open file descriptor gives up to its end. It is read once and kept, since it cannot be read twice, until `close`. */
export function keyDescriptor(descriptor: number): KeySource & { close(): void } {
  let kept: Uint8Array | null = null;
  return {
    id: 'descriptor',
    getSecret: async ({ attempt, disk }) => (attempt > 0 ? null : copySecret((kept ??= readWhole(descriptor, disk)))),
    close() {
      kept?.fill(0);
    },
  };
}

/** The text of an environment variable. Programs that are started from here get it too, and the system's administrator can read it. */
export function keyEnvironment(name: string, environment: Readonly<Record<string, string | undefined>> = process.env): KeySource {
  return {
    id: 'environment',
    async getSecret({ attempt, disk }) {
      if (attempt > 0) return null;
      const text = environment[name];
      if (text === undefined || text === '') throw new CryptError(disk, 'keyUnavailable', `the environment has no ${name}`);
      return copySecret(Buffer.from(text));
    },
  };
}

/** Asks somebody, a few times. */
export function askingKeys(ask: (request: KeyRequest) => Promise<Uint8Array | null>, attempts = 3): KeySource {
  return { id: 'asking', getSecret: (request) => (request.attempt < attempts ? ask(request) : Promise.resolve(null)) };
}

/** Every cipher engine that this package has. */
export function standardCiphers(): CipherRegistry {
  return createCipherRegistry([opensslCiphers(), nodeCiphers(), nobleCiphers(), adiantumCiphers('adiantum', makeAes)]);
}

function readWhole(descriptor: number, disk: string): Uint8Array {
  const buffer = Buffer.allocUnsafeSlow(MOST_BYTES + 1);
  try {
    let length = 0;
    for (let count = 1; count > 0 && length < buffer.length; length += count) count = readSync(descriptor, buffer, length, buffer.length - length, null);
    if (length === 0) throw new CryptError(disk, 'keyUnavailable', 'the key is empty');
    if (length > MOST_BYTES) throw new CryptError(disk, 'request', `a key of more than ${MOST_BYTES} bytes`);
    return copySecret(buffer.subarray(0, length));
  } finally {
    buffer.fill(0);
  }
}
