import { copySecret } from './key-math.ts';

/**
 * A technique that encrypts sectors, with its key in it. It is asked for ranges of whole sectors, never for single ones, and the
 * machine knows nothing else of it.
 */
export interface SectorCipher {
  /** `from` and `into` have the same length and are the same bytes or do not overlap. Sectors are counted in units of 512 bytes. */
  encrypt(from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void>;
  decrypt(from: Uint8Array, into: Uint8Array, firstSector: number): Promise<void>;
  /** Forgets the key. */
  close(): Promise<void>;
}

/**
 * A technique that encrypts sectors and proves them, with its key in it. Beside each sector it wants a record to be kept. Ranges are
 * sectors one after the other in memory, with any numbers, in units of 512 bytes.
 */
export interface SealedSectors {
  readonly recordBytes: number;
  /** Fills `into` and `records`. `from` and `into` are the same bytes or do not overlap. */
  seal(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>): Promise<void>;
  /** The first of the sectors that are not what was sealed, counted from 0, or -1; those that are not read as zeros. */
  open(from: Uint8Array, into: Uint8Array, records: Uint8Array, sectors: ArrayLike<number>): Promise<number>;
  /** Forgets the key. */
  close(): Promise<void>;
}

/** A plug-in that makes sector ciphers. */
export interface CipherModule {
  /** Who computes, such as `node`. Several modules may do the same ciphers. */
  readonly engine: string;
  /** What it does, by the names of dm-crypt, such as `aes-xts-plain64`. */
  readonly ciphers: readonly string[];
  readonly keyBytes: readonly number[];
  /** Sizes of the units that are encrypted at once. */
  readonly sectorBytes: readonly number[];
  /** False: this host cannot run it, for want of a library or a program. */
  isAvailable(): Promise<boolean>;
  /** The module copies the key; the caller wipes its own. */
  create(cipher: string, key: Uint8Array, sectorBytes: number): Promise<SectorCipher>;
  /** Names of those that prove what they decrypt, such as `aes-ocb-random`; `createSealed` makes them, of keys of 256 bits. */
  readonly sealed?: readonly string[];
  createSealed?(cipher: string, key: Uint8Array, sectorBytes: number): Promise<SealedSectors>;
}

/** Who asks for a secret, and for what. */
export interface KeyRequest {
  readonly purpose: 'open' | 'create' | 'add';
  /** Name of the image, for a person. */
  readonly disk: string;
  /** Identity of the container, when it has one. */
  readonly uuid: string | null;
  /** 0, and one more each time that the secret before was wrong. */
  readonly attempt: number;
  /** What the container says about where its secrets can be had, for sources that know some of it. */
  readonly tokens?: readonly KeyToken[];
}

/** A note beside a key slot, such as a secret that a service has wrapped. */
export interface KeyToken {
  readonly type: string;
  readonly [member: string]: unknown;
}

/** A plug-in that knows secrets: a passphrase, a file, a token. */
export interface KeySource {
  readonly id: string;
  /** A copy, which the caller wipes; null when there is no other to try. */
  getSecret(request: KeyRequest): Promise<Uint8Array | null>;
  /** For a source that makes secrets of its own: a new one, and the token by which it finds it again. Such secrets are random. */
  enroll?(request: KeyRequest): Promise<{ readonly secret: Uint8Array; readonly token: KeyToken }>;
}

/** The same secret for every disk that asks: a copy each time, which `slice` of a Buffer would not be. */
export function keyOf(secret: Uint8Array): KeySource {
  return { id: 'secret', getSecret: ({ attempt }) => Promise.resolve(attempt === 0 ? copySecret(secret) : null) };
}
