// Ports and registers of the keyboard controller (IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary
// device controller, type 1).
export const DATA_PORT = 0x60;
export const COMMAND_PORT = 0x64; // read: status
export const SYSTEM_PORT = 0x92; // system control port A of the chipset

// Status.
export const STATUS_OUTPUT_FULL: number = 1 << 0;
export const STATUS_SYSTEM: number = 1 << 2; // as the bit of the same name in the configuration
export const STATUS_COMMAND: number = 1 << 3; // the last byte from the processor came to the command port
export const STATUS_UNLOCKED: number = 1 << 4; // the key of the case is open
export const STATUS_MOUSE: number = 1 << 5; // the byte in the output buffer is from the second port

// Configuration, byte 0 of the controller's memory.
export const CONFIG_KEYBOARD_INTERRUPT: number = 1 << 0;
export const CONFIG_MOUSE_INTERRUPT: number = 1 << 1;
export const CONFIG_SYSTEM: number = 1 << 2;
export const CONFIG_KEYBOARD_OFF: number = 1 << 4;
export const CONFIG_MOUSE_OFF: number = 1 << 5;
export const CONFIG_TRANSLATE: number = 1 << 6;
export const CONFIG_VALID = 0x77;

export const MEMORY_BYTES = 32;

// Commands.
export const READ_MEMORY = 0x20; // and the 31 after it
export const WRITE_MEMORY = 0x60;
export const MOUSE_DISABLE = 0xa7;
export const MOUSE_ENABLE = 0xa8;
export const MOUSE_TEST = 0xa9;
export const SELF_TEST = 0xaa;
export const KEYBOARD_TEST = 0xab;
export const KEYBOARD_DISABLE = 0xad;
export const KEYBOARD_ENABLE = 0xae;
export const READ_INPUT_PORT = 0xc0;
export const READ_OUTPUT_PORT = 0xd0;
export const WRITE_OUTPUT_PORT = 0xd1;
export const WRITE_KEYBOARD_BUFFER = 0xd2;
export const WRITE_MOUSE_BUFFER = 0xd3;
export const WRITE_MOUSE = 0xd4;
export const READ_TEST_INPUTS = 0xe0;
export const PULSE_OUTPUT_PORT = 0xf0; // and the 15 after it: the low bits that are 0 go low for a moment

export const SELF_TEST_PASSED = 0x55;
export const PORT_TEST_PASSED = 0x00;
export const INPUT_PORT = 0xa0; // key of the case open, colour display not jumpered away

// Output port.
export const OUTPUT_NOT_RESET: number = 1 << 0;
export const OUTPUT_A20: number = 1 << 1;
export const OUTPUT_KEYBOARD_FULL: number = 1 << 4;
export const OUTPUT_MOUSE_FULL: number = 1 << 5;
export const OUTPUT_ONES = 0xcc; // clock and data of both ports, idle

// System control port A.
export const SYSTEM_RESET: number = 1 << 0; // on its rise
export const SYSTEM_A20: number = 1 << 1;

// What keyboard and mouse answer.
export const ACKNOWLEDGE = 0xfa;
export const RESEND = 0xfe;
export const TEST_PASSED = 0xaa;
/** Bytes that a keyboard or mouse holds back while the controller does not take them. */
export const QUEUE_BYTES = 16;
