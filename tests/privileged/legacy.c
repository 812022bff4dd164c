// What a processor does with privileges, segments, tasks and pages in 32-bit protected mode, case by case, as text at port 0xe9.
// Compiled by the tests to a flat image that begins at 1 MiB, and run by several processors.
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

__asm__(
  ".text\n.globl _start\n_start:\njmp begin\n.align 4\n"
  // Multiboot, with the addresses in the header: the image is no ELF file.
  "header: .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000), header, _start, 0, stack_top, _start\n"
  "begin: cli\nmov $stack_top, %esp\npush $2\npopf\njmp program\n"
  ".bss\n.align 4096\n.skip 16384\nstack_top:\n.text\n");

// ---- Text

static void put(char c) { __asm__ volatile("outb %0, $0xe9" : : "a"(c)); }
static void text(const char *s) { while (*s) put(*s++); }
static void hex(u32 value, int digits) { while (digits-- > 0) put("0123456789abcdef"[(value >> digits * 4) & 15]); }
static void number(const char *name, u32 value, int digits) { put(' '); text(name); put('='); hex(value, digits); }

// ---- Running code, and what ends it

struct context { u32 eip, cs, flags, esp, ss, eax, ecx, edx, ebx, ebp, esi, edi, ds, es, fs, gs; };
struct result { u32 gs, fs, es, ds, edi, esi, ebp, ignored, ebx, edx, ecx, eax, vector, error, eip, cs, flags, esp, ss; };
struct context start;
struct result end;
u32 resume_esp, end_cr2, end_dr6;
void run(void);

__asm__(
  ".text\nrun:\npush %ebp\npush %ebx\npush %esi\npush %edi\nmov %esp, resume_esp\n"
  "lea start, %eax\ntestl $0x20000, 8(%eax)\njnz 2f\ntestl $3, 4(%eax)\njnz 1f\nmov 12(%eax), %esp\njmp 3f\n"
  "2: push 60(%eax)\npush 56(%eax)\npush 48(%eax)\npush 52(%eax)\n"
  "1: push 16(%eax)\npush 12(%eax)\n"
  "3: push 8(%eax)\npush 4(%eax)\npush (%eax)\n"
  "testl $0x20000, 8(%eax)\njnz 4f\nmov 52(%eax), %es\nmov 56(%eax), %fs\nmov 60(%eax), %gs\n4:\n"
  "push 20(%eax)\nmov 24(%eax), %ecx\nmov 28(%eax), %edx\nmov 32(%eax), %ebx\nmov 36(%eax), %ebp\nmov 40(%eax), %esi\nmov 44(%eax), %edi\n"
  "testl $0x20000, 8(%eax)\njnz 5f\nmov 48(%eax), %ds\n5: pop %eax\niret\n"
  // Handlers of all vectors: error code or 0, then the vector.
  ".align 16\nhandlers:\n.set i, 0\n.rept 256\n.align 16\n"
  ".if i != 8 && i != 10 && i != 11 && i != 12 && i != 13 && i != 14 && i != 17\npush $0\n.endif\npush $i\njmp ended\n"
  ".set i, i + 1\n.endr\n"
  "ended: pusha\npush %ds\npush %es\npush %fs\npush %gs\n"
  "mov $0x10, %eax\nmov %eax, %ds\nmov %eax, %es\nmov %eax, %fs\nmov %eax, %gs\ncld\n"
  "mov %esp, %esi\nlea end, %edi\nmov $19, %ecx\nrep movsl\n"
  // From the same level there is no stack pointer in the frame.
  "testl $3, end + 60\njnz 6f\ntestl $0x20000, end + 64\njnz 6f\nlea -8(%esi), %eax\nmov %eax, end + 68\nmov %ss, end + 72\n6:\n"
  "mov %cr2, %eax\nmov %eax, end_cr2\nmov %dr6, %eax\nmov %eax, end_dr6\n"
  "mov $0x10, %eax\nmov %eax, %ss\nmov resume_esp, %esp\npush $2\npopf\npop %edi\npop %esi\npop %ebx\npop %ebp\nret\n");

#define CODE(name, body) extern char name[]; __asm__(".text\n" #name ": " body "\nint $0x40\n")
extern char handlers[];

// ---- Tables

static u64 gdt[64] __attribute__((aligned(8)));
static u64 ldt[8] __attribute__((aligned(8)));
static u64 idt[256] __attribute__((aligned(8)));
static u8 tss[0x2100 + 0x100] __attribute__((aligned(4096)));
static u8 tss2[256] __attribute__((aligned(256)));
static u8 inner[3][4096] __attribute__((aligned(4096)));
static u8 outer[4096] __attribute__((aligned(4096)));
static u32 far_pointer[2];

enum { CODE0 = 0x08, DATA0 = 0x10, TSS = 0x48, TEST = 0x50, TEST2 = 0x58, TSS2 = 0x60, LDT = 0x68, GATE = 0x70, STACK16 = 0x78 };
static u32 code_of(int level) { return 8 + level * 16 + level; }
static u32 data_of(int level) { return 16 + level * 16 + level; }

static u64 segment(u32 base, u32 limit, u32 access, u32 flags) {
  return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}
static u64 gate(u32 selector, u32 offset, u32 access, u32 parameters) {
  return (offset & 0xffff) | (u64)selector << 16 | (u64)parameters << 32 | (u64)access << 40 | (u64)(offset >> 16) << 48;
}
static void put32(u8 *at, u32 value) { *(volatile u32 *)at = value; }
static u32 get32(const u8 *at) { return *(const volatile u32 *)at; }

