const MARK = Symbol.for('vm.error');

/** Why a processor of KVM cannot be had. `VmError.is` of @vm/core recognises it. */
export class KvmError extends Error {
  readonly code = 'E_ENGINE' as const;
  readonly device: string | null = null;

  constructor(text: string, options: { readonly cause?: unknown } = {}) {
    super(`KVM: ${text}`, options);
    this.name = 'KvmError';
    Object.defineProperty(this, MARK, { value: true });
  }
}
