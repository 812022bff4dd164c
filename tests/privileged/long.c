// What a processor does with privileges, addresses and pages in long mode, case by case, as text at port 0xe9.
// Compiled by the tests to a flat image that begins at 1 MiB in 32-bit code, and run by several processors.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

__asm__(
  ".text\n.code32\n.globl _start\n_start:\njmp begin\n.align 4\n"
  "header: .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000), header, _start, 0, stack_top, _start\n"
  // 4 GiB mapped to themselves, for everybody.
  "begin: cli\nmov $stack_top, %esp\n"
  "movl $third + 7, fourth\nmov $4, %ecx\nlea third, %edi\nlea second + 7, %eax\n1: mov %eax, (%edi)\nadd $4096, %eax\nadd $8, %edi\nloop 1b\n"
  "mov $2048, %ecx\nlea second, %edi\nmov $0x87, %eax\n2: mov %eax, (%edi)\nadd $0x200000, %eax\nadd $8, %edi\nloop 2b\n"
  "mov $0x620, %eax\nmov %eax, %cr4\nlea fourth, %eax\nmov %eax, %cr3\n"
  "mov $0xc0000080, %ecx\nrdmsr\nor $0x901, %eax\nwrmsr\nmov %cr0, %eax\nor $0x80010032, %eax\nand $~0x6000000c, %eax\nmov %eax, %cr0\n"
  "lgdt first_table\nljmp $8, $3f\n.align 8\nfirst: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff\nfirst_table: .word 23\n.long first\n"
  ".code64\n3: mov $16, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\nmov %eax, %fs\nmov %eax, %gs\nmov $stack_top, %esp\nmov $program, %eax\ncall *%rax\n"
  ".bss\n.align 4096\nfourth: .skip 4096\nthird: .skip 4096\nsecond: .skip 16384\n.skip 16384\nstack_top:\n.text\n");
extern u64 fourth[], third[], second[];

static void put(char c) { __asm__ volatile("outb %0, $0xe9" : : "a"(c)); }
static void text(const char *s) { while (*s) put(*s++); }
static void hex(u64 value, int digits) { while (digits-- > 0) put("0123456789abcdef"[(value >> digits * 4) & 15]); }
static void number(const char *name, u64 value, int digits) { put(' '); text(name); put('='); hex(value, digits); }

struct context { u64 rip, cs, flags, rsp, ss, rax, rcx, rdx, rbx, rbp, rsi, rdi, r11; };
struct result { u64 r11, rdi, rsi, rbp, rbx, rdx, rcx, rax, vector, error, rip, cs, flags, rsp, ss; };
struct context start;
struct result end;
u64 resume_rsp, end_cr2, end_dr6;
void run(void);
extern char handlers[];

__asm__(
  ".text\nrun:\npush %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rsp, resume_rsp\n"
  "push start + 32\npush start + 24\npush start + 16\npush start + 8\npush start\n"
  "mov start + 40, %rax\nmov start + 48, %rcx\nmov start + 56, %rdx\nmov start + 64, %rbx\nmov start + 72, %rbp\nmov start + 80, %rsi\nmov start + 88, %rdi\nmov start + 96, %r11\niretq\n"
  ".align 16\nhandlers:\n.set i, 0\n.rept 256\n.align 16\n"
  ".if i != 8 && i != 10 && i != 11 && i != 12 && i != 13 && i != 14 && i != 17\npush $0\n.endif\npush $i\njmp ended\n.set i, i + 1\n.endr\n"
  "ended: push %rax\npush %rcx\npush %rdx\npush %rbx\npush %rbp\npush %rsi\npush %rdi\npush %r11\n"
  "mov %rsp, %rsi\nmov $end, %edi\nmov $15, %ecx\ncld\nrep movsq\n"
  "mov %cr2, %rax\nmov %rax, end_cr2\nmov %dr6, %rax\nmov %rax, end_dr6\n"
  "mov resume_rsp, %rsp\nmov $0x10, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %ss\npush $2\npopf\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n");

#define CODE(name, body) extern char name[]; __asm__(".text\n" #name ": " body "\nint $0x40\n")

static u64 gdt[64] __attribute__((aligned(16)));
static u64 idt[512] __attribute__((aligned(16)));
static u8 tss[256] __attribute__((aligned(256)));
static u8 inner[8192] __attribute__((aligned(4096)));
static u8 special[4096] __attribute__((aligned(4096)));
static u8 outer[4096] __attribute__((aligned(4096)));
static u64 far_pointer[2];

