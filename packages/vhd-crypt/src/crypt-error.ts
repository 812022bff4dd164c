/** Why a disk stays closed, one word each, so that programs can tell them apart. */
export type CryptRule =
  | 'cipher' // nobody does this cipher, or with this key or sector size
  | 'header' // the container's header is damaged, or asks for what is refused
  | 'key' // no secret that was given opens it
  | 'keyUnavailable' // there is nobody to ask for a secret, or the program that knows it is missing
  | 'integrity' // what is stored is not what was stored there
  | 'request'; // what was asked for is not possible

const MARK = Symbol.for('vm.error');

/** What is wrong with which disk; never a secret. `VmError.is` of @vm/core recognises it. */
export class CryptError extends Error {
  readonly code = 'E_IMAGE' as const;
  readonly device: string | null = null;
  readonly file: string;
  readonly rule: CryptRule;

  constructor(file: string, rule: CryptRule, text: string) {
    super(`${file}: ${text}`);
    this.name = 'CryptError';
    this.file = file;
    this.rule = rule;
    Object.defineProperty(this, MARK, { value: true });
  }
}
