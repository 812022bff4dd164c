// Virtual I/O Device (VIRTIO) Version 1.2, cited by section.

// Device status (2.1).
export const STATUS_DRIVER_OK = 4;
export const STATUS_FEATURES_OK = 8;
export const STATUS_NEEDS_RESET = 0x40;

// Features of all devices, as bit numbers (6).
export const FEATURE_INDIRECT = 28;
export const FEATURE_EVENT_INDEX = 29;
export const FEATURE_VERSION_1 = 32;
export const FEATURE_PACKED = 34;

// Descriptors (2.7.5, 2.8.13).
export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR_NEXT = 1;
export const DESCRIPTOR_WRITE = 2;
export const DESCRIPTOR_INDIRECT = 4;
export const DESCRIPTOR_AVAILABLE: number = 1 << 7; // packed rings
export const DESCRIPTOR_USED: number = 1 << 15;
export const AVAILABLE_NO_INTERRUPT = 1; // split rings (2.7.6)

// Event suppression of packed rings (2.8.14).
export const EVENTS_ENABLED = 0;
export const EVENTS_DISABLED = 1;
export const EVENTS_AT_DESCRIPTOR = 2;

// PCI transport (4.1).
export const VENDOR = 0x1af4;
export const FIRST_DEVICE = 0x1040;
export const CAPABILITY_COMMON = 1;
export const CAPABILITY_NOTIFY = 2;
export const CAPABILITY_ISR = 3;
export const CAPABILITY_DEVICE = 4;
export const CAPABILITY_PCI = 5;
export const ISR_QUEUE = 1;
export const ISR_CONFIG = 2;
export const NO_VECTOR = 0xffff;
/** The structures lie in one window, a page each. */
export const WINDOW = 4;
export const MSIX_WINDOW = 1;
export const WINDOW_BYTES = 0x4000;
export const COMMON_PAGE = 0;
export const ISR_PAGE = 1;
export const DEVICE_PAGE = 2;
export const NOTIFY_PAGE = 3;
export const PAGE_BYTES = 0x1000;
export const NOTIFY_STEP = 4;

// Common configuration (4.1.4.3).
export const COMMON_DEVICE_FEATURE_SELECT = 0x00;
export const COMMON_DEVICE_FEATURE = 0x04;
export const COMMON_DRIVER_FEATURE_SELECT = 0x08;
export const COMMON_DRIVER_FEATURE = 0x0c;
export const COMMON_CONFIG_VECTOR = 0x10;
export const COMMON_QUEUES = 0x12;
export const COMMON_STATUS = 0x14;
export const COMMON_GENERATION = 0x15;
export const COMMON_QUEUE_SELECT = 0x16;
export const COMMON_QUEUE_SIZE = 0x18;
export const COMMON_QUEUE_VECTOR = 0x1a;
export const COMMON_QUEUE_ENABLE = 0x1c;
export const COMMON_QUEUE_NOTIFY_OFFSET = 0x1e;
export const COMMON_QUEUE_DESCRIPTORS = 0x20;
export const COMMON_QUEUE_DRIVER = 0x28;
export const COMMON_QUEUE_DEVICE = 0x30;
export const COMMON_QUEUE_NOTIFY_DATA = 0x38;
export const COMMON_BYTES = 0x40;

// Block device (5.2).
export const BLOCK_DEVICE = 2;
export const BLOCK_SEG_MAX = 2;
export const BLOCK_READ_ONLY = 5;
export const BLOCK_SIZE = 6;
export const BLOCK_FLUSH = 9;
export const BLOCK_DISCARD = 13;
export const BLOCK_WRITE_ZEROES = 14;
export const SECTOR_BYTES = 512;
export const BLOCK_HEADER_BYTES = 16;
export const BLOCK_ID_BYTES = 20;
export const REQUEST_READ = 0;
export const REQUEST_WRITE = 1;
export const REQUEST_FLUSH = 4;
export const REQUEST_GET_ID = 8;
export const REQUEST_DISCARD = 11;
export const REQUEST_WRITE_ZEROES = 13;
export const BLOCK_OK = 0;
export const BLOCK_IO_ERROR = 1;
export const BLOCK_UNSUPPORTED = 2;

/** Entropy device (5.4). */
export const ENTROPY_DEVICE = 4;

/** Console device (5.3). */
export const CONSOLE_DEVICE = 3;
export const CONSOLE_SIZE = 0;
export const CONSOLE_MULTIPORT = 1;
export const CONSOLE_RECEIVE = 0;
export const CONSOLE_TRANSMIT = 1;
export const CONSOLE_CONTROL_RECEIVE = 2;
export const CONSOLE_CONTROL_TRANSMIT = 3;

// Control messages of a console with several ports (5.3.6.2).
export const CONTROL_BYTES = 8; // port, event, value
export const CONTROL_DEVICE_READY = 0;
export const CONTROL_DEVICE_ADD = 1;
export const CONTROL_PORT_READY = 3;
export const CONTROL_CONSOLE_PORT = 4;
export const CONTROL_PORT_OPEN = 6;