enum { CODE0 = 0x08, DATA0 = 0x10, CODE32 = 0x1b, DATA3 = 0x23, CODE3 = 0x2b, TSS = 0x30, TEST = 0x40, GATE = 0x50, LDT = 0x60 };
static u32 code_of(int level) { return level == 0 ? CODE0 : CODE3; }
static u32 data_of(int level) { return level == 0 ? DATA0 : DATA3; }
static u64 segment(u32 base, u32 limit, u32 access, u32 flags) {
  return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}
static u64 gate(u32 selector, u32 offset, u32 access, u32 ist) {
  return (offset & 0xffff) | (u64)selector << 16 | (u64)ist << 32 | (u64)access << 40 | (u64)(offset >> 16) << 48;
}
static u64 read_msr(u32 index) { u32 a, d; __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(index)); return a | (u64)d << 32; }
static void write_msr(u32 index, u64 value) { __asm__ volatile("wrmsr" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))); }
static void put64(u8 *at, u64 value) { *(volatile u64 *)at = value; }

static void set_up(void) {
  __asm__ volatile("outb %0, $0x21\noutb %0, $0xa1" : : "a"((u8)0xff));
  gdt[1] = segment(0, 0xfffff, 0x9b, 0xa);
  gdt[2] = segment(0, 0xfffff, 0x93, 0xc);
  gdt[3] = segment(0, 0xfffff, 0xfb, 0xc);
  gdt[4] = segment(0, 0xfffff, 0xf3, 0xc);
  gdt[5] = segment(0, 0xfffff, 0xfb, 0xa);
  gdt[TSS / 8] = segment((u32)(u64)tss, sizeof tss - 1, 0x89, 0);
  gdt[TSS / 8 + 1] = 0;
  put64(tss + 4, (u64)inner + 8192);
  put64(tss + 0x24, (u64)special + 4096);
  for (int i = 0; i < 256; i++) {
    idt[i * 2] = gate(CODE0, (u32)(u64)handlers + i * 16, i == 0x40 || i == 3 ? 0xee : 0x8e, i == 12 || i == 8 ? 1 : 0);
    idt[i * 2 + 1] = 0;
  }
  struct { u16 limit; u64 base; } __attribute__((packed)) table = {sizeof gdt - 1, (u64)gdt}, interrupts = {sizeof idt - 1, (u64)idt};
  __asm__ volatile("lgdt %0\nlidt %1\nltr %w2" : : "m"(table), "m"(interrupts), "r"(TSS));
}
static void prepare(const char *code, int level) {
  u64 *words = (u64 *)&start;
  for (unsigned i = 0; i < sizeof start / 8; i++) words[i] = 0;
  start.rip = (u64)code;
  start.cs = code_of(level);
  start.flags = 2;
  start.rsp = (u64)outer + 2048;
  start.ss = data_of(level);
  start.rbx = (u64)far_pointer;
}
static void outcome(void) {
  put(' ');
  hex(end.vector, 2);
  if (end.vector != 0x40) { put('/'); hex(end.error, 4); put('@'); hex(end.rip - start.rip, 2); }
}

// ---- Addresses that are none

CODE(read4, "mov (%rbx), %eax");
CODE(read8, "mov (%rbx), %rax");
CODE(write4, "mov %ecx, (%rbx)");
CODE(by_rbp, "mov (%rbp), %eax");
CODE(by_rsp, "mov (%rsp), %eax");
CODE(by_rbp_ds, "mov %ds:(%rbp), %eax");
CODE(by_fs, "mov %fs:(%rbx), %eax");
CODE(do_push, "push %rax");
CODE(do_pop, "pop %rax");
CODE(push_memory, "push (%rbx)");
CODE(pop_memory, "pop (%rbx)");
CODE(do_call, "call *%rbx");
CODE(do_jmp, "jmp *%rbx");
CODE(do_ret, "ret");
CODE(do_leave, "leave");
CODE(do_enter, "enter $16, $0");
CODE(do_enter2, "enter $16, $2");
CODE(do_movs, "mov %rbx, %rsi\nlea outer(%rip), %rdi\nmovsb");
CODE(do_stos, "mov %rbx, %rdi\nstosl");
CODE(do_retf, "lretq");
CODE(do_iret, "iretq");
CODE(do_pushf, "pushf");
CODE(do_popf, "popf");
CODE(do_fxsave, "fxsave (%rbx)");
CODE(do_movaps, "movaps (%rbx), %xmm0");
CODE(do_movups, "movups (%rbx), %xmm0");
CODE(do_invlpg, "invlpg (%rbx)");
CODE(do_clflush, "clflush (%rbx)");
CODE(do_prefetch, "prefetcht0 (%rbx)");
CODE(do_cmpxchg16, "cmpxchg16b (%rbx)");
CODE(do_lgdt, "lgdt (%rbx)");
CODE(do_xlat, "xlat");

