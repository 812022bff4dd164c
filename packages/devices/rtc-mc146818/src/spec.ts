// Registers of the MC146818A (Motorola data sheet, figure 11) and of the PC's use of its memory.
export const SECONDS = 0x00;
export const SECONDS_ALARM = 0x01;
export const MINUTES = 0x02;
export const MINUTES_ALARM = 0x03;
export const HOURS = 0x04;
export const HOURS_ALARM = 0x05;
export const WEEKDAY = 0x06; // 1 is Sunday
export const DAY = 0x07;
export const MONTH = 0x08;
export const YEAR = 0x09;
export const REGISTER_A = 0x0a;
export const REGISTER_B = 0x0b;
export const REGISTER_C = 0x0c;
export const REGISTER_D = 0x0d;
export const FIRST_MEMORY = 0x0e;
export const CENTURY = 0x32;
export const BYTES = 128;

export const A_UPDATING = 0x80;
export const A_DIVIDER = 0x70;
export const A_DIVIDER_RESET = 0x60; // 11x: the chain below one second stands still
export const A_RATE = 0x0f;

export const B_SET = 0x80;
export const B_PERIODIC = 0x40;
export const B_ALARM = 0x20;
export const B_UPDATE = 0x10;
export const B_SQUARE_WAVE = 0x08;
export const B_BINARY = 0x04;
export const B_24_HOURS = 0x02;

export const C_INTERRUPT = 0x80;
export const C_FLAGS = 0x70; // in the places of their enable bits in B

export const D_POWER_GOOD = 0x80;

/** An alarm register with both high bits set matches every value. */
export const ALARM_ANY = 0xc0;

/** The update-in-progress bit rises 244 microseconds before an update that takes 1984 (data sheet, table 6). */
export const UPDATE_NS = 2_228_000;
