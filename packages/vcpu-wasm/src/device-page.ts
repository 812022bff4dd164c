const NO_PAGE = -1;

/** The page of linear memory through which a device was reached last: what is left of a translation while the TLB answers nothing. */
export class DevicePage {
  #low = 0;
  #high = 0;
  #physical = NO_PAGE;

  aim(low: number, high: number, physical: number): void {
    this.#low = low & 0xffff_f000;
    this.#high = high;
    this.#physical = physical - (physical % 4096);
  }
  forget(): void { this.#physical = NO_PAGE; }

  /** Guest-physical address of a linear one; -1: it lies in another page. */
  find(low: number, high: number): number {
    return this.#physical !== NO_PAGE && ((low ^ this.#low) & 0xffff_f000) === 0 && high === this.#high ? this.#physical + (low & 4095) : -1;
  }
}
