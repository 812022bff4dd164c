/**
 * Runs programs on the host's own processor, in 64-bit mode and in compatibility mode, by a small C program. Each ends with an
 * exception, and its whole state is what the signal handler finds. Needs an x86-64 Linux host and a C compiler.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CODE_AT, CODE_PAGE, DATA_BYTES, DATA_PAGES, FS_BASE, GS_BASE, LOW_PAGES, MEMORY_AT, READ_ONLY_PAGE, RECORD_BYTES, RECORD_CODE_BYTES, RECORD_MEMORY_BYTES } from './program-record.ts';

const SOURCE = String.raw`
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#define TEXT(x) #x
#define NUMBER(x) TEXT(x)

struct record {
  uint32_t bits, length, vector, unused;
  uint64_t gpr[16], rip, flags, cr2, hash;
  uint16_t selectors[6], padding[2];
  uint8_t fx[512], code[CODE_BYTES], memory[MEMORY_BYTES], ymm[256];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct record) == RECORD_BYTES, "layout");

struct record current;
uint64_t frame[5];
// FS base of this program; whether programs may change it; whether there are ymm registers.
uint64_t own_fs;
uint32_t has_bases, has_ymm;
static sigjmp_buf back;
extern void enter_program(void);
extern void on_signal_entry(int, siginfo_t *, void *);

__asm__(
  ".text\n.globl enter_program\nenter_program:\n"
  "lea current(%rip), %rdi\nfninit\nfxrstor64 192(%rdi)\n"
  "cmpl $0, has_ymm(%rip)\nje 1f\n"
  ".set i, 0\n.irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\nvinsertf128 $1, 1472+16*i(%rdi), %ymm\\r, %ymm\\r\n.set i, i+1\n.endr\n"
  "1:\nmov $0x2b, %eax\nmov %eax, %ds\nmov %eax, %es\n"
  "cmpl $0, has_bases(%rip)\nje 2f\nmov %eax, %fs\nmov %eax, %gs\nmov $" NUMBER(FS_BASE) ", %eax\nwrfsbase %rax\nmov $" NUMBER(GS_BASE) ", %eax\nwrgsbase %rax\n2:\n"
  "lea frame(%rip), %rsp\n"
  "mov 16(%rdi), %rax\nmov 24(%rdi), %rcx\nmov 32(%rdi), %rdx\nmov 40(%rdi), %rbx\nmov 56(%rdi), %rbp\nmov 64(%rdi), %rsi\n"
  "mov 80(%rdi), %r8\nmov 88(%rdi), %r9\nmov 96(%rdi), %r10\nmov 104(%rdi), %r11\nmov 112(%rdi), %r12\nmov 120(%rdi), %r13\nmov 128(%rdi), %r14\nmov 136(%rdi), %r15\n"
  "mov 72(%rdi), %rdi\niretq\n"
  // The program may have set AC, which C code does not stand, and NT, which IRET does not.
  ".globl on_signal_entry\non_signal_entry:\n"
  "pushfq\nandq $0xfffffffffffbbfff, (%rsp)\npopfq\n"
  "lea current(%rip), %rax\nmov %ds, 180(%rax)\nmov %es, 182(%rax)\nmov %fs, 184(%rax)\nmov %gs, 186(%rax)\n"
  // The C library finds its own data by FS.
  "cmpl $0, has_bases(%rip)\nje 3f\nmov own_fs(%rip), %rax\nwrfsbase %rax\n3:\n"
  "jmp on_signal\n");

__attribute__((used)) void on_signal(int number, siginfo_t *info, void *context) {
  ucontext_t *at = context;
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  (void)info;
  current.vector = number == SIGALRM ? 0xfe : at->uc_mcontext.gregs[REG_TRAPNO];
  for (int i = 0; i < 16; i++) current.gpr[i] = at->uc_mcontext.gregs[order[i]];
  current.rip = at->uc_mcontext.gregs[REG_RIP];
  current.flags = at->uc_mcontext.gregs[REG_EFL];
  current.cr2 = at->uc_mcontext.gregs[REG_CR2];
  current.selectors[0] = at->uc_mcontext.gregs[REG_CSGSFS];
  current.selectors[1] = (uint64_t)at->uc_mcontext.gregs[REG_CSGSFS] >> 48;
  const uint8_t *saved = (const uint8_t *)at->uc_mcontext.fpregs;
  memcpy(current.fx, saved, 512);
  // Behind them the header and the ymm registers in the standard format (SDM vol. 1, section 13.4).
  if (has_ymm && (*(const uint64_t *)(saved + 512) & 4) != 0) memcpy(current.ymm, saved + 576, 256);
  else memset(current.ymm, 0, 256);
  siglongjmp(back, 1);
}

static uint32_t hash_words(const uint32_t *words, int count, uint32_t hash) {
  for (int i = 0; i < count; i++) hash = (hash ^ words[i]) * 0x01000193u;
  return hash;
}
static void *map(uint64_t at, size_t bytes, int rights) {
  void *got = mmap((void *)at, bytes, rights, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  return got == (void *)at ? got : 0;
}

int main(void) {
  uint8_t *data = map(DATA_PAGES, DATA_BYTES, PROT_READ | PROT_WRITE);
  uint8_t *code = map(CODE_PAGE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
  if (!data || !code || !map(READ_ONLY_PAGE, 4096, PROT_READ)) return 2;
  uint8_t *low = map(LOW_PAGES, DATA_BYTES, PROT_READ | PROT_WRITE);
  has_bases = (getauxval(AT_HWCAP2) & 2) != 0;
  if (has_bases) __asm__ volatile("rdfsbase %0" : "=r"(own_fs));
  has_ymm = __builtin_cpu_supports("avx") != 0;
  // Does the x87 keep the selector of the code and the opcode of an instruction without an exception?
  uint32_t environment[7];
  __asm__ volatile("fninit\nfld1\nfmul %%st(0)\nfnstenv %0" : "=m"(environment));
  uint32_t header[2] = {(low != 0) | (environment[4] == 0x00c80033 ? 2 : 0) | has_bases << 2, 0};
  fwrite(header, sizeof header, 1, stdout);
  stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = on_signal_entry, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP, SIGALRM};
  for (int i = 0; i < 6; i++) sigaction(signals[i], &action, 0);
  // Data segments for compatibility mode.
  __asm__ volatile("mov %0, %%ds\nmov %0, %%es" : : "r"(0x2b));
  const struct itimerval patience = {{0, 0}, {0, 500000}}, none = {{0, 0}, {0, 0}};
  while (fread(&current, sizeof current, 1, stdin) == 1) {
    memset(code, 0xf4, 4096);
    memcpy(code + (CODE_AT - CODE_PAGE), current.code, current.length);
    memset(data, 0, DATA_BYTES);
    memcpy(data + (MEMORY_AT - DATA_PAGES), current.memory, sizeof current.memory);
    if (low) {
      memset(low, 0, DATA_BYTES);
      memcpy(low + (MEMORY_AT - DATA_PAGES), current.memory, sizeof current.memory);
    }
    frame[0] = current.rip;
    frame[1] = current.bits == 32 ? 0x23 : 0x33;
    frame[2] = current.flags;
    frame[3] = current.gpr[4];
    frame[4] = 0x2b;
    setitimer(ITIMER_REAL, &patience, 0);
    if (sigsetjmp(back, 0) == 0) enter_program();
    setitimer(ITIMER_REAL, &none, 0);
    memcpy(current.memory, data + (MEMORY_AT - DATA_PAGES), sizeof current.memory);
    uint32_t hash = hash_words((uint32_t *)data, DATA_BYTES / 4, 0x811c9dc5u);
    if (low) hash = hash_words((uint32_t *)low, DATA_BYTES / 4, hash);
    current.hash = hash;
    fwrite(&current, sizeof current, 1, stdout);
  }
  return 0;
}
`;

const HEADER_BYTES = 8;

export interface NativeRun {
  /** States after, in the layout of the records. */
  readonly records: Uint8Array;
  /** LOW_PAGES are there. */
  readonly lowPages: boolean;
  /** The x87 keeps opcode and selectors of its last instruction, whether there was an exception or not. */
  readonly keepsPointers: boolean;
  /** FS and GS have bases that programs may set, and begin with FS_BASE and GS_BASE. */
  readonly hasBases: boolean;
}

