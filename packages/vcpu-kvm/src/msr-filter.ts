/** Which model-specific registers KVM keeps and which it asks for: `struct kvm_msr_filter` (KVM API documentation, section 4.97). */
import { MSR_FILTER, MSR_FILTER_RANGE } from './kvm-layout-table.ts';
import { NUMBERS } from './kvm-number-table.ts';

const SPAN = 0x800; // registers that one range is used for at most

/** `bitmaps` have to stay as long as the call needs: their addresses are in `filter`. */
export interface MsrFilter {
  readonly filter: Uint8Array;
  readonly bitmaps: readonly Uint8Array[];
}

/** Only `allowed` are KVM's own; every other access comes as an exit. */
export function msrFilter(allowed: readonly number[], addressOf: (bytes: Uint8Array) => bigint): MsrFilter {
  const view = new DataView(new ArrayBuffer(MSR_FILTER.bytes));
  view.setUint32(MSR_FILTER.fields.flags[0], NUMBERS.KVM_MSR_FILTER_DEFAULT_DENY, true);
  const bitmaps: Uint8Array[] = [];
  const left = allowed.toSorted((a, b) => a - b);
  while (left.length > 0) {
    const base = left[0]! & ~7;
    const first = base >>> 0;
    const mine = left.splice(0, left.findIndex((index) => index >= first + SPAN) < 0 ? left.length : left.findIndex((index) => index >= first + SPAN));
    const count = Math.ceil((mine.at(-1)! - first + 1) / 8) * 8;
    const bitmap = new Uint8Array(count / 8);
    for (const index of mine) bitmap[(index - first) >>> 3]! |= 1 << ((index - first) & 7);
    const at = MSR_FILTER.fields.ranges[0] + bitmaps.length * MSR_FILTER_RANGE.bytes;
    view.setUint32(at, NUMBERS.KVM_MSR_FILTER_READ | NUMBERS.KVM_MSR_FILTER_WRITE, true);
    view.setUint32(at + MSR_FILTER_RANGE.fields.nmsrs[0], count, true);
    view.setUint32(at + MSR_FILTER_RANGE.fields.base[0], first, true);
    view.setBigUint64(at + MSR_FILTER_RANGE.fields.bitmap[0], addressOf(bitmap), true);
    bitmaps.push(bitmap);
    if (bitmaps.length > NUMBERS.KVM_MSR_FILTER_MAX_RANGES) throw new RangeError(`msrFilter: at most ${NUMBERS.KVM_MSR_FILTER_MAX_RANGES} ranges expected`);
  }
  return { filter: new Uint8Array(view.buffer), bitmaps };
}
