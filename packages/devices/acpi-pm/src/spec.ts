// Fixed hardware registers (ACPI 6.5, 4.8.3), as offsets in one block of ports.
export const EVENT = 0x00; // status, then enable, two bytes each
export const CONTROL = 0x04;
export const TIMER = 0x08;
export const EVENTS = 0x0c; // general-purpose events 0 to 15 (4.8.4.1): status, then enable, two bytes each
export const BLOCK_BYTES = 0x10;

// PM1 status and enable (4.8.3.1).
export const TIMER_OVERFLOW: number = 1 << 0;
export const GLOBAL: number = 1 << 5;
export const POWER_BUTTON: number = 1 << 8;
export const SLEEP_BUTTON: number = 1 << 9;
export const RTC_ALARM: number = 1 << 10;
export const WAKE: number = 1 << 15;
export const STATUS_VALID: number = TIMER_OVERFLOW | 1 << 4 | GLOBAL | POWER_BUTTON | SLEEP_BUTTON | RTC_ALARM | WAKE;
export const ENABLE_VALID: number = TIMER_OVERFLOW | GLOBAL | POWER_BUTTON | SLEEP_BUTTON | RTC_ALARM;

// PM1 control (4.8.3.2.1).
export const SCI_ENABLE: number = 1 << 0;
export const SLEEP_TYPE_SHIFT = 10;
export const SLEEP_ENABLE: number = 1 << 13;
export const CONTROL_KEPT = 0x1c03;

/** Power management timer (4.8.3.3). */
export const PM_TIMER_HZ = 3_579_545;
export const TIMER_HALF = 0x80_0000; // the status bit is set whenever bit 23 changes
