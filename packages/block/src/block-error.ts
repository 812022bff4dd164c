const MARK = Symbol.for('vm.error');

/** A request that a disk refuses. `VmError.is` of @vm/core recognises it. */
export class BlockError extends Error {
  readonly code = 'E_IMAGE' as const;
  readonly device: string | null = null;

  constructor(text: string) {
    super(text);
    this.name = 'BlockError';
    Object.defineProperty(this, MARK, { value: true });
  }
}

export function checkRange(size: number, at: number, bytes: number): void {
  if (!Number.isSafeInteger(at) || at < 0 || bytes < 0 || at + bytes > size) throw new BlockError(`${bytes} bytes at ${at} are not on a disk of ${size} bytes`);
}
