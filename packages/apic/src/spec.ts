/** Register numbers and fields of the local APIC and of the I/O APIC. A local APIC register is named by its index: MMIO offset / 16, x2APIC MSR - 0x800. */

// Local APIC register indices (SDM vol. 3, 12.4.1, table 12-1; x2APIC: 12.12.1.2, table 12-6).
export const LAPIC_ID = 0x02;
export const LAPIC_VERSION = 0x03;
export const LAPIC_TPR = 0x08;
export const LAPIC_APR = 0x09;
export const LAPIC_PPR = 0x0a;
export const LAPIC_EOI = 0x0b;
export const LAPIC_RRR = 0x0c;
export const LAPIC_LDR = 0x0d;
export const LAPIC_DFR = 0x0e;
export const LAPIC_SVR = 0x0f;
export const LAPIC_ISR = 0x10; // eight registers each: ISR, TMR, IRR
export const LAPIC_TMR = 0x18;
export const LAPIC_IRR = 0x20;
export const LAPIC_ESR = 0x28;
export const LAPIC_ICR_LOW = 0x30;
export const LAPIC_ICR_HIGH = 0x31;
export const LAPIC_LVT_TIMER = 0x32;
export const LAPIC_LVT_THERMAL = 0x33;
export const LAPIC_LVT_PERFORMANCE = 0x34;
export const LAPIC_LVT_LINT0 = 0x35;
export const LAPIC_LVT_LINT1 = 0x36;
export const LAPIC_LVT_ERROR = 0x37;
export const LAPIC_TIMER_INITIAL = 0x38;
export const LAPIC_TIMER_CURRENT = 0x39;
export const LAPIC_TIMER_DIVIDE = 0x3e;
export const LAPIC_SELF_IPI = 0x3f;

// AMD's extended APIC space (AMD APM vol. 2, 16.3.4 and 16.7).
export const LAPIC_EXTENDED_FEATURE = 0x40;
export const LAPIC_EXTENDED_CONTROL = 0x41;
export const LAPIC_SELECTED_EOI = 0x42;
export const LAPIC_ENABLE = 0x48; // eight registers
export const EXTENDED_ENABLES = 1;
export const EXTENDED_SELECTED_EOI = 2;
export const VERSION_EXTENDED: number = (1 << 31) >>> 0;
export const VERSION_SUPPRESSES_BROADCASTS: number = 1 << 24;

/** Version 0x14 (integrated APIC), six LVT entries (SDM vol. 3, 12.4.8). */
export const LAPIC_VERSION_VALUE = 0x0005_0014;

// Spurious-interrupt vector register (SDM vol. 3, 12.9).
export const SVR_VALID = 0x1ff;
export const SVR_ENABLE: number = 1 << 8;
export const SVR_SUPPRESSES_BROADCASTS: number = 1 << 12;

// Local vector table (SDM vol. 3, 12.5.1, figure 12-8).
export const LVT_VECTOR = 0xff;
export const LVT_MODE = 0x700;
export const LVT_STATUS: number = 1 << 12; // always idle: delivery takes no time
export const LVT_REMOTE_IRR: number = 1 << 14;
export const LVT_LEVEL: number = 1 << 15;
export const LVT_MASKED: number = 1 << 16;
export const LVT_TIMER_MODE_SHIFT = 17;
export const LVT_COUNT = 6;
/** Writable bits of the LVT registers from LAPIC_LVT_TIMER to LAPIC_LVT_ERROR. */
export const LVT_VALID: readonly number[] = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff];

export const TIMER_ONE_SHOT = 0;
export const TIMER_PERIODIC = 1;
export const TIMER_TSC_DEADLINE = 2;
export const TIMER_DIVIDE_VALID = 0x0b;

// Error status register (SDM vol. 3, 12.5.3).
export const ESR_SEND_ILLEGAL_VECTOR: number = 1 << 5;
export const ESR_RECEIVE_ILLEGAL_VECTOR: number = 1 << 6;
export const ESR_ILLEGAL_REGISTER: number = 1 << 7;

// Interrupt command word: the low half of the ICR (SDM vol. 3, 12.6.1). Messages of the I/O APIC and MSIs use the same layout here.
export const COMMAND_VECTOR = 0xff;
export const COMMAND_MODE = 0x700;
export const COMMAND_LOGICAL: number = 1 << 11;
export const COMMAND_ASSERT: number = 1 << 14;
export const COMMAND_LEVEL: number = 1 << 15;
export const COMMAND_SHORTHAND_SHIFT = 18;
export const COMMAND_BUSY: number = 1 << 12; // reads 0: messages are sent within the store
export const COMMAND_VALID = 0x000c_cfff;
export const SHORTHAND_NONE = 0;
export const SHORTHAND_SELF = 1;
export const SHORTHAND_ALL = 2;

// Delivery modes, in place at bits 10:8.
export const MODE_FIXED: number = 0 << 8;
export const MODE_LOWEST: number = 1 << 8;
export const MODE_SMI: number = 2 << 8;
export const MODE_NMI: number = 4 << 8;
export const MODE_INIT: number = 5 << 8;
export const MODE_STARTUP: number = 6 << 8;
export const MODE_EXTINT: number = 7 << 8;

/** Vectors below this one are illegal in messages and in the LVT (SDM vol. 3, 12.5.2). */
export const FIRST_LEGAL_VECTOR = 0x10;
/** Destination that addresses every local APIC; the 8-bit sources widen 0xff to it. */
export const DESTINATION_ALL = 0xffff_ffff;

// IA32_APIC_BASE (SDM vol. 3, 12.4.4).
export const MSR_APIC_BASE = 0x1b;
export const MSR_TSC_DEADLINE = 0x6e0;
export const MSR_X2APIC_FIRST = 0x800;
export const MSR_X2APIC_LAST = 0x8ff;
export const APIC_BASE_BSP: number = 1 << 8;
export const APIC_BASE_EXTENDED: number = 1 << 10;
export const APIC_BASE_ENABLE: number = 1 << 11;
export const APIC_BASE_RESERVED_LOW = 0x2ff;
export const APIC_DEFAULT_BASE = 0xfee0_0000;

// I/O APIC (82093AA data sheet, 3.1 and 3.2).
export const IOAPIC_SELECT = 0x00;
export const IOAPIC_WINDOW = 0x10;
export const IOAPIC_EOI = 0x40; // from version 0x20 on
export const IOAPIC_REG_ID = 0x00;
export const IOAPIC_REG_VERSION = 0x01;
export const IOAPIC_REG_ARBITRATION = 0x02;
export const IOAPIC_REG_TABLE = 0x10;
export const IOAPIC_ID_VALID = 0x0f00_0000;

// Redirection table entry, low half (82093AA data sheet, 3.2.4).
export const RTE_VECTOR = 0xff;
export const RTE_MODE = 0x700;
export const RTE_LOGICAL: number = 1 << 11;
export const RTE_REMOTE_IRR: number = 1 << 14;
export const RTE_LEVEL: number = 1 << 15;
export const RTE_MASKED: number = 1 << 16;
export const RTE_WRITABLE = 0x0001_afff;