static void load_tables(void) {
  struct { u16 limit; u32 base; } __attribute__((packed)) table;
  table.limit = sizeof gdt - 1;
  table.base = (u32)gdt;
  __asm__ volatile("lgdt %0" : : "m"(table));
  table.limit = sizeof idt - 1;
  table.base = (u32)idt;
  __asm__ volatile("lidt %0" : : "m"(table));
}
static void set_up(void) {
  // No interrupts but those that are asked for.
  __asm__ volatile("outb %0, $0x21\noutb %0, $0xa1" : : "a"((u8)0xff));
  // Caches as firmware leaves them.
  __asm__ volatile("mov %%cr0, %%eax\nand $0x9fffffff, %%eax\nmov %%eax, %%cr0" : : : "eax");
  for (int level = 0; level < 4; level++) {
    gdt[1 + level * 2] = segment(0, 0xfffff, 0x9b | level << 5, 0xc);
    gdt[2 + level * 2] = segment(0, 0xfffff, 0x93 | level << 5, 0xc);
  }
  gdt[TSS / 8] = segment((u32)tss, sizeof tss - 1, 0x89, 0);
  gdt[LDT / 8] = segment((u32)ldt, sizeof ldt - 1, 0x82, 0);
  for (int level = 0; level < 3; level++) {
    put32(tss + 4 + level * 8, (u32)inner[level] + 4096);
    put32(tss + 8 + level * 8, data_of(level));
  }
  put32(tss + 0x64, sizeof tss << 16);
  for (int i = 0; i < 256; i++) idt[i] = gate(CODE0, (u32)handlers + i * 16, i == 0x40 || i == 3 || i == 4 ? 0xee : 0x8e, 0);
  load_tables();
  __asm__ volatile("ljmp $8, $1f\n1: mov $0x10, %%eax\nmov %%eax, %%ds\nmov %%eax, %%es\nmov %%eax, %%ss\nmov %%eax, %%fs\nmov %%eax, %%gs\nmov $0x48, %%eax\nltr %%ax" : : : "eax", "memory");
}
/** A clean start at a privilege level. */
static void prepare(const char *code, int level) {
  u32 *words = (u32 *)&start;
  for (unsigned i = 0; i < sizeof start / 4; i++) words[i] = 0;
  start.eip = (u32)code;
  start.cs = code_of(level);
  start.flags = 2;
  start.esp = (u32)outer + 2048;
  start.ss = data_of(level);
  start.ds = start.es = start.fs = start.gs = data_of(level);
  start.ebx = (u32)far_pointer;
}
static void outcome(void) {
  put(' ');
  hex(end.vector, 2);
  if (end.vector != 0x40) { put('/'); hex(end.error, 4); put('@'); hex(end.eip - start.eip, 2); }
}

// ---- Loading segments

CODE(load_ds, "mov %ax, %ds");
CODE(load_ss, "mov %ax, %ss");
CODE(load_gs, "mov %ax, %gs");
CODE(do_lss, "lss (%ebx), %esp");
CODE(do_lar, "lar %eax, %ecx");
CODE(do_lsl, "lsl %eax, %ecx");
CODE(do_verr, "verr %ax");
CODE(do_verw, "verw %ax");
CODE(do_lldt, "lldt %ax");
CODE(jump_far, "ljmp *(%ebx)");
CODE(call_far, "lcall *(%ebx)");
CODE(return_far, "lret");
CODE(return_interrupt, "iret");
CODE(land, "nop");

static void segments(void) {
  static const struct { const char *name, *code; } ways[] = {
    {"ds", load_ds}, {"ss", load_ss}, {"gs", load_gs}, {"lss", do_lss}, {"lar", do_lar}, {"lsl", do_lsl}, {"verr", do_verr}, {"verw", do_verw}, {"lldt", do_lldt},
    {"jmp", jump_far}, {"call", call_far}, {"retf", return_far}, {"iret", return_interrupt},
  };
  for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
    int far = way >= 9;
    for (int access = 0; access < 256; access++) {
      // Tasks are a matter of their own.
      if (far && (access & 0x15) == 1) continue;
      if (far && (access & 0x1f) == 5) continue;
      text("segment ");
      text(ways[way].name);
      put(' ');
      hex(access, 2);
      // An expand-down segment with limit 0 has all offsets but the first.
      u64 wanted = (access & 0x1c) == 0x14 ? segment(0, 0, access, 4) : (access & 0x10) != 0 ? segment(0, 0xfffff, access, 0xc) : segment(0, 0x7f, access, 0);
      for (int level = 0; level < 4; level++) {
        put(' ');
        for (int rpl = 0; rpl < 4; rpl++) {
          gdt[TEST / 8] = wanted;
          prepare(ways[way].code, level);
          start.eax = TEST | rpl;
          far_pointer[0] = (u32)(far ? land : (char *)outer + 2048);
          far_pointer[1] = TEST | rpl;
          u32 *stack = (u32 *)start.esp;
          stack[0] = (u32)land;
          stack[1] = TEST | rpl;
          if (ways[way].code == return_far) { stack[2] = start.esp; stack[3] = data_of(rpl); }
          else { stack[2] = 2; stack[3] = start.esp; stack[4] = data_of(rpl); }
          run();
          put(' ');
          hex(end.vector, 2);
          if (end.vector != 0x40) { put('/'); hex(end.error, 4); }
          else if (far) { put(':'); hex(end.cs, 4); hex(end.ss, 4); }
          else if (way == 4) { put(':'); hex((end.flags & 0x40) != 0 ? end.ecx & 0x00f0ff00 : 0, 8); }
          else if (way == 5) { put(':'); hex(end.ecx, 8); }
          else if (way == 6 || way == 7) { put(':'); hex(end.flags >> 6 & 1, 1); }
          else if (way < 4) { put(':'); hex(gdt[TEST / 8] >> 40 & 0xff, 2); }
          __asm__ volatile("lldt %%ax" : : "a"(0));
        }
      }
      put('\n');
    }
  }
}

// ---- Limits

CODE(read1, "mov (%ebx), %al");
CODE(read2, "mov (%ebx), %ax");
CODE(read4, "mov (%ebx), %eax");
CODE(read8, "fildll (%ebx)\nfstp %st(0)");
CODE(read10, "fldt (%ebx)\nffree %st(0)\nfincstp");
CODE(write1, "mov %cl, (%ebx)");
CODE(write4, "mov %ecx, (%ebx)");
CODE(stack4, "mov (%ebp), %eax");
CODE(push4, "push %eax");

