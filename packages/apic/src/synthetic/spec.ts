/** Numbers of the hypervisor's published interface: Hypervisor Top Level Functional Specification 6.0b (TLFS). */

// Synthetic model-specific registers (TLFS, appendix C).
export const MSR_GUEST_OS_ID = 0x4000_0000;
export const MSR_HYPERCALL = 0x4000_0001;
export const MSR_VP_INDEX = 0x4000_0002;
export const MSR_RESET = 0x4000_0003;
export const MSR_VP_RUNTIME = 0x4000_0010;
export const MSR_TIME_REF_COUNT = 0x4000_0020;
export const MSR_REFERENCE_TSC = 0x4000_0021;
export const MSR_TSC_FREQUENCY = 0x4000_0022;
export const MSR_APIC_FREQUENCY = 0x4000_0023;
export const MSR_EOI = 0x4000_0070;
export const MSR_ICR = 0x4000_0071;
export const MSR_TPR = 0x4000_0072;
export const MSR_VP_ASSIST_PAGE = 0x4000_0073;
export const MSR_SCONTROL = 0x4000_0080;
export const MSR_SVERSION = 0x4000_0081;
export const MSR_SIEFP = 0x4000_0082;
export const MSR_SIMP = 0x4000_0083;
export const MSR_EOM = 0x4000_0084;
export const MSR_SINT0 = 0x4000_0090;
export const MSR_STIMER0 = 0x4000_00b0; // configuration and count of four timers
export const MSR_CRASH_P0 = 0x4000_0100;
export const MSR_CRASH_CTL = 0x4000_0105;
export const MSR_TSC_INVARIANT = 0x4000_0118;

export const SOURCES = 16;
export const TIMERS = 4;
export const PAGE_ENABLE = 1;

// Synthetic interrupt sources (TLFS, 11.8.4).
export const SINT_VECTOR = 0xff;
export const SINT_MASKED: number = 1 << 16;
export const SINT_AUTO_EOI: number = 1 << 17;
export const SINT_POLLING: number = 1 << 18;
export const SINT_RESET: number = SINT_MASKED;

// A slot of the message page (TLFS, 11.10.1): type, then size, flags and reserved, sender, payload.
export const SLOT_BYTES = 256;
export const SLOT_TYPE = 0;
export const SLOT_HEADER = 4; // size in bits 7:0, flags in bits 15:8
export const SLOT_SENDER = 8;
export const SLOT_PAYLOAD = 16;
export const MOST_PAYLOAD = 240;
export const HEADER_PENDING: number = 1 << 8;
export const MESSAGE_TIMER = 0x8000_0010;
export const MESSAGE_OF_HYPERVISOR = 0x8000_0000;
/** Event flags of one source. */
export const FLAGS = 2048;

// Timer configuration (TLFS, 12.3.1).
export const STIMER_ENABLE = 1;
export const STIMER_PERIODIC = 2;
export const STIMER_LAZY = 4;
export const STIMER_AUTO_ENABLE = 8;
export const STIMER_DIRECT: number = 1 << 12;
export const STIMER_VALID = 0xf_1fff;

// Hypercall results (TLFS, appendix B).
export const STATUS_SUCCESS = 0;
export const STATUS_INVALID_CODE = 2;
export const STATUS_INVALID_INPUT = 3;
export const STATUS_INVALID_ALIGNMENT = 4;
export const STATUS_INVALID_PARAMETER = 5;
export const STATUS_ACCESS_DENIED = 6;
export const STATUS_INVALID_PORT = 0x11;
export const STATUS_INVALID_CONNECTION = 0x12;
export const STATUS_INSUFFICIENT_BUFFERS = 0x13;
export const STATUS_INVALID_SYNIC_STATE = 0x18;

// Hypercall codes (TLFS, appendix A).
export const CALL_FLUSH_SPACE = 0x0002;
export const CALL_FLUSH_LIST = 0x0003;
export const CALL_LONG_SPIN_WAIT = 0x0008;
export const CALL_SEND_IPI = 0x000b;
export const CALL_FLUSH_SPACE_EX = 0x0013;
export const CALL_FLUSH_LIST_EX = 0x0014;
export const CALL_SEND_IPI_EX = 0x0015;
export const CALL_POST_MESSAGE = 0x005c;
export const CALL_SIGNAL_EVENT = 0x005d;

// Privileges of a partition: CPUID leaf 0x40000003, EAX and EBX (TLFS, 4.2.2).
export const MAY_READ_RUNTIME = 1;
export const MAY_READ_COUNTER = 2;
export const MAY_USE_SYNIC = 4;
export const MAY_USE_TIMERS = 8;
export const MAY_USE_APIC = 0x10;
export const MAY_CALL = 0x20;
export const MAY_READ_INDEX = 0x40;
export const MAY_RESET = 0x80;
export const MAY_USE_TSC_PAGE = 0x200;
export const MAY_READ_FREQUENCIES = 0x800;
export const MAY_MAKE_TSC_INVARIANT = 0x8000;
export const MAY_POST = 0x10; // EBX
export const MAY_SIGNAL = 0x20; // EBX
// Features, EDX of that leaf.
export const HAS_FREQUENCIES = 0x100;
export const HAS_CRASH_REGISTERS = 0x400;
export const HAS_DIRECT_TIMERS: number = 1 << 19;
// Recommendations: leaf 0x40000004, EAX.
export const HINT_REMOTE_FLUSH = 4;
export const HINT_APIC_REGISTERS = 8;
export const HINT_RELAXED_TIMING = 0x20;
export const HINT_NO_AUTO_EOI = 0x200;
export const HINT_CLUSTER_IPI = 0x400;
export const HINT_WIDE_MASKS = 0x800;
