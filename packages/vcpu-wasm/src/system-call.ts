/**
 * Numbers of the system functions that emitted code calls in TypeScript: what is rare, or touches the machine outside
 * the register file. Operands come through the uop and SCRATCH.
 */
export const HLT = 1;
export const CPUID = 2;
export const RDMSR = 3;
export const WRMSR = 4;
export const RDTSC = 5;
export const RDTSCP = 6;
export const RDPMC = 7;
export const READ_CONTROL = 8;
export const WRITE_CONTROL = 9;
export const READ_DEBUG = 10;
export const WRITE_DEBUG = 11;
export const CLTS = 12;
export const LMSW = 13;
/** SCRATCH: linear address. */
export const LGDT = 14;
export const LIDT = 15;
/** SCRATCH: selector. */
export const LLDT = 16;
export const LTR = 17;
export const VERR = 18;
export const VERW = 19;
export const LAR = 20;
export const LSL = 21;
/** SCRATCH: selector; register operand 0: segment register. */
export const LOAD_SEGMENT = 22;
/** SCRATCH: selector, SCRATCH + 8: offset; les, lds, lss, lfs, lgs. */
export const LOAD_FAR_POINTER = 23;
export const POP_SEGMENT = 24;
/** SCRATCH: offset, SCRATCH + 8: selector. */
export const FAR_CALL = 25;
export const FAR_JUMP = 26;
/** Immediate: bytes to drop. */
export const FAR_RETURN = 27;
export const IRET = 28;
export const SOFTWARE_INTERRUPT = 29;
export const BREAKPOINT = 30;
export const OVERFLOW = 31;
export const DEBUG_TRAP = 32;
export const SYSCALL = 33;
export const SYSRET = 34;
export const SYSENTER = 35;
export const SYSEXIT = 36;
export const INVLPG = 37;
export const WBINVD = 38;
export const INTERRUPT_SHADOW = 39;
export const STI_WITHOUT_PRIVILEGE = 40;
export const CLI_WITHOUT_PRIVILEGE = 41;
export const VIRTUAL_8086_PUSHF = 42;
export const VIRTUAL_8086_POPF = 43;
/** TF or AC was set. */
export const FLAGS_ATTENTION = 44;
export const ENTER_NESTED = 45;
/** INS and OUTS: may the port in DX be used? Raises #GP before memory is looked at. */
export const CHECK_PORT = 46;
export const XGETBV = 47;
export const XSETBV = 48;
export const FXSAVE = 49;
export const FXRSTOR = 50;
/** SCRATCH: linear address. */
export const XSAVE = 51;
export const XSAVEOPT = 52;
export const XRSTOR = 53;
/** VMCALL and VMMCALL. */
export const HYPERCALL = 55;
/** Raises the exception that CR0 and CR4 ask for. */
export const X87_NOT_AVAILABLE = 57;
export const SSE_NOT_AVAILABLE = 58;
export const AVX_NOT_AVAILABLE = 54;
/** #MF, or what CR0.NE = 0 makes of it, when an unmasked x87 exception is pending. */
export const X87_PENDING_EXCEPTION = 59;
/** #XM or #UD: an unmasked SSE exception. */
export const SSE_EXCEPTION = 60;
export const FWAIT = 61;
/** SCRATCH: type, SCRATCH + 16: descriptor. */
export const INVPCID = 62;