static void limits(void) {
  static const struct { const char *name, *code; int bytes; } ways[] = {{"r1", read1, 1}, {"r2", read2, 2}, {"r4", read4, 4}, {"r8", read8, 8}, {"r10", read10, 10}, {"w1", write1, 1}, {"w4", write4, 4}};
  static const u32 sizes[] = {0, 1, 0xfff, 0x1000, 0xffff, 0xffffe};
  __asm__ volatile("fninit");
  for (int type = 0; type < 16; type += 2) for (int flags = 0; flags < 16; flags += 4) for (int s = 0; s < 6; s++) {
    if ((flags & 8) != 0 && s == 4) continue;
    gdt[TEST / 8] = segment(0x400000, sizes[s], 0xf1 | type, flags);
    u32 last = (flags & 8) != 0 ? sizes[s] << 12 | 0xfff : sizes[s];
    text("limit ");
    hex(type, 1); hex(flags, 1); hex(s, 1);
    for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
      put(' ');
      text(ways[way].name);
      put(' ');
      const u32 places[] = {0, last - ways[way].bytes, last - ways[way].bytes + 1, last - ways[way].bytes + 2, last, last + 1, last + 2, 0x10000 - ways[way].bytes, 0x10001 - ways[way].bytes, 0x10000};
      for (unsigned place = 0; place < sizeof places / sizeof *places; place++) {
        u32 offset = places[place];
        // Not over the program itself.
        if (way >= 5 && offset >= 0x02000000 && offset < 0xfffff000) { put('-'); continue; }
        if (offset > 0u - 16) { put('-'); continue; } // beyond the last byte the processor decides
        prepare(ways[way].code, 3);
        start.ds = (type & 8) != 0 && (type & 2) == 0 ? data_of(3) : TEST | 3;
        start.ebx = offset;
        if (start.ds != (TEST | 3)) { put('x'); continue; }
        run();
        put(end.vector == 0x40 ? '.' : end.vector == 13 && end.error == 0 ? 'G' : end.vector == 14 ? 'P' : '?');
      }
    }
    put('\n');
  }
}
/** The same through SS: #SS, and stack pointers of 16 bits. */
static void stacks(void) {
  for (int type = 2; type < 8; type += 4) for (int flags = 0; flags < 16; flags += 4) {
    gdt[TEST / 8] = segment(0x400000, 0xfff, 0xf1 | type, flags);
    u32 last = (flags & 8) != 0 ? 0xffffff : 0xfff;
    text("stack ");
    hex(type, 1); hex(flags, 1);
    const u32 places[] = {0, 1, 2, 3, 4, last - 4, last - 3, last - 2, last, last + 1, last + 2, last + 4, last + 5, 0xffff, 0xfffe, 0x10000, 0x10004, 0x12340000, 0x12340002, 0x12340100, 0x1234ffff};
    for (unsigned place = 0; place < sizeof places / sizeof *places; place++) {
      for (int push = 0; push < 2; push++) {
        prepare(push ? push4 : stack4, 3);
        start.ss = TEST | 3;
        start.esp = push ? places[place] : 0x800;
        start.ebp = places[place];
        run();
        put(' ');
        hex(end.vector, 2);
        if (end.vector != 0x40) { put('/'); hex(end.error, 4); }
        else if (push) { put(':'); hex(end.esp, 8); }
      }
    }
    put('\n');
  }
}

// ---- Call gates

CODE(gate_target, "nop");
static void gates(void) {
  static const int counts[] = {0, 1, 5, 31};
  for (int wide = 0; wide < 2; wide++) for (int access = 0x80; access < 0xe8; access += 0x20) for (int code = 0x98; code < 0x100; code += 4) {
    if ((code & 0x18) != 0x18) continue;
    text("gate ");
    hex(wide, 1); hex(access, 2); hex(code, 2);
    for (int way = 0; way < 2; way++) for (int level = 0; level < 4; level++) for (int c = 0; c < 4; c++) {
      // Of a 16-bit gate the offset has 16 bits.
      gdt[TEST / 8] = segment(wide ? 0 : (u32)gate_target & 0xffff0000, 0xfffff, code | 2, 0xc);
      gdt[GATE / 8] = gate(TEST | (c & 3), wide ? (u32)gate_target : (u32)gate_target & 0xffff, access | (wide ? 0xc : 4), counts[c]);
      prepare(way == 0 ? jump_far : call_far, level);
      far_pointer[0] = 0;
      far_pointer[1] = GATE | level;
      u32 *stack = (u32 *)start.esp;
      for (int i = 0; i < 34; i++) stack[i] = 0x11111111 * (i & 15) + i;
      run();
      put(' ');
      hex(end.vector, 2);
      if (end.vector != 0x40) { put('/'); hex(end.error, 4); if (end.vector == 13 && end.error == 0) { put('@'); hex(end.eip - start.eip, 8); } continue; }
      put(':');
      hex(end.cs, 4); hex(end.ss, 4);
      if (way == 0) continue;
      // What lies on the stack now.
      u32 sum = 0;
      u32 top = (end.cs & 3) < 3 && (end.cs & 3) < (u32)level ? (u32)inner[end.cs & 3] + 4096 : start.esp;
      for (u32 at = end.esp; at < top && at + 256 > top; at += 2) sum = (sum << 5 | sum >> 27) ^ (*(u16 *)at + (at & 0xfff));
      put(':');
      hex(top - end.esp, 3); hex(sum, 8);
    }
    put('\n');
  }
}
/** A gate to an inner level whose stack is not good for anything. */
static void bad_inner_stacks(void) {
  gdt[GATE / 8] = gate(CODE0, (u32)gate_target, 0xec, 0);
  static const struct { u32 selector, access, limit, esp; } stacks[] = {
    {0, 0, 0, 4096}, {TEST, 0x93, 0xfffff, 4096}, {TEST | 1, 0x93, 0xfffff, 4096}, {TEST, 0xb3, 0xfffff, 4096}, {TEST, 0x13, 0xfffff, 4096}, {TEST, 0x91, 0xfffff, 4096}, {TEST, 0x9b, 0xfffff, 4096},
    {TEST, 0x82, 0xfffff, 4096}, {0x1f8, 0x93, 0xfffff, 4096}, {TEST, 0x93, 0, 16}, {TEST, 0x93, 0, 15}, {TEST, 0x93, 0, 8}, {TEST, 0x97, 0, 4112}, {TEST, 0x97, 0, 4111}, {TEST, 0x97, 1, 4112}, {TEST | 4, 0x93, 0, 4096},
  };
  for (int way = 0; way < 2; way++) for (unsigned i = 0; i < sizeof stacks / sizeof *stacks; i++) {
    // Level 1 is what goes wrong, so that level 0 can tell of it.
    gdt[TEST / 8] = segment((u32)inner[1], stacks[i].limit, stacks[i].access == 0 ? 0 : stacks[i].access | 0x20, stacks[i].limit == 0xfffff ? 0xc : 4);
    if (stacks[i].access == 0xb3) gdt[TEST / 8] = segment(0, 0xfffff, 0xd3, 0xc);
    put32(tss + 0x0c, stacks[i].esp);
    u32 selector = stacks[i].selector;
    put32(tss + 0x10, selector < 4 || selector == 0x1f8 ? selector : i == 2 ? TEST : (selector | 1));
    gdt[GATE / 8] = gate(code_of(1), (u32)gate_target, 0xec, 0);
    idt[0x41] = gate(code_of(1), (u32)gate_target, 0xee, 0);
    static const char interrupt[] = {0xcd, 0x41};
    prepare(way == 0 ? call_far : interrupt, 3);
    far_pointer[0] = 0;
    far_pointer[1] = GATE | 3;
    run();
    text("inner ");
    hex(way, 1); hex(i, 2);
    outcome();
    number("cs", end.cs, 4);
    number("ss", end.ss, 4);
    put('\n');
  }
  put32(tss + 0x0c, (u32)inner[1] + 4096);
  put32(tss + 0x10, data_of(1));
}