static void canonical(void) {
  static const struct { const char *name, *code; } ways[] = {
    {"r4", read4}, {"r8", read8}, {"w4", write4}, {"rbp", by_rbp}, {"rsp", by_rsp}, {"rbpds", by_rbp_ds}, {"push", do_push}, {"pop", do_pop}, {"pushm", push_memory}, {"popm", pop_memory}, {"call", do_call},
    {"jmp", do_jmp}, {"ret", do_ret}, {"leave", do_leave}, {"enter", do_enter}, {"enter2", do_enter2}, {"movs", do_movs}, {"stos", do_stos}, {"retf", do_retf}, {"iret", do_iret}, {"pushf", do_pushf}, {"popf", do_popf},
    {"fxsave", do_fxsave}, {"movaps", do_movaps}, {"movups", do_movups}, {"invlpg", do_invlpg}, {"clflush", do_clflush}, {"prefetch", do_prefetch}, {"cx16", do_cmpxchg16}, {"lgdt", do_lgdt}, {"xlat", do_xlat},
  };
  static const u64 places[] = {0x800000000000, 0x7ffffffffffc, 0x7ffffffffff8, 0x800000000004, 0xffff7fffffffffff, 0xffff7ffffffffff8, 0xffff800000000000, 0x123456789abcdef0, 0xfffffffffffffffc, 0x0001000000000000};
  for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) for (int level = 0; level < 4; level += 3) {
    text("canonical ");
    text(ways[way].name);
    hex(level, 1);
    for (unsigned place = 0; place < sizeof places / sizeof *places; place++) for (int which = 0; which < 2; which++) {
      // Where fetching would come to the end of the addresses, and a table that is none.
      int jumps = way == 10 || way == 11 || way == 12 || way == 18 || way == 19;
      if ((jumps && (place == 1 || place == 2 || place == 6 || place == 8)) || (which == 1 && (way == 10 || way == 11 || way == 29))) { put('-'); continue; }
      prepare(ways[way].code, level);
      if (which == 0) start.rbx = start.rbp = places[place];
      else { start.rsp = places[place]; start.rbp = places[place]; start.rbx = (u64)outer; }
      put64(outer + 2048, places[place]);
      put64(outer + 2056, code_of(level));
      put64(outer + 2064, 2);
      put64(outer + 2072, (u64)outer + 1024);
      put64(outer + 2080, data_of(level));
      run();
      put(' ');
      hex(end.vector, 2);
      if (end.vector != 0x40) { put('/'); hex(end.error, 4); put('@'); if (end.rip - start.rip < 256) hex(end.rip - start.rip, 2); else hex(end.rip, 16); }
      if (end.vector == 14) { put('!'); hex(end_cr2, 16); }
    }
    put('\n');
  }
}

// ---- Segments

