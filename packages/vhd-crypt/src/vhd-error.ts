/** Rules that an image can break, one word each, so that programs can tell them apart. */
export type VhdRule =
  | 'bat' // the block table is damaged or too small
  | 'block' // an entry of the block table points to where no block can be
  | 'footer' // neither copy of the footer is valid
  | 'header' // the dynamic header is damaged
  | 'parent' // the parent is missing, is another disk, or the chain has no end
  | 'range' // outside of the disk
  | 'read-only' // opened for reading
  | 'request' // what was asked for is not possible
  | 'size'; // the image lies about its size, or the size is not possible

const MARK = Symbol.for('vm.error');

/** What is wrong with which file. `VmError.is` of @vm/core recognises it. */
export class VhdError extends Error {
  readonly code = 'E_IMAGE' as const;
  readonly device: string | null = null;
  readonly file: string;
  readonly rule: VhdRule;

  constructor(file: string, rule: VhdRule, text: string) {
    super(`${file}: ${text}`);
    this.name = 'VhdError';
    this.file = file;
    this.rule = rule;
    Object.defineProperty(this, MARK, { value: true });
  }
}