// ---- Interrupt gates

CODE(int41, "int $0x41");
CODE(handler41, "nop");
static void interrupts(void) {
  for (int access = 0; access < 256; access++) {
    if ((access & 0x1f) == 5) continue;
    text("interrupt ");
    hex(access, 2);
    for (int code = 0; code < 9; code++) for (int level = 0; level < 4; level++) {
      static const int kinds[] = {0x9a, 0xba, 0xda, 0xfa, 0x9e, 0xfe, 0x1a, 0x92, 0x82};
      gdt[TEST / 8] = segment((access & 0x1f) == 6 || (access & 0x1f) == 7 ? (u32)handler41 & 0xffff0000 : 0, 0xfffff, kinds[code], 0xc);
      idt[0x41] = gate(TEST | (code & 3), (access & 0x1e) == 6 ? (u32)handler41 & 0xffff : (u32)handler41, access, 0);
      prepare(int41, level);
      start.flags = 0x4202;
      run();
      put(' ');
      hex(end.vector, 2);
      if (end.vector != 0x40) { put('/'); hex(end.error, 4); continue; }
      put(':');
      hex(end.cs, 4); hex(end.flags, 5);
      hex(gdt[TEST / 8] >> 40 & 1, 1);
    }
    put('\n');
  }
  idt[0x41] = gate(CODE0, (u32)handlers + 0x41 * 16, 0x8e, 0);
}

// ---- Tasks

CODE(task2, "nop");
CODE(int42, "int $0x42");
static void print_task(const u8 *at, int wide) {
  u32 sum = 0;
  for (int i = 0; i < (wide ? 0x68 : 0x2c); i += 4) sum = (sum << 5 | sum >> 27) ^ (i == 0x64 ? 0 : get32(at + i));
  number("sum", sum, 8);
}
static void tasks(void) {
  for (int wide = 1; wide >= 0; wide--) for (int way = 0; way < 4; way++) for (int variant = 0; variant < 24; variant++) {
    for (int i = 0; i < 256; i++) tss2[i] = 0;
    // What goes wrong in the new task is told on the stack of its inner level.
    int level = variant == 0 || variant == 2 || (variant >= 13 && variant <= 20) ? 0 : 3;
    if (wide) {
      put32(tss2 + 4, (u32)inner[0] + 4096);
      put32(tss2 + 8, DATA0);
      put32(tss2 + 0x1c, 0);
      put32(tss2 + 0x20, (u32)task2);
      put32(tss2 + 0x24, variant == 2 ? 0x4002 : 2);
      for (int i = 0; i < 8; i++) put32(tss2 + 0x28 + i * 4, i == 4 ? (u32)outer + 1024 : 0x01010101 * i);
      for (int i = 0; i < 6; i++) put32(tss2 + 0x48 + i * 4, i == 1 ? code_of(level) : data_of(level));
      if (variant == 3) put32(tss2 + 0x4c, 3);
      if (variant == 4) put32(tss2 + 0x50, 3);
      if (variant == 5) put32(tss2 + 0x54, 0x1f8);
      if (variant == 6) put32(tss2 + 0x60, 0x1f8);
      if (variant == 7) put32(tss2 + 0x60, LDT);
      if (variant == 8) put32(tss2 + 0x4c, data_of(3));
      if (variant == 9) put32(tss2 + 0x50, code_of(3));
      if (variant == 10) put32(tss2 + 0x58, TEST);
      if (variant == 11) put32(tss2 + 0x4c, TEST | 3);
      if (variant == 12) put32(tss2 + 0x64, 1);
      if (variant == 21) put32(tss2 + 0x60, TEST);
      if (variant == 22) put32(tss2 + 0x4c, CODE0 | 3);
      if (variant == 23) put32(tss2 + 0x50, DATA0 | 3);
    } else {
      // The handler's stack is a flat one.
      *(u16 *)(tss2 + 2) = 0x7000;
      *(u16 *)(tss2 + 4) = DATA0;
      *(u16 *)(tss2 + 0x0e) = 0;
      *(u16 *)(tss2 + 0x10) = 2;
      for (int i = 0; i < 8; i++) *(u16 *)(tss2 + 0x12 + i * 2) = i == 4 ? 0x800 : 0x0101 * i;
      for (int i = 0; i < 4; i++) *(u16 *)(tss2 + 0x22 + i * 2) = i == 1 ? TEST2 | 3 : i == 2 ? STACK16 | 3 : data_of(3);
      if (variant >= 3 && variant < 13) continue;
      if (variant > 20) continue;
    }
    gdt[TEST / 8] = segment(0, 0xfffff, variant == 11 ? 0x7b : 0x73, 0xc);
    gdt[TEST2 / 8] = segment((u32)task2, 0xfff, 0xfb, 4);
    gdt[STACK16 / 8] = segment((u32)outer, 0xffff, 0xf3, 0);
    int type = wide ? 9 : 1;
    u32 access = 0x80 | type;
    u32 limit = wide ? 0x67 : 0x2b;
    if (variant == 13) access |= 2;
    if (variant == 14) access &= 0x7f;
    if (variant == 15) limit--;
    gdt[TSS2 / 8] = segment((u32)tss2, limit, access, 0);
    u32 target = TSS2;
    if (way == 1 || way == 2) {
      // Through a task gate.
      gdt[GATE / 8] = gate(variant == 16 ? TSS2 | 4 : variant == 17 ? 0 : variant == 18 ? 0x1f8 : variant == 19 ? CODE0 : TSS2, 0, variant == 20 ? 0x05 : 0x85, 0);
      idt[0x42] = gdt[GATE / 8];
      target = GATE;
    }
    prepare(way == 0 ? jump_far : way == 1 ? call_far : way == 2 ? int42 : return_interrupt, 0);
    far_pointer[0] = 0;
    far_pointer[1] = target;
    start.eax = 0x12345678;
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x4ff));
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
    if (way == 3) {
      *(u16 *)tss = TSS2;
      if (variant != 13) gdt[TSS2 / 8] |= (u64)2 << 40;
      else gdt[TSS2 / 8] &= ~((u64)2 << 40);
      start.flags = 0x4002;
    }
    // IRET would itself go to the task: NT is for the code to set.
    if (way == 3) {
      static const char with_nt[] = {0x68, 0x02, 0x40, 0, 0, 0x9d, 0xcf, 0xcd, 0x40};
      prepare(with_nt, 0);
    }
    run();
    text("task ");
    hex(wide, 1); hex(way, 1); hex(variant, 2); put(' ');
    hex(end.vector, 2); put('/'); hex(end.error, 4);
    u16 tr;
    u32 cr0, dr7;
    __asm__ volatile("str %0" : "=r"(tr));
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    number("tr", tr, 4);
    number("cs", end.cs, 4);
    number("ip", end.eip - (u32)task2, 8);
    number("fl", end.flags, 5);
    number("ax", end.eax, 8);
    number("ts", cr0 >> 3 & 1, 1);
    number("dr7", dr7, 4);
    number("dr6", end_dr6, 8);
    number("a", gdt[TSS / 8] >> 40 & 0xff, 2);
    number("b", gdt[TSS2 / 8] >> 40 & 0xff, 2);
    number("link", *(u16 *)tss2, 4);
    if (tr == TSS2) print_task(tss, 1);
    put('\n');
    __asm__ volatile("clts\nmov %0, %%dr7" : : "r"(0x400));
    __asm__ volatile("lldt %%ax" : : "a"(0));
    gdt[TSS / 8] = segment((u32)tss, sizeof tss - 1, 0x89, 0);
    __asm__ volatile("ltr %%ax" : : "a"(TSS));
  }
}

