/** Registers of the high precision event timers: IA-PC HPET specification 1.0a, section 2.3. */
export const REGISTER_BYTES = 0x400;

export const ID = 0x000; // 2.3.4
export const PERIOD = 0x004; // femtoseconds a tick
export const CONFIG = 0x010; // 2.3.5
export const STATUS = 0x020; // 2.3.6
export const COUNTER = 0x0f0; // 2.3.7

export const TIMERS = 3;
export const TIMER_BASE = 0x100;
export const TIMER_STRIDE = 0x20;
export const TIMER_CONFIG = 0x00; // 2.3.8
export const TIMER_ROUTES = 0x04;
export const TIMER_COMPARATOR = 0x08; // 2.3.9

export const NANOS_PER_TICK = 10;
export const PERIOD_FS: number = NANOS_PER_TICK * 1e6;
const REVISION = 1;
const COUNTER_64 = 1 << 13;
const VENDOR = 0x8086;
/** Three timers, a counter of 64 bits, and no replacement of the timers of ISA. */
export const HPET_ID: number = ((VENDOR << 16) | COUNTER_64 | ((TIMERS - 1) << 8) | REVISION) >>> 0;

export const CONFIG_ENABLE: number = 1 << 0;

export const LEVEL: number = 1 << 1;
export const ENABLE: number = 1 << 2;
export const PERIODIC: number = 1 << 3;
export const PERIODIC_CAPABLE: number = 1 << 4;
export const SIZE_64: number = 1 << 5;
export const SET_VALUE: number = 1 << 6;
export const MODE_32: number = 1 << 8;
export const ROUTE_SHIFT = 9;
export const ROUTE_MASK: number = 0x1f << ROUTE_SHIFT;
export const TIMER_WRITABLE: number = LEVEL | ENABLE | PERIODIC | MODE_32;