CODE(load_ds, "mov %ax, %ds");
CODE(load_ss, "mov %ax, %ss");
CODE(load_fs, "mov %ax, %fs");
CODE(do_lar, "lar %eax, %ecx");
CODE(do_lsl, "lsl %eax, %ecx");
CODE(do_verr, "verr %ax");
CODE(do_verw, "verw %ax");
CODE(do_lldt, "lldt %ax");
CODE(jump_far, "ljmp *(%rbx)");
CODE(call_far, "lcall *(%rbx)");
CODE(land, "nop");
static void segments(void) {
  static const struct { const char *name, *code; } ways[] = {
    {"ds", load_ds}, {"ss", load_ss}, {"fs", load_fs}, {"lar", do_lar}, {"lsl", do_lsl}, {"verr", do_verr}, {"verw", do_verw}, {"lldt", do_lldt}, {"jmp", jump_far}, {"call", call_far}, {"retf", do_retf}, {"iret", do_iret},
  };
  for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) for (int access = 0; access < 256; access++) for (int kind = 0; kind < 3; kind++) {
    // 64-bit code, 32-bit code, both bits; of all else the plain one.
    if (kind > 0 && ((access & 0x18) != 0x18 || way < 8)) continue;
    text("segment ");
    text(ways[way].name);
    put(' ');
    hex(access, 2); hex(kind, 1);
    for (int level = 0; level < 4; level += 3) {
      put(' ');
      for (int rpl = 0; rpl < 4; rpl++) {
        gdt[TEST / 8] = segment(0, 0xfffff, access, kind == 0 ? 0xa : kind == 1 ? 0xc : 0xe);
        gdt[TEST / 8 + 1] = 0;
        prepare(ways[way].code, level);
        start.rax = TEST | rpl;
        ((u32 *)far_pointer)[0] = (u32)(u64)land;
        ((u32 *)far_pointer)[1] = TEST | rpl;
        u64 *stack = (u64 *)start.rsp;
        stack[0] = (u64)land;
        stack[1] = TEST | rpl;
        stack[way == 10 ? 2 : 3] = start.rsp;
        stack[way == 10 ? 3 : 4] = rpl == 0 ? DATA0 : DATA3;
        if (way != 10) stack[2] = 2;
        run();
        put(' ');
        hex(end.vector, 2);
        if (end.vector != 0x40) { put('/'); hex(end.error, 4); }
        else if (way >= 8) { put(':'); hex(end.cs, 4); hex(end.ss, 4); }
        else if (way == 3) { put(':'); hex((end.flags & 0x40) != 0 ? end.rcx & 0x00f0ff00 : 0, 8); }
        else if (way == 4) { put(':'); hex(end.rcx, 8); }
        else if (way == 5 || way == 6) { put(':'); hex(end.flags >> 6 & 1, 1); }
        else if (way < 3) { put(':'); hex(gdt[TEST / 8] >> 40 & 0xff, 2); }
        __asm__ volatile("lldt %%ax\nmov %%eax, %%fs" : : "a"(0));
      }
    }
    put('\n');
  }
  // Null selectors.
  for (int way = 0; way < 3; way++) for (int level = 0; level < 4; level += 3) for (int rpl = 0; rpl < 4; rpl++) {
    prepare(ways[way].code, level);
    start.rax = rpl;
    run();
    text("null ");
    hex(way, 1); hex(level, 1); hex(rpl, 1);
    outcome();
    number("ss", end.ss, 4);
    put('\n');
  }
  // LDTR and TR, whose descriptors have 16 bytes: the type of the upper half.
  for (int type = 0; type < 32; type++) {
    gdt[TEST / 8] = segment((u32)(u64)tss, 0xff, 0x82, 0);
    gdt[TEST / 8 + 1] = (u64)type << 40;
    prepare(do_lldt, 0);
    start.rax = TEST;
    run();
    text("upper ");
    hex(type, 2);
    outcome();
    put('\n');
    __asm__ volatile("lldt %%ax" : : "a"(0));
  }
}

// ---- Gates

