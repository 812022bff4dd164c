/**
 * Layout of one virtual processor's block in the reserve below guest RAM.
 *
 * Generated code receives the address of the block as its first parameter and reaches everything in it by a static
 * offset, so the same module and the same regions serve every processor. All offsets are in bytes.
 *
 *   | 0x0000 state | 0x1000 scratch uops | 0x2000 translator | 0x3000 large pages | 0x1_0000 TLBs | 0x9_0000 heat | 0xb_0000 writers | 0xc_0000 landings
 *   | 0x10_0000 decode maps | 0x10_8000 end |
 */

/** General registers, 8 bytes each, in encoding order (rax rcx rdx rbx rsp rbp rsi rdi r8..r15). */
export const GPR = 0x000;
/** Always zero: the base or index register that an address does not have. */
export const ZERO = 0x080;
/** Instruction-pointer value of byte 0 of the code page being executed. */
export const PAGE_RIP = 0x088;
/** Segment bases, 8 bytes each: es cs ss ds fs gs ldtr tr. */
export const SEGMENT_BASE = 0x090;

// Arithmetic flags, kept lazily. ZF = (result == 0); SF = sign of result xor FX bit 16; PF = parity of the low byte of
// result xor FX bits 8-15; AF = bit 4 of (FX xor result); CF = bit 63 of carry; OF = bit 63 xor bit 62 of carry.
/** Last result, sign-extended from its operand size. */
export const FLAG_RESULT = 0x0d0;
/** Carry-out of each bit position, shifted so that the operand's top bit is bit 63. */
export const FLAG_CARRY = 0x0d8;
/** Low byte: xor of the two operands; bits 8-15: parity correction; bit 16: sign correction. */
export const FLAG_EXTRA = 0x0e0;
/** All other bits of RFLAGS in their architectural places (IF, DF, TF, IOPL, NT, RF, VM, AC, VIF, VIP, ID). */
export const FLAGS_OTHER = 0x0e4;

/** Instruction pointer; current only outside generated code and where a handler has just set it. */
export const RIP = 0x0e8;
/** Instructions left before generated code returns; 0 makes it return at the next boundary. */
export const BUDGET = 0x0f0;
/** Instructions taken away from BUDGET by a request for attention, to be given back. */
export const BUDGET_HELD = 0x0f4;
/** Micro-operation being executed. */
export const CURRENT_UOP = 0x0f8;
/** Not 0: an interrupt or another event may be deliverable once RFLAGS.IF allows it. */
export const EVENT_PENDING = 0x0fc;

/** Decode map of the code page being executed (address in the linear memory). */
export const CODE_PAGE = 0x5f8;

/** 128 bytes in which an x87 environment or state is put together. */
export const X87_IMAGE = 0x700;

export const XMM = 0x100;
export const YMM_HIGH = 0x200;
/** x87 registers R0..R7 in physical order, 16 bytes each: 64-bit significand, then 16-bit sign and exponent. */
export const X87 = 0x300;
export const X87_CONTROL = 0x380;
/** Status word without TOP, which is X87_TOP. */
export const X87_STATUS = 0x384;
export const X87_TOP = 0x388;
/** One byte a register: 1 = empty. */
export const X87_EMPTY = 0x390;
export const X87_OPCODE = 0x398;
export const X87_INSTRUCTION_POINTER = 0x3a0;
export const X87_DATA_POINTER = 0x3a8;
export const X87_CODE_SELECTOR = 0x3b0;
export const X87_DATA_SELECTOR = 0x3b4;
export const MXCSR = 0x3b8;

/** Tag (low 12 bits of the compare word) of data accesses and of instruction fetches, 8 bytes each. */
export const DATA_TAG = 0x3c0;
export const FETCH_TAG = 0x3c8;
/** Mask of the stack pointer outside 64-bit mode (0xffff or 0xffffffff), 8 bytes. */
export const STACK_MASK = 0x3d0;
/** Largest offset that may be read or written through a segment, 8 bytes each, -1 = ask the slow path: es cs ss ds fs gs. */
export const LIMIT_READ = 0x3e0;
export const LIMIT_WRITE = 0x410;
/** Current privilege level. */
export const CPL = 0x440;
/** Not 0: an x87 or MMX, or an SSE instruction raises #NM or #UD now (CR0.TS, CR0.EM, CR4.OSFXSR). */
export const X87_BLOCKED = 0x444;
export const SSE_BLOCKED = 0x448;
/** The same for AVX (CR0.TS, CR4.OSXSAVE, XCR0); that it needs protected mode is not in it. */
export const AVX_BLOCKED = 0x44c;
/** 16 bytes through which the slow paths pass values. */
export const VALUE = 0x450;
/** Added to the number of bytes that a slow path is given, where no address is misaligned for the instruction. */
export const ANY_ALIGNMENT = 0x80;
/** 32 further bytes for multi-part results of helpers. */
export const SCRATCH = 0x460;

