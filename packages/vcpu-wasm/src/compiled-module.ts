/** Modules of the engine as code of the host, and what to say where that cannot be. */

const MARK = Symbol.for('vm.error');
/** A function that gives a vector, `i8x16.splat` of 0. */
const VECTORS = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b);

/** The host cannot run the engine's code. `VmError.is` of @vm/core recognises it. */
export class HostCodeError extends Error {
  readonly code = 'E_HOST' as const;
  readonly device: string | null = null;

  constructor(text: string, options: { readonly cause?: unknown } = {}) {
    super(text, options);
    this.name = 'HostCodeError';
    Object.defineProperty(this, MARK, { value: true });
  }
}

/** Throws HostCodeError. */
export function compileModule(bytes: Uint8Array): WebAssembly.Module {
  try {
    return new WebAssembly.Module(bytes);
  } catch (cause) {
    if (WebAssembly.validate(VECTORS)) throw cause;
    throw new HostCodeError("this host's WebAssembly has no vectors, which the software engine is made of: V8 wants a processor with SSE4.1, which this one lacks or hides", { cause });
  }
}
