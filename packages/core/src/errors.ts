/** Why the environment refused. The guest never sees one of these, and mistakes of a programmer are TypeError or RangeError. */
export type ErrorCode =
  | 'E_ABI' // made for another version of the device ABI
  | 'E_CAPABILITY' // the machine lacks something that the device needs
  | 'E_DEVICE' // a device failed in one of its hooks
  | 'E_ENGINE' // the engine cannot do this
  | 'E_FIXED' // the device neither comes nor goes while the machine runs
  | 'E_GUEST' // the guest did not do what somebody waits for
  | 'E_HOST' // a file, a tool or a service of the host failed
  | 'E_IMAGE' // a kernel, a disk or another image is not what it should be
  | 'E_INTEGRITY' // files are not those that were agreed to
  | 'E_MANIFEST' // a device's manifest and its hooks disagree
  | 'E_MEMORY' // too little or too much RAM
  | 'E_NAME' // a name is malformed or taken
  | 'E_OVERLAP' // an address range is taken
  | 'E_STATE' // a saved machine is damaged, or made for another one
  | 'E_PHASE' // not possible in the phase the machine is in
  | 'E_PLUGIN'; // a device plug-in is not there, or not what it says

const MARK = Symbol.for('vm.error');

export class VmError extends Error {
  readonly code: ErrorCode;
  /** Instance name of the device concerned, or null. */
  readonly device: string | null;

  constructor(code: ErrorCode, text: string, options: { readonly cause?: unknown; readonly device?: string } = {}) {
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'VmError';
    this.code = code;
    this.device = options.device ?? null;
    Object.defineProperty(this, MARK, { value: true });
  }

  /** Recognises the errors of every copy of this package, which instanceof would not. */
  static is(value: unknown): value is VmError {
    return value instanceof Error && (value as { readonly [MARK]?: unknown })[MARK] === true;
  }
}