/** Segment registers es cs ss ds fs gs ldtr tr: selector, attributes (descriptor bits 40-55 in bits 8-23), limit; 16 bytes each. */
export const SEGMENT = 0x480;
export const SEGMENT_STRIDE = 16;
export const SEGMENT_SELECTOR = 0;
export const SEGMENT_ATTRIBUTES = 4;
export const SEGMENT_LIMIT = 8;

export const CR0 = 0x500;
export const CR2 = 0x508;
export const CR3 = 0x510;
export const CR4 = 0x518;
export const EFER = 0x528;
export const XCR0 = 0x530;
/** dr0..dr7, 8 bytes each. */
export const DR = 0x540;
export const GDTR_BASE = 0x580;
export const GDTR_LIMIT = 0x588;
export const IDTR_BASE = 0x590;
export const IDTR_LIMIT = 0x598;
export const MSR_STAR = 0x5a0;
export const MSR_LSTAR = 0x5a8;
export const MSR_CSTAR = 0x5b0;
export const MSR_FMASK = 0x5b8;
export const MSR_KERNEL_GS_BASE = 0x5c0;
export const MSR_SYSENTER_CS = 0x5c8;
export const MSR_SYSENTER_ESP = 0x5d0;
export const MSR_SYSENTER_EIP = 0x5d8;
export const MSR_TSC_AUX = 0x5e0;
export const MSR_PAT = 0x5e8;
/** Added to the time-stamp source. */
export const TSC_OFFSET = 0x5f0;

/** The four page-directory pointers of PAE paging, as MOV to CR3 loaded them; 8 bytes each. */
export const PDPTE = 0x7c0;

/** State of the random-number generator behind RDRAND and RDSEED. */
export const RANDOM = 0x7e0;
export const MSR_MISC_ENABLE = 0x7e8;
/** The uop of a REP that has done some of its elements and not all, or 0. */
export const REPEATED = 0x7f0;
/** Memory-type ranges, 8 bytes each: bases and masks by turns, then the fixed ones, then the default. */
export const MTRR_VARIABLE = 0x800;
export const MTRR_FIXED = 0x880;
export const MTRR_DEFAULT = 0x8d8;
export const MTRR_END = 0x8e0;

/** Micro-operations that belong to no page: the exit and the ones that a handler runs out of line. */
export const STATIC_UOPS = 0x1000;

/** A constant: what an operand relative to RIP adds when its distance and its place in the page do not fit into 32 bits. */
export const PAGE_BYTES = 0x1800;

/** Added to an eighth of a uop's address: the word that says which region begins there. */
export const REGION_WORDS = 0x2000;
/** Not 0: outside 64-bit mode, CS, SS, DS and ES span all 4 GiB from 0 and the stack pointer has 32 bits. */
export const FLAT = 0x2004;
/** Instructions that ended in translated regions; 8 bytes. */
export const REGION_INSTRUCTIONS = 0x2010;
/** Accesses to memory that regions made, counted by whole blocks; 8 bytes. */
export const REGION_ACCESSES = 0x2018;
/** Why regions were left, counted by the numbers below; 8 bytes each. */
export const REGION_EXITS = 0x2020;
/** To code outside; to an address that only the instruction knew; before an instruction that is not done in a region or missed the TLB; for want of budget; behind a function of the interpreter that changed something. */
export const EXIT_BRANCH = 0, EXIT_ADDRESS = 1, EXIT_INSTRUCTION = 2, EXIT_BUDGET = 3, EXIT_CHANGE = 4;
/**
 * What a region says when it is left, 32 bits: in bits 11 to 0 how many instructions it has counted that it has not run, above them
 * why it was left, 0 where the rest says that.
 */
export const REGION_EXIT = 0x2048;
export const REGION_EXIT_REASON_SHIFT = 12;
/**
 * Not 0: the arithmetic flags are what this kind (flag-kind.ts) makes of the three values behind it, and not the words above: a region leaves them so for
 * the next one, which most often has no use for them. Only while regions run.
 */
export const FLAGS_PENDING = 0x20b8;
export const PENDING_RESULT = 0x20c0;
export const PENDING_A = 0x20c8;
export const PENDING_B = 0x20d0;
/** The uop of the entry where the budget ended last, 0 since somebody looked: where that is again and again, much of the time goes. */
export const SAMPLED = 0x20d8;
/** What TLB_BASE is for programs, for the system, and for the system while user pages are open to it: a page that two of them use has a place for each. 4 bytes each. */
export const TLB_BASES = 0x20dc;
export const BASE_USER = 0, BASE_SUPERVISOR = 4, BASE_OPEN = 8;

/** Not 0: something wants attention since this was last cleared, although there may have been no budget to take away. */
export const ATTENTION = 0x204c;

/**
 * Where a page may stand in the TLBs: TLB_BASE, which is the address of TLB_SLOT_ARRAY plus TLB_STRIDE times a number below TLB_WINDOWS
 * that goes with the tag, plus TLB_STRIDE times the low bits of the page number. So the windows of address spaces overlap, and what
 * they hold at equal addresses lies apart. A slot is a line of the host's cache and has the page's entries of all three TLBs, so
 * that code finds them at short distances.
 */
