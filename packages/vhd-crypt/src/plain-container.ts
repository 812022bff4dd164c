import type { ContainerModule } from './container.ts';
import { CryptError } from './crypt-error.ts';

export interface PlainSettings {
  /** Default: aes-xts-plain64. */
  readonly cipher?: string;
  readonly sectorBytes?: number;
  /** Where the encrypted range begins. Default: 0. */
  readonly dataAt?: number;
}

/**
 * Encryption without a header, as `cryptsetup open --type plain --key-file` has it: the secret is the key itself. Nothing tells a
 * wrong key from the right one, and nothing in the image tells that it is encrypted.
 */
export function plainContainer({ cipher: name = 'aes-xts-plain64', sectorBytes = 512, dataAt = 0 }: PlainSettings = {}): ContainerModule {
  return {
    id: 'plain',
    probe: () => false,
    async open(bytes, { ciphers, keys }) {
      if (dataAt % 512 !== 0 || dataAt >= bytes.bytes) throw new CryptError(bytes.name, 'request', `data at ${dataAt}`);
      const key = await keys.getSecret({ purpose: 'open', disk: bytes.name, uuid: null, attempt: 0 });
      if (key === null) throw new CryptError(bytes.name, 'keyUnavailable', 'nobody gives its key');
      try {
        const { engine, cipher } = await ciphers.create(bytes.name, name, key, sectorBytes);
        return { facts: { container: 'plain', cipher: name, engine, keyBits: key.length * 8, sectorBytes, uuid: null, keySlots: [] }, dataAt, cipher };
      } finally {
        key.fill(0);
      }
    },
  };
}
