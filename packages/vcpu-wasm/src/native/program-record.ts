/** A program of a few instructions with the state before or after it: the layout that the C harness and the engine share. */

/** 32 or 64. */
export const RECORD_BITS = 0;
export const RECORD_LENGTH = 4;
/** Exception that ended the program. HLT, which is not allowed to programs, ends it with #GP. */
export const RECORD_VECTOR = 8;
/** 16 general registers. */
export const RECORD_GPR = 16;
export const RECORD_RIP = 144;
export const RECORD_FLAGS = 152;
export const RECORD_CR2 = 160;
/** Of all memory of the program after it. */
export const RECORD_HASH = 168;
/** After it: cs, ss, ds, es, fs, gs, 16 bits each. */
export const RECORD_SELECTORS = 176;
export const SELECTORS = 6;
/** An FXSAVE64 image. */
export const RECORD_FX = 192;
export const RECORD_CODE = 704;
export const RECORD_CODE_BYTES = 256;
/** What lies at MEMORY_AT. */
export const RECORD_MEMORY = 960;
export const RECORD_MEMORY_BYTES = 512;
/** Bits 128 to 255 of the vector registers. */
export const RECORD_YMM = 1472;
export const RECORD_BYTES = 1728;

// Where things lie in the address space, the same in the harness and in the machine compared with it.
export const CODE_PAGE = 0x10_0000;
/** The rest of the page is full of HLT. */
export const CODE_AT = 0x10_0800;
/** Two pages that may be read and written; what lies around them is not mapped. */
export const DATA_PAGES = 0x20_0000;
export const DATA_BYTES = 0x2000;
/** Known memory, across the end of the first page. All other bytes are 0 before the program. */
export const MEMORY_AT = 0x20_0f00;
/** A page that may only be read, full of zeros. */
export const READ_ONLY_PAGE = 0x20_3000;
/** Two more pages like DATA_PAGES, within reach of 16-bit addresses, where the host allows it. */
export const LOW_PAGES = 0x8000;

/** Bases of FS and GS before a program, where the host lets programs set them. */
export const FS_BASE = 0x40;
export const GS_BASE = 0x60;
/** Selectors of a 64-bit Linux for its programs: 32-bit code, data, 64-bit code. */
export const USER_CODE_32 = 0x23;
export const USER_DATA = 0x2b;
export const USER_CODE_64 = 0x33;

/** Neither an exception nor an end: the host ran out of patience. */
export const VECTOR_TIMEOUT = 0xfe;
export const VECTOR_BUDGET = 0xff;

/** FNV-1a over the 32-bit words of `bytes`, as the harness does it. */
export function hashWords(words: Uint32Array, from: number, count: number, seed: number): number {
  let hash = seed;
  for (let i = from; i < from + count; i++) hash = Math.imul(hash ^ (words[i] as number), 0x0100_0193);
  return hash >>> 0;
}
export const HASH_SEED = 0x811c_9dc5;

export const FX_CONTROL: number = RECORD_FX;
export const FX_STATUS: number = RECORD_FX + 2;
/** One bit a physical register: 1 = not empty. */
export const FX_TAGS: number = RECORD_FX + 4;
export const FX_MXCSR: number = RECORD_FX + 24;
export const FX_ST: number = RECORD_FX + 32;
export const FX_XMM: number = RECORD_FX + 160;

export function hexOf(view: DataView, at: number, bytes: number): string {
  let text = '';
  for (let i = bytes - 1; i >= 0; i--) text += view.getUint8(at + i).toString(16).padStart(2, '0');
  return text;
}