/** The harness, compiled. Answers the states after the programs of `records`. */
export class NativeProcessor {
  readonly #folder: string;
  readonly #program: string;

  /** `compiler` is the path of a C compiler. */
  constructor(compiler: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'vm-native-'));
    this.#program = join(this.#folder, 'harness');
    const source = join(this.#folder, 'harness.c');
    writeFileSync(source, SOURCE);
    const numbers = { CODE_AT, CODE_PAGE, DATA_BYTES, DATA_PAGES, LOW_PAGES, MEMORY_AT, READ_ONLY_PAGE, RECORD_BYTES, FS_BASE, GS_BASE, CODE_BYTES: RECORD_CODE_BYTES, MEMORY_BYTES: RECORD_MEMORY_BYTES };
    execFileSync(compiler, ['-O1', '-Wall', '-fPIE', '-pie', ...Object.entries(numbers).map(([name, value]) => `-D${name}=${value}`), '-o', this.#program, source]);
  }

  run(records: Uint8Array): NativeRun {
    const out = execFileSync(this.#program, { input: records, maxBuffer: records.length + HEADER_BYTES });
    if (out.length !== records.length + HEADER_BYTES) throw new Error(`native processor: ${records.length} bytes expected, got ${out.length - HEADER_BYTES}`);
    // A copy, so that it begins at a multiple of eight.
    return { records: Uint8Array.from(out.subarray(HEADER_BYTES)), lowPages: ((out[0] as number) & 1) !== 0, keepsPointers: ((out[0] as number) & 2) !== 0, hasBases: ((out[0] as number) & 4) !== 0 };
  }

  /** Removes the harness. */
  [Symbol.dispose](): void { rmSync(this.#folder, { recursive: true }); }
}
