import type { BlockBackend } from '@vm/core';
import { checkRange } from './block-error.ts';

const CLUSTER = 65536;

/** A disk whose stores stay in memory; `below` is only read. What is kept are whole clusters of 64 KiB. */
export function overlay(below: BlockBackend): BlockBackend {
  const clusters = new Map<number, Promise<Uint8Array>>();
  // The promise is in the map before anything is awaited, so that two stores into one cluster fill the same bytes.
  const own = (index: number): Promise<Uint8Array> => {
    const known = clusters.get(index);
    if (known !== undefined) return known;
    const made = load(index);
    clusters.set(index, made);
    made.catch(() => clusters.delete(index));
    return made;
  };
  const load = async (index: number): Promise<Uint8Array> => {
    const cluster = new Uint8Array(Math.min(CLUSTER, below.bytes - index * CLUSTER));
    await below.read(index * CLUSTER, cluster);
    return cluster;
  };
  const store = async (at: number, bytes: number, fill: (cluster: Uint8Array, start: number, done: number, count: number) => void): Promise<void> => {
    checkRange(below.bytes, at, bytes);
    for (let done = 0; done < bytes; ) {
      const start = (at + done) % CLUSTER;
      const count = Math.min(CLUSTER - start, bytes - done);
      fill(await own(Math.floor((at + done) / CLUSTER)), start, done, count);
      done += count;
    }
  };
  return {
    bytes: below.bytes,
    writable: true,
    async read(at, into) {
      checkRange(below.bytes, at, into.length);
      for (let done = 0; done < into.length; ) {
        const start = (at + done) % CLUSTER;
        const count = Math.min(CLUSTER - start, into.length - done);
        const cluster = await clusters.get(Math.floor((at + done) / CLUSTER));
        if (cluster === undefined) await below.read(at + done, into.subarray(done, done + count));
        else into.set(cluster.subarray(start, start + count), done);
        done += count;
      }
    },
    write: (at, from) => store(at, from.length, (cluster, start, done, count) => cluster.set(from.subarray(done, done + count), start)),
    flush: () => Promise.resolve(),
    async discard(at, bytes) {
      checkRange(below.bytes, at, bytes); // a hint: the data may stay
    },
    writeZeroes: (at, bytes) => store(at, bytes, (cluster, start, _done, count) => cluster.fill(0, start, start + count)),
  };
}
