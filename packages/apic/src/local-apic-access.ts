import * as spec from './spec.ts';

// One bit for each register index that exists (SDM vol. 3, table 12-1).
const REGISTERS_LOW = 0xff_ff_ff0c >>> 0; // indices 0x02, 0x03 and 0x08 to 0x1f
const REGISTERS_HIGH = ((0x1ff) | (1 << 0x10) | (1 << 0x11) | (0x3f << 0x12) | (1 << 0x18) | (1 << 0x19) | (1 << 0x1e) | (1 << 0x1f)) >>> 0; // from index 0x20

export function isRegister(index: number): boolean {
  return index < 64 && ((index < 32 ? REGISTERS_LOW : REGISTERS_HIGH) & (1 << (index & 31))) !== 0;
}

/** Registers that x2APIC mode has taken away fault there (SDM vol. 3, table 12-6). */
export function isX2Register(index: number): boolean {
  if (!isRegister(index)) return false;
  return index !== spec.LAPIC_DFR && index !== spec.LAPIC_APR && index !== spec.LAPIC_RRR && index !== spec.LAPIC_ICR_HIGH;
}

export function isReadOnlyInX2(register: number): boolean {
  switch (register) {
    case spec.LAPIC_ID: case spec.LAPIC_VERSION: case spec.LAPIC_PPR: case spec.LAPIC_LDR: case spec.LAPIC_TIMER_CURRENT: return true;
    default: return register >= spec.LAPIC_ISR && register < spec.LAPIC_ESR;
  }
}

/** Do these reserved bits allow the value? They fault in x2APIC mode (SDM vol. 3, 12.12.1.3). */
export function isValidInX2(register: number, low: number): boolean {
  const lvt = register - spec.LAPIC_LVT_TIMER;
  if (lvt >= 0 && lvt < spec.LVT_COUNT) return (low & ~(spec.LVT_VALID[lvt]! | spec.LVT_REMOTE_IRR | (1 << 12))) === 0;
  switch (register) {
    case spec.LAPIC_EOI: case spec.LAPIC_ESR: return low === 0;
    case spec.LAPIC_TPR: case spec.LAPIC_SELF_IPI: return (low & ~0xff) === 0;
    case spec.LAPIC_SVR: return (low & ~spec.SVR_VALID) === 0;
    case spec.LAPIC_TIMER_DIVIDE: return (low & ~spec.TIMER_DIVIDE_VALID) === 0;
    default: return true;
  }
}
