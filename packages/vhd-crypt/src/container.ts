import type { CipherRegistry } from './cipher-registry.ts';
import type { EncryptedDiskOptions } from './encrypted-disk.ts';
import type { MappedDisk } from './extent.ts';
import type { Payload } from './payload.ts';
import type { Reencryption } from './reencrypting-disk.ts';
import type { KeySource, SectorCipher } from './sector-cipher.ts';

/** Where a container lies: bytes that can be read, and written when it is changed. */
export interface ContainerBytes {
  /** Name for messages. */
  readonly name: string;
  readonly bytes: number;
  read(at: number, into: Uint8Array): Promise<void>;
  write(at: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
  /** False: nothing is mended while it is opened. Default: false. */
  readonly writable?: boolean;
}

/** A key slot that is in use. */
export interface KeySlotFacts {
  readonly slot: number;
  /** Rounds of PBKDF2, or passes of Argon2. */
  readonly iterations: number;
  /** Default: pbkdf2. */
  readonly kdf?: string;
  readonly memoryKib?: number;
  /** What unlocks it without a person, when something does. */
  readonly token?: string;
}

/** What an opened container says of itself: plain data without any secret. */
export interface ContainerFacts {
  readonly container: string;
  readonly cipher: string;
  readonly engine: string;
  readonly keyBits: number;
  readonly sectorBytes: number;
  readonly uuid: string | null;
  readonly keySlots: readonly KeySlotFacts[];
}

export interface OpenedContainer {
  readonly facts: ContainerFacts;
  /** The encrypted range begins here and goes to the end; its first sector has the number 0. */
  readonly dataAt: number;
  /** How long it is, when it does not go to the end. */
  readonly dataBytes?: number;
  readonly cipher: SectorCipher;
  /** For layouts that are more than one range of sectors: the disk over what holds it. `cipher.close` ends it. */
  makeDisk?(below: MappedDisk, options: EncryptedDiskOptions): Promise<MappedDisk>;
  /** Where sectors are proved: what stands for the whole disk as it is. */
  root?(): Promise<string>;
  /** Under way since `makeDisk`; null when it is not being re-encrypted. */
  readonly reencryption?: Reencryption | null;
  /** When all its zones are done and `cipher` is closed. */
  finish?(payload: Payload): Promise<void>;
}

export interface ContainerOptions {
  readonly ciphers: CipherRegistry;
  readonly keys: KeySource;
}

/** A plug-in that knows how the key of a disk is kept beside it. */
export interface ContainerModule {
  readonly id: string;
  /** Looks at the first 4 KiB. */
  probe(first: Uint8Array): boolean;
  /** Looks further, where the user says that there is a container: its header may be damaged, or somewhere else. */
  search?(bytes: ContainerBytes): Promise<boolean>;
  /** Which container it is, without any key: what shows the same identity has the same key. */
  identify?(bytes: ContainerBytes): Promise<string | null>;
  open(bytes: ContainerBytes, options: ContainerOptions): Promise<OpenedContainer>;
}
