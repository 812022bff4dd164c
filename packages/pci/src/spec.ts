// Configuration space, type 0 header (PCI Local Bus Specification 3.0, 6.1 and 6.2), offsets in bytes.
export const CONFIG_BYTES = 256;
export const VENDOR = 0x00;
export const DEVICE = 0x02;
export const COMMAND = 0x04;
export const STATUS = 0x06;
export const REVISION = 0x08;
export const CLASS = 0x09; // three bytes: programming interface, subclass, class
export const HEADER_TYPE = 0x0e;
export const BARS = 0x10;
export const BAR_COUNT = 6;
export const SUBSYSTEM_VENDOR = 0x2c;
export const SUBSYSTEM = 0x2e;
export const CAPABILITIES = 0x34;
export const INTERRUPT_LINE = 0x3c;
export const INTERRUPT_PIN = 0x3d;
export const HEADER_END = 0x40;

// Command (6.2.2).
export const COMMAND_PORTS: number = 1 << 0;
export const COMMAND_MEMORY: number = 1 << 1;
export const COMMAND_MASTER: number = 1 << 2;
export const COMMAND_NO_INTX: number = 1 << 10;

// Status (6.2.3).
export const STATUS_INTX: number = 1 << 3;
export const STATUS_CAPABILITIES: number = 1 << 4;

export const HEADER_MULTIFUNCTION = 0x80;
export const BAR_PORTS = 1;

// Capabilities (appendix H).
export const CAPABILITY_MSI = 0x05;
export const CAPABILITY_VENDOR = 0x09;
export const CAPABILITY_MSIX = 0x11;

// MSI (6.8.1): offsets from the capability, with a 64-bit address.
export const MSI_BYTES = 14;
export const MSI_CONTROL = 2;
export const MSI_ADDRESS = 4;
export const MSI_DATA = 12;
export const MSI_ENABLE: number = 1 << 0;
export const MSI_WIDE: number = 1 << 7;

// MSI-X (6.8.2).
export const MSIX_BYTES = 12;
export const MSIX_CONTROL = 2;
export const MSIX_TABLE = 4;
export const MSIX_PENDING = 8;
export const MSIX_ENABLE: number = 1 << 15;
export const MSIX_MASK_ALL: number = 1 << 14;
export const MSIX_ENTRY_BYTES = 16;
export const MSIX_ENTRY_MASKED = 1;