static void gates(void) {
  for (int access = 0; access < 256; access++) {
    if ((access & 0x1f) == 5) continue;
    for (int upper = 0; upper < 2; upper++) {
      if (upper && (access & 0x1f) != 0xc) continue;
      text("gate ");
      hex(access, 2); hex(upper, 1);
      static const u32 codes[] = {0x9a, 0x9e, 0xfa, 0xfe, 0x1a, 0x92};
      for (int code = 0; code < 6; code++) for (int flags = 0xa; flags <= 0xe; flags += 2) for (int way = 0; way < 2; way++) for (int level = 0; level < 4; level += 3) {
        if ((flags != 0xa || way == 1) && (access & 0x9f) != 0x8c) continue;
        gdt[TEST / 8] = segment(0, 0xfffff, codes[code], flags);
        gdt[GATE / 8] = gate(TEST | (code & 3), (u32)(u64)land, access, 0);
        gdt[GATE / 8 + 1] = upper ? (u64)0x0c << 40 : 0;
        prepare(way == 0 ? call_far : jump_far, level);
        ((u32 *)far_pointer)[1] = GATE | level;
        run();
        put(' ');
        hex(end.vector, 2);
        if (end.vector != 0x40) { put('/'); hex(end.error, 4); continue; }
        put(':');
        hex(end.cs, 4); hex(end.ss, 4);
        put(':');
        hex(end.rsp & 0xfff, 3);
        if (way == 0) { u64 *at = (u64 *)end.rsp; hex(at[0] - start.rip, 2); hex(at[1], 4); if ((end.cs & 3) < level) { hex(at[2] & 0xfff, 3); hex(at[3], 4); } }
      }
      put('\n');
    }
  }
  gdt[TEST / 8] = segment(0, 0xfffff, 0x9a, 0xa);
  // Targets and stacks that are no addresses.
  for (int i = 0; i < 4; i++) {
    gdt[GATE / 8] = gate(TEST, (u32)(u64)land, 0xec, 0);
    gdt[GATE / 8 + 1] = i == 0 ? 0x8000 : i == 1 ? 0xffff7fff : 0;
    put64(tss + 4, i == 2 ? 0x800000000100 : i == 3 ? 0x00007fffff000000 : (u64)inner + 8192);
    // The fault itself is told on another stack.
    idt[13 * 2] |= (u64)1 << 32;
    idt[14 * 2] |= (u64)1 << 32;
    idt[10 * 2] |= (u64)1 << 32;
    prepare(call_far, 3);
    ((u32 *)far_pointer)[1] = GATE | 3;
    run();
    text("badgate ");
    hex(i, 1);
    outcome();
    number("cs", end.cs, 4);
    number("ss", end.ss, 4);
    number("sp", end.rsp - (u64)outer, 4);
    put('\n');
    idt[13 * 2] &= ~((u64)1 << 32);
    idt[14 * 2] &= ~((u64)1 << 32);
    idt[10 * 2] &= ~((u64)1 << 32);
  }
  put64(tss + 4, (u64)inner + 8192);
}
CODE(int41, "int $0x41");
CODE(handler41, "nop");
static void interrupts(void) {
  for (int access = 0; access < 256; access++) {
    text("interrupt ");
    hex(access, 2);
    for (int code = 0; code < 8; code++) for (int level = 0; level < 4; level += 3) for (int ist = 0; ist < 2; ist++) {
      static const u32 kinds[] = {0x9a, 0xfa, 0x9e, 0xfe, 0x1a, 0x92, 0x9a, 0x9a};
      gdt[TEST / 8] = segment(0, 0xfffff, kinds[code], code == 6 ? 0xc : code == 7 ? 0xe : 0xa);
      idt[0x41 * 2] = gate(TEST | (code & 3), (u32)(u64)handler41, access, ist);
      prepare(int41, level);
      start.flags = 0x202;
      start.rsp += 5;
      run();
      put(' ');
      hex(end.vector, 2);
      if (end.vector != 0x40) { put('/'); hex(end.error, 4); continue; }
      put(':');
      hex(end.cs, 4); hex(end.flags, 5); hex(end.ss, 4); hex(end.rsp & 0xfff, 3); hex(gdt[TEST / 8] >> 40 & 1, 1);
    }
    put('\n');
  }
}

// ---- IRET

CODE(iret4, ".byte 0xcf");
CODE(iret2, ".byte 0x66, 0xcf");
static void returns(void) {
  static const u32 selectors[] = {0, 1, 2, 3, DATA0, DATA0 | 3, DATA3, DATA3 & ~3, CODE0, CODE3, TEST, 0x1f8};
  for (int to = 0; to < 4; to++) for (int nt = 0; nt < 2; nt++) for (unsigned i = 0; i < sizeof selectors / 4; i++) {
    static const u32 codes[] = {CODE0, CODE3, CODE32, CODE0 | 3};
    prepare(do_iret, 0);
    gdt[TEST / 8] = segment(0, 0xfffff, 0x73, 0xc);
    u64 *stack = (u64 *)start.rsp;
    stack[0] = (u64)land;
    stack[1] = codes[to];
    stack[2] = 0x3202;
    stack[3] = (u64)outer + 1024;
    stack[4] = selectors[i];
    static const char with_nt[] = {0x68, 0x02, 0x40, 0, 0, 0x9d, 0x48, 0xcf, 0xcd, 0x40};
    if (nt) start.rip = (u64)with_nt;
    run();
    text("iret ");
    hex(to, 1); hex(nt, 1); hex(i, 2);
    outcome();
    number("cs", end.cs, 4); number("ss", end.ss, 4); number("fl", end.flags, 5);
    put('\n');
  }
  // Flags.
  static const u64 values[] = {0x3f7fd5 & ~0x124100, 0x4000, 0x180000, 0x3000, 0x20000, 0x10000, 0xffffffff00000002};
  for (int level = 0; level < 4; level += 3) for (int iopl = 0; iopl < 4; iopl += 3) for (int way = 0; way < 2; way++) {
    text("iflags ");
    hex(level, 1); hex(iopl, 1); hex(way, 1);
    for (unsigned i = 0; i < sizeof values / 8; i++) {
      prepare(way == 0 ? do_iret : do_popf, level);
      start.flags = 2 | iopl << 12;
      u64 *stack = (u64 *)start.rsp;
      stack[0] = way == 0 ? (u64)land : values[i];
      stack[1] = code_of(level);
      stack[2] = values[i];
      stack[3] = start.rsp;
      stack[4] = data_of(level);
      run();
      put(' ');
      hex(end.vector, 2); put(':'); hex(end.flags, 8);
    }
    put('\n');
  }
}

