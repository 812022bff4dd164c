import * as spec from './spec.ts';

// One bit for each register index that exists (SDM vol. 3, table 12-1).
const REGISTERS_LOW = 0xff_ff_ff0c >>> 0; // indices 0x02, 0x03 and 0x08 to 0x1f
const REGISTERS_HIGH = ((0x1ff) | (1 << 0x10) | (1 << 0x11) | (0x3f << 0x12) | (1 << 0x18) | (1 << 0x19) | (1 << 0x1e) | (1 << 0x1f)) >>> 0; // from index 0x20

export function isRegister(index: number): boolean {
  return index < 64 && ((index < 32 ? REGISTERS_LOW : REGISTERS_HIGH) & (1 << (index & 31))) !== 0;
}

/** Model-specific registers of hypervisors: Hyper-V's, and KVM's of both times. */
export function isFaceRegister(index: number): boolean {
  return index >>> 16 === 0x4000 || index >>> 8 === 0x4b_564d || index === 0x11 || index === 0x12;
}

/** Registers that x2APIC mode has taken away fault there (SDM vol. 3, table 12-6). */
export function isX2Register(index: number): boolean {
  if (!isRegister(index)) return false;
  return index !== spec.LAPIC_DFR && index !== spec.LAPIC_APR && index !== spec.LAPIC_RRR && index !== spec.LAPIC_ICR_HIGH;
}

export function isReadOnlyInX2(register: number): boolean {
  switch (register) {
    case spec.LAPIC_ID: case spec.LAPIC_VERSION: case spec.LAPIC_PPR: case spec.LAPIC_LDR: case spec.LAPIC_TIMER_CURRENT: case spec.LAPIC_EXTENDED_FEATURE: return true;
    default: return register >= spec.LAPIC_ISR && register < spec.LAPIC_ESR;
  }
}

/** Do these reserved bits allow the value? They fault in x2APIC mode (SDM vol. 3, 12.12.1.3). */
export function isValidInX2(register: number, low: number, spuriousValid: number): boolean {
  const lvt = register - spec.LAPIC_LVT_TIMER;
  if (lvt >= 0 && lvt < spec.LVT_COUNT) {
    const isPin = register === spec.LAPIC_LVT_LINT0 || register === spec.LAPIC_LVT_LINT1;
    return (low & ~(spec.LVT_VALID[lvt]! | spec.LVT_STATUS | (isPin ? spec.LVT_REMOTE_IRR : 0))) === 0;
  }
  switch (register) {
    case spec.LAPIC_EOI: case spec.LAPIC_ESR: return low === 0;
    case spec.LAPIC_TPR: case spec.LAPIC_SELF_IPI: return (low & ~0xff) === 0;
    case spec.LAPIC_SVR: return (low & ~spuriousValid) === 0;
    case spec.LAPIC_TIMER_DIVIDE: return (low & ~spec.TIMER_DIVIDE_VALID) === 0;
    default: return true;
  }
}

/** IA32_APIC_BASE: reserved bits, and the shortcuts between modes that fault (SDM vol. 3, 12.12.5). 36 address bits are there at least. */
export function isBaseAllowed(before: number, low: number, high: number): boolean {
  if ((low & spec.APIC_BASE_RESERVED_LOW) !== 0 || high >>> 20 !== 0) return false;
  const modes = spec.APIC_BASE_ENABLE | spec.APIC_BASE_EXTENDED;
  const from = before & modes;
  const to = low & modes;
  if (to === spec.APIC_BASE_EXTENDED) return false;
  return !(to === modes && from === 0) && !(to === spec.APIC_BASE_ENABLE && from === modes);
}

/** What x2APIC mode makes of an id: a cluster of 16, and a bit in it (SDM vol. 3, 12.12.10.2). */
export function x2LogicalId(id: number): number {
  return (((id >>> 4) << 16) | (1 << (id & 15))) >>> 0;
}

export function isInX2Cluster(destination: number, logicalId: number): boolean {
  return destination >>> 16 === logicalId >>> 16 && (destination & logicalId & 0xffff) !== 0;
}

/** Flat model, or clusters of four (SDM vol. 3, 12.6.2.2), and all ones for everybody; other models match nobody. */
export function isInLogicalSet(destination: number, logicalId: number, format: number): boolean {
  const mine = logicalId >>> 24;
  const model = format >>> 28;
  if (model !== 0xf && model !== 0) return false;
  if ((destination & 0xff) === 0xff) return true;
  return model === 0xf ? (destination & mine) !== 0 : (destination & 0xf0) === (mine & 0xf0) && (destination & mine & 0xf) !== 0;
}
