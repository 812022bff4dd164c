/** Descriptor and page tables of flat machines. Everything in them is marked accessed, so that the processor has nothing to store. */

/** Selectors are those of Linux's user mode, so that code which shows them can be compared with the host. */
export const SELECTOR_CODE = 0x08;
export const SELECTOR_DATA = 0x10;
export const SELECTOR_USER_CODE_32 = 0x23;
export const SELECTOR_USER_DATA = 0x2b;
export const SELECTOR_USER_CODE_64 = 0x33;
export const GDT_LIMIT = 0x37;

/** Bits 8 to 23 of a descriptor's high half. */
export const CODE_32 = 0x00c0_9b00;
export const CODE_64 = 0x00a0_9b00;
export const DATA = 0x00c0_9300;
export const USER = 0x6000; // DPL 3

export function writeDescriptors(view: DataView, at: number, long: boolean): void {
  const descriptor = (selector: number, attributes: number): void => {
    view.setUint32(at + (selector & ~7), 0xffff, true);
    view.setUint32(at + (selector & ~7) + 4, (attributes | 0xf_0000) >>> 0, true);
  };
  descriptor(SELECTOR_CODE, long ? CODE_64 : CODE_32);
  descriptor(SELECTOR_DATA, DATA);
  descriptor(SELECTOR_USER_CODE_32, CODE_32 | USER);
  descriptor(SELECTOR_USER_DATA, DATA | USER);
  descriptor(SELECTOR_USER_CODE_64, CODE_64 | USER);
}

const PRESENT = 0x01;
const WRITABLE = 0x02;
const USER_PAGE = 0x04;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const LARGE = 0x80;
export const PAGE_SUPERVISOR: number = PRESENT | WRITABLE | ACCESSED | DIRTY;
export const PAGE_USER: number = PAGE_SUPERVISOR | USER_PAGE;
export const PAGE_USER_READ_ONLY: number = PAGE_USER & ~WRITABLE;
/** Stands for bit 63 of an entry. */
export const PAGE_NO_EXECUTE = 0x1000;
const TABLE = PRESENT | WRITABLE | USER_PAGE | ACCESSED;

/**
 * Page tables of four levels, or of the three of PAE. `allocate` answers the physical address of a page of zeros, `offsetOf` the
 * place of a physical address in `view`.
 */
export class FlatPageTables {
  readonly #levels: number;
  readonly #root: number;
  readonly #allocate: () => number;
  readonly #view: DataView;
  readonly #offsetOf: (physical: number) => number;

  constructor(long: boolean, view: DataView, offsetOf: (physical: number) => number, allocate: () => number) {
    this.#levels = long ? 4 : 3;
    this.#view = view;
    this.#offsetOf = offsetOf;
    this.#allocate = allocate;
    this.#root = allocate();
  }

  /** What CR3 has to hold. */
  get root(): number { return this.#root; }

  /** Maps one page; `high` and `low` are the halves of its address. */
  map(low: number, high: number, physical: number, flags: number): void {
    this.#setEntry(this.#table(low, high, 1) + indexOf(low, high, 1) * 8, physical, flags);
  }
  /** Maps the first 512 GiB to themselves (four levels only). */
  mapIdentity(): void {
    const table = this.#table(0, 0, 3);
    for (let i = 0; i < 512; i++) this.#setEntry(table + i * 8, i * 2 ** 30, PAGE_USER | LARGE);
  }

  /** Where the table of `level` for an address lies in the view. */
  #table(low: number, high: number, level: number): number {
    let table = this.#offsetOf(this.#root);
    for (let at = this.#levels; at > level; at--) {
      const entry = table + indexOf(low, high, at) * 8;
      if ((this.#view.getUint32(entry, true) & PRESENT) === 0) {
        // The four entries of PAE's first level have no access rights.
        this.#setEntry(entry, this.#allocate(), this.#levels === 3 && at === 3 ? PRESENT : TABLE);
      }
      table = this.#offsetOf((this.#view.getUint32(entry, true) & 0xffff_f000) >>> 0);
    }
    return table;
  }
  #setEntry(entry: number, physical: number, flags: number): void {
    this.#view.setUint32(entry, ((physical % 2 ** 32) | (flags & 0xfff)) >>> 0, true);
    this.#view.setUint32(entry + 4, (Math.floor(physical / 2 ** 32) | ((flags & PAGE_NO_EXECUTE) === 0 ? 0 : 0x8000_0000)) >>> 0, true);
  }
}

/** Index into the table of `level`, of a linear address. */
function indexOf(low: number, high: number, level: number): number {
  const page = (high & 0xffff) * 2 ** 20 + (low >>> 12);
  return Math.floor(page / 512 ** (level - 1)) % 512;
}