// ---- System calls

CODE(do_syscall, "syscall");
CODE(do_sysretq, "sysretq");
CODE(do_sysretl, "sysretl");
CODE(do_swapgs, "swapgs");
static void system_calls(void) {
  write_msr(0xc0000082, (u64)land);
  write_msr(0xc0000083, (u64)land);
  static const u64 masks[] = {0, 0x47700, 0xffffffff, 0x100};
  for (int sce = 0; sce < 2; sce++) for (int level = 0; level < 4; level += 3) for (int i = 0; i < 4; i++) {
    write_msr(0xc0000080, (read_msr(0xc0000080) & ~1ull) | sce);
    write_msr(0xc0000081, (u64)0x1b << 48 | (u64)(0x08 | (i & 1) * 3) << 32);
    write_msr(0xc0000084, masks[i]);
    prepare(do_syscall, level);
    start.flags = 0x40ed7;
    run();
    text("syscall ");
    hex(sce, 1); hex(level, 1); hex(i, 1);
    outcome();
    number("cs", end.cs, 4); number("ss", end.ss, 4); number("fl", end.flags, 6); number("cx", end.rcx - start.rip, 16); number("r11", end.r11, 8);
    put('\n');
    for (int way = 0; way < 2; way++) for (int bad = 0; bad < 3; bad++) {
      // Of an address that is none the makers think differently; the lower half of it is somewhere.
      if (bad == 1 || (bad == 2 && way == 1)) continue;
      prepare(way == 0 ? do_sysretq : do_sysretl, level);
      start.rcx = bad == 0 ? (u64)land : bad == 1 ? 0x900000000000 : 0x7fffffffffff;
      start.r11 = 0x3f7fd5 & ~0x4100;
      run();
      text("sysret ");
      hex(sce, 1); hex(level, 1); hex(i, 1); hex(way, 1); hex(bad, 1);
      put(' ');
      hex(end.vector, 2); put('/'); hex(end.error, 4);
      number("ip", end.rip, 16); number("cs", end.cs, 4); number("ss", end.ss, 4); number("fl", end.flags, 6);
      put('\n');
    }
  }
  write_msr(0xc0000080, read_msr(0xc0000080) | 1);
}

// ---- Control and model-specific registers