export const TLB_BASE = 0x2050;
export const TLB_ENTRIES = 4096;
export const TLB_WINDOWS = 4096;
export const TLB_SLOTS: number = TLB_ENTRIES + TLB_WINDOWS;
export const TLB_SLOT_ARRAY = 0x1_0000;
export const TLB_STRIDE = 64;
/** In a slot. Entry: i64 compare word, i32 addend (host offset = low 32 bits of the address + addend), i32 code page (fetch only). */
export const READ_TLB = 0;
export const WRITE_TLB = 16;
export const FETCH_TLB = 32;
export const TLB_ADDEND = 8;
export const TLB_CODE_PAGE = 12;
/**
 * The slots whose write entries lead to pages with the same low bits are in one list, so that the right to write to a page can be taken
 * away at once: addresses of the next slot and the one before, 0 at the ends, and of the word in WRITERS; all ones there: in no list.
 */
export const WRITER_NEXT = 48;
export const WRITER_PREVIOUS = 52;
export const WRITER_LIST = 56;

/**
 * What generated code needs to answer a miss from the shadow tables of @vm/shadow-mmu: this processor's block there (at 0 there is
 * none), the rights that a load and a store need now (0: it may not), and how often it did.
 */
export const SHADOW_BLOCK = 0x2054;
export const SHADOW_READ_NEED = 0x205c;
export const SHADOW_WRITE_NEED = 0x2060;
export const SHADOW_READS = 0x2068;
export const SHADOW_WRITES = 0x2070;
export const SHADOW_FETCHES = 0x20b0;
/** Frames of RAM from 0, then from another frame on, and where both lie in the linear memory. */
export const LOW_FRAMES = 0x2078;
export const LOW_OFFSET = 0x207c;
export const HIGH_FRAME = 0x2080;
export const HIGH_FRAMES = 0x2084;
export const HIGH_OFFSET = 0x2088;
/** Where the attribute bytes of pages are, and the offset in the linear memory that the first is for. */
export const ATTRIBUTES = 0x208c;
export const RAM_BASE = 0x2090;
/** Frame of the interrupt controller's registers, which come before RAM. */
export const WINDOW_FRAME = 0x2094;

/** Not 0: there are other processors, and PAUSE lets them have their turn; it has said so, and the processor is to leave. */
export const YIELDS = 0x2098;
export const PAUSED = 0x209c;
/** Not 0: TypeScript has to hear of SYSCALL, SYSRET and IRET. */
export const LEVEL_ASKS = 0x20a4;

/** Budget that was taken away while generated code ran, modulo 2^32: those instructions did not run. */
export const BUDGET_TAKEN = 0x20a0;

/**
 * Not 0: the TLBs may hold pieces of large pages in that part of the address space: by 4 MiB, and of pages of 1 GiB by 1 GiB. Both halves
 * of an address space of 64 bits have their own: what the system maps by large pages is not to be suspected wherever programs are.
 */
export const LARGE_PAGES = 0x3000;
export const HUGE_PAGES = 0x3400;
export const LARGE_PARTS = 0x400;
export const LARGE_SHIFT = 22;
export const HUGE_SHIFT = 30;

/** By the low bits of the page: the first slot of the list of those whose write entries lead to such pages; 0: none. 4 bytes each. */
export const WRITERS = 0xb_0000;
export const WRITER_PARTS = 0x4000;

/** How often a uop may still be branched to before the translator hears of it, u16 each; uops share counters. */
export const HEAT = 0x9_0000;
export const HEAT_COUNTERS = 0x1_0000;
/** From a uop's address to the offset of its counter: shift right, then mask. */
export const HEAT_SHIFT = 4;
export const HEAT_MASK = 0x1_fffe;

/**
 * Where regions begin, by the place of the instruction in its page's decode map: so that an address leads to its region by way of the
 * fetch TLB and one line of the host's cache. 16 bytes each: the place (0: none), the uop, the number of the region's function.
 */
export const LANDINGS = 0xc_0000;
export const LANDING_COUNT = 0x4000;
export const LANDING_BYTES = 16;
export const LANDING_UOP = 4;
export const LANDING_REGION = 8;

/**
 * Decode maps by the page that they are of, so that a miss of the fetch TLB needs no TypeScript where the page is known. 8 bytes each: where
 * the page lies in the linear memory plus the code size as in the tag of a fetch (0: none), and its decode map.
 */
export const CODE_MAPS = 0x10_0000;
export const CODE_MAP_COUNT = 0x1000;
export const CODE_MAP_BYTES = 8;
export const CODE_MAP_MAP = 4;

export const VCPU_BLOCK_BYTES = 0x10_8000;

/** Register numbers of segments as they stand in SEGMENT_BASE and SEGMENT. */
export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
export const LDTR = 6;
export const TR = 7;
