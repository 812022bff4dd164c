/** Makes the sum of all bytes zero by the one at `at`, as tables of firmware have it. */
export function fillChecksum(bytes: Uint8Array, at: number): void {
  bytes[at] = 0;
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes[at] = -sum & 0xff;
}
