/** Numbers from a seed (xorshift): each call gives one below `most`. */
export function randomNumbers(seed: number): (most: number) => number {
  let state = (seed * 0x9e37_79b1) >>> 0 || 1;
  return (most) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % most;
  };
}