// ---- Virtual-8086 mode

static void virtual8086(void) {
  static const struct { const char *name; u8 code[8]; } ways[] = {
    {"cli", {0xfa}}, {"sti", {0xfb}}, {"pushf", {0x9c}}, {"pushfd", {0x66, 0x9c}}, {"popf", {0x9d}}, {"popfd", {0x66, 0x9d}}, {"int41", {0xcd, 0x41}}, {"int43", {0xcd, 0x43}}, {"int3", {0xcc}},
    {"iret", {0xcf}}, {"iretd", {0x66, 0xcf}}, {"in", {0xe4, 0x10}}, {"out", {0xe6, 0x10}}, {"hlt", {0xf4}}, {"into", {0xce}}, {"lldt", {0x0f, 0x00, 0xd0}}, {"lar", {0x0f, 0x02, 0xc0}},
    {"smsw", {0x0f, 0x01, 0xe0}}, {"lmsw", {0x0f, 0x01, 0xf0}}, {"cr0", {0x0f, 0x20, 0xc0}}, {"clts", {0x0f, 0x06}}, {"callf", {0x9a, 0, 3, 0, 0x40}}, {"mov ds", {0x8e, 0xd8}}, {"bound", {0x62, 0xc0}},
    {"sgdt", {0x0f, 0x01, 0x06, 0, 9}}, {"sysenter", {0x0f, 0x34}}, {"lock", {0xf0, 0x90}}, {"insb", {0x6c}}, {"rep outsb", {0xf3, 0x6e}}, {"int40", {0xcd, 0x40}},
  };
  u8 *low = (u8 *)0x40000;
  u16 *vectors = (u16 *)0;
  vectors[0x41 * 2] = 0x300;
  vectors[0x41 * 2 + 1] = 0x4000;
  vectors[0x43 * 2] = 0x300;
  vectors[0x43 * 2 + 1] = 0x4000;
  for (int vme = 0; vme < 2; vme++) for (int iopl = 0; iopl < 4; iopl++) for (int flags = 0; flags < 4; flags++) for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
    __asm__ volatile("mov %0, %%cr4" : : "r"(vme));
    for (int i = 0; i < 0x1000; i++) low[i] = 0xf4;
    for (int i = 0; i < 8; i++) if (ways[way].code[i] != 0 || i < 5) low[i] = ways[way].code[i];
    for (int i = 7; i > 0 && ways[way].code[i] == 0; i--) if (i > 1) low[i] = 0xf4;
    low[0x300] = 0xf4;
    prepare(0, 3);
    start.cs = start.ss = start.ds = start.es = 0x4000;
    start.flags = 0x20002 | iopl << 12 | ((flags & 1) != 0 ? 0x80000 : 0) | ((flags & 2) != 0 ? 0x100000 : 0) | (flags == 1 ? 0x200 : 0);
    start.esp = 0x800;
    u16 *stack = (u16 *)(low + 0x800);
    stack[0] = way == 4 || way == 5 ? 0x7246 : 0x300;
    stack[1] = way == 10 ? 0 : 0x4000;
    stack[2] = way == 9 ? 0x3246 : 0x4000;
    stack[3] = 0;
    stack[4] = 0x3246;
    stack[5] = 0;
    // INT 0x43 is for the monitor, INT 0x41 for the program.
    for (int i = 0; i < 32; i++) tss[0x2000 - 32 + i] = 0;
    tss[0x2000 - 32 + 8] = 1 << 3 | 1;
    put32(tss + 0x64, 0x2000u << 16);
    for (int i = 0; i < 16; i++) tss[0x2000 + i] = 0xff;
    run();
    text("v86 ");
    hex(vme, 1); hex(iopl, 1); hex(flags, 1); put(' ');
    text(ways[way].name);
    put(' ');
    hex(end.vector, 2); put('/'); hex(end.error, 4);
    number("ip", end.eip, 4);
    number("cs", end.cs, 4);
    number("fl", end.flags, 6);
    number("sp", end.esp, 4);
    if (end.esp < 0x800) for (u32 at = end.esp; at < 0x800; at += 2) { put(' '); hex(*(u16 *)(low + at), 4); }
    put('\n');
  }
  __asm__ volatile("mov %0, %%cr4" : : "r"(0));
  put32(tss + 0x64, sizeof tss << 16);
}
/** CR4.PVI: CLI and STI of level 3 in protected mode. */
static void virtual_interrupts(void) {
  static const char cli[] = {0xfa, 0xcd, 0x40}, sti[] = {0xfb, 0xcd, 0x40};
  for (int pvi = 0; pvi < 2; pvi++) for (int iopl = 0; iopl < 4; iopl++) for (int vip = 0; vip < 4; vip++) for (int way = 0; way < 2; way++) {
    __asm__ volatile("mov %0, %%cr4" : : "r"(pvi << 1));
    prepare(way ? sti : cli, 3);
    start.flags = 2 | iopl << 12 | ((vip & 1) != 0 ? 0x100000 : 0) | ((vip & 2) != 0 ? 0x80000 : 0);
    run();
    text("pvi ");
    hex(pvi, 1); hex(iopl, 1); hex(vip, 1); hex(way, 1);
    outcome();
    number("fl", end.flags, 6);
    put('\n');
  }
  __asm__ volatile("mov %0, %%cr4" : : "r"(0));
}

