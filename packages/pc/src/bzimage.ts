import { VmError } from '@vm/core';

/** What a bzImage says about itself (Linux boot protocol, Documentation/arch/x86/boot.rst). */
export interface BzImage {
  readonly version: number; // of the protocol, 0x020f is 2.15
  readonly setup: Uint8Array; // the header, from offset 0x1f1 on
  readonly kernel: Uint8Array; // the protected-mode part
  readonly hasEntry64: boolean;
  readonly relocatable: boolean;
  readonly alignment: number;
  readonly preferredAddress: number;
  readonly initBytes: number; // memory that the kernel needs from its load address before it can look at the map
  readonly initrdLast: number; // highest address that the last byte of an initrd may have
  readonly commandLineBytes: number; // without the terminating zero
}

export const SETUP_HEADER = 0x1f1;
const JUMP_LENGTH = 0x201;
const MAGIC = 0x202;
const HDRS = 0x5372_6448; // "HdrS"
const OLDEST_VERSION = 0x0206; // the first that names the size of the command line
const SECTOR_BYTES = 512;
const LOADED_HIGH = 1 << 0;
const XLOAD_KERNEL_64 = 1 << 0;

/** Throws VmError E_IMAGE when `image` is no kernel that this machine can boot. */
export function parseBzImage(image: Uint8Array): BzImage {
  if (image.length < 0x400) throw notKernel(`expected at least 1024 bytes, got ${image.length}`);
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (view.getUint16(0x1fe, true) !== 0xaa55) throw notKernel(describe(image, 'it is neither a bzImage nor an ELF file: the boot signature 55 aa at 0x1fe is missing'));
  if (view.getUint32(MAGIC, true) !== HDRS) throw notKernel('the boot sector has no Linux setup header');
  const version = view.getUint16(0x206, true);
  if (version < OLDEST_VERSION) throw notKernel(`boot protocol ${formatVersion(version)} is older than ${formatVersion(OLDEST_VERSION)}`);
  if ((view.getUint8(0x211) & LOADED_HIGH) === 0) throw notKernel('it is a zImage, which loads below 640 KiB');

  const setupBytes = ((view.getUint8(SETUP_HEADER) || 4) + 1) * SECTOR_BYTES;
  const headerEnd = MAGIC + view.getUint8(JUMP_LENGTH);
  const wanted = view.getUint32(0x1f4, true) * 16; // rounded up to 16
  const kernel = image.subarray(Math.min(setupBytes, image.length));
  if (kernel.length + 15 < wanted || kernel.length === 0) {
    throw notKernel(`it is cut off: ${setupBytes + wanted} bytes expected, ${image.length} are there`);
  }
  const has = (minimum: number): boolean => version >= minimum;
  const relocatable = view.getUint8(0x234) !== 0;
  return {
    version,
    setup: image.slice(SETUP_HEADER, Math.min(headerEnd, setupBytes)),
    kernel,
    hasEntry64: has(0x020c) && (view.getUint16(0x236, true) & XLOAD_KERNEL_64) !== 0,
    relocatable,
    alignment: relocatable ? view.getUint32(0x230, true) || 0x20_0000 : 1,
    preferredAddress: has(0x020a) ? view.getUint32(0x258, true) + view.getUint32(0x25c, true) * 2 ** 32 : 0x10_0000,
    initBytes: Math.max(has(0x020a) ? view.getUint32(0x260, true) : 0, kernel.length),
    initrdLast: view.getUint32(0x22c, true),
    commandLineBytes: view.getUint32(0x238, true) || 255,
  };
}

function notKernel(why: string): VmError {
  return new VmError('E_IMAGE', `kernel: ${why}`);
}

/** The likely causes deserve a name. */
function describe(image: Uint8Array, otherwise: string): string {
  if (image[0] === 0x1f && image[1] === 0x8b) return 'expected a bzImage or an ELF file, got gzip data';
  return otherwise;
}

function formatVersion(version: number): string {
  return `${version >>> 8}.${String(version & 0xff).padStart(2, '0')}`;
}
