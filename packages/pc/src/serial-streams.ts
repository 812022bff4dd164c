/** What a stream of the serial port needs from its guest. */
export interface SerialEnd {
  /** Every byte that the guest sends, in chunks; returns what ends it. */
  listen(heard: (bytes: Uint8Array) => void): () => void;
  /** Machine time stands still until the function that it returns is called. */
  hold(): () => void;
  type(bytes: Uint8Array): void;
  /** Resolves when the guest has taken all that was typed. */
  taken(): Promise<void>;
  /** Resolves at the end of the guest. */
  ended(): Promise<unknown>;
}

const MOST_AHEAD = 1 << 16; // bytes that the guest may be ahead of the reader

/** What the guest sends from now on, to its end. While the reader is behind, machine time stands still. */
export function readSerial(end: SerialEnd): ReadableStream<Uint8Array> {
  let release: (() => void) | null = null;
  let stop = (): void => {};
  const goOn = (): void => {
    release?.();
    release = null;
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        stop = end.listen((bytes) => {
          controller.enqueue(bytes);
          if ((controller.desiredSize ?? 1) <= 0) release ??= end.hold();
        });
        void end.ended().then(() => {
          stop();
          try {
            controller.close();
          } catch {
            // the reader has cancelled it
          }
        });
      },
      pull: goOn,
      cancel: () => {
        stop();
        goOn();
      },
    },
    { highWaterMark: MOST_AHEAD, size: (bytes) => bytes.length },
  );
}

/** Types what is written; a chunk is written when the guest has taken it. */
export function writeSerial(end: SerialEnd): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>({
    write: async (bytes) => {
      end.type(bytes);
      await Promise.race([end.taken(), end.ended()]); // nobody takes what comes after the end
    },
  });
}