// ---- Ports

CODE(in1, "in %dx, %al");
CODE(in2, "in %dx, %ax");
CODE(in4, "in %dx, %eax");
static void ports(void) {
  static const char *const ways[] = {in1, in2, in4};
  for (int iopl = 0; iopl < 4; iopl++) for (int level = 0; level < 4; level++) for (int variant = 0; variant < 5; variant++) {
    text("port ");
    hex(iopl, 1); hex(level, 1); hex(variant, 1);
    u32 map = variant == 4 ? 0x60 : 0x100;
    put32(tss + 0x64, map << 16);
    for (int i = 0; i < 0x2100; i++) if (i >= 0x68) tss[i] = 0;
    if (variant == 1) tss[0x100 + 0x10] = 0x28;
    if (variant == 2) for (int i = 0; i < 0x200; i++) tss[0x100 + i] = i * 7;
    u32 limit = variant == 3 ? 0x100 + 0x11 : sizeof tss - 1;
    gdt[TSS / 8] = segment((u32)tss, limit, 0x89, 0);
    __asm__ volatile("ltr %%ax" : : "a"(TSS));
    for (int way = 0; way < 3; way++) {
      put(' ');
      for (u32 port = 0x7c; port < 0x90; port++) {
        prepare(ways[way], level);
        start.flags = 2 | iopl << 12;
        start.edx = port + 0x500 * 0;
        run();
        put(end.vector == 0x40 ? '.' : end.vector == 13 && end.error == 0 ? 'G' : '?');
      }
    }
    put('\n');
  }
  put32(tss + 0x64, sizeof tss << 16);
  gdt[TSS / 8] = segment((u32)tss, sizeof tss - 1, 0x89, 0);
  __asm__ volatile("ltr %%ax" : : "a"(TSS));
}

// ---- Single steps and breakpoints

#define STEPS(name, body) extern char name[]; __asm__(".text\n" #name ": " body "\nnop\nint $0x40\n")
STEPS(step_plain, "nop\nnop");
STEPS(step_ss, "mov %ss, %eax\nmov %eax, %ss\nnop\nnop");
STEPS(step_pop_ss, "push %ss\npop %ss\nnop\nnop");
STEPS(step_two_ss, "mov %ss, %eax\nmov %eax, %ss\nmov %eax, %ss\nnop\nnop");
STEPS(step_sti, "sti\nnop\ncli\nnop");
STEPS(step_popf, "push $2\npopf\nnop\nnop");
STEPS(step_set, "push $0x102\npopf\nnop\nnop");
STEPS(step_iret, "push $0x102\npush %cs\npush $1f\niret\n1: nop\nnop");
STEPS(step_int, "int $0x44\nnop");
STEPS(step_int1, ".byte 0xf1\nnop");
STEPS(step_int3, "int3\nnop");
STEPS(step_rep, "mov $3, %ecx\nlea outer, %edi\nrep stosb\nnop");
STEPS(step_lss, "push %ss\nlea 4(%esp), %eax\npush %eax\nlss (%esp), %esp\nnop\nnop");
STEPS(step_dr6, "mov %dr6, %eax\nnop");
STEPS(step_load, "mov outer, %eax\nnop\nmov %al, outer\nnop");
STEPS(step_push, "push %eax\npop %eax\nnop");
STEPS(step_ss_memory, "mov outer + 32, %ss\nnop\nnop");
STEPS(step_fault, "mov outer, %eax\nud2");

static void steps(void) {
  static const struct { const char *name, *code; } ways[] = {
    {"plain", step_plain}, {"ss", step_ss}, {"popss", step_pop_ss}, {"twoss", step_two_ss}, {"sti", step_sti}, {"popf", step_popf}, {"set", step_set}, {"iret", step_iret}, {"int", step_int},
    {"int1", step_int1}, {"int3", step_int3}, {"rep", step_rep}, {"lss", step_lss}, {"dr6", step_dr6}, {"load", step_load}, {"push", step_push}, {"ssmem", step_ss_memory}, {"fault", step_fault},
  };
  // A handler that returns at once, for INT 0x44.
  static const char back[] = {0xcf};
  idt[0x44] = gate(CODE0, (u32)back, 0x8e, 0);
  *(u16 *)(outer + 32) = DATA0;
  static const struct { u32 flags, dr7; int where; } modes[] = {
    {0x102, 0x400, 0}, {2, 0x402, 0}, {2, 0x402, 1}, {2, 0x402, 2}, {2, 0xf0402, 3}, {2, 0xd0402, 3}, {2, 0x10402, 3}, {0x102, 0xf0402, 3}, {0x10002, 0x402, 0}, {0x10102, 0x402, 0}, {2, 0x2400, 0}, {0x102, 0x402, 1},
    {2, 0x400, 0},
  };
  for (unsigned mode = 0; mode < sizeof modes / sizeof *modes; mode++) for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
    u32 where = modes[mode].where == 3 ? (u32)outer : (u32)ways[way].code + modes[mode].where;
    text("step ");
    hex(mode, 1); put(' ');
    text(ways[way].name);
    prepare(ways[way].code, 0);
    start.flags = modes[mode].flags;
    start.ss = DATA0;
    u32 dr7 = modes[mode].dr7;
    u32 first = start.eip;
    for (int count = 0; count < 12; count++) {
      __asm__ volatile("mov %0, %%dr7" : : "r"(0x400));
      __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
      __asm__ volatile("mov %0, %%dr0" : : "r"(where));
      __asm__ volatile("mov %0, %%dr7" : : "r"(dr7));
      run();
      u32 left;
      __asm__ volatile("mov %%dr7, %0" : "=r"(left));
      __asm__ volatile("mov %0, %%dr7" : : "r"(0x400));
      put(' ');
      hex(end.vector, 2); put('@'); hex(end.eip - first, 2); put(':'); hex(end_dr6 & 0xe00f, 4);
      if (left != dr7) { put('!'); hex(left, 4); }
      if (end.vector != 1) break;
      // Go on where it was, over an instruction breakpoint.
      if ((end.flags & 0x10000) != 0) put('R');
      start.eip = end.eip;
      start.flags = (end.flags & 0x3f7fd5) | 0x10002;
      if ((left & 0x2000) == 0) dr7 = left;
      start.eax = end.eax; start.ecx = end.ecx; start.edi = end.edi; start.esp = end.esp;
    }
    put('\n');
  }
  __asm__ volatile("mov %0, %%dr7" : : "r"(0x400));
  idt[0x44] = gate(CODE0, (u32)handlers + 0x44 * 16, 0x8e, 0);
}