CODE(set_cr0, "mov %rax, %cr0");
CODE(set_cr3, "mov %rax, %cr3");
CODE(set_cr4, "mov %rax, %cr4");
CODE(set_cr8, "mov %rax, %cr8");
CODE(set_dr0, "mov %rax, %dr0");
CODE(set_dr6, "mov %rax, %dr6");
CODE(set_dr7, "mov %rax, %dr7");
CODE(set_msr, "wrmsr");
static void control(void) {
  u64 cr0, cr3, cr4;
  __asm__ volatile("mov %%cr0, %0\nmov %%cr3, %1\nmov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
  for (int level = 1; level < 4; level += 2) for (int way = 0; way < 7; way++) {
    static const char *const codes[] = {set_cr0, set_cr3, set_cr4, set_cr8, set_dr7, set_msr, do_swapgs};
    prepare(codes[way], 3);
    run();
    text("privileged ");
    hex(level, 1); hex(way, 1);
    outcome();
    put('\n');
  }
  static const u32 registers[] = {0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x174, 0x277};
  for (unsigned i = 0; i < sizeof registers / 4; i++) {
    u64 before = read_msr(registers[i]);
    for (int bit = 0; bit < 64; bit++) {
      // EFER: what one has and the other has not.
      if (registers[i] == 0xc0000080 && bit > 11 && bit < 16) continue;
      if (registers[i] == 0xc0000080 && (bit == 8 || bit == 10)) continue;
      prepare(set_msr, 0);
      u64 value = registers[i] == 0x277 ? before ^ (u64)1 << bit : registers[i] == 0xc0000080 ? before ^ (u64)1 << bit : (u64)1 << bit;
      start.rcx = registers[i];
      start.rax = (u32)value;
      start.rdx = value >> 32;
      run();
      text("msr ");
      hex(registers[i], 8); hex(bit, 2);
      outcome();
      if (end.vector == 0x40) number("is", read_msr(registers[i]), 16);
      write_msr(registers[i], before);
      put('\n');
    }
  }
  // CR4 and CR3 last: there is one that does not survive them.
  static const int order[] = {0, 3, 4, 5, 6, 2, 1};
  for (int i = 0; i < 7; i++) for (int bit = 0; bit < 64; bit++) {
    int way = order[i];
    static const char *const codes[] = {set_cr0, set_cr3, set_cr4, set_cr8, set_dr0, set_dr6, set_dr7};
    // What this processor has and another has not, or what keeps the program from going on.
    if (way == 0 && (bit == 0 || bit == 31 || bit == 2 || (bit > 5 && bit < 29 && bit != 16 && bit != 18))) continue;
    if (way == 1 && (bit < 32 ? bit > 4 : bit < 52)) continue;
    if (way == 2 && bit > 10 && bit < 32) continue;
    prepare(codes[way], 0);
    start.rax = (way == 0 ? cr0 : way == 1 ? cr3 : way == 2 ? cr4 : 0) ^ (u64)1 << bit;
    run();
    __asm__ volatile("mov %0, %%cr0\nmov %1, %%cr3\nmov %2, %%cr4" : : "r"(cr0), "r"(cr3), "r"(cr4));
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ull));
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400ull));
    text("register ");
    hex(way, 1); hex(bit, 2);
    outcome();
    put('\n');
  }
}

// ---- Pages

static u64 tables[4][512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));
CODE(execute, "jmp *%rbx");
static const u64 AT = 0x12345000000;
static void accesses(int level, u64 flags) {
  static const char *const ways[] = {read4, write4, execute};
  for (int way = 0; way < 3; way++) {
    prepare(ways[way], level);
    start.flags |= flags;
    start.rbx = AT + 0x10;
    run();
    put(' ');
    hex(end.vector, 2);
    if (end.vector == 14) { put('/'); hex(end.error, 2); if (end_cr2 != AT + 0x10) put('!'); }
  }
}
static void refresh(void) { __asm__ volatile("mov %%cr3, %%rax\nmov %%rax, %%cr3" : : : "rax", "memory"); }
static void map(u64 third_bits, u64 second_bits, u64 first_bits) {
  fourth[AT >> 39 & 511] = (u64)tables[0] | 7;
  tables[0][AT >> 30 & 511] = (u64)tables[1] | third_bits;
  tables[1][AT >> 21 & 511] = (u64)tables[2] | second_bits;
  tables[2][AT >> 12 & 511] = (u64)page | first_bits;
  refresh();
}
static void pages(void) {
  page[0x10] = 0xcd;
  page[0x11] = 0x40;
  u64 cr0, cr4;
  __asm__ volatile("mov %%cr0, %0\nmov %%cr4, %1" : "=r"(cr0), "=r"(cr4));
  const u64 nx = 1ull << 63;
  for (int wp = 0; wp < 2; wp++) for (int upper = 0; upper < 16; upper++) for (int lower = 0; lower < 16; lower++) {
    if ((upper & 1) == 0 && lower > 0) continue;
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~0x10000ull) | wp << 16));
    text("page ");
    hex(wp, 1); hex(upper, 1); hex(lower, 1);
    for (int level = 0; level < 4; level += 3) {
      map(7, (upper & 7) | (upper & 8 ? nx : 0), (lower & 7) | (lower & 8 ? nx : 0));
      accesses(level, 0);
      put(':'); hex(tables[1][AT >> 21 & 511] & 0xfff, 3); hex(tables[2][AT >> 12 & 511] & 0xfff, 3);
    }
    put('\n');
  }
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
  // Reserved bits.
  for (int level = 0; level < 5; level++) for (int bit = 7; bit < 64; bit++) {
    if (level != 3 && level != 4 && bit > 7 && bit < 62) continue;
    if (bit >= 21 && bit < 62) continue;
    u64 extra = (u64)1 << bit;
    map(7, 7, 7);
    if (level == 0) fourth[AT >> 39 & 511] |= extra;
    if (level == 1 && bit != 7) tables[0][AT >> 30 & 511] |= extra;
    if (level == 2) tables[2][AT >> 12 & 511] |= extra;
    if (level == 3) tables[1][AT >> 21 & 511] = 0x00200000 | 0x87 | extra;
    if (level == 4) tables[0][AT >> 30 & 511] = 0x87 | extra;
    refresh();
    text("reserved ");
    hex(level, 1); hex(bit, 2);
    prepare(read4, 3);
    start.rbx = AT + 0x10;
    run();
    outcome();
    put('\n');
    fourth[AT >> 39 & 511] = 0;
  }
  // NX is reserved while EFER.NXE is 0.
  write_msr(0xc0000080, read_msr(0xc0000080) & ~0x800ull);
  for (int level = 0; level < 4; level += 3) {
    map(7, 7, 7 | nx);
    text("nonx ");
    hex(level, 1);
    accesses(level, 0);
    map(7, 7, 5);
    accesses(level, 0);
    put('\n');
  }
  write_msr(0xc0000080, read_msr(0xc0000080) | 0x800);
  // SMEP and SMAP; the program's own pages have to be the supervisor's for that.
  for (int i = 0; i < 8; i++) second[i] &= ~4ull;
  refresh();
  for (int bits = 0; bits < 4; bits++) for (int user = 0; user < 2; user++) for (int ac = 0; ac < 2; ac++) {
    map(7, 7, 3 | user << 2);
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | (u64)bits << 20));
    text("smap ");
    hex(bits, 1); hex(user, 1); hex(ac, 1);
    accesses(0, (u64)ac << 18);
    put('\n');
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
  }
  for (int i = 0; i < 8; i++) second[i] |= 4;
  refresh();
  fourth[AT >> 39 & 511] = 0;
  refresh();
}

