/** Ports and memory as QEMU's devices pc-testdev and isa-debug-exit have them, which test programs were written for. */
export const EXIT_PORT = 0xf4; // a write of 1, 2 or 4 bytes ends the machine
export const EXIT_BYTES = 4;
export const ECHO_PORT = 0xe0; // a register of 32 bits
export const ECHO_BYTES_PORT = 0xe8; // the same register, byte by byte
export const ECHO_BYTES = 4;
export const FORGET_PORT = 0xe4; // an address: the host may forget what it knows of that page
export const FORGET_BYTES = 4;
export const LINE_PORT = 0x2000; // a port for each interrupt line
export const LINE_COUNT = 24;
export const LINE_PORTS: number = LINE_COUNT + 3; // so that 4 bytes to the last one come in one piece
export const MEMORY_BASE = 0xff00_0000; // device registers that keep what is written
export const MEMORY_BYTES = 0x1_0000;
export const SYNTHETIC_PORT = 0x3000; // connections of a synthetic interrupt controller to itself
export const SYNTHETIC_BYTES = 4;
export const SHUTDOWN_PORT = 0x8900; // takes a word, letter by letter
export const SHUTDOWN_WORD = 'Shutdown';
