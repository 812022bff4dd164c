// ATA/ATAPI-6 and the IDE function of the 82371AB (PIIX4).
export const SECTOR_BYTES = 512;
export const DRIVES = 2; // a channel

// Command block, offsets (ATA/ATAPI-6, 7).
export const DATA = 0;
export const ERROR = 1; // read; features when written
export const COUNT = 2;
export const LBA_LOW = 3;
export const LBA_MIDDLE = 4;
export const LBA_HIGH = 5;
export const DEVICE = 6;
export const STATUS = 7; // read; command when written
export const BLOCK_BYTES = 8;

export const STATUS_BUSY = 0x80;
export const STATUS_READY = 0x40;
export const STATUS_FAULT = 0x20;
export const STATUS_SEEK_COMPLETE = 0x10;
export const STATUS_REQUEST = 0x08;
export const STATUS_ERROR = 0x01;
export const ERROR_ABORTED = 0x04;
export const ERROR_NOT_FOUND = 0x10;
export const ERROR_UNCORRECTABLE = 0x40;
export const DEVICE_SECOND = 0x10;
export const DEVICE_LBA = 0x40;
export const CONTROL_NO_INTERRUPT = 0x02;
export const CONTROL_RESET = 0x04;
export const CONTROL_PREVIOUS = 0x80;

// Bus master registers of a channel (Programming Interface for Bus Master IDE Controller 1.0, 2).
export const MASTER_COMMAND = 0;
export const MASTER_STATUS = 2;
export const MASTER_TABLE = 4;
export const MASTER_BYTES = 8;
export const MASTER_START = 0x01;
export const MASTER_TO_MEMORY = 0x08;
export const MASTER_ACTIVE = 0x01;
export const MASTER_ERROR = 0x02;
export const MASTER_INTERRUPT = 0x04;
export const MASTER_CAPABLE = 0x60;
export const TABLE_LAST = 0x8000_0000;
export const TABLE_ENTRY_BYTES = 8;
export const TABLE_BYTES = 0x1_0000; // a table lies within 64 KiB

// PIIX4 (290562-001, 2 and 5).
export const VENDOR = 0x8086;
export const ISA_BRIDGE = 0x7110;
export const IDE = 0x7111;
export const CLASS_ISA_BRIDGE = 0x06_0100;
export const CLASS_IDE_MASTER = 0x01_0180;
export const TIMING = 0x40; // two bytes a channel
export const TIMING_ENABLED = 0x80; // of the second byte: the ports are decoded