// ---- Control registers

CODE(set_cr0, "mov %eax, %cr0");
CODE(set_cr4, "mov %eax, %cr4");
CODE(set_cr3, "mov %eax, %cr3");
CODE(do_lmsw, "lmsw %ax");
CODE(set_dr4, "mov %eax, %dr4");
CODE(set_dr7, "mov %eax, %dr7");
CODE(set_dr6, "mov %eax, %dr6");
CODE(write_msr, "wrmsr");
CODE(read_msr, "rdmsr");
static void control(void) {
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  for (int bit = 0; bit < 32; bit++) {
    if (bit == 31) continue;
    prepare(set_cr0, 0);
    start.eax = cr0 ^ 1u << bit;
    if (bit == 0) continue; // out of protected mode
    run();
    u32 now;
    __asm__ volatile("mov %%cr0, %0" : "=r"(now));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
    text("cr0 ");
    hex(bit, 2);
    outcome();
    number("is", now & ~0x60000000, 8);
    put('\n');
  }
  static const u32 pairs[] = {0x20000001, 0x60000001, 0x40000001};
  for (int i = 0; i < 3; i++) {
    prepare(set_cr0, 0);
    start.eax = pairs[i] | 0x10;
    run();
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
    text("cr0 pair ");
    hex(i, 1);
    outcome();
    put('\n');
  }
  for (u32 i = 0; i < 16; i++) for (int level = 0; level < 4; level++) {
    prepare(do_lmsw, level);
    start.eax = i;
    run();
    u32 now;
    __asm__ volatile("mov %%cr0, %0" : "=r"(now));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
    text("lmsw ");
    hex(i, 1); hex(level, 1);
    outcome();
    number("is", now & 15, 1);
    put('\n');
  }
  for (int de = 0; de < 2; de++) for (int gd = 0; gd < 2; gd++) {
    __asm__ volatile("mov %0, %%cr4" : : "r"(de << 3));
    __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400 | gd << 13));
    prepare(set_dr4, 0);
    start.eax = 0x1f;
    run();
    u32 left;
    __asm__ volatile("mov %%dr7, %0" : "=r"(left));
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400));
    text("dr4 ");
    hex(de, 1); hex(gd, 1);
    outcome();
    number("dr6", end_dr6, 8);
    number("dr7", left, 8);
    put('\n');
  }
  __asm__ volatile("mov %0, %%cr4" : : "r"(0));
  for (int bit = 0; bit < 32; bit++) {
    prepare(set_dr7, 0);
    start.eax = 1u << bit;
    run();
    u32 now;
    __asm__ volatile("mov %%dr7, %0" : "=r"(now));
    __asm__ volatile("mov %0, %%dr7" : : "r"(0x400));
    text("dr7 ");
    hex(bit, 2);
    outcome();
    number("is", now, 8);
    prepare(set_dr6, 0);
    start.eax = 1u << bit;
    run();
    number("dr6", end_dr6, 8);
    put('\n');
  }
  __asm__ volatile("mov %0, %%dr6" : : "r"(0xffff0ff0));
}

// ---- Pages

static u32 directory[1024] __attribute__((aligned(4096)));
static u32 table[1024] __attribute__((aligned(4096)));
static u64 pae_pointers[4] __attribute__((aligned(32)));
static u64 pae_directory[512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));
CODE(execute, "jmp *%ebx");
enum { AT = 0x00c00000 };

