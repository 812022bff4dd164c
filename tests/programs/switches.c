// Vector registers belong to each process and come back after every signal: processes that take turns, each with numbers of its own in
// all of them, and a handler that overwrites them.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sched.h>
#include <unistd.h>

#ifdef __AVX__
#define NAME(n) "ymm" #n
#define MOVE "vmovdqu"
#define BYTES 32
#else
#define NAME(n) "xmm" #n
#define MOVE "movdqu"
#define BYTES 16
#endif
#define TEXT(x) #x
#define NUMBER(x) TEXT(x)
#define EACH(one) one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11) one(12) one(13) one(14) one(15)
#define LOAD(n) MOVE " " NUMBER(BYTES) "*" #n "(%0), %%" NAME(n) "\n"
#define STORE(n) MOVE " %%" NAME(n) ", " NUMBER(BYTES) "*" #n "(%1)\n"
#define CLOBBER(n) , "xmm" #n

enum { PROCESSES = 4, ROUNDS = 300 };
static volatile sig_atomic_t signals;

static void on_signal(int number) {
  uint8_t other[16 * BYTES];
  memset(other, 0x5a + number, sizeof other);
  __asm__ volatile(EACH(LOAD) : : "r"(other) : "memory" EACH(CLOBBER));
  signals++;
}

// Loads all registers, gives the others their turn, and stores them, with nothing of the compiler's between.
static void take_turn(const uint8_t *from, uint8_t *to) {
  __asm__ volatile(EACH(LOAD) "mov $24, %%eax\nsyscall\nmov $39, %%eax\nsyscall\nmov %%eax, %%edi\nmov $10, %%esi\nmov $62, %%eax\nsyscall\n" EACH(STORE)
                   : : "r"(from), "r"(to) : "rax", "rcx", "r11", "rdi", "rsi", "memory" EACH(CLOBBER));
}

int main(void) {
  signal(SIGUSR1, on_signal);
  for (int process = 0; process < PROCESSES; process++) {
    if (fork() != 0) continue;
    uint8_t mine[16 * BYTES], found[16 * BYTES];
    for (int round = 0; round < ROUNDS; round++) {
      for (unsigned i = 0; i < sizeof mine; i++) mine[i] = i * 7 + round * 31 + process * 101;
      take_turn(mine, found);
      if (memcmp(mine, found, sizeof mine) != 0) _exit(1);
    }
    _exit(signals == ROUNDS ? 0 : 2);
  }
  int bad = 0, status;
  while (wait(&status) > 0) bad += status != 0;
  printf("BENCH switches %d of %d processes kept %d bytes\n", PROCESSES - bad, PROCESSES, 16 * BYTES);
  return 0;
}