// ---- Single steps

#define STEPS(name, body) extern char name[]; __asm__(".text\n" #name ": " body "\nnop\nint $0x40\n")
STEPS(step_syscall, "syscall");
STEPS(step_ss, "mov %ss, %eax\nmov %eax, %ss\nnop");
STEPS(step_iret, "mov %rsp, %rax\npush $0x10\npush %rax\npush $0x102\npush $8\nlea 1f(%rip), %rax\npush %rax\niretq\n1: nop");
STEPS(step_popf, "push $2\npopf\nnop");
STEPS(step_int3, "int3");
STEPS(step_rep, "mov $3, %ecx\nlea outer(%rip), %rdi\nrep stosb");
static void steps(void) {
  static const struct { const char *name, *code; } ways[] = {{"syscall", step_syscall}, {"ss", step_ss}, {"iret", step_iret}, {"popf", step_popf}, {"int3", step_int3}, {"rep", step_rep}};
  for (int mask = 0; mask < 2; mask++) for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
    write_msr(0xc0000081, (u64)0x1b << 48 | (u64)0x08 << 32);
    write_msr(0xc0000082, (u64)land);
    write_msr(0xc0000084, mask ? 0x100 : 0);
    text("step ");
    hex(mask, 1); put(' ');
    text(ways[way].name);
    prepare(ways[way].code, 0);
    start.flags = 0x102;
    u64 first = start.rip;
    for (int count = 0; count < 12; count++) {
      __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0ull));
      run();
      put(' ');
      hex(end.vector, 2); put('@');
      if (end.rip - first < 64) hex(end.rip - first, 2); else { put('L'); hex(end.rip - (u64)land, 2); }
      put(':'); hex(end_dr6 & 0xe00f, 4);
      if (end.vector != 1) break;
      start.rip = end.rip;
      start.flags = end.flags & 0x3f7fd5;
      start.rax = end.rax; start.rcx = end.rcx; start.rdi = end.rdi; start.rsp = end.rsp; start.cs = end.cs; start.ss = end.ss; start.r11 = end.r11;
    }
    put('\n');
  }
}

void program(void) {
  set_up();
  canonical();
  segments();
  gates();
  interrupts();
  returns();
  system_calls();
  pages();
  steps();
  control();
  text("END\n");
  struct { u16 limit; u64 base; } __attribute__((packed)) none = {0, 0};
  __asm__ volatile("lidt %0\nint3" : : "m"(none));
  for (;;) __asm__ volatile("hlt");
}
