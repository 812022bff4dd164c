/**
 * Segment descriptors and selectors (SDM vol. 3, sections 3.4 and 3.5; gates 6.11; task-state segments 8.2).
 *
 *     high: 31..24 base | 23 G | 22 D/B | 21 L | 20 AVL | 19..16 limit | 15 P | 14..13 DPL | 12 S | 11..8 type | 7..0 base
 *     low:  31..16 base | 15..0 limit
 */
export const DESCRIPTOR_TYPE_SHIFT = 8;
export const DESCRIPTOR_TYPE_MASK = 0xf00;
/** S: a code or data segment; clear: a system segment or a gate. */
export const DESCRIPTOR_S: number = 1 << 12;
export const DESCRIPTOR_DPL_SHIFT = 13;
export const DESCRIPTOR_DPL_MASK = 0x6000;
export const DESCRIPTOR_PRESENT: number = 1 << 15;
export const DESCRIPTOR_LIMIT_HIGH_MASK = 0xf_0000;
export const DESCRIPTOR_AVL: number = 1 << 20;
export const DESCRIPTOR_L: number = 1 << 21;
export const DESCRIPTOR_DB: number = 1 << 22;
export const DESCRIPTOR_G: number = 1 << 23;

/** Type bits of code and data segments, at their place in the high half. */
export const SEGMENT_ACCESSED: number = 1 << 8;
/** Data: writable. Code: readable. */
export const SEGMENT_WRITABLE: number = 1 << 9;
export const SEGMENT_READABLE: number = 1 << 9;
/** Data: grows downwards. Code: conforming. */
export const SEGMENT_EXPAND_DOWN: number = 1 << 10;
export const SEGMENT_CONFORMING: number = 1 << 10;
export const SEGMENT_CODE: number = 1 << 11;

/** Types of system descriptors (SDM vol. 3, table 3-2). */
export const SYSTEM_TSS_16_AVAILABLE = 1;
export const SYSTEM_LDT = 2;
export const SYSTEM_TSS_16_BUSY = 3;
export const SYSTEM_CALL_GATE_16 = 4;
export const SYSTEM_TASK_GATE = 5;
export const SYSTEM_INTERRUPT_GATE_16 = 6;
export const SYSTEM_TRAP_GATE_16 = 7;
export const SYSTEM_TSS_AVAILABLE = 9;
export const SYSTEM_TSS_BUSY = 11;
export const SYSTEM_CALL_GATE = 12;
export const SYSTEM_INTERRUPT_GATE = 14;
export const SYSTEM_TRAP_GATE = 15;

/** Selector: index and table indicator without the requested privilege level. */
export const SELECTOR_RPL_MASK = 3;
export const SELECTOR_LDT: number = 1 << 2;
export const SELECTOR_INDEX_MASK = 0xfff8;

/** Base address of a segment descriptor; a system descriptor of long mode has 32 more bits in its third word. */
export const descriptorBase = (low: number, high: number): number =>
  ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0;

/** Limit in bytes, with the granularity bit applied. */
export const descriptorLimit = (low: number, high: number): number => {
  const limit = (low & 0xffff) | (high & DESCRIPTOR_LIMIT_HIGH_MASK);
  return (high & DESCRIPTOR_G) === 0 ? limit : ((limit << 12) | 0xfff) >>> 0;
};
