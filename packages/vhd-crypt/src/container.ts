import type { CipherRegistry } from './cipher-registry.ts';
import type { KeySource, SectorCipher } from './sector-cipher.ts';

/** Where a container lies: bytes that can be read, and written when it is changed. */
export interface ContainerBytes {
  /** Name for messages. */
  readonly name: string;
  readonly bytes: number;
  read(at: number, into: Uint8Array): Promise<void>;
  write(at: number, from: Uint8Array): Promise<void>;
  flush(): Promise<void>;
}

/** What an opened container says of itself: plain data without any secret. */
export interface ContainerFacts {
  readonly container: string;
  readonly cipher: string;
  readonly engine: string;
  readonly keyBits: number;
  readonly sectorBytes: number;
  readonly uuid: string | null;
  readonly keySlots: readonly { readonly slot: number; readonly iterations: number }[];
}

export interface OpenedContainer {
  readonly facts: ContainerFacts;
  /** The encrypted range begins here and goes to the end; its first sector has the number 0. */
  readonly dataAt: number;
  readonly cipher: SectorCipher;
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
  /** Which container it is, without any key: what shows the same identity has the same key. */
  identify?(bytes: ContainerBytes): Promise<string | null>;
  open(bytes: ContainerBytes, options: ContainerOptions): Promise<OpenedContainer>;
}