static void accesses(int level) {
  static const char *const ways[] = {read4, write4, execute};
  for (int way = 0; way < 3; way++) {
    prepare(ways[way], level);
    start.ebx = AT + 0x10;
    run();
    put(' ');
    hex(end.vector, 2);
    if (end.vector == 14) { put('/'); hex(end.error, 2); if (end_cr2 != AT + 0x10) { put('!'); hex(end_cr2, 8); } }
  }
}
static void pages(void) {
  page[0x10] = 0xcd;
  page[0x11] = 0x40;
  for (int i = 0; i < 1024; i++) directory[i] = i << 22 | 0x87;
  for (int i = 0; i < 1024; i++) table[i] = 0;
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr4\nmov %1, %%cr3" : : "r"(0x10), "r"(directory));
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 0x80000000));
  for (int wp = 0; wp < 2; wp++) for (int upper = 0; upper < 8; upper++) for (int lower = 0; lower < 8; lower++) {
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~0x10000) | 0x80000000 | wp << 16));
    text("page32 ");
    hex(wp, 1); hex(upper, 1); hex(lower, 1);
    for (int level = 0; level < 4; level++) {
      directory[AT >> 22] = (u32)table | upper;
      table[0] = (u32)page | lower;
      __asm__ volatile("mov %0, %%cr3" : : "r"(directory));
      accesses(level);
      put(':'); hex(directory[AT >> 22] & 0xfff, 3); hex(table[0] & 0xfff, 3);
    }
    put('\n');
  }
  // Large pages and their reserved bits, with and without PSE.
  for (int pse = 1; pse >= 0; pse--) for (int bit = 12; bit < 23; bit++) {
    directory[AT >> 22] = ((u32)page & 0xffc00000) | 0x87 | (bit == 22 ? 0 : 1u << bit);
    if (bit >= 13 && bit <= 20) continue; // an address beyond 4 GiB
    if (!pse) continue;
    __asm__ volatile("mov %0, %%cr3" : : "r"(directory));
    text("page4m ");
    hex(bit, 2);
    prepare(read4, 3);
    start.ebx = AT + ((u32)page & 0x3fffff) + 0x10;
    run();
    outcome();
    put('\n');
  }
  directory[AT >> 22] = AT | 0x87;
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));

  // PAE, with and without NX and SMEP.
  pae_pointers[0] = (u32)pae_directory | 1;
  pae_pointers[1] = pae_pointers[2] = pae_pointers[3] = 0;
  for (int i = 0; i < 512; i++) pae_directory[i] = (u64)i << 21 | 0x87;
  // 2 MiB pages of the program's own are the supervisor's with SMEP: so that the kernel may run.
  u32 a, d;
  __asm__ volatile("cpuid" : "=a"(a), "=d"(d) : "a"(0x80000001) : "ebx", "ecx");
  for (int nx = 0; nx < 2; nx++) {
    __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(nx << 11), "d"(0));
    __asm__ volatile("mov %0, %%cr4\nmov %1, %%cr3" : : "r"(0x20), "r"(pae_pointers));
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~0x10000) | 0x80010000));
    for (int upper = 0; upper < 16; upper++) for (int lower = 0; lower < 16; lower++) {
      if ((upper & 1) == 0 && lower > 1) continue;
      text("pagepae ");
      hex(nx, 1); hex(upper, 1); hex(lower, 1);
      for (int level = 0; level < 4; level += 3) {
        pae_directory[AT >> 21] = (u32)pae_table | (upper & 7) | (u64)(upper >> 3) << 63;
        pae_table[0] = (u32)page | (lower & 7) | (u64)(lower >> 3) << 63;
        __asm__ volatile("mov %0, %%cr3" : : "r"(pae_pointers));
        accesses(level);
        put(':'); hex((u32)pae_directory[AT >> 21] & 0xfff, 3); hex((u32)pae_table[0] & 0xfff, 3);
      }
      put('\n');
    }
    // Reserved bits of each level.
    for (int level = 0; level < 3; level++) for (int bit = 5; bit < 64; bit++) {
      if (bit > 11 && bit < 52 && !(level == 1 && bit >= 13 && bit <= 20)) continue;
      pae_directory[AT >> 21] = (u32)pae_table | 7;
      pae_table[0] = (u32)page | 7;
      pae_pointers[3] = 0;
      if (level == 0) pae_table[0] |= (u64)1 << bit;
      if (level == 1) pae_directory[AT >> 21] = AT | 0x87 | (u64)1 << bit;
      if (level == 2) pae_pointers[3] = (u32)pae_directory | 1 | (u64)1 << bit;
      text("paereserved ");
      hex(nx, 1); hex(level, 1); hex(bit, 2);
      if (level == 2) {
        prepare(set_cr3, 0);
        start.eax = (u32)pae_pointers;
        run();
        outcome();
      } else {
        __asm__ volatile("mov %0, %%cr3" : : "r"(pae_pointers));
        prepare(read4, 3);
        start.ebx = AT + 0x10;
        run();
        outcome();
      }
      put('\n');
    }
    pae_pointers[3] = 0;
    pae_directory[AT >> 21] = AT | 0x87;
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
  }
  __asm__ volatile("wrmsr" : : "c"(0xc0000080), "a"(0), "d"(0));
  __asm__ volatile("mov %0, %%cr4" : : "r"(0));
}

// ---- Alignment

static void alignment(void) {
  u32 cr0;
  __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 0x40000));
  static const struct { const char *name, *code; } ways[] = {{"r1", read1}, {"r2", read2}, {"r4", read4}, {"r8", read8}, {"r10", read10}, {"w4", write4}, {"push", push4}, {"lss", do_lss}, {"jmp", jump_far}};
  for (int level = 0; level < 4; level++) for (int ac = 0; ac < 2; ac++) for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++) {
    text("align ");
    hex(level, 1); hex(ac, 1); put(' ');
    text(ways[way].name);
    for (int at = 0; at < 16; at++) {
      prepare(ways[way].code, level);
      start.flags |= ac << 18;
      u8 *to = outer + 64 + at;
      start.ebx = (u32)to;
      put32(to, (u32)(ways[way].code == jump_far ? land : (char *)outer + 2048));
      put32(to + 4, ways[way].code == jump_far ? code_of(level) : data_of(level));
      if (ways[way].code == push4) start.esp = (u32)to;
      run();
      put(end.vector == 0x40 ? '.' : end.vector == 17 && end.error == 0 ? 'A' : '?');
    }
    put('\n');
  }
  __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
}

// ---- Flags

CODE(do_popf, "popf");
CODE(do_popfw, "popfw");
CODE(do_cli, "cli");
CODE(do_sti, "sti");
static void flags(void) {
  static const char *const ways[] = {do_popf, do_popfw, return_interrupt, do_cli, do_sti};
  for (int way = 0; way < 5; way++) for (int iopl = 0; iopl < 4; iopl++) for (int level = 0; level < 4; level++) {
    static const u32 values[] = {0x3f7fd5 & ~0x120100, 0, 0x200, 0x3000, 0x180000, 0x4000, 0x250000};
    text("flags ");
    hex(way, 1); hex(iopl, 1); hex(level, 1);
    for (int i = 0; i < 7; i++) {
      // IRET with NT set at the beginning is another story; with it in the image it is not.
      prepare(ways[way], level);
      start.flags = 2 | iopl << 12 | (i == 1 ? 0x200 : 0);
      u32 *stack = (u32 *)start.esp;
      stack[0] = way == 2 ? (u32)land : values[i];
      stack[1] = start.cs;
      stack[2] = values[i];
      run();
      put(' ');
      hex(end.vector, 2); put(':'); hex(end.flags, 6);
    }
    put('\n');
  }
}

void program(void) {
  set_up();
  segments();
  limits();
  stacks();
  gates();
  bad_inner_stacks();
  interrupts();
  tasks();
  virtual8086();
  virtual_interrupts();
  ports();
  control();
  flags();
  alignment();
  pages();
  steps();
  text("END\n");
  // No handler for anything: the machine resets.
  struct { u16 limit; u32 base; } __attribute__((packed)) none = {0, 0};
  __asm__ volatile("lidt %0\nint3" : : "m"(none));
  for (;;) __asm__ volatile("hlt");
}
