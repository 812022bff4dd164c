/**
 * What a VHD is kept in: bytes that can grow and shrink. A read of what `resize` added gives zeros. `flush` is a barrier: what was
 * written before it is stored before anything that is written after it.
 */
export interface ImageFile {
  /** Name for messages. */
  readonly name: string;
  readonly writable: boolean;
  bytes(): Promise<number>;
  /** Fills `into` whole, or rejects. */
  read(at: number, into: Uint8Array): Promise<void>;
  /** Writes all of `from`; past the end the file grows. */
  write(at: number, from: Uint8Array): Promise<void>;
  resize(bytes: number): Promise<void>;
  flush(): Promise<void>;
  close(): Promise<void>;
}
