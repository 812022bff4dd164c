// Register offsets of the 16550A (National PC16550D data sheet, table 2).
export const DATA = 0; // RBR on reads, THR on writes; divisor low while DLAB
export const IER = 1; // divisor high while DLAB
export const IIR = 2; // FCR on writes
export const LCR = 3;
export const MCR = 4;
export const LSR = 5;
export const MSR = 6;
export const SCR = 7;

export const IER_RECEIVED: number = 1 << 0;
export const IER_TRANSMIT_EMPTY: number = 1 << 1;
export const IER_LINE_STATUS: number = 1 << 2;
export const IER_MODEM_STATUS: number = 1 << 3;
export const IER_VALID = 0x0f;

// Causes in falling priority (data sheet, table 3).
export const CAUSE_NONE = 0x01;
export const CAUSE_LINE_STATUS = 0x06;
export const CAUSE_RECEIVED = 0x04;
export const CAUSE_RECEIVE_TIMEOUT = 0x0c;
export const CAUSE_TRANSMIT_EMPTY = 0x02;
export const CAUSE_MODEM_STATUS = 0x00;
export const IIR_FIFOS = 0xc0;

export const FCR_ENABLE: number = 1 << 0;
export const FCR_CLEAR_RECEIVE: number = 1 << 1;
export const FCR_TRIGGER_SHIFT = 6;
export const TRIGGER_LEVELS: readonly number[] = [1, 4, 8, 14];
export const FIFO_BYTES = 16;

export const LCR_DIVISOR: number = 1 << 7;

export const MCR_DTR: number = 1 << 0;
export const MCR_RTS: number = 1 << 1;
export const MCR_OUT1: number = 1 << 2;
export const MCR_OUT2: number = 1 << 3; // on a PC it gates the interrupt line
export const MCR_LOOP: number = 1 << 4;
export const MCR_VALID = 0x1f;

export const LSR_DATA_READY: number = 1 << 0;
export const LSR_OVERRUN: number = 1 << 1;
export const LSR_ERRORS = 0x1e;
export const LSR_TRANSMIT_EMPTY = 0x60; // holding register and transmitter

export const MSR_CTS: number = 1 << 4;
export const MSR_DSR: number = 1 << 5;
export const MSR_RI: number = 1 << 6;
export const MSR_DCD: number = 1 << 7;
export const MSR_RI_ENDED: number = 1 << 2;
export const MSR_DELTAS = 0x0f;
