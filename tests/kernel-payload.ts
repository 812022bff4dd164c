import { execFileSync } from 'node:child_process';
import { findOracle } from '@vm/testkit/oracle';

/** How Debian compresses its kernels, by the first bytes of the result. */
const UNPACKERS: readonly { readonly magic: readonly number[]; readonly tool: string; readonly args: readonly string[] }[] = [
  { magic: [0x02, 0x21, 0x4c, 0x18], tool: 'lz4', args: ['-d', '-c'] },
  { magic: [0xfd, 0x37, 0x7a, 0x58], tool: 'xz', args: ['-d', '-c', '--single-stream'] },
];
const SIZE_BYTES = 4; // of the unpacked kernel, appended by the kernel's build
const MOST_BYTES = 2 ** 28;

/** What this host lacks to unpack kernels; null: nothing. */
export function missingUnpacker(): string | null {
  return UNPACKERS.map(({ tool }) => tool).find((tool) => findOracle(tool) === null) ?? null;
}

/** The vmlinux inside a bzImage (Documentation/arch/x86/boot.rst, payload_offset and payload_length). */
export function unpackKernel(bzImage: Uint8Array): Uint8Array {
  const view = new DataView(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  const start = ((view.getUint8(0x1f1) || 4) + 1) * 512 + view.getUint32(0x248, true);
  const payload = bzImage.subarray(start, start + view.getUint32(0x24c, true) - SIZE_BYTES);
  const unpacker = UNPACKERS.find(({ magic }) => magic.every((byte, i) => payload[i] === byte));
  if (unpacker === undefined) throw new Error(`no program here unpacks a payload that begins with ${Buffer.from(payload.subarray(0, 6)).toString('hex')}`);
  const kernel = execFileSync(unpacker.tool, unpacker.args, { input: payload, maxBuffer: MOST_BYTES, stdio: ['pipe', 'pipe', 'ignore'] });
  const expected = view.getUint32(start + payload.length, true);
  if (kernel.length !== expected) throw new Error(`${expected} bytes expected of ${unpacker.tool}, got ${kernel.length}`);
  return kernel;
}
