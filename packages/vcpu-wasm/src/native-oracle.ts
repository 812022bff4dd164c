/**
 * Runs single instructions on the host's own processor, for tests: each case is a state, one instruction, and the state
 * that it left or the exception that it raised. Needs an x86-64 Linux host and a C compiler.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Layout of a case; the same before and after.
export const CASE_CODE = 0;
export const CASE_CODE_BYTES = 16;
export const CASE_VECTOR = 20;
/** 16 general registers; rsp and r15 are the harness's own. */
export const CASE_GPR = 32;
export const CASE_FLAGS = 160;
/** An FXSAVE64 image. */
export const CASE_FX = 192;
/** What lies at WINDOW. */
export const CASE_MEMORY = 704;
export const CASE_MEMORY_BYTES = 256;
/** Bits 128 to 255 of the ymm registers; 0 where the host has none. */
export const CASE_YMM_HIGH = 960;
export const CASE_BYTES = 1216;
/** Address of the memory that instructions may touch, the same in the harness and in the machine compared with it. */
export const WINDOW = 0x20_0000;
export const NO_VECTOR = 0xffff_ffff;

const SOURCE = String.raw`
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct record {
  uint8_t code[16];
  uint32_t length, vector, unused[2];
  uint64_t gpr[16], flags, padding[3];
  uint8_t fx[512], memory[256], ymm_high[256];
} __attribute__((aligned(64)));

extern void run_record(struct record *);
extern void record_done(void);
static struct record current;
int has_avx;
static sigjmp_buf back;
uint8_t *code_page;

#define EACH(one) one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11) one(12) one(13) one(14) one(15)
#define INSERT(n) "vinsertf128 $1, 960+16*" #n "(%r15), %ymm" #n ", %ymm" #n "\n"
#define EXTRACT(n) "vextractf128 $1, %ymm" #n ", 960+16*" #n "(%r15)\n"
__asm__(
  ".text\n.globl run_record\nrun_record:\n"
  "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
  "mov %rdi, %r15\nfxrstor64 192(%r15)\n"
  "cmpl $0, has_avx(%rip)\nje 1f\n" EACH(INSERT) "1:\n"
  "pushq 160(%r15)\npopfq\n"
  "mov 32(%r15), %rax\nmov 40(%r15), %rcx\nmov 48(%r15), %rdx\nmov 56(%r15), %rbx\nmov 72(%r15), %rbp\nmov 80(%r15), %rsi\nmov 88(%r15), %rdi\n"
  "mov 96(%r15), %r8\nmov 104(%r15), %r9\nmov 112(%r15), %r10\nmov 120(%r15), %r11\nmov 128(%r15), %r12\nmov 136(%r15), %r13\nmov 144(%r15), %r14\n"
  "jmp *code_page(%rip)\n"
  ".globl record_done\nrecord_done:\n"
  "mov %rax, 32(%r15)\nmov %rcx, 40(%r15)\nmov %rdx, 48(%r15)\nmov %rbx, 56(%r15)\nmov %rbp, 72(%r15)\nmov %rsi, 80(%r15)\nmov %rdi, 88(%r15)\n"
  "mov %r8, 96(%r15)\nmov %r9, 104(%r15)\nmov %r10, 112(%r15)\nmov %r11, 120(%r15)\nmov %r12, 128(%r15)\nmov %r13, 136(%r15)\nmov %r14, 144(%r15)\n"
  "pushfq\npopq 160(%r15)\nfxsave64 192(%r15)\nfninit\ncld\n"
  "cmpl $0, has_avx(%rip)\nje 1f\n" EACH(EXTRACT) "vzeroupper\n1:\n"
  "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n");

static void on_signal(int number, siginfo_t *info, void *context) {
  ucontext_t *at = context;
  static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  (void)number; (void)info;
  current.vector = at->uc_mcontext.gregs[REG_TRAPNO];
  for (int i = 0; i < 15; i++) if (i != 4) current.gpr[i] = at->uc_mcontext.gregs[order[i]];
  current.flags = at->uc_mcontext.gregs[REG_EFL];
  memcpy(current.fx, at->uc_mcontext.fpregs, 512);
  // Behind it the kernel has left an XSAVE area (SDM vol. 1, section 13.4).
  const uint8_t *area = (const uint8_t *)at->uc_mcontext.fpregs;
  if (has_avx) memcpy(current.ymm_high, area + 576, 256);
  if (has_avx && !(area[512] & 4)) memset(current.ymm_high, 0, 256);
  siglongjmp(back, 1);
}

int main(void) {
  uint8_t *window = mmap((void *)0x200000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  code_page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (window != (uint8_t *)0x200000 || code_page == MAP_FAILED) return 2;
  has_avx = __builtin_cpu_supports("avx");
  stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &action, 0);
  while (fread(&current, sizeof current, 1, stdin) == 1) {
    uint64_t back_to = (uint64_t)record_done;
    static const uint8_t jump[6] = {0xff, 0x25, 0, 0, 0, 0};
    memcpy(code_page, current.code, current.length);
    memcpy(code_page + current.length, jump, 6);
    memcpy(code_page + current.length + 6, &back_to, 8);
    memcpy(window, current.memory, 256);
    current.vector = 0xffffffff;
    if (sigsetjmp(back, 1) == 0) run_record(&current);
    memcpy(current.memory, window, 256);
    fwrite(&current, sizeof current, 1, stdout);
  }
  return 0;
}
`;

/** Runs every case; answers the states after. `compiler` is the path of a C compiler. */
export function runNatively(compiler: string, cases: Uint8Array): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'vm-native-'));
  try {
    const source = join(folder, 'harness.c');
    const program = join(folder, 'harness');
    writeFileSync(source, SOURCE);
    execFileSync(compiler, ['-O1', '-Wall', '-o', program, source]);
    const out = execFileSync(program, { input: cases, maxBuffer: cases.length + CASE_BYTES });
    if (out.length !== cases.length) throw new Error(`native oracle: ${cases.length} bytes expected, got ${out.length}`);
    return out;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
