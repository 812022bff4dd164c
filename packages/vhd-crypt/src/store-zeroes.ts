const STEP = 1 << 20;

/** Stores zeros from `from` to `to`, in pieces of which one buffer serves all. */
export async function storeZeroes(store: (at: number, data: Uint8Array) => Promise<void>, from: number, to: number): Promise<void> {
  const zeros = new Uint8Array(Math.min(STEP, Math.max(0, to - from)));
  for (let at = from; at < to; at += STEP) await store(at, zeros.subarray(0, Math.min(STEP, to - at)));
}
